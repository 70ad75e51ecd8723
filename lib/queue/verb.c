/* verb.c - see verb.h */
#include "queue/verb.h"

#include "base/clock.h"

bool queue_verb_applies(int64_t verb, enum index_queue queue)
{
    return queue == INDEX_HOLD ? verb != QUEUE_CONTROL_HOLD : verb != QUEUE_CONTROL_RELEASE;
}

struct index_change queue_verb_change(int64_t verb, enum index_queue queue)
{
    if (verb == QUEUE_CONTROL_DELETE)
        return (struct index_change){.remove = true};
    if (verb == QUEUE_CONTROL_HOLD || (verb == QUEUE_CONTROL_EXPIRE && queue == INDEX_HOLD))
        return (struct index_change){.queue = INDEX_HOLD, .expire = verb == QUEUE_CONTROL_EXPIRE};
    return (struct index_change){
        .queue = INDEX_DEFERRED, .next_attempt = clock_wall(), .expire = verb == QUEUE_CONTROL_EXPIRE, .requeue = verb == QUEUE_CONTROL_REQUEUE};
}

bool queue_verb_mark(struct store *store, int64_t verb, const struct queue_place *place)
{
    switch (verb) {
    case QUEUE_CONTROL_DELETE: return store_mark_done(store, place);
    case QUEUE_CONTROL_HOLD: return store_mark_state(store, place, MESSAGE_STATE_HELD);
    case QUEUE_CONTROL_EXPIRE: return store_mark_expired(store, place);
    default: return store_mark_state(store, place, MESSAGE_STATE_LIVE);
    }
}

bool queue_verb_do(struct store *store, int64_t verb, struct index_entry *entry)
{
    struct index_change change = queue_verb_change(verb, entry->queue);
    if (!queue_verb_applies(verb, entry->queue) || !queue_verb_mark(store, verb, &entry->place))
        return false;
    if (change.remove)
        return index_delete(store_index(store), entry->queue_id) > 0;
    entry->queue = change.queue;
    entry->requeue = change.requeue;
    entry->forced_expire |= change.expire;
    if (change.next_attempt)
        entry->next_attempt = change.next_attempt;
    return index_put(store_index(store), entry) > 0;
}
