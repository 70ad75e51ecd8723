/* control.c - what postsuper and postqueue ask for: delete, hold, release, requeue, expire, flush (compat.md j.4, j.5) */
#include "qmgr.h"

#include "arrive.h"
#include "base/log.h"
#include "query.h"
#include "queue/verb.h"
#include "table/match.h"

enum { BATCH = 50 /* messages between two looks at the rest of the world */ };

/* Queues as the tools name them. */
enum { QUEUE_ACTIVE = 1, QUEUE_INCOMING = 2, QUEUE_DEFERRED = 4, QUEUE_HOLD = 8, QUEUE_ALL = 15 };

struct control {
    struct qmgr *q;
    int64_t verb;
    int queues;
    struct queue_control_reply reply;
    struct arena *arena, *scratch;
};

static int queues_of(const struct queue_control *request)
{
    static const struct { struct slice name; int queue; } names[] = {
        {SLICE("active"), QUEUE_ACTIVE}, {SLICE("incoming"), QUEUE_INCOMING}, {SLICE("deferred"), QUEUE_DEFERRED}, {SLICE("hold"), QUEUE_HOLD}};
    struct slice rest = request->queues, name;
    int queues = 0;
    while (slice_next_token(&rest, " \t,", &name)) {
        for (size_t i = 0; i < COUNT_OF(names); i++)
            queues |= slice_equal(name, names[i].name) ? names[i].queue : 0;
    }
    if (request->queues.len)
        return queues;
    switch (request->verb) {
    case QUEUE_CONTROL_HOLD: return QUEUE_ALL & ~QUEUE_HOLD;
    case QUEUE_CONTROL_RELEASE: return QUEUE_HOLD;
    case QUEUE_CONTROL_FLUSH: return QUEUE_DEFERRED;
    default: return QUEUE_ALL;
    }
}

static int queue_bit(enum index_queue queue)
{
    return queue == INDEX_HOLD ? QUEUE_HOLD : queue == INDEX_INCOMING ? QUEUE_INCOMING : QUEUE_DEFERRED;
}

/* ---- one message -------------------------------------------------------------------------------------------------- */

static void hold_or_requeue(struct qmgr *q, struct message *m, bool hold)
{
    m->hold_wanted = hold;
    m->requeue = hold ? REQUEUE_NOT : REQUEUE_NOW;
    message_withdraw(m);
    finish_part(q, m);
}

static bool change_message(struct control *c, struct message *m)
{
    struct qmgr *q = c->q;
    switch (c->verb) {
    case QUEUE_CONTROL_DELETE:
        finish_delete(q, m);
        return true;
    case QUEUE_CONTROL_HOLD:
    case QUEUE_CONTROL_REQUEUE:
        hold_or_requeue(q, m, c->verb == QUEUE_CONTROL_HOLD);
        return true;
    case QUEUE_CONTROL_EXPIRE:
        m->forced_expire = true;
        store_mark_expired(q->store, &m->place);
        return true;
    default:
        return false;
    }
}

/* is_changed - it was told before. */
static bool is_changed(const struct control *c, const struct message *m)
{
    if (m->deleted)
        return true;
    switch (c->verb) {
    case QUEUE_CONTROL_HOLD: return m->hold_wanted;
    case QUEUE_CONTROL_REQUEUE: return m->requeue != REQUEUE_NOT;
    case QUEUE_CONTROL_EXPIRE: return m->forced_expire;
    default: return false;
    }
}

static bool change_entry(struct control *c, struct index_entry *entry)
{
    if (!(c->queues & queue_bit(entry->queue)) || !queue_verb_do(c->q->store, c->verb, entry))
        return false;
    if (c->verb != QUEUE_CONTROL_DELETE && entry->queue == INDEX_DEFERRED)
        pull_soon(c->q, entry->next_attempt);
    return true;
}

static bool change_one(struct control *c, struct slice queue_id)
{
    struct index_entry entry;
    struct message *m = message_find(c->q, queue_id);
    if (m)
        return (c->queues & QUEUE_ACTIVE) && change_message(c, m);
    return index_get(c->q->index, queue_id, c->scratch, &entry) > 0 && change_entry(c, &entry);
}

/* change_listed - in batches: a transaction each. */
static void change_listed(struct control *c, const struct queue_control *request)
{
    struct queue_control_reply *reply = &c->reply;
    reply->ids = arena_alloc(c->arena, (request->ids_count + 1) * sizeof(*reply->ids));
    for (size_t i = 0; i < request->ids_count && reply->error.len == 0 && !c->q->stopping;) {
        size_t before = reply->ids_count;
        index_write_begin(c->q->index);
        for (size_t end = i + BATCH; i < end && i < request->ids_count; i++) {
            if (change_one(c, request->ids[i].queue_id))
                reply->ids[reply->ids_count++] = request->ids[i];
            arena_reset(c->scratch);
        }
        if (!index_write_end_one(c->q->index)) {
            reply->ids_count = before;
            reply->error = SLICE("cannot write to the queue index");
        }
        for (; c->verb == QUEUE_CONTROL_REQUEUE && before < reply->ids_count; before++)
            requeue_start(c->q, reply->ids[before].queue_id); /* what is in memory is left alone by that */
        fiber_yield();
    }
    reply->count = (int64_t)reply->ids_count;
}

/* ---- all of them -------------------------------------------------------------------------------------------------- */

static void change_active(struct control *c)
{
    struct qmgr *q = c->q;
    size_t count = 0;
    struct slice *ids = memory_zalloc(q->active_count + 1, sizeof(*ids));
    LIST_EACH(&q->active, link)
        ids[count++] = arena_slice(c->arena, LIST_ENTRY(link, struct message, link)->envelope.queue_id);
    for (size_t i = 0; i < count && !q->stopping; i++) {
        struct message *m = message_find(q, ids[i]);
        if (m && !is_changed(c, m))
            c->reply.count += change_message(c, m);
        if (i % BATCH == BATCH - 1)
            fiber_yield();
    }
    free(ids);
}

/* choose_entry - those in memory are told by themselves. */
static bool choose_entry(void *context, struct slice queue_id, const struct queue_place *place)
{
    struct control *c = context;
    return !message_find(c->q, queue_id) && queue_verb_mark(c->q->store, c->verb, place);
}

static void change_queue(struct control *c, enum index_queue queue)
{
    struct index_change change = queue_verb_change(c->verb, queue);
    struct index_scan *scan = index_scan_start(c->q->index, INDEX_BY_ID, queue, (struct slice){NULL, 0});
    uint64_t changed = 0;
    int result = 1;
    while (!c->q->stopping && (result = index_change_some(scan, &change, choose_entry, c, &changed)) > 0)
        fiber_yield();
    if (c->q->stopping)
        c->reply.error = SLICE("it is stopping");
    else if (result < 0)
        c->reply.error = SLICE("cannot write to the queue index");
    index_scan_free(scan);
    c->reply.count += (int64_t)changed;
    if (changed > 0 && change.next_attempt)
        pull_soon(c->q, change.next_attempt);
}

/* drop_all - the fast way.  What came into memory meanwhile goes as well. */
static void drop_all(struct control *c)
{
    struct qmgr *q = c->q;
    q->drops++;
    c->reply.count += (int64_t)store_drop_all(q->store);
    LIST_EACH(&q->active, link) {
        struct message *m = LIST_ENTRY(link, struct message, link);
        if (!m->indexed || m->deleted)
            continue;
        m->indexed = false;
        m->deleted = true;
        message_withdraw(m);
        finish_part(q, m);
    }
}

static void change_all(struct control *c)
{
    if (c->verb == QUEUE_CONTROL_DELETE && c->queues == QUEUE_ALL) {
        change_active(c);
        drop_all(c);
        return;
    }
    pull_pause(c->q, true);
    if (c->queues & QUEUE_ACTIVE)
        change_active(c);
    static const enum index_queue queues[] = {INDEX_DEFERRED, INDEX_INCOMING, INDEX_HOLD}; /* none goes where is still to be looked */
    for (size_t i = 0; i < COUNT_OF(queues) && c->reply.error.len == 0; i++) {
        if ((c->queues & queue_bit(queues[i])) && queue_verb_applies(c->verb, queues[i]))
            change_queue(c, queues[i]);
    }
    if (c->queues & QUEUE_ACTIVE)
        change_active(c); /* what went from the index into memory meanwhile */
    pull_pause(c->q, false);
}

/* ---- those of a selection ------------------------------------------------------------------------------------------ */

/* Their ids, until there is a moment to change them: in bounded memory, but for messages that are in memory themselves. */
struct chosen {
    struct control *control;
    struct arena *arena;
    struct slice *ids;
    size_t count, capacity;
};

static void choose_item(void *context, const struct queue_item *item)
{
    struct chosen *chosen = context;
    if (chosen->count == chosen->capacity) {
        chosen->capacity = chosen->capacity ? 2 * chosen->capacity : BATCH;
        chosen->ids = memory_resize(chosen->ids, chosen->capacity * sizeof(*chosen->ids));
    }
    chosen->ids[chosen->count++] = arena_slice(chosen->arena, item->entry.queue_id);
}

/* change_batch - in a transaction; false: nothing of it was done. */
static bool change_batch(struct control *c, const struct slice *ids, size_t count)
{
    int64_t changed = 0;
    index_write_begin(c->q->index);
    for (size_t i = 0; i < count; i++) {
        changed += change_one(c, ids[i]);
        arena_reset(c->scratch);
    }
    if (!index_write_end_one(c->q->index)) {
        c->reply.error = SLICE("cannot write to the queue index");
        return false;
    }
    c->reply.count += changed;
    return true;
}

static bool change_chosen(void *context)
{
    struct chosen *chosen = context;
    struct control *c = chosen->control;
    bool ok = true;
    for (size_t i = 0; ok && i < chosen->count && !c->q->stopping; i += BATCH) {
        size_t count = chosen->count - i < BATCH ? chosen->count - i : BATCH;
        if (c->verb == QUEUE_CONTROL_FLUSH) {
            for (size_t k = 0; k < count; k++)
                c->reply.count += pull_id_with_room(c->q, chosen->ids[i + k]);
        } else {
            ok = change_batch(c, chosen->ids + i, count);
        }
        fiber_yield();
    }
    chosen->count = 0;
    arena_reset(chosen->arena);
    return ok;
}

/* queue_names - of the verb and of the selection: what is in both. */
static struct slice queue_names(const struct control *c)
{
    struct buffer names = BUFFER_INIT_MAX(100);
    if (c->queues & QUEUE_ACTIVE)
        buffer_append_string(&names, "active ");
    if (c->queues & QUEUE_INCOMING)
        buffer_append_string(&names, "incoming ");
    if (c->queues & QUEUE_DEFERRED)
        buffer_append_string(&names, "deferred ");
    if (c->queues & QUEUE_HOLD)
        buffer_append_string(&names, "hold ");
    struct slice result = arena_slice(c->arena, buffer_slice(&names));
    buffer_release(&names);
    return result;
}

static void change_selected(struct control *c, const struct queue_selection *request)
{
    struct chosen chosen = {.control = c, .arena = arena_new(0)};
    const struct query_visitor visitor = {choose_item, change_chosen, &chosen};
    struct queue_selection wanted = *request;
    char *why = NULL;
    wanted.queues = queue_names(c);
    if (wanted.queues.len == 0)
        return;
    struct selection *selection = selection_new(&wanted, &why);
    bool flush = c->verb == QUEUE_CONTROL_FLUSH;
    if (selection) {
        store_scan(c->q->store);
        if (!flush)
            pull_pause(c->q, true);
        query_each(c->q, selection, &visitor);
        if (!flush)
            pull_pause(c->q, false);
    } else {
        c->reply.error = arena_slice(c->arena, slice_of(why));
    }
    if (c->reply.count > 0)
        pull_soon(c->q, clock_wall());
    selection_free(selection);
    arena_free(chosen.arena);
    free(chosen.ids);
    free(why);
}

/* ---- flush -------------------------------------------------------------------------------------------------------- */

static void flush_site(struct control *c, struct slice site)
{
    struct qmgr *q = c->q;
    struct match_list *domains = match_list_new("fast_flush_domains", q->params.fast_flush_domains, MATCH_DOMAIN_LIST, q->params.config);
    enum match_result match = match_domain(domains, site);
    match_list_free(domains);
    if (match != MATCH_YES)
        c->reply.error = arena_format(c->arena, "Flush service is not configured for destination \"" SLICE_FORMAT "\"", SLICE_ARGS(site));
    else
        pull_flush_site(q, site);
}

/* where - in which queue a message is; what is not known here yet is incoming. */
static struct slice where(struct control *c, struct slice queue_id)
{
    struct index_entry entry;
    if (message_find(c->q, queue_id))
        return SLICE("active");
    if (!queue_id_is_valid(queue_id) || index_get(c->q->index, queue_id, c->scratch, &entry) <= 0 || entry.queue == INDEX_INCOMING)
        return SLICE("incoming");
    return entry.queue == INDEX_HOLD ? SLICE("hold") : entry.requeue ? SLICE("maildrop") : SLICE("deferred");
}

static void tell_where(struct control *c, struct slice queue_id)
{
    c->reply.ids = arena_alloc(c->arena, sizeof(*c->reply.ids));
    c->reply.ids[0].queue_id = where(c, queue_id);
    c->reply.ids_count = 1;
}

static bool may_change(const struct qmgr *q, uid_t uid)
{
    return uid == 0 || uid == q->owner || uid == geteuid();
}

void control_serve(struct qmgr *q, struct lane *lane, const struct queue_control *request, struct arena *arena)
{
    struct control c = {.q = q, .verb = request->verb, .queues = queues_of(request), .arena = arena, .scratch = arena_new(0)};
    switch (request->verb) {
    case QUEUE_CONTROL_FLUSH:
        if (request->selected)
            change_selected(&c, &request->selection);
        else
            pull_flush(q);
        break;
    case QUEUE_CONTROL_FLUSH_ID:
        c.reply.count = queue_id_is_valid(request->argument) && pull_id(q, request->argument) > 0;
        break;
    case QUEUE_CONTROL_FLUSH_SITE:
        flush_site(&c, request->argument);
        break;
    case QUEUE_CONTROL_WHERE:
        tell_where(&c, request->argument);
        break;
    default:
        if (!may_change(q, lane_peer_uid(lane)))
            c.reply.error = SLICE("not authorized");
        else if (request->selected)
            change_selected(&c, &request->selection);
        else if (request->all)
            change_all(&c);
        else
            change_listed(&c, request);
    }
    arena_free(c.scratch);
    lane_send(lane, MESSAGE_queue_control_reply, &c.reply, -1);
    lane_flush(lane, clock_after(q->params.qmgr_ipc_timeout));
}
