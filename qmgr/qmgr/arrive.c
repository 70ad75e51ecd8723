/* arrive.c - new mail: announced by cleanup, or found in the segments */
#include "qmgr.h"

#include "arrive.h"
#include "base/log.h"

static const int64_t scan_pause = MICROSECONDS / 100, regular_scan = 5 * MICROSECONDS;

/* What was found in the segments and waits for its activation (which may wait; a store event must not). */
static struct list found_messages = {&found_messages, &found_messages};
static struct condition found_any, scan_wanted;
static bool scan_asked;

static void hold(struct qmgr *q, struct message *m)
{
    if (!message_index(q, m, INDEX_HOLD, m->envelope.arrival_time))
        log_warning(SLICE_FORMAT ": cannot write to the queue index", SLICE_ARGS(m->envelope.queue_id));
    message_free(q, m);
}

void arrive_message(struct qmgr *q, const struct queue_arrival *arrival)
{
    struct queue_place place = {.segment = (uint64_t)arrival->segment, .offset = (uint64_t)arrival->offset,
                                .length = (uint64_t)arrival->length, .content_file = (uint64_t)arrival->content_file,
                                .content_offset = (uint64_t)arrival->content_offset, .content_length = (uint64_t)arrival->content_length};
    if (!store_arrived(q->store, &place))
        return; /* a look at the segments was faster */
    struct message *m = message_of_envelope(q, &arrival->envelope, &place);
    if (!m)
        return;
    if (arrival->envelope.hold)
        hold(q, m);
    else
        message_activate(q, m, true);
}

/* ---- what the store finds ----------------------------------------------------------------------------------------- */

void arrive_found(void *context, const struct queue_record *record)
{
    struct qmgr *q = context;
    struct message *m = message_of_record(q, record, NULL);
    if (!m)
        return;
    if (record->state == MESSAGE_STATE_HELD) {
        hold(q, m);
        return;
    }
    int64_t now = clock_wall();
    if (!pull_has_room(q) && message_index(q, m, INDEX_DEFERRED, now)) {
        /* The index was lost, or this process was away for long: all of it at once is too much. */
        pull_soon(q, now);
        message_free(q, m);
        return;
    }
    m->in_flight++;
    list_append(&found_messages, &m->found_link);
    condition_signal(&found_any);
}

void arrive_corrupt(void *context UNUSED, const struct queue_place *place UNUSED, const char *text)
{
    log_warning("%s", text);
}

static void found_fiber(void *arg)
{
    struct qmgr *q = arg;
    for (;;) {
        while (!list_is_empty(&found_messages)) {
            struct message *m = LIST_ENTRY(found_messages.next, struct message, found_link);
            list_remove(&m->found_link);
            m->in_flight--;
            if (!q->stopping)
                message_activate(q, m, true);
        }
        condition_wait(&found_any, CLOCK_NEVER);
    }
}

void arrive_scan(void)
{
    scan_asked = true;
    condition_signal(&scan_wanted);
}

static void scan_fiber(void *arg)
{
    struct qmgr *q = arg;
    while (!q->stopping) {
        if (!scan_asked)
            condition_wait(&scan_wanted, clock_after(regular_scan));
        scan_asked = false;
        if (!q->stopping)
            store_scan(q->store);
        fiber_sleep(scan_pause);
    }
}

void arrive_init(void)
{
    condition_init(&found_any);
    condition_init(&scan_wanted);
}

void arrive_start(struct qmgr *q)
{
    fiber_start("found", found_fiber, q);
    fiber_start("scan", scan_fiber, q);
}
