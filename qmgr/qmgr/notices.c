/* notices.c - asking the bounce services for notifications, over a few lanes that are kept */
#include "qmgr.h"

#include "base/log.h"
#include "verp.h"

enum { IDLE_LANES_MAX = 16, AT_ONCE_MAX = 50 };

/* One of the services bounce, defer, trace. */
struct notice_service {
    struct lane *idle[IDLE_LANES_MAX];
    size_t idle_count;
};

struct notices {
    struct notice_service bounce, defer, trace;
    struct semaphore places;
};

struct notices *notices_new(void)
{
    struct notices *notices = memory_zalloc(1, sizeof(*notices));
    semaphore_init(&notices->places, AT_ONCE_MAX);
    return notices;
}

static struct notice_service *service_of(struct qmgr *q, int kind, const char **name)
{
    switch (kind) {
    case NOTICE_FAILURE: *name = q->params.bounce_service_name; return &q->notices->bounce;
    case NOTICE_DELAY: *name = q->params.defer_service_name; return &q->notices->defer;
    default: *name = q->params.trace_service_name; return &q->notices->trace;
    }
}

static struct lane *take_lane(struct notice_service *service, const char *name, int64_t deadline)
{
    while (service->idle_count > 0) {
        struct lane *lane = service->idle[--service->idle_count];
        if (!lane_is_idle_broken(lane))
            return lane;
        lane_free(lane);
    }
    char path[256];
    snprintf(path, sizeof(path), "private/%s", name);
    struct lane *lane = lane_connect(path, deadline);
    if (!lane)
        log_warning("connect to the %s service: %s", name, strerror(errno));
    return lane;
}

static void give_lane(struct notice_service *service, struct lane *lane)
{
    if (lane_is_broken(lane) || service->idle_count == IDLE_LANES_MAX)
        lane_free(lane);
    else
        service->idle[service->idle_count++] = lane;
}

static bool ask(struct qmgr *q, int kind, const struct bounce_request *request, int content_fd, struct arena *arena)
{
    const char *name;
    struct notice_service *service = service_of(q, kind, &name);
    int64_t deadline = clock_after(q->params.qmgr_ipc_timeout);
    struct lane *lane = take_lane(service, name, deadline);
    if (!lane)
        return false;
    const struct bounce_reply *reply = lane_call(lane, MESSAGE_bounce_request, request, content_fd, MESSAGE_bounce_reply, arena,
                                                 clock_after(q->params.daemon_timeout));
    bool done = reply && reply->done;
    if (!reply)
        log_warning(SLICE_FORMAT ": the %s service broke off", SLICE_ARGS(request->envelope.queue_id), name);
    give_lane(service, lane);
    return done;
}

/* send_request - about all of them in one notice. */
static bool send_request(struct qmgr *q, int kind, const struct message *m, struct slice verp, struct bounce_recipient *recipients, size_t count,
                         struct arena *arena)
{
    struct bounce_request request = {.kind = kind, .envelope = m->envelope, .recipients = recipients, .recipients_count = count};
    int fd;
    uint64_t key;
    request.verp_sender = verp;
    request.envelope.recipients = NULL;
    request.envelope.recipients_count = request.envelope.expanded_count = 0;
    semaphore_take(&q->notices->places, CLOCK_NEVER);
    if (!q->closed && store_content(q->store, &m->place, &fd, &key)) {
        request.content_attached = true;
        request.content_offset = (int64_t)m->place.content_offset;
        request.content_length = (int64_t)m->place.content_length;
    } else {
        fd = -1;
    }
    bool done = !q->closed && ask(q, kind, &request, fd, arena);
    semaphore_give(&q->notices->places);
    return done;
}

bool notices_send(struct qmgr *q, int kind, const struct message *m, struct bounce_recipient *recipients, size_t count)
{
    struct arena *arena = arena_new(0);
    bool one_by_one = m->envelope.verp_delimiters.len && kind == NOTICE_FAILURE && !q->params.disable_verp_bounces;
    bool done = true;
    if (!one_by_one)
        done = send_request(q, kind, m, (struct slice){0}, recipients, count, arena);
    for (size_t i = 0; one_by_one && i < count; i++) {
        struct slice sender = verp_sender(m->envelope.verp_delimiters, m->envelope.sender, recipient_original(&recipients[i].recipient), arena);
        done = send_request(q, kind, m, sender, &recipients[i], 1, arena) && done;
    }
    arena_free(arena);
    return done;
}
