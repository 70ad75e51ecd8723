/* arrive.c - new mail: announced by cleanup, or found in the segments */
#include "qmgr.h"

#include "arrive.h"
#include "base/log.h"

static const int64_t scan_pause = MICROSECONDS / 100, regular_scan = 5 * MICROSECONDS, later_pause = MICROSECONDS, quiet_time = 60 * MICROSECONDS;

/* What was found in the segments and waits for its activation (which may wait; a store event must not). */
static struct list found_messages = {&found_messages, &found_messages};
static struct condition found_any, scan_wanted;
static bool scan_asked;

/* What neither the index nor memory could take: only where it lies. */
static struct queue_place *later;
static size_t later_count, later_capacity;
static struct condition later_any;

static void hold(struct qmgr *q, struct message *m)
{
    if (!message_index(q, m, INDEX_HOLD, m->envelope.arrival_time))
        arrive_later(&m->place);
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
    if (!pull_has_room(q)) {
        /* The index was lost, or this process was away for long: all of it at once is too much. */
        if (message_index(q, m, INDEX_DEFERRED, now))
            pull_soon(q, now);
        else
            arrive_later(&m->place);
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

/* ---- the index cannot be written ---------------------------------------------------------------------------------- */

void arrive_later(const struct queue_place *place)
{
    if (later_count == later_capacity) {
        later_capacity = later_capacity ? 2 * later_capacity : 64;
        later = memory_resize(later, later_capacity * sizeof(*later));
    }
    later[later_count++] = *place;
    condition_signal(&later_any);
}

/* try_later - the oldest first, until one fails again; false: some are left. */
static bool try_later(struct qmgr *q)
{
    struct arena *arena = arena_new(0);
    size_t tries = later_count, done = 0;
    while (done < tries && later_count == tries && !q->stopping) {
        struct queue_record record;
        struct queue_place place = later[done++];
        if (store_read(q->store, &place, arena, &record) &&
            (record.state == MESSAGE_STATE_LIVE || record.state == MESSAGE_STATE_HELD))
            arrive_found(q, &record);
        arena_reset(arena);
    }
    later_count -= done;
    memmove(later, later + done, later_count * sizeof(*later));
    arena_free(arena);
    return later_count == 0;
}

static void later_fiber(void *arg)
{
    struct qmgr *q = arg;
    int64_t quiet_until = 0;
    while (!q->stopping) {
        condition_wait(&later_any, CLOCK_NEVER);
        while (later_count > 0 && !q->stopping && !try_later(q)) {
            if (clock_monotonic() >= quiet_until)
                log_warning("cannot write to the queue index: messages wait in their segments: %zu", later_count);
            quiet_until = clock_after(quiet_time);
            fiber_sleep(later_pause);
        }
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
    condition_init(&later_any);
    later_count = 0;
}

void arrive_start(struct qmgr *q)
{
    fiber_start("found", found_fiber, q);
    fiber_start("scan", scan_fiber, q);
    fiber_start("later", later_fiber, q);
}
