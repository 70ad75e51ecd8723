/* finish.c - results: marks in the record, notices to the sender, deferral, the end of a message

   Order of safety: a delivered recipient is marked at once; a failed one only when its notice is queued (a crash before repeats the attempt, which
   fails again); what waits is in the index before the message leaves memory. */
#include "qmgr.h"

#include "base/log.h"
#include "probes.h"
#include "service/address_log.h"
#include "service/agent.h"

static const int64_t unsaved_pause = 60 * MICROSECONDS; /* after a failed write to the index */

/* ---- one result --------------------------------------------------------------------------------------------------- */

static bool reports_all(const struct message *m)
{
    return (m->envelope.trace & (TRACE_VERBOSE | TRACE_VERIFY_ONLY)) != 0;
}

/* owes_success - the sender wants to know that it was delivered. */
static bool owes_success(const struct qmgr *q, const struct message *m, const struct slot *slot, const struct delivery_result *result)
{
    if (message_is_probe(m) || result->outcome != OUTCOME_SENT || m->envelope.sender.len == 0)
        return false;
    int notify = message_recipient(m, slot)->notify;
    if (m->warned && q->params.confirm_delay_cleared && (notify == 0 || (notify & NOTIFY_DELAY)))
        return true;
    return (notify & NOTIFY_SUCCESS) && !result->notice_passed_on;
}

static enum slot_state state_of(const struct message *m, int64_t outcome)
{
    if (message_is_probe(m))
        return SLOT_SENT; /* whatever it was: it has been found out */
    return outcome == OUTCOME_SENT ? SLOT_SENT : outcome == OUTCOME_BOUNCED ? SLOT_FAILED : SLOT_DEFERRED;
}

/* worse - of several results for one recipient (aliases) waiting counts most, then failure. */
static enum slot_state worse(enum slot_state a, enum slot_state b)
{
    return a == SLOT_DEFERRED || b == SLOT_DEFERRED ? SLOT_DEFERRED : a == SLOT_FAILED || b == SLOT_FAILED ? SLOT_FAILED : SLOT_SENT;
}

void finish_slot(struct qmgr *q, struct message *m, struct slot *slot, const struct delivery_result *result)
{
    enum slot_state state = state_of(m, result->outcome);
    bool first = slot->state == SLOT_IN_FLIGHT || slot->state == SLOT_WAITING;
    if (first)
        slot->results = NULL; /* of the attempt before */
    m->unmarked -= slot->state == SLOT_SENT && !slot->marked;
    slot->state = first ? state : worse(slot->state, state);
    m->unmarked += slot->state == SLOT_SENT && !slot->marked;
    if (state != SLOT_SENT || reports_all(m) || probes_are(m) || owes_success(q, m, slot, result))
        message_add_result(m, slot, result);
}

void finish_slot_text(struct qmgr *q, struct message *m, struct slot *slot, int outcome, const char *reason)
{
    struct slice code, text;
    slice_cut(slice_of(reason), ' ', &code, &text);
    char status[16];
    snprintf(status, sizeof(status), SLICE_FORMAT, SLICE_ARGS(slice_first(code, sizeof(status) - 1)));
    int said = !message_is_probe(m) ? outcome : outcome == OUTCOME_SENT ? OUTCOME_DELIVERABLE : OUTCOME_UNDELIVERABLE;
    struct delivery_status shown = {.outcome = said, .status = status, .relay = "none", .reason = text};
    struct delivery_times times = {.arrival = m->envelope.arrival_time, .active = m->active_time, .done = clock_wall()};
    delivery_log(m->envelope.queue_id, message_recipient(m, slot), &times, 1, &shown);
    const char *action = said == OUTCOME_DELIVERABLE ? "deliverable" : said == OUTCOME_UNDELIVERABLE ? "undeliverable" :
                         outcome == OUTCOME_SENT ? "delivered" : "delayed";
    struct delivery_result result = {.index = slot->index, .outcome = outcome, .status = slice_of(status), .reason = text,
                                     .relay = SLICE("none"), .action = slice_of(action)};
    finish_slot(q, m, slot, &result);
}

/* ---- the end of an attempt ---------------------------------------------------------------------------------------- */

/* Notices of one attempt. */
struct notice_list {
    struct bounce_recipient *items;
    size_t count;
};

static void notice_add(struct notice_list *list, int kind, const struct message *m, const struct slot *slot, const struct delivery_result *result)
{
    struct bounce_recipient *item = &list->items[list->count++];
    item->recipient = *message_recipient(m, slot);
    item->result = *result;
    if (kind == NOTICE_FAILURE)
        item->result.action = SLICE("failed"); /* also what was only delayed, when the message has expired */
    if (result->address.len == 0)
        return;
    /* The agent expanded it. */
    if (item->recipient.original.len == 0)
        item->recipient.original = item->recipient.address;
    item->recipient.address = result->address;
}

/* belongs - the result has to be told in a notice of that kind. */
static bool belongs(const struct qmgr *q, const struct message *m, const struct slot *slot, const struct slot_result *at, int kind, bool expired)
{
    int64_t outcome = at->result.outcome;
    if (kind == NOTICE_VERIFY)
        return reports_all(m);
    if (message_is_probe(m))
        return false;
    switch (kind) {
    case NOTICE_FAILURE: return !at->told && (outcome == OUTCOME_BOUNCED || (expired && outcome == OUTCOME_DEFERRED));
    case NOTICE_SUCCESS: return !at->told && owes_success(q, m, slot, &at->result);
    default: return outcome == OUTCOME_DEFERRED; /* delay */
    }
}

static size_t result_count(const struct message *m)
{
    size_t count = 0;
    for (uint32_t i = 0; i < m->slot_count; i++) {
        for (const struct slot_result *at = m->slots[i].results; at; at = at->next)
            count++;
    }
    return count;
}

/* add_expanded - aliases, whose way ended before the queue; told once, with what the first attempt tells. */
static void add_expanded(const struct message *m, struct notice_list *list)
{
    for (size_t i = 0; i < m->envelope.expanded_count; i++)
        list->items[list->count++] = (struct bounce_recipient){
            .recipient = m->envelope.expanded[i], .result = {.outcome = OUTCOME_SENT, .status = SLICE("2.0.0"), .action = SLICE("expanded"),
                                                             .reason = SLICE("alias expanded")}};
}

static bool owes_expanded(const struct message *m)
{
    return m->envelope.expanded_count > 0 && m->attempts == 0 && !message_is_probe(m);
}

/* collect - the results that belong into a notice of that kind; true when there are some. */
static bool collect(const struct qmgr *q, const struct message *m, int kind, bool expired, struct arena *arena, struct notice_list *list)
{
    list->items = arena_alloc(arena, (m->envelope.expanded_count + result_count(m) + 1) * sizeof(*list->items));
    list->count = 0;
    if (kind == NOTICE_SUCCESS && owes_expanded(m))
        add_expanded(m, list);
    for (uint32_t i = 0; i < m->slot_count; i++) {
        for (const struct slot_result *at = m->slots[i].results; at; at = at->next) {
            if (belongs(q, m, &m->slots[i], at, kind, expired))
                notice_add(list, kind, m, &m->slots[i], &at->result);
        }
    }
    return list->count > 0;
}

static void set_told(struct qmgr *q, struct message *m, int kind, bool expired)
{
    for (uint32_t i = 0; i < m->slot_count; i++) {
        for (struct slot_result *at = m->slots[i].results; at; at = at->next)
            at->told |= belongs(q, m, &m->slots[i], at, kind, expired);
    }
}

static bool any_in_state(const struct message *m, enum slot_state state)
{
    for (uint32_t i = 0; i < m->slot_count; i++) {
        if (m->slots[i].state == state)
            return true;
    }
    return false;
}

static void mark(struct qmgr *q, const struct message *m, struct slot *slot, char state)
{
    slot->marked = true;
    if (!store_mark_recipient(q->store, &m->place, slot->index, state))
        log_warning(SLICE_FORMAT ": cannot mark a recipient in the queue", SLICE_ARGS(m->envelope.queue_id));
}

/* is_expired - this was the last attempt; says so in the log. */
static bool is_expired(const struct qmgr *q, const struct message *m)
{
    int64_t age = clock_wall() - m->envelope.arrival_time;
    if (m->hold_wanted || m->requeue != REQUEUE_NOT || !any_in_state(m, SLOT_DEFERRED))
        return false;
    if (!m->forced_expire && age < qmgr_params_lifetime(&q->params, m->envelope.sender))
        return false;
    struct buffer line = BUFFER_INIT;
    buffer_printf(&line, SLICE_FORMAT ":", SLICE_ARGS(m->envelope.queue_id));
    address_log_append(&line, "from", m->envelope.sender);
    log_info("%s, status=%s, returned to sender", buffer_string(&line), m->forced_expire ? "force-expired" : "expired");
    buffer_release(&line);
    return true;
}

static void send_warning(struct qmgr *q, struct message *m, struct arena *arena)
{
    struct notice_list list;
    int64_t age = clock_wall() - m->envelope.arrival_time;
    if (q->params.delay_warning_time <= 0 || age < q->params.delay_warning_time || m->warned)
        return;
    if (collect(q, m, NOTICE_DELAY, false, arena, &list) && !notices_send(q, NOTICE_DELAY, m, list.items, list.count))
        return;
    m->warned = true;
    if (!store_mark_warned(q->store, &m->place))
        log_warning(SLICE_FORMAT ": cannot mark the delay notice in the queue", SLICE_ARGS(m->envelope.queue_id));
}

/* send_notices - false when one is still owed. */
static bool send_notices(struct qmgr *q, struct message *m, bool expired, struct arena *arena)
{
    static const int kinds[] = {NOTICE_FAILURE, NOTICE_SUCCESS, NOTICE_VERIFY};
    struct notice_list list;
    bool all = true;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (!collect(q, m, kinds[i], expired, arena, &list))
            continue;
        if (notices_send(q, kinds[i], m, list.items, list.count))
            set_told(q, m, kinds[i], expired);
        else if (kinds[i] == NOTICE_SUCCESS && owes_expanded(m) && list.count == m->envelope.expanded_count)
            log_warning(SLICE_FORMAT ": no notice that a recipient was an alias", SLICE_ARGS(m->envelope.queue_id));
        else
            all = false;
    }
    return all;
}

/* is_owed - a notice about this recipient could not be queued. */
static bool is_owed(const struct slot *slot)
{
    for (const struct slot_result *at = slot->results; at; at = at->next) {
        if (!at->told)
            return true;
    }
    return false;
}

/* mark_slots - what is settled, also in the record; what a notice is owed for stays in the index. */
static void mark_slots(struct qmgr *q, struct message *m)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->slot_count; i++) {
        struct slot *slot = &m->slots[i];
        bool owed = is_owed(slot);
        if (slot->state == SLOT_FAILED)
            mark(q, m, slot, owed ? RECIPIENT_STATE_FAILED : RECIPIENT_STATE_DONE);
        else if (slot->state == SLOT_SENT && !(slot->marked && !slot->results))
            mark(q, m, slot, owed ? RECIPIENT_STATE_DELIVERED_NOTICE_OWED : RECIPIENT_STATE_DONE);
        if (owed || slot->state == SLOT_DEFERRED || slot->state == SLOT_WAITING)
            m->slots[kept++] = *slot;
    }
    m->slot_count = kept;
}

static void mark_done(struct qmgr *q, struct message *m)
{
    if (!store_mark_done(q->store, &m->place))
        log_warning(SLICE_FORMAT ": cannot mark the message as done in the queue", SLICE_ARGS(m->envelope.queue_id));
    if (m->indexed)
        index_delete(q->index, m->envelope.queue_id);
    m->indexed = false;
}

static void end_message(struct qmgr *q, struct message *m)
{
    if (!m->deleted) { /* else that was done then */
        mark_done(q, m);
        log_info(SLICE_FORMAT ": removed", SLICE_ARGS(m->envelope.queue_id));
    }
    message_free(q, m);
}

void finish_delete(struct qmgr *q, struct message *m)
{
    if (!m->deleted)
        mark_done(q, m);
    m->deleted = true;
    message_withdraw(m);
    finish_part(q, m);
}

static int64_t next_attempt_of(const struct qmgr *q, const struct message *m, bool owed)
{
    int64_t now = clock_wall();
    if (m->requeue == REQUEUE_NOW)
        return now;
    if (owed || m->requeue == REQUEUE_LATER)
        return now + q->params.minimal_backoff_time;
    int64_t next = now + qmgr_params_retry_delay(&q->params, now - m->envelope.arrival_time, arc4random());
    int64_t expiry = m->envelope.arrival_time + qmgr_params_lifetime(&q->params, m->envelope.sender);
    if (next > expiry && expiry > now + q->params.minimal_backoff_time)
        next = expiry; /* the last attempt, then it is returned */
    return next;
}

/* park - into the index; when that cannot be written it stays in memory and is tried again. */
static void park(struct qmgr *q, struct message *m, bool owed)
{
    m->attempts++;
    for (;;) {
        int64_t next = next_attempt_of(q, m, owed);
        enum index_queue queue = m->hold_wanted ? INDEX_HOLD : INDEX_DEFERRED;
        if (m->hold_wanted && !store_mark_state(q->store, &m->place, MESSAGE_STATE_HELD))
            log_warning(SLICE_FORMAT ": cannot mark the message as held in the queue", SLICE_ARGS(m->envelope.queue_id));
        if (message_index(q, m, queue, next)) {
            if (queue == INDEX_DEFERRED)
                pull_soon(q, next);
            break;
        }
        log_warning(SLICE_FORMAT ": cannot write to the queue index", SLICE_ARGS(m->envelope.queue_id));
        fiber_sleep(unsaved_pause);
        if (q->closed)
            return;
        if (q->stopping || m->deleted)
            break; /* stopping: the record is in its segment and not in the index, so the next start finds it */
    }
    if (m->deleted) {
        end_message(q, m);
        return;
    }
    message_free(q, m);
}

/* finish - in a fiber of its own when something may wait. */
static void finish(struct qmgr *q, struct message *m)
{
    if (probes_are(m)) {
        probes_record(m);
        if (!q->closed)
            end_message(q, m);
        return;
    }
    struct arena *arena = arena_new(0);
    bool expired = !m->deleted && is_expired(q, m);
    bool owed = !m->deleted && !send_notices(q, m, expired, arena);
    bool waits = any_in_state(m, SLOT_DEFERRED) || any_in_state(m, SLOT_WAITING);
    if (waits && !expired && !owed && !m->deleted && !message_is_probe(m))
        send_warning(q, m, arena);
    arena_free(arena);
    if (q->closed)
        return; /* the next start sees to it */
    if (m->deleted || (!owed && (!waits || expired))) {
        end_message(q, m);
        return;
    }
    mark_slots(q, m);
    park(q, m, owed);
}

struct finishing {
    struct qmgr *q;
    struct message *m;
};

static void finish_fiber(void *arg)
{
    struct finishing finishing = *(struct finishing *)arg;
    free(arg);
    finish(finishing.q, finishing.m);
}

static bool is_simple(const struct message *m)
{
    if (owes_expanded(m))
        return false;
    for (uint32_t i = 0; i < m->slot_count; i++) {
        if (m->slots[i].state != SLOT_SENT || m->slots[i].results)
            return false;
    }
    return true;
}

void finish_part(struct qmgr *q, struct message *m)
{
    if (m->finishing)
        return;
    if (list_is_empty(&m->jobs) && m->in_flight == 0) {
        m->finishing = true;
        if (is_simple(m) || m->deleted) {
            end_message(q, m);
            return;
        }
        struct finishing *arg = memory_alloc(sizeof(*arg));
        *arg = (struct finishing){q, m};
        fiber_start("finish", finish_fiber, arg);
        return;
    }
    for (uint32_t i = 0; !m->deleted && m->unmarked > 0 && i < m->slot_count; i++) {
        struct slot *slot = &m->slots[i];
        if (slot->state != SLOT_SENT || slot->marked)
            continue;
        mark(q, m, slot, slot->results ? RECIPIENT_STATE_DELIVERED_NOTICE_OWED : RECIPIENT_STATE_DONE);
        m->unmarked--;
    }
}
