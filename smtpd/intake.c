/* intake.c - the ways into the queue */
#include "intake.h"

#include "address/mail_address.h"
#include "base/log.h"
#include "proxy_filter.h"
#include "service/postdrop_client.h"

/* COMMIT_PATIENCE: mail filters may take their time; a cleanup that dies is noticed at once. */
enum { OPEN_PATIENCE = 100, COMMIT_PATIENCE = 3600 /* seconds */ };

struct intake {
    struct submission *submission; /* cleanup */
    struct postdrop *postdrop;     /* or postdrop */
    struct proxy_filter *filter;   /* or smtpd_proxy_filter */
    size_t line_limit;
    struct buffer line;            /* for postdrop: the line not ended yet */
    char queue_id[64];
};

static void open_cleanup(struct intake *intake, struct server *server)
{
    intake->submission = submit_open(server->cleanup, clock_after(OPEN_PATIENCE * MICROSECONDS));
    if (intake->submission)
        snprintf(intake->queue_id, sizeof(intake->queue_id), SLICE_FORMAT, SLICE_ARGS(submit_queue_id(intake->submission)));
    else
        log_warning("cannot submit mail: %s: %s", server->params.cleanup_service_name, strerror(errno));
}

static void open_postdrop(struct intake *intake, struct server *server)
{
    intake->postdrop = postdrop_start(server->config);
    if (intake->postdrop)
        snprintf(intake->queue_id, sizeof(intake->queue_id), "%s", postdrop_queue_id(intake->postdrop));
    else
        log_warning("cannot submit mail: postdrop: %s", strerror(errno));
}

struct intake *intake_open(struct session *s, struct submit_outcome *refusal)
{
    struct intake *intake = memory_zalloc(1, sizeof(*intake));
    struct server *server = s->server;

    intake->line_limit = (size_t)server->params.line_length_limit;
    *refusal = (struct submit_outcome){SUBMIT_STATUS_TEMPORARY, 451, SLICE("4.3.0 Error: queue file write error")};
    if (server->stand_alone)
        open_postdrop(intake, server);
    else if (server->params.smtpd_proxy_filter[0])
        intake->filter = proxy_filter_open(s, refusal);
    else
        open_cleanup(intake, server);
    if (intake->submission || intake->postdrop || intake->filter)
        return intake;
    free(intake);
    return NULL;
}

bool intake_recipient(struct intake *intake, struct slice command, struct arena *arena, struct submit_outcome *refusal)
{
    return !intake->filter || proxy_filter_say(intake->filter, command, 2, arena, refusal);
}

bool intake_begin(struct intake *intake, struct arena *arena, struct submit_outcome *refusal)
{
    return !intake->filter || proxy_filter_say(intake->filter, SLICE("DATA"), 3, arena, refusal);
}

bool intake_is_filter(const struct intake *intake)
{
    return intake->filter != NULL;
}

const char *intake_queue_id(const struct intake *intake)
{
    return intake->queue_id;
}

static void intake_free(struct intake *intake)
{
    proxy_filter_close(intake->filter);
    buffer_release(&intake->line);
    free(intake);
}

/* ---- postdrop's records ---- */

static void put_text(struct intake *intake, const char *name, struct slice value)
{
    if (value.len)
        postdrop_put_text(intake->postdrop, MAILDROP_ATTRIBUTE, "%s=" SLICE_FORMAT, name, SLICE_ARGS(value));
}

static void put_number(struct intake *intake, const char *name, int64_t value)
{
    if (value)
        postdrop_put_text(intake->postdrop, MAILDROP_ATTRIBUTE, "%s=%lld", name, (long long)value);
}

static void put_envelope(struct intake *intake, const struct envelope *envelope)
{
    struct arena *arena = arena_new(0);

    put_text(intake, "rewrite_context", envelope->rewrite_context);
    put_text(intake, "envelope_id", envelope->envelope_id);
    put_number(intake, "ret_flags", envelope->ret);
    postdrop_put(intake->postdrop, MAILDROP_SENDER, mail_address_internal(envelope->sender, arena));
    put_text(intake, "encoding", envelope->encoding);
    if (envelope->verp_delimiters.len)
        postdrop_put(intake->postdrop, MAILDROP_VERP, envelope->verp_delimiters);
    for (size_t i = 0; i < envelope->recipients_count; i++) {
        const struct recipient *r = &envelope->recipients[i];
        put_number(intake, "notify_flags", r->notify);
        put_text(intake, "dsn_orig_rcpt", r->orcpt);
        postdrop_put(intake->postdrop, MAILDROP_RECIPIENT, mail_address_internal(r->address, arena));
    }
    postdrop_put(intake->postdrop, MAILDROP_CONTENT_BEGINS, (struct slice){0});
    arena_free(arena);
}

/* put_content - CRLF lines become records. */
static void put_content(struct intake *intake, struct slice data)
{
    struct buffer *line = &intake->line;

    while (data.len) {
        size_t lf = slice_find(data, '\n');
        buffer_append_slice(line, slice_first(data, lf));
        if (lf < data.len) {
            buffer_truncate(line, line->len - (line->len && line->data[line->len - 1] == '\r'));
            while (line->len > intake->line_limit) {
                postdrop_put(intake->postdrop, MAILDROP_UNFINISHED, slice_first(buffer_slice(line), intake->line_limit));
                buffer_consume(line, intake->line_limit);
            }
            postdrop_put(intake->postdrop, MAILDROP_LINE, buffer_slice(line));
            buffer_clear(line);
        } else if (line->len > intake->line_limit + 1) {
            postdrop_put(intake->postdrop, MAILDROP_UNFINISHED, slice_first(buffer_slice(line), intake->line_limit));
            buffer_consume(line, intake->line_limit);
        }
        data = slice_from(data, lf + 1);
    }
}

static void finish_postdrop(struct intake *intake, struct arena *arena, struct submit_outcome *outcome)
{
    struct buffer reason = BUFFER_INIT;

    postdrop_put(intake->postdrop, MAILDROP_CONTENT_ENDS, (struct slice){0});
    postdrop_put(intake->postdrop, MAILDROP_END, (struct slice){0});
    if (postdrop_finish(intake->postdrop, &reason))
        *outcome = (struct submit_outcome){.status = SUBMIT_STATUS_ACCEPTED};
    else
        *outcome = (struct submit_outcome){SUBMIT_STATUS_TEMPORARY, 451, arena_format(arena, "4.3.0 Error: %s", buffer_string(&reason))};
    buffer_release(&reason);
}

/* ---- both ---- */

void intake_envelope(struct intake *intake, const struct envelope *envelope, int options)
{
    if (intake->submission)
        submit_envelope(intake->submission, envelope, options);
    else if (intake->postdrop)
        put_envelope(intake, envelope);
}

/* intake_milter - only cleanup knows what to do with it: a filter behind smtpd_proxy_filter sees no content, as in the reference. */
void intake_milter(struct intake *intake, const struct submit_milter *milter, int fd)
{
    if (intake->submission)
        submit_milter(intake->submission, milter, fd);
}

void intake_content(struct intake *intake, struct slice data)
{
    if (intake->submission)
        submit_content(intake->submission, data);
    else if (intake->filter)
        proxy_filter_content(intake->filter, data);
    else
        put_content(intake, data);
}

/* intake_decide - for postdrop these actions mean nothing: it takes no filter and no redirection from users either. */
void intake_decide(struct intake *intake, const struct submit_end *decisions)
{
    if (intake->submission)
        submit_decide(intake->submission, decisions);
}

void intake_finish(struct intake *intake, int64_t size, struct arena *arena, struct submit_outcome *outcome)
{
    if (intake->submission)
        submit_finish(intake->submission, size, arena, outcome, clock_after(COMMIT_PATIENCE * MICROSECONDS));
    else if (intake->filter)
        proxy_filter_end(intake->filter, arena, outcome);
    else
        finish_postdrop(intake, arena, outcome);
    intake_free(intake);
}

void intake_cancel(struct intake *intake)
{
    if (!intake)
        return;
    submit_cancel(intake->submission);
    postdrop_cancel(intake->postdrop);
    intake_free(intake);
}
