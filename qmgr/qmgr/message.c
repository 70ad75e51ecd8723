/* message.c - messages in memory */
#include "probes.h"

#include "base/log.h"

enum { REASON_MAX = 2000 /* of a reason, in the index */, DESTINATION_MAX = 500 };

static struct message *new_message(struct qmgr *q, struct slice queue_id, const struct queue_place *place)
{
    if (map_get(q->messages, queue_id))
        return NULL;
    struct arena *arena = arena_new(0);
    struct message *m = arena_alloc(arena, sizeof(*m));
    m->arena = arena;
    m->place = *place;
    m->active_time = clock_wall();
    list_init(&m->jobs);
    map_set(q->messages, queue_id, m);
    list_append(&q->active, &m->link);
    q->active_count++;
    return m;
}

void message_free(struct qmgr *q, struct message *m)
{
    list_remove(&m->link);
    q->active_count--;
    q->recipient_count -= m->counted;
    q->probe_count -= probes_are(m) && m->counted > 0;
    map_remove(q->messages, m->envelope.queue_id);
    arena_free(m->arena);
}

struct message *message_find(const struct qmgr *q, struct slice queue_id)
{
    return map_get(q->messages, queue_id);
}

struct recipient *message_recipient(const struct message *m, const struct slot *slot)
{
    return &m->envelope.recipients[slot->index];
}

bool message_is_probe(const struct message *m)
{
    return (m->envelope.trace & (TRACE_VERIFY_ONLY | TRACE_PROBE)) != 0;
}

/* redirect - all recipients are replaced by one (access and header_checks REDIRECT). */
static void redirect(struct message *m)
{
    if (m->envelope.redirect.len == 0 || m->slot_count == 0)
        return;
    struct recipient *first = message_recipient(m, &m->slots[0]);
    const struct recipient *shown = first; /* of many the one that sorts first, as Postfix does */
    for (uint32_t i = 1; i < m->slot_count; i++) {
        const struct recipient *other = message_recipient(m, &m->slots[i]);
        if (slice_compare(other->address, shown->address) < 0)
            shown = other;
    }
    first->original = recipient_original(shown);
    m->slot_count = 1;
    first->address = m->envelope.redirect;
}

/* count_slots - how much memory it takes. */
static void count_slots(struct qmgr *q, struct message *m)
{
    m->counted = m->slot_count;
    q->recipient_count += m->counted;
    q->probe_count += probes_are(m) && m->counted > 0;
}

struct message *message_of_envelope(struct qmgr *q, const struct envelope *envelope, const struct queue_place *place)
{
    struct message *m = new_message(q, envelope->queue_id, place);
    if (!m)
        return NULL;
    MESSAGE_COPY(envelope, envelope, m->arena, &m->envelope);
    m->slot_count = (uint32_t)envelope->recipients_count;
    m->slots = arena_alloc(m->arena, (m->slot_count + 1) * sizeof(struct slot));
    for (uint32_t i = 0; i < m->slot_count; i++) {
        m->slots[i].index = i;
        m->envelope.recipients[i].index = i;
    }
    count_slots(q, m);
    redirect(m);
    return m;
}

void message_add_result(struct message *m, struct slot *slot, const struct delivery_result *result)
{
    struct slot_result *added = arena_alloc(m->arena, sizeof(*added)), **end = &slot->results;
    MESSAGE_COPY(delivery_result, result, m->arena, &added->result);
    while (*end)
        end = &(*end)->next;
    *end = added;
}

const struct delivery_result *message_reason(const struct slot *slot)
{
    for (const struct slot_result *at = slot->results; at; at = at->next) {
        if (at->result.outcome == OUTCOME_DEFERRED || !at->next)
            return &at->result;
    }
    return NULL;
}

/* entry_recipient - *at goes through the entry, as the caller goes through the record: both are in order. */
static const struct index_recipient *entry_recipient(const struct index_entry *entry, size_t *at, uint32_t index)
{
    while (entry && *at < entry->recipient_count && entry->recipients[*at].index < index)
        ++*at;
    return entry && *at < entry->recipient_count && entry->recipients[*at].index == index ? &entry->recipients[*at] : NULL;
}

/* recall - the last result of a recipient, as far as the index knows it. */
static void recall(struct message *m, struct slot *slot, const struct index_recipient *known)
{
    struct delivery_result result = {.index = slot->index, .relay = SLICE("none")};
    if (slot->state == SLOT_FAILED) {
        result.outcome = OUTCOME_BOUNCED;
        result.action = SLICE("failed");
        result.status = SLICE("5.0.0");
        result.reason = SLICE("delivery failed; the reason was lost in a restart");
    } else if (slot->state == SLOT_SENT) {
        result.outcome = OUTCOME_SENT;
        result.action = SLICE("relayed");
        result.status = SLICE("2.0.0");
        result.reason = SLICE("delivered");
    } else {
        result.outcome = OUTCOME_DEFERRED;
        result.action = SLICE("delayed");
    }
    if (known && known->reason.len) {
        result.status = known->status;
        result.reason = known->reason;
    }
    if (result.reason.len)
        message_add_result(m, slot, &result);
}

static bool slot_of_state(char state, struct slot *slot)
{
    switch (state) {
    case RECIPIENT_STATE_PENDING: slot->state = SLOT_WAITING; return true;
    case RECIPIENT_STATE_FAILED: slot->state = SLOT_FAILED; break;
    case RECIPIENT_STATE_DELIVERED_NOTICE_OWED: slot->state = SLOT_SENT; break;
    default: return false;
    }
    slot->marked = true;
    return true;
}

struct message *message_of_record(struct qmgr *q, const struct queue_record *record, const struct index_entry *entry)
{
    struct message *m = new_message(q, record->envelope.queue_id, &record->place);
    if (!m)
        return NULL;
    MESSAGE_COPY(envelope, &record->envelope, m->arena, &m->envelope);
    m->warned = record->warned;
    m->forced_expire = record->expired;
    m->indexed = entry != NULL;
    m->attempts = entry ? entry->attempts : 0;
    m->requeue = entry && entry->requeue ? REQUEUE_NOW : REQUEUE_NOT;
    size_t at = 0;
    m->slots = arena_alloc(m->arena, (record->envelope.recipients_count + 1) * sizeof(struct slot));
    for (uint32_t i = 0; i < record->envelope.recipients_count; i++) {
        struct slot *slot = &m->slots[m->slot_count];
        slot->index = i;
        m->envelope.recipients[i].index = i;
        if (!slot_of_state(record->recipient_states[i], slot))
            continue;
        recall(m, slot, entry_recipient(entry, &at, i));
        m->slot_count++;
    }
    count_slots(q, m);
    redirect(m);
    return m;
}

/* ---- into the index ----------------------------------------------------------------------------------------------- */

static void entry_add(struct index_entry *entry, const struct message *m, const struct slot *slot)
{
    const struct recipient *recipient = message_recipient(m, slot);
    struct index_recipient *out = &entry->recipients[entry->recipient_count++];
    *out = (struct index_recipient){.address = recipient->address, .original = recipient->original, .index = slot->index};
    const struct delivery_result *reason = message_reason(slot);
    if (reason) {
        out->status = reason->status;
        out->reason = slice_first(reason->reason, REASON_MAX);
    }
}

static struct slice destination_text(const struct slot *slot, struct arena *arena)
{
    return slice_first(arena_format(arena, SLICE_FORMAT ":" SLICE_FORMAT, SLICE_ARGS(slot->transport), SLICE_ARGS(slot->key)), DESTINATION_MAX);
}

bool message_index(struct qmgr *q, const struct message *m, enum index_queue queue, int64_t next_attempt)
{
    struct arena *arena = arena_new(0);
    struct index_entry entry = {.queue_id = m->envelope.queue_id, .queue = queue, .place = m->place, .arrival_time = m->envelope.arrival_time,
                                .next_attempt = next_attempt, .last_attempt = m->attempts ? m->active_time : 0, .attempts = m->attempts,
                                .message_size = m->envelope.message_size, .forced_expire = m->forced_expire, .warned = m->warned,
                                .requeue = m->requeue != REQUEUE_NOT && queue != INDEX_HOLD, .sender = m->envelope.sender};
    entry.recipients = arena_alloc(arena, (m->slot_count + 1) * sizeof(*entry.recipients));
    for (uint32_t i = 0; i < m->slot_count; i++) {
        const struct slot *slot = &m->slots[i];
        if (slot->state == SLOT_SENT && !slot->marked)
            continue;
        if (entry.destination.len == 0 && slot->state != SLOT_SENT && slot->state != SLOT_FAILED && slot->transport.len)
            entry.destination = destination_text(slot, arena);
        entry_add(&entry, m, slot);
    }
    bool ok = index_put(q->index, &entry) > 0;
    arena_free(arena);
    return ok;
}
