/* milter.c - mail filters and the content of a message (compat.md h.3)

   They see the message as it came out of everything else that cleanup does, filter after filter, each with the changes of those before it.  The header is
   in memory while they do, the body stays in the transaction's sink (or, replaced, in another one); only when something was changed
   the whole content is written once more. */
#include "base/log.h"
#include "filtering.h"

#define END_OF_MESSAGE "END-OF-MESSAGE"

enum { BODY_PIECE = 65535 };

struct filtering *filtering_new(struct transaction *t, struct milters *milters, bool own_session)
{
    struct filtering *f = memory_zalloc(1, sizeof(*f));
    f->t = t;
    f->milters = milters;
    f->own_session = own_session;
    field_list_init(&f->header);
    return f;
}

void filtering_free(struct filtering *f)
{
    if (!f)
        return;
    if (f->own_session)
        milters_quit(f->milters);
    milters_free(f->milters);
    field_list_release(&f->header);
    content_sink_free(f->body);
    free(f);
}

void transaction_filter(struct transaction *t, struct milters *milters)
{
    if (milters && !t->filtering && !(t->options & SUBMIT_NO_MILTERS))
        t->filtering = filtering_new(t, milters, false);
    else
        milters_free(milters);
}

/* ---- what they decide ---- */

static void hold(struct filtering *f, const char *event, struct slice recipient)
{
    log_milter_action(f->t, "hold", event, recipient, SLICE("milter triggers HOLD action"));
    f->t->envelope.hold = true;
}

bool filtering_settle(struct filtering *f, const char *event, struct slice recipient, const struct milter_outcome *outcome)
{
    struct transaction *t = f->t;
    struct slice text;
    switch (outcome->verdict) {
    case MILTER_CONTINUE:
        if (f->quarantined)
            hold(f, event, recipient);
        break;
    case MILTER_HOLD:
        hold(f, event, recipient);
        return false;
    case MILTER_DISCARD:
        log_milter_action(t, "discard", event, recipient, SLICE("milter triggers DISCARD action"));
        t->discarded = true;
        break;
    case MILTER_REJECT:
        if (t->refused) /* by a check of what the filter added: logged */
            break;
        text = milter_outcome_text(outcome, t->arena);
        log_milter_action(t, "reject", event, recipient, text);
        transaction_refuse_content(t, outcome->code >= 500 ? SUBMIT_STATUS_REFUSED : SUBMIT_STATUS_TEMPORARY, outcome->code, text);
        break;
    }
    return !f->quarantined && !t->discarded && !t->refused;
}

/* ---- what they see ---- */

static void too_big(struct transaction *t)
{
    transaction_refuse(t, SUBMIT_STATUS_REFUSED, 552, SLICE("5.3.4 Message file too big"));
}

/* read_header - from the sink into memory. */
static bool read_header(struct filtering *f)
{
    struct transaction *t = f->t;
    size_t size = (size_t)t->header_size;
    char *room = t->header_size <= FIELD_LIST_TEXT_MAX ? buffer_reserve(&f->header.text, size) : NULL;
    if (room && content_sink_read(t->sink, 0, room, size) != (ssize_t)size) {
        transaction_write_failed(t, errno);
        return false;
    }
    buffer_commit(&f->header.text, room ? size : 0);
    if (room && field_list_parse(&f->header, t->own_received))
        return true;
    log_warning(SLICE_FORMAT ": the header is too large for mail filters", SLICE_ARGS(t->queue_id));
    too_big(t);
    return false;
}

/* read_body - the next piece of the body as it is now; 0: the end, -1: it cannot be read. */
static ssize_t read_body(struct filtering *f, uint64_t offset, char *piece)
{
    struct content_sink *sink = f->body ? f->body : f->t->sink;
    return content_sink_read(sink, offset + (f->body ? 0 : f->t->body_offset), piece, BODY_PIECE);
}

static bool show_header(struct filtering *f, struct milter *filter)
{
    for (size_t i = 0; i < f->header.count; i++) {
        const struct field *field = &f->header.fields[i];
        if (!field->own && field->name_len && !milter_header(filter, field_name(&f->header, i), field_value(&f->header, i)))
            return false;
    }
    return milter_end_of_header(filter);
}

/* show_body - false: the body cannot be read. */
static bool show_body(struct filtering *f, struct milter *filter, char *piece)
{
    ssize_t n;
    for (uint64_t offset = 0; (n = read_body(f, offset, piece)) > 0; offset += (uint64_t)n) {
        if (!milter_body(filter, slice_make(piece, (size_t)n)))
            return true;
    }
    if (n < 0)
        transaction_write_failed(f->t, errno);
    return n == 0;
}

static bool ask(struct filtering *f, struct milter *filter, char *piece)
{
    struct milter_outcome outcome = {0};
    if (show_header(f, filter) && !show_body(f, filter, piece))
        return false;
    f->held_cr = f->body_open = false;
    milter_end_of_message(filter, &filtering_editor, f, &outcome);
    if (f->body_open && !content_sink_write(f->body, SLICE("\r\n")))
        transaction_write_failed(f->t, errno);
    return filtering_settle(f, END_OF_MESSAGE, f->t->last_recipient, &outcome);
}

/* ---- the changed content ---- */

static void write_header(struct filtering *f)
{
    struct transaction *t = f->t;
    for (size_t i = 0; i < f->header.count; i++) {
        content_write(t, field_text(&f->header, i));
        content_write(t, SLICE("\r\n"));
    }
    if (t->written.has_8bit)
        t->envelope.content_flags |= CONTENT_8BIT_HEADER;
    else
        t->envelope.content_flags &= ~CONTENT_8BIT_HEADER;
    t->written.has_8bit = false;
}

/* rewrite - the content as the filters want it takes the place of what was there. */
static void rewrite(struct filtering *f, char *piece)
{
    struct transaction *t = f->t;
    struct content_sink *old = t->sink;
    bool separated = t->body_offset > t->header_size || f->body;
    ssize_t n;
    struct content_sink *source = f->body ? f->body : old;
    uint64_t offset = f->body ? 0 : t->body_offset;
    t->sink = content_sink_new(t->cleanup->writer);
    t->written = (struct content_scan){0};
    write_header(f);
    if (separated)
        content_write(t, SLICE("\r\n"));
    while (!t->refused && (n = content_sink_read(source, offset, piece, BODY_PIECE)) != 0) {
        if (n < 0)
            transaction_write_failed(t, errno);
        else
            content_write(t, slice_make(piece, (size_t)n));
        offset += n > 0 ? (uint64_t)n : 0;
    }
    if (t->last_byte != '\n')
        content_write(t, SLICE("\r\n"));
    if (t->refused) { /* what goes back to its sender is whole */
        content_sink_free(t->sink);
        t->sink = old;
    } else {
        content_sink_free(old);
    }
}

void filtering_run(struct transaction *t)
{
    struct filtering *f = t->filtering;
    if (!f || f->over || !milters_want_content(f->milters) || !read_header(f))
        return;
    char *piece = memory_alloc(BODY_PIECE);
    recipients_begin_later(t);
    for (struct milter *filter = NULL; (filter = milters_next(f->milters, filter)) != NULL && ask(f, filter, piece);)
        ;
    if (!t->refused && !t->discarded && t->envelope.recipients_count == 0) {
        log_milter_action(t, "discard", END_OF_MESSAGE, t->last_recipient, SLICE("all recipients were deleted"));
        t->discarded = true;
    }
    if (!t->refused && !t->discarded && (f->header_changed || f->body))
        rewrite(f, piece);
    free(piece);
}
