/* submit.c - one maildrop file becomes a message of the queue */
#include <sys/stat.h>

#include "base/log.h"
#include "pickup.h"
#include "service/address_log.h"

static const int64_t open_timeout = 10 * MICROSECONDS, finish_timeout = 1000 * MICROSECONDS;

static void put_content(void *context, struct slice data)
{
    submit_content(context, data);
}

/* put_received - the trace header of a local submission (compat.md e.1); gives its size with LF line ends. */
static int64_t put_received(const struct pickup *pickup, struct submission *submission, uid_t uid, int64_t now)
{
    struct buffer text = BUFFER_INIT;
    buffer_printf(&text, "Received: by %s (%s, from userid %ld)\r\n\tid " SLICE_FORMAT "; ", pickup->params.myhostname,
                  pickup->params.mail_name, (long)uid, SLICE_ARGS(submit_queue_id(submission)));
    clock_rfc5322(&text, now);
    buffer_append_string(&text, "\r\n");
    submit_content(submission, buffer_slice(&text));
    int64_t size = (int64_t)text.len - 2;
    buffer_release(&text);
    return size;
}

static bool needs_utf8(const struct envelope *envelope)
{
    for (size_t i = 0; i < envelope->recipients_count; i++) {
        if (!slice_is_ascii(envelope->recipients[i].address))
            return true;
    }
    return !slice_is_ascii(envelope->sender);
}

static void complete_envelope(const struct pickup *pickup, struct dropped *dropped, const struct submission *submission, const struct stat *st)
{
    struct envelope *envelope = &dropped->envelope;
    int64_t now = clock_wall();
    int64_t file_time = (int64_t)st->st_mtim.tv_sec * MICROSECONDS + st->st_mtim.tv_nsec / 1000;
    envelope->queue_id = submit_queue_id(submission);
    if (envelope->arrival_time <= 0 || envelope->arrival_time > now)
        envelope->arrival_time = file_time < now ? file_time : now;
    envelope->source = SOURCE_PICKUP;
    envelope->log_message_origin = SLICE("local");
    envelope->content_filter = slice_of(pickup->params.content_filter);
    envelope->smtputf8 = pickup->params.smtputf8_enable && needs_utf8(envelope);
    /* What policies and filters see of a local submission. */
    envelope->client_name = SLICE("localhost");
    envelope->client_address = SLICE("127.0.0.1");
    envelope->helo_name = SLICE("localhost");
}

static void log_arrival(const struct dropped *dropped, uid_t uid)
{
    const struct envelope *envelope = &dropped->envelope;
    struct buffer line = BUFFER_INIT;

    buffer_printf(&line, SLICE_FORMAT ": uid=%ld", SLICE_ARGS(envelope->queue_id), (long)uid);
    address_log_append(&line, "from", envelope->sender);
    if (dropped->old_queue_id.len)
        buffer_printf(&line, " orig_id=" SLICE_FORMAT, SLICE_ARGS(dropped->old_queue_id));
    log_info("%s", buffer_string(&line));
    buffer_release(&line);
}

static enum pickup_result finish(struct submission *submission, struct dropped *dropped, int64_t size)
{
    struct submit_outcome outcome;
    struct slice queue_id = arena_slice(dropped->arena, submit_queue_id(submission));
    submit_finish(submission, size, dropped->arena, &outcome, clock_after(finish_timeout));
    if (outcome.status == SUBMIT_STATUS_ACCEPTED)
        return PICKUP_DONE;
    if (outcome.status == SUBMIT_STATUS_TEMPORARY) {
        log_warning(SLICE_FORMAT ": the message stays in maildrop: " SLICE_FORMAT, SLICE_ARGS(queue_id), SLICE_ARGS(outcome.reply));
        return PICKUP_LATER;
    }
    /* cleanup was asked to tell the sender, so this is a message that even a notice cannot be made of. */
    log_warning(SLICE_FORMAT ": refused: " SLICE_FORMAT, SLICE_ARGS(queue_id), SLICE_ARGS(outcome.reply));
    return PICKUP_CORRUPT;
}

static enum pickup_result submit(const struct pickup *pickup, struct dropped *dropped, struct maildrop_reader *reader, const struct stat *st)
{
    if (dropped_envelope(dropped, reader) != DROPPED_OK)
        return PICKUP_CORRUPT;
    struct submission *submission = submit_open(pickup->pool, clock_after(open_timeout));
    if (!submission) {
        log_warning("cannot reach cleanup: %s", strerror(errno));
        return PICKUP_LATER;
    }
    complete_envelope(pickup, dropped, submission, st);
    log_arrival(dropped, st->st_uid);
    submit_envelope(submission, &dropped->envelope, pickup->submit_options);
    int64_t size = put_received(pickup, submission, st->st_uid, clock_wall());
    if (dropped_content(dropped, reader, put_content, submission, &size) != DROPPED_OK) {
        submit_cancel(submission);
        return PICKUP_CORRUPT;
    }
    return finish(submission, dropped, size);
}

enum pickup_result pickup_submit(const struct pickup *pickup, int fd, const struct stat *st)
{
    struct dropped dropped = {.arena = arena_new(0)};
    struct maildrop_reader reader;
    maildrop_reader_open(&reader, fd);
    enum pickup_result result = submit(pickup, &dropped, &reader, st);
    maildrop_reader_release(&reader);
    arena_free(dropped.arena);
    return result;
}
