/* clients.c - connections to public/qmgr (lanes and trigger letters), public/showq, public/flush */
#include "qmgr.h"

#include <sys/socket.h>

#include "arrive.h"
#include "base/log.h"
#include "query.h"

static const int64_t first_byte_time = 10 * MICROSECONDS, hello_time = 10 * MICROSECONDS, lane_idle_time = 3600 * MICROSECONDS;

/* ---- Postfix's triggers: letters ---------------------------------------------------------------------------------- */

static void trigger(struct qmgr *q, char letter)
{
    switch (letter) {
    case 'W': /* wake up */
    case 'I': /* incoming */
        arrive_scan();
        break;
    case 'D': /* deferred: what is due is pulled anyway */
        break;
    case 'A': /* ignore time stamps */
        pull_flush(q);
        break;
    case 'F': /* forget dead destinations */
        scheduler_forget(q->scheduler, clock_monotonic());
        break;
    default:
        break;
    }
}

static void serve_triggers(struct qmgr *q, struct stream *stream)
{
    struct slice letters;
    stream_set_deadline(stream, clock_after(first_byte_time));
    while ((letters = stream_read_some(stream, 64)).len) {
        bool all = memchr(letters.data, 'A', letters.len) != NULL; /* includes F: forgets the dead as well */
        for (size_t i = 0; i < letters.len; i++) {
            if (!(all && letters.data[i] == 'F'))
                trigger(q, letters.data[i]);
        }
    }
}

/* ---- lanes -------------------------------------------------------------------------------------------------------- */

static bool is_own(const struct qmgr *q, uid_t uid)
{
    return uid == 0 || uid == q->owner || uid == geteuid();
}

static bool serve_message(struct qmgr *q, struct lane *lane, int type, void *value, struct arena *arena)
{
    switch (type) {
    case MESSAGE_queue_arrival:
        if (!is_own(q, lane_peer_uid(lane)))
            return false;
        arrive_message(q, value);
        return true;
    case MESSAGE_queue_control:
        control_serve(q, lane, value, arena);
        return !lane_is_broken(lane);
    case MESSAGE_queue_query:
        query_serve(q, lane, value);
        return !lane_is_broken(lane);
    default:
        return false;
    }
}

static void serve_lane(struct qmgr *q, struct service_client *client)
{
    struct lane *lane = lane_accept(client->stream, clock_after(hello_time));
    client->stream = NULL;
    if (!lane)
        return;
    struct arena *arena = arena_new(16 * 1024);
    void *value;
    int type;
    while ((type = service_receive(client, lane, arena, &value, clock_after(lane_idle_time))) >= 0) {
        if (type > 0 && !serve_message(q, lane, type, value, arena))
            break;
        arena_reset(arena);
    }
    arena_free(arena);
    lane_free(lane);
    if (!q->stopping)
        arrive_scan(); /* what its last arrivals announced may be lost */
}

/* first_byte - without taking it off: lanes begin with a byte of their own. -1: nothing came. */
static int first_byte(struct service_client *client)
{
    uint8_t byte;
    service_interruptible(client, INTERRUPTIBLE_AT_DRAIN);
    bool ready = fiber_wait_fd(stream_fd(client->stream), WAIT_READ, clock_after(first_byte_time)) == WAIT_READY;
    service_interruptible(client, INTERRUPTIBLE_NEVER);
    return ready && recv(stream_fd(client->stream), &byte, 1, MSG_PEEK) == 1 ? byte : -1;
}

void clients_serve(struct qmgr *q, struct service_client *client)
{
    const char *name = client->socket_name ? client->socket_name : "";
    if (strcmp(name, "showq") == 0) {
        showq_serve(q, client->stream);
        return;
    }
    int byte = first_byte(client);
    if (byte == LANE_HELLO_BYTE)
        serve_lane(q, client);
    else if (byte >= 0)
        serve_triggers(q, client->stream);
}
