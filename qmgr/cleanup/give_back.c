/* give_back.c - what cleanup refuses for a local submitter goes back to the sender

   The bounce service queues a notice and answers when it is durable.  When it cannot be reached the submitter is told to try again: it
   still has the message. */
#include <sys/mman.h>

#include "base/log.h"
#include "ipc/lane.h"
#include "service/agent.h"
#include "transaction.h"

enum { RETURN_HEADERS = 2 };
#define BOUNCE_PATH "private/bounce"
#define BOUNCE_TIME (100 * MICROSECONDS)

/* ask_bounce - one request; true: done. */
static bool ask_bounce(const struct bounce_request *request, int content_fd)
{
    struct lane *lane = lane_connect(BOUNCE_PATH, clock_after(BOUNCE_TIME));
    if (!lane) {
        log_warning(SLICE_FORMAT ": connect to the bounce service: %s", SLICE_ARGS(request->envelope.queue_id), strerror(errno));
        return false;
    }
    struct arena *arena = arena_new(256);
    struct bounce_reply *reply =
        lane_call(lane, MESSAGE_bounce_request, request, content_fd, MESSAGE_bounce_reply, arena, clock_after(BOUNCE_TIME));
    bool done = reply && reply->done;
    arena_free(arena);
    lane_free(lane);
    return done;
}

/* content_as_file - what was received, in a file that can travel; -1: none. */
static int content_as_file(struct transaction *t)
{
    int fd = memfd_create("refused message", MFD_CLOEXEC);
    if (fd >= 0 && !content_sink_export(t->sink, fd)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void settle(struct transaction *t, const struct recipient *recipient, struct bounce_recipient *item)
{
    struct status_code code = {5, 0, 0};
    struct slice reason = t->refusal.reply;
    char text[STATUS_CODE_TEXT];
    status_code_parse(reason, &code, &reason);
    if (slice_starts(reason, SLICE("Error: ")))
        reason = slice_from(reason, 7);
    struct slice status = arena_format(t->arena, "%s", status_code_format(code, text));
    *item = (struct bounce_recipient){.recipient = *recipient, .result = {.outcome = OUTCOME_BOUNCED, .status = status, .action = SLICE("failed"),
                                                                         .reason = reason, .relay = SLICE("none")}};
    struct delivery_times times = {.arrival = t->envelope.arrival_time, .done = clock_wall()};
    struct delivery_status logged = {.outcome = OUTCOME_BOUNCED, .status = status.data, .relay = "none", .reason = reason};
    delivery_log(t->queue_id, recipient, &times, 0, &logged);
}

bool give_back(struct transaction *t)
{
    /* Before the envelope was rewritten there is only what the submitter gave. */
    bool rewritten = t->envelope.recipients_count > 0;
    const struct recipient *recipients = rewritten ? t->envelope.recipients : t->given;
    size_t count = rewritten ? t->envelope.recipients_count : t->given_count;
    struct bounce_request request = {.kind = NOTICE_FAILURE, .envelope = t->envelope};
    request.envelope.recipients = NULL;
    request.envelope.recipients_count = 0;
    if (t->refusal.about_content)
        request.envelope.ret = RETURN_HEADERS;
    request.recipients = arena_alloc(t->arena, (count + 1) * sizeof(*request.recipients));
    request.recipients_count = count;
    for (size_t i = 0; i < count; i++)
        settle(t, &recipients[i], &request.recipients[i]);
    int fd = content_as_file(t);
    request.content_attached = fd >= 0;
    request.content_length = (int64_t)content_sink_size(t->sink);
    bool done = ask_bounce(&request, fd);
    if (fd >= 0)
        close(fd);
    return done;
}
