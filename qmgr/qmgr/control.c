/* control.c - what postsuper and postqueue ask for: delete, hold, release, requeue, expire, flush (compat.md j.4, j.5) */
#include "qmgr.h"

#include "arrive.h"
#include "base/log.h"
#include "table/match.h"

enum { BATCH = 50 /* messages between two looks at the rest of the world */, PIECE = 256 * 1024 };

/* Queues as the tools name them. */
enum { QUEUE_ACTIVE = 1, QUEUE_INCOMING = 2, QUEUE_DEFERRED = 4, QUEUE_HOLD = 8, QUEUE_ALL = 15 };

struct control {
    struct qmgr *q;
    int64_t verb;
    int queues;
    struct queue_control_reply reply;
    struct arena *arena;
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
    default: return QUEUE_ALL;
    }
}

static int queue_bit(enum index_queue queue)
{
    return queue == INDEX_HOLD ? QUEUE_HOLD : queue == INDEX_INCOMING ? QUEUE_INCOMING : QUEUE_DEFERRED;
}

/* ---- requeue: through cleanup once more, so that addresses are mapped again --------------------------------------- */

static bool submit_content_of(struct qmgr *q, const struct message *m, struct submission *s)
{
    int fd;
    uint64_t key, at = 0;
    if (!store_content(q->store, &m->place, &fd, &key))
        return false;
    char *piece = memory_alloc(PIECE);
    while (at < m->place.content_length) {
        uint64_t left = m->place.content_length - at;
        ssize_t n = pread(fd, piece, left < PIECE ? left : PIECE, (off_t)(m->place.content_offset + at));
        if (n <= 0)
            break;
        submit_content(s, slice_make(piece, (size_t)n));
        at += (uint64_t)n;
        fiber_yield();
    }
    free(piece);
    return at == m->place.content_length;
}

static void fill_envelope(const struct message *m, struct slice queue_id, struct envelope *envelope, struct arena *arena)
{
    *envelope = m->envelope;
    envelope->queue_id = queue_id;
    envelope->hold = false;
    envelope->recipients = arena_alloc(arena, (m->slot_count + 1) * sizeof(*envelope->recipients));
    envelope->recipients_count = 0;
    for (uint32_t i = 0; i < m->slot_count; i++) {
        if (m->slots[i].state != SLOT_SENT && m->slots[i].state != SLOT_FAILED)
            envelope->recipients[envelope->recipients_count++] = *message_recipient(m, &m->slots[i]);
    }
}

/* submit_again - true when a copy is in the queue. */
static bool submit_again(struct qmgr *q, const struct message *m, struct arena *arena)
{
    struct submit_outcome outcome;
    struct envelope envelope;
    int64_t deadline = clock_after(q->params.daemon_timeout);
    struct submission *s = submit_open(q->cleanup, clock_after(q->params.qmgr_ipc_timeout));
    if (!s) {
        log_warning("connect to the %s service: %s", q->params.cleanup_service_name, strerror(errno));
        return false;
    }
    fill_envelope(m, arena_slice(arena, submit_queue_id(s)), &envelope, arena);
    submit_envelope(s, &envelope, SUBMIT_NO_MILTERS);
    if (!submit_content_of(q, m, s)) {
        submit_cancel(s);
        return false;
    }
    submit_finish(s, m->envelope.message_size, arena, &outcome, deadline);
    if (outcome.status != SUBMIT_STATUS_ACCEPTED)
        return false;
    log_info(SLICE_FORMAT ": requeued as " SLICE_FORMAT, SLICE_ARGS(m->envelope.queue_id), SLICE_ARGS(envelope.queue_id));
    return true;
}

static bool requeue_message(struct qmgr *q, struct message *m)
{
    if (m->in_flight || m->finishing)
        return false; /* being delivered: too late */
    struct arena *arena = arena_new(0);
    message_withdraw(m);
    m->in_flight++;
    bool ok = submit_again(q, m, arena);
    m->in_flight--;
    arena_free(arena);
    if (ok || m->deleted)
        finish_delete(q, m);
    else
        message_activate(q, m, false);
    return ok;
}

static bool requeue_entry(struct qmgr *q, const struct index_entry *entry, struct arena *arena)
{
    struct queue_record record;
    if (!store_read(q->store, &entry->place, arena, &record))
        return false;
    struct message *m = message_of_record(q, &record, entry);
    return m && requeue_message(q, m);
}

/* ---- one message -------------------------------------------------------------------------------------------------- */

static bool change_message(struct control *c, struct message *m)
{
    struct qmgr *q = c->q;
    switch (c->verb) {
    case QUEUE_CONTROL_DELETE:
        finish_delete(q, m);
        return true;
    case QUEUE_CONTROL_HOLD:
        m->hold_wanted = true;
        message_withdraw(m);
        finish_part(q, m);
        return true;
    case QUEUE_CONTROL_REQUEUE:
        return requeue_message(q, m);
    case QUEUE_CONTROL_EXPIRE:
    case QUEUE_CONTROL_EXPIRE_RELEASE:
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
    case QUEUE_CONTROL_EXPIRE:
    case QUEUE_CONTROL_EXPIRE_RELEASE: return m->forced_expire;
    default: return false;
    }
}

static bool delete_entry(struct qmgr *q, const struct index_entry *entry)
{
    return store_mark_done(q->store, &entry->place) && index_delete(q->index, entry->queue_id) > 0;
}

static bool move_entry(struct qmgr *q, struct index_entry *entry, enum index_queue queue)
{
    bool held = queue == INDEX_HOLD;
    if (!store_mark_state(q->store, &entry->place, held ? MESSAGE_STATE_HELD : MESSAGE_STATE_LIVE))
        return false;
    entry->queue = queue;
    if (!held)
        entry->next_attempt = clock_wall();
    if (index_put(q->index, entry) <= 0)
        return false;
    if (!held)
        pull_soon(q, entry->next_attempt);
    return true;
}

static bool expire_entry(struct control *c, struct index_entry *entry)
{
    struct qmgr *q = c->q;
    entry->forced_expire = true;
    if (!store_mark_expired(q->store, &entry->place))
        return false;
    if (entry->queue == INDEX_HOLD && c->verb == QUEUE_CONTROL_EXPIRE)
        return index_put(q->index, entry) > 0;
    return move_entry(q, entry, INDEX_DEFERRED);
}

static bool change_entry(struct control *c, struct index_entry *entry)
{
    struct qmgr *q = c->q;
    switch (c->verb) {
    case QUEUE_CONTROL_DELETE: return delete_entry(q, entry);
    case QUEUE_CONTROL_HOLD: return entry->queue != INDEX_HOLD && move_entry(q, entry, INDEX_HOLD);
    case QUEUE_CONTROL_RELEASE: return entry->queue == INDEX_HOLD && move_entry(q, entry, INDEX_DEFERRED);
    case QUEUE_CONTROL_REQUEUE: return requeue_entry(q, entry, c->arena);
    case QUEUE_CONTROL_EXPIRE:
    case QUEUE_CONTROL_EXPIRE_RELEASE: return expire_entry(c, entry);
    default: return false;
    }
}

static bool change_one(struct control *c, struct slice queue_id)
{
    struct index_entry entry;
    struct message *m = message_find(c->q, queue_id);
    if (m)
        return (c->queues & QUEUE_ACTIVE) && change_message(c, m);
    return index_get(c->q->index, queue_id, c->arena, &entry) > 0 && (c->queues & queue_bit(entry.queue)) && change_entry(c, &entry);
}

static void change_listed(struct control *c, const struct queue_control *request)
{
    c->reply.ids = arena_alloc(c->arena, (request->ids_count + 1) * sizeof(*c->reply.ids));
    for (size_t i = 0; i < request->ids_count; i++) {
        if (change_one(c, request->ids[i].queue_id))
            c->reply.ids[c->reply.ids_count++] = request->ids[i];
        if (i % BATCH == BATCH - 1)
            fiber_yield();
    }
    c->reply.count = (int64_t)c->reply.ids_count;
}

/* ---- all of them -------------------------------------------------------------------------------------------------- */

static void change_active(struct control *c)
{
    struct qmgr *q = c->q;
    size_t count = 0;
    struct slice *ids = memory_zalloc(q->active_count + 1, sizeof(*ids));
    LIST_EACH(&q->active, link)
        ids[count++] = arena_slice(c->arena, LIST_ENTRY(link, struct message, link)->envelope.queue_id);
    for (size_t i = 0; i < count; i++) {
        struct message *m = message_find(q, ids[i]);
        if (m && !is_changed(c, m))
            c->reply.count += change_message(c, m);
        if (i % BATCH == BATCH - 1)
            fiber_yield();
    }
    free(ids);
}

static void change_queue(struct control *c, enum index_queue queue)
{
    struct index *index = c->q->index;
    struct arena *arena = arena_new(0), *outer = c->arena;
    struct index_entry entry;
    struct index_scan *scan = index_scan_start(index, INDEX_BY_ID, queue, (struct slice){NULL, 0});
    bool batched = c->verb != QUEUE_CONTROL_REQUEUE; /* that one waits */
    bool more = true;
    c->arena = arena;
    while (more) {
        if (batched)
            index_write_begin(index);
        for (int i = 0; i < BATCH && (more = index_scan_next(scan, arena, &entry) > 0); i++) {
            if (!message_find(c->q, entry.queue_id))
                c->reply.count += change_entry(c, &entry);
            arena_reset(arena);
        }
        if (batched)
            index_write_end(index);
        fiber_yield();
    }
    c->arena = outer;
    index_scan_free(scan);
    arena_free(arena);
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
    if (c->queues & QUEUE_ACTIVE)
        change_active(c);
    if (c->verb == QUEUE_CONTROL_DELETE && c->queues == QUEUE_ALL) {
        drop_all(c);
        return;
    }
    if (c->queues & QUEUE_INCOMING)
        change_queue(c, INDEX_INCOMING);
    if (c->queues & QUEUE_DEFERRED)
        change_queue(c, INDEX_DEFERRED);
    if ((c->queues & QUEUE_HOLD) && c->verb != QUEUE_CONTROL_HOLD)
        change_queue(c, INDEX_HOLD);
    if ((c->queues & QUEUE_ACTIVE) && c->verb != QUEUE_CONTROL_REQUEUE)
        change_active(c); /* what went from the index into memory meanwhile */
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

static bool may_change(const struct qmgr *q, uid_t uid)
{
    return uid == 0 || uid == q->owner || uid == geteuid();
}

void control_serve(struct qmgr *q, struct lane *lane, const struct queue_control *request, struct arena *arena)
{
    struct control c = {.q = q, .verb = request->verb, .queues = queues_of(request), .arena = arena};
    switch (request->verb) {
    case QUEUE_CONTROL_FLUSH:
        pull_flush(q);
        break;
    case QUEUE_CONTROL_FLUSH_ID:
        c.reply.count = pull_id(q, request->argument) > 0;
        break;
    case QUEUE_CONTROL_FLUSH_SITE:
        flush_site(&c, request->argument);
        break;
    default:
        if (!may_change(q, lane_peer_uid(lane)))
            c.reply.error = SLICE("not authorized");
        else if (request->all)
            change_all(&c);
        else
            change_listed(&c, request);
    }
    lane_send(lane, MESSAGE_queue_control_reply, &c.reply, -1);
    lane_flush(lane, clock_after(q->params.qmgr_ipc_timeout));
}
