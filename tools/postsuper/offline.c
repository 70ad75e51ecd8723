/* offline.c - the mail system is down: take the queue's lock and work on segments and index directly */
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "postsuper.h"
#include "queue/verb.h"
#include "run/run.h"
#include "service/sandbox.h"

struct offline {
    struct store *store;
    struct index *index;
    struct map *found; /* id -> struct queue_place and state: live messages without an index entry */
    struct arena *arena;
};

struct found {
    struct queue_place place;
    bool held;
};

static void on_found(void *context, const struct queue_record *record)
{
    struct offline *offline = context;
    struct found *found = memory_zalloc(1, sizeof(*found));
    found->place = record->place;
    found->held = record->state == MESSAGE_STATE_HELD;
    map_set(offline->found, record->envelope.queue_id, found);
}

static void on_corrupt(void *context UNUSED, const struct queue_place *place UNUSED, const char *text)
{
    log_warning("%s", text);
}

struct offline *offline_open(struct config *config)
{
    static const struct store_events events = {on_found, on_corrupt};
    struct offline *offline = memory_zalloc(1, sizeof(*offline));
    struct sandbox_owner owner;
    char *why = NULL;
    /* What is made in the queue must belong to those who will use it. */
    if (sandbox_owner_find(config, &owner) && owner.uid != geteuid())
        sandbox_drop(&owner);
    offline->found = map_new(free);
    offline->arena = arena_new(0);
    offline->store = store_open(".", &events, offline, &why);
    if (!offline->store)
        log_fatal("%s", why);
    store_recover(offline->store);
    offline->index = store_index(offline->store);
    return offline;
}

void offline_close(struct offline *offline)
{
    if (!offline)
        return;
    store_sync(offline->store);
    store_close(offline->store);
    map_free(offline->found);
    arena_free(offline->arena);
    free(offline);
}

/* ---- one message -------------------------------------------------------------------------------------------------- */

static bool put_back(struct offline *offline, const struct queue_place *place)
{
    struct queue_record record;
    int fd;
    uint64_t key;
    if (!store_read(offline->store, place, offline->arena, &record) || !store_content(offline->store, place, &fd, &key))
        return false;
    if (!maildrop_put_back(&record, fd)) {
        log_error(SLICE_FORMAT ": cannot requeue: %s", SLICE_ARGS(record.envelope.queue_id), strerror(errno));
        return false;
    }
    return store_mark_done(offline->store, place);
}

static bool change_found(struct offline *offline, int verb, struct slice id, struct found *found)
{
    struct store *store = offline->store;
    bool gone = false, ok = false;
    switch (verb) {
    case QUEUE_CONTROL_DELETE:
        ok = gone = store_mark_done(store, &found->place);
        break;
    case QUEUE_CONTROL_REQUEUE:
        ok = gone = put_back(offline, &found->place);
        break;
    case QUEUE_CONTROL_HOLD:
    case QUEUE_CONTROL_RELEASE:
        ok = found->held != (verb == QUEUE_CONTROL_HOLD) &&
             store_mark_state(store, &found->place, verb == QUEUE_CONTROL_HOLD ? MESSAGE_STATE_HELD : MESSAGE_STATE_LIVE);
        found->held = found->held != ok;
        break;
    case QUEUE_CONTROL_EXPIRE:
        ok = store_mark_expired(store, &found->place);
        break;
    }
    if (gone)
        map_remove(offline->found, id);
    return ok;
}

/* requeue_entry - at once: nobody is there who could do it later. */
static bool requeue_entry(struct offline *offline, const struct index_entry *entry)
{
    return put_back(offline, &entry->place) && index_delete(offline->index, entry->queue_id) >= 0;
}

static bool change_entry(struct offline *offline, int verb, struct index_entry *entry)
{
    return verb == QUEUE_CONTROL_REQUEUE ? requeue_entry(offline, entry) : queue_verb_do(offline->store, verb, entry);
}

static int queue_of(enum index_queue queue)
{
    return queue == INDEX_HOLD ? QUEUE_HOLD : queue == INDEX_INCOMING ? QUEUE_INCOMING : QUEUE_DEFERRED;
}

/* change_id - without an index entry a message counts as incoming or active. */
static bool change_id(struct offline *offline, int verb, int queues, struct slice id)
{
    struct index_entry entry;
    struct found *found = map_get(offline->found, id);
    if (found)
        return (queues & (found->held ? QUEUE_HOLD : QUEUE_INCOMING | QUEUE_ACTIVE)) && change_found(offline, verb, id, found);
    return index_get(offline->index, id, offline->arena, &entry) > 0 && (queues & queue_of(entry.queue)) && change_entry(offline, verb, &entry);
}

/* ---- those of a selection ------------------------------------------------------------------------------------------ */

/* describe_found - as the index would have it. */
static bool describe_found(struct offline *offline, const struct found *found, struct arena *arena, struct queue_item *item)
{
    struct queue_record record;
    if (!store_read(offline->store, &found->place, arena, &record))
        return false;
    const struct envelope *e = &record.envelope;
    struct index_entry *entry = &item->entry;
    *item = (struct queue_item){.queue = found->held ? "hold" : "incoming", .has_sasl_user = true, .sasl_user = e->sasl_username};
    *entry = (struct index_entry){.queue_id = e->queue_id, .place = found->place, .arrival_time = e->arrival_time, .message_size = e->message_size,
                                  .sender = e->sender};
    entry->recipients = arena_alloc(arena, (e->recipients_count + 1) * sizeof(*entry->recipients));
    for (uint32_t i = 0; i < e->recipients_count; i++) {
        if (record.recipient_states[i] == RECIPIENT_STATE_PENDING)
            entry->recipients[entry->recipient_count++] =
                (struct index_recipient){.address = e->recipients[i].address, .original = e->recipients[i].original, .index = i};
    }
    return true;
}

static struct slice sasl_user_of(void *context, const struct index_entry *entry)
{
    struct offline *offline = context;
    struct queue_record record;
    return store_read(offline->store, &entry->place, offline->arena, &record) ? record.envelope.sasl_username : SLICE("");
}

static void change_found_selected(struct offline *offline, int verb, int queues, struct selection *selection, struct outcome *outcome)
{
    size_t position = 0;
    struct slice id;
    void *value;
    struct arena *arena = arena_new(0);
    while (map_next(offline->found, &position, &id, &value)) {
        struct queue_item item;
        if (describe_found(offline, value, arena, &item) && selection_fits(selection, &item, NULL, NULL))
            outcome->count += change_id(offline, verb, queues, id);
        arena_reset(arena);
    }
    arena_free(arena);
}

static void change_queue_selected(struct offline *offline, int verb, const char *name, enum index_queue queue, struct selection *selection,
                                  struct outcome *outcome)
{
    struct queue_item item = {.queue = name};
    struct index_scan *scan = index_scan_start(offline->index, INDEX_BY_ID, queue, SLICE(""));
    while (index_scan_next(scan, offline->arena, &item.entry) > 0) {
        if (selection_fits(selection, &item, sasl_user_of, offline))
            outcome->count += change_entry(offline, verb, &item.entry);
        arena_reset(offline->arena);
    }
    index_scan_free(scan);
}

static void change_selected(struct offline *offline, const struct action *action, int queues, struct outcome *outcome)
{
    char *why = NULL;
    struct selection *selection = selection_new(action->selection, &why);
    if (!selection)
        log_fatal("%s", why);
    change_found_selected(offline, action->verb, queues, selection, outcome);
    if (queues & QUEUE_DEFERRED)
        change_queue_selected(offline, action->verb, "deferred", INDEX_DEFERRED, selection, outcome);
    if (queues & QUEUE_INCOMING)
        change_queue_selected(offline, action->verb, "incoming", INDEX_INCOMING, selection, outcome);
    if ((queues & QUEUE_HOLD) && action->verb != QUEUE_CONTROL_HOLD)
        change_queue_selected(offline, action->verb, "hold", INDEX_HOLD, selection, outcome);
    selection_free(selection);
}

/* ---- all ---------------------------------------------------------------------------------------------------------- */

static void change_all_found(struct offline *offline, int verb, int queues, struct outcome *outcome)
{
    size_t position = 0;
    struct slice id;
    void *value;
    while (map_next(offline->found, &position, &id, &value))
        outcome->count += change_id(offline, verb, queues, id);
}

static void requeue_all_in(struct offline *offline, enum index_queue queue, struct outcome *outcome)
{
    struct index_entry entry;
    struct index_scan *scan = index_scan_start(offline->index, INDEX_BY_ID, queue, SLICE(""));
    while (index_scan_next(scan, offline->arena, &entry) > 0) {
        outcome->count += requeue_entry(offline, &entry);
        arena_reset(offline->arena);
    }
    index_scan_free(scan);
}

struct choice {
    struct store *store;
    int verb;
};

static bool choose(void *context, struct slice queue_id UNUSED, const struct queue_place *place)
{
    const struct choice *choice = context;
    return queue_verb_mark(choice->store, choice->verb, place);
}

static void change_all_in(struct offline *offline, int verb, enum index_queue queue, struct outcome *outcome)
{
    struct choice choice = {offline->store, verb};
    struct index_change change = queue_verb_change(verb, queue);
    struct index_scan *scan = index_scan_start(offline->index, INDEX_BY_ID, queue, SLICE(""));
    int64_t next = clock_after(MICROSECONDS);
    int result;
    while ((result = index_change_some(scan, &change, choose, &choice, &outcome->count)) > 0) {
        fiber_yield();
        if (clock_monotonic() < next)
            continue;
        store_sync(offline->store);
        next = clock_after(MICROSECONDS);
    }
    if (result < 0)
        log_fatal("cannot write to the queue index");
    index_scan_free(scan);
}

static void change_all(struct offline *offline, int verb, int queues, struct outcome *outcome)
{
    int everything = QUEUE_HOLD | QUEUE_INCOMING | QUEUE_ACTIVE | QUEUE_DEFERRED;
    change_all_found(offline, verb, queues, outcome);
    if (verb == QUEUE_CONTROL_DELETE && (queues & everything) == everything) {
        outcome->count += store_drop_all(offline->store);
        return;
    }
    static const enum index_queue order[] = {INDEX_DEFERRED, INDEX_INCOMING, INDEX_HOLD}; /* none goes where is still to be looked */
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        if (!(queues & queue_of(order[i])) || !queue_verb_applies(verb, order[i]))
            continue;
        if (verb == QUEUE_CONTROL_REQUEUE)
            requeue_all_in(offline, order[i], outcome);
        else
            change_all_in(offline, verb, order[i], outcome);
    }
}

void offline_do(struct offline *offline, const struct action *action, int queues, struct outcome *outcome)
{
    if (action->all && action->selection)
        change_selected(offline, action, queues, outcome);
    else if (action->all)
        change_all(offline, action->verb, queues, outcome);
    for (size_t i = 0; i < action->count; i++) {
        if (change_id(offline, action->verb, queues, action->ids[i])) {
            outcome->changed(action, action->ids[i]);
            outcome->count++;
        }
        arena_reset(offline->arena);
    }
}
