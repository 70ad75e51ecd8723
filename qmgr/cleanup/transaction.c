/* transaction.c - one message on its way into the queue */
#include "transaction.h"

#include "base/log.h"
#include "service/statistics.h"

void transaction_refuse(struct transaction *t, int status, int reply_code, struct slice reply)
{
    if (t->refused)
        return;
    t->refused = true;
    t->refusal = (struct refusal){status, reply_code, reply, false};
}

void transaction_refuse_content(struct transaction *t, int status, int reply_code, struct slice reply)
{
    bool first = !t->refused;
    transaction_refuse(t, status, reply_code, reply);
    t->refusal.about_content |= first;
}

void transaction_map_failed(struct transaction *t, const char *map, struct slice address)
{
    if (!t->refused)
        log_warning(SLICE_FORMAT ": %s map lookup problem%s" SLICE_FORMAT " -- message not accepted, try again later",
                    SLICE_ARGS(t->queue_id), map, address.len ? " for " : "", SLICE_ARGS(address));
    transaction_refuse(t, SUBMIT_STATUS_TEMPORARY, 451, SLICE("4.3.0 Error: queue file write error"));
}

bool transaction_is_over(const struct transaction *t)
{
    /* What goes back to its sender is read to its end. */
    bool gives_back = (t->options & SUBMIT_BOUNCE) && t->refusal.status == SUBMIT_STATUS_REFUSED;
    return t->discarded || (t->refused && !gives_back);
}

/* complete_envelope - what submitters may leave out. */
static void complete_envelope(struct transaction *t)
{
    struct envelope *e = &t->envelope;
    e->queue_id = t->queue_id;
    if (e->arrival_time == 0)
        e->arrival_time = clock_wall();
    if (e->rewrite_context.len == 0)
        e->rewrite_context = SLICE("local");
    if (t->options & SUBMIT_HOLD)
        e->hold = true;
}

struct transaction *transaction_begin(struct cleanup *cleanup, struct arena *arena, struct slice queue_id, const struct submit_envelope *submitted)
{
    struct transaction *t = memory_zalloc(1, sizeof(*t)); /* not in the arena, which may go to the notifier */
    t->cleanup = cleanup;
    t->arena = arena;
    t->queue_id = arena_slice(arena, queue_id);
    t->options = (int)submitted->options;
    t->envelope = submitted->envelope;
    t->discarded = t->options & SUBMIT_DISCARD;
    complete_envelope(t);
    t->given = t->envelope.recipients;
    t->given_count = t->envelope.recipients_count;
    content_start(t);
    headers_start(t);
    if (!t->discarded)
        envelope_rewrite(t);
    filtering_begin(t);
    return t;
}

void transaction_free(struct transaction *t)
{
    if (!t)
        return;
    filtering_free(t->filtering);
    message_scanner_free(t->scanner);
    content_sink_free(t->sink);
    map_free(t->recipients_seen);
    arena_free(t->arena);
    free(t);
}

void transaction_write_failed(struct transaction *t, int error)
{
    if (error == EMSGSIZE) {
        transaction_refuse(t, SUBMIT_STATUS_REFUSED, 552, SLICE("5.3.4 Error: message file too big"));
        return;
    }
    log_warning(SLICE_FORMAT ": cannot write the message: %s", SLICE_ARGS(t->queue_id), strerror(error));
    if (error == ENOSPC || error == EDQUOT || error == EFBIG)
        transaction_refuse(t, SUBMIT_STATUS_TEMPORARY, 452, SLICE("4.3.1 Insufficient system storage"));
    else
        transaction_refuse(t, SUBMIT_STATUS_TEMPORARY, 451, SLICE("4.3.0 Error: queue file write error"));
}

/* detects_smtputf8 - is this source one of smtputf8_autodetect_classes? */
static bool detects_smtputf8(const struct transaction *t)
{
    const char *class = t->envelope.source == SOURCE_PICKUP ? "sendmail" : t->envelope.source == SOURCE_SMTPD ? "smtpd" :
                        t->envelope.source == SOURCE_BOUNCE ? "bounce" : t->envelope.source == SOURCE_FORWARD ? "forward" : "qmqpd";
    struct slice rest = slice_of(t->cleanup->params.smtputf8_autodetect_classes), element;
    while (config_list_next(&rest, &element)) {
        if (slice_equal_case(element, slice_of(class)) || slice_equal_case(element, SLICE("all")))
            return true;
    }
    return false;
}

/* note_utf8 - who needs SMTPUTF8, and where. */
static void note_utf8(struct transaction *t)
{
    struct envelope *e = &t->envelope;
    if (e->content_flags & CONTENT_8BIT_HEADER)
        e->send_options |= SEND_UTF8_IN_HEADER;
    if (!slice_is_ascii(e->sender))
        e->send_options |= SEND_UTF8_IN_SENDER;
    for (size_t i = 0; i < e->recipients_count && !(e->send_options & SEND_UTF8_IN_RECIPIENT); i++)
        e->send_options |= slice_is_ascii(e->recipients[i].address) ? 0 : SEND_UTF8_IN_RECIPIENT;
    if (!e->smtputf8 && (e->send_options & (SEND_UTF8_IN_HEADER | SEND_UTF8_IN_SENDER | SEND_UTF8_IN_RECIPIENT)) && t->cleanup->params.smtputf8_enable)
        e->smtputf8 = detects_smtputf8(t);
    e->send_options |= e->smtputf8 ? SEND_UTF8_REQUESTED : 0;
}

/* seal - facts about the content that are known at its end. */
static void seal(struct transaction *t)
{
    struct envelope *e = &t->envelope;
    e->message_size = (int64_t)(t->written.bytes + t->written.long_records);
    e->content_flags |= (t->written.has_8bit ? CONTENT_8BIT_BODY : 0) | (t->written.has_dot_lines ? CONTENT_DOT_LINES : 0) |
                        (t->written.has_long_lines ? CONTENT_LONG_LINES : 0) | (t->written.has_stray_cr_lf ? CONTENT_STRAY_CR_LF : 0);
    e->message_id = t->message_id;
    note_utf8(t);
    if (e->send_options & SEND_REQUIRE_TLS) /* that outweighs the header (RFC 8689 3) */
        e->send_options &= ~(int64_t)SEND_TLS_NOT_REQUIRED;
}

/* store - append, and tell qmgr. */
static void store(struct transaction *t)
{
    struct queue_place place;
    notifier_wait(t->cleanup->notifier, t->cleanup->params.in_flow_delay);
    if (segment_append(t->cleanup->writer, &t->envelope, t->sink, &place) < 0) {
        transaction_write_failed(t, errno);
        return;
    }
    struct queue_arrival *arrival = arena_alloc(t->arena, sizeof(*arrival));
    *arrival = (struct queue_arrival){.segment = (int64_t)place.segment, .offset = (int64_t)place.offset, .length = (int64_t)place.length,
                                      .envelope = t->envelope, .content_offset = (int64_t)place.content_offset,
                                      .content_length = (int64_t)place.content_length, .content_file = (int64_t)place.content_file};
    notifier_tell(t->cleanup->notifier, t->arena, arrival);
    t->arena = NULL;
    t->envelope = (struct envelope){0};
}

void transaction_decide(struct transaction *t, const struct submit_end *end)
{
    struct envelope *e = &t->envelope;
    t->discarded |= (end->options & SUBMIT_DISCARD) != 0;
    e->hold |= (end->options & SUBMIT_HOLD) != 0;
    if (transaction_is_over(t))
        return;
    if (end->content_filter.len && !t->filter_checked) /* what header and body checks say counts more */
        e->content_filter = arena_slice(t->arena, end->content_filter);
    if (end->redirect.len)
        e->redirect = recipients_rewrite(t, arena_slice(t->arena, end->redirect));
    for (size_t i = 0; i < end->copies_count; i++)
        recipients_add_bcc(t, arena_slice(t->arena, end->copies[i].address));
}

/* end_content - everything that comes after the last byte. */
static void end_content(struct transaction *t)
{
    if (!transaction_is_over(t))
        content_finish(t);
    if (!t->refused && !t->discarded && t->envelope.recipients_count == 0)
        transaction_refuse(t, SUBMIT_STATUS_REFUSED, 550, SLICE("5.1.0 Error: no recipients specified"));
    if (!t->refused && !t->discarded)
        filtering_run(t);
}

static void count_message(const struct transaction *t)
{
    statistics_add(t->refused ? STATISTIC_messages_refused : STATISTIC_messages_accepted, 1);
    if (!t->refused)
        statistics_add(STATISTIC_bytes_accepted, (int64_t)(t->written.bytes + t->written.long_records));
}

void transaction_finish(struct transaction *t, struct refusal *refusal)
{
    end_content(t);
    if (!t->refused && !t->discarded) {
        seal(t);
        store(t);
    }
    count_message(t);
    *refusal = t->refusal;
    if (t->refused && t->refusal.status == SUBMIT_STATUS_REFUSED && (t->options & SUBMIT_BOUNCE))
        refusal->status = give_back(t) ? SUBMIT_STATUS_ACCEPTED : SUBMIT_STATUS_TEMPORARY;
}
