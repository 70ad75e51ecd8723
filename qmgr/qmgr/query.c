/* query.c - all messages one by one; answers to postqueue and postsuper: listings, ids, counts */
#include "query.h"

#include <dirent.h>

#include "base/log.h"
#include "queue/census.h"
#include "queue/maildrop_summary.h"

enum { BATCH = 100 /* entries between two looks at the rest of the world */, PIECE = 64 * 1024 /* of an answer */, GROUPS_AT_ONCE = 500 };

struct walk {
    struct qmgr *q;
    struct selection *selection;
    const struct query_visitor *visitor;
    struct arena *record_arena; /* of the record that was read for a selection */
};

static bool wants(const struct walk *walk, const char *queue)
{
    return !walk->selection || (selection_wants_queue(walk->selection, queue) && !selection_is_full(walk->selection));
}

static struct slice sasl_user_of(void *context, const struct index_entry *entry)
{
    struct walk *walk = context;
    struct queue_record record;
    arena_reset(walk->record_arena);
    return store_read(walk->q->store, &entry->place, walk->record_arena, &record) ? record.envelope.sasl_username : SLICE("");
}

static void look_at(struct walk *walk, const struct queue_item *item)
{
    if (!walk->selection || selection_fits(walk->selection, item, sasl_user_of, walk))
        walk->visitor->item(walk->visitor->context, item);
}

/* ---- maildrop: files that pickup has not yet taken ---------------------------------------------------------------- */

struct maildrop_look {
    int directory;
    const char *name;
    struct arena *arena;
    struct maildrop_summary summary;
    bool ok;
};

static void read_summary(void *arg)
{
    struct maildrop_look *look = arg;
    look->ok = maildrop_summary_read(look->directory, look->name, look->arena, &look->summary);
}

static void look_at_file(struct walk *walk, int directory, const char *name)
{
    struct maildrop_look file = {.directory = directory, .name = name, .arena = arena_new(0)};
    run_offload(read_summary, &file);
    if (file.ok) {
        struct queue_item item = {.queue = "maildrop", .has_sasl_user = true};
        maildrop_summary_entry(&file.summary, file.arena, &item.entry);
        look_at(walk, &item);
    }
    arena_free(file.arena);
}

static bool each_in_maildrop(struct walk *walk)
{
    DIR *directory = wants(walk, "maildrop") ? opendir("maildrop") : NULL;
    bool ok = true;
    if (!directory)
        return true;
    for (const struct dirent *file; ok && (file = readdir(directory));) {
        if (queue_id_is_valid(slice_of(file->d_name)))
            look_at_file(walk, dirfd(directory), file->d_name);
        ok = walk->visitor->pause(walk->visitor->context);
    }
    closedir(directory);
    return ok;
}

/* ---- active: a picture of this moment, no wait in between --------------------------------------------------------- */

static void describe_active(const struct message *m, struct arena *arena, struct queue_item *item)
{
    const struct envelope *e = &m->envelope;
    struct index_entry *entry = &item->entry;
    *item = (struct queue_item){.queue = "active", .has_sasl_user = true, .sasl_user = e->sasl_username};
    *entry = (struct index_entry){.queue_id = e->queue_id, .place = m->place, .arrival_time = e->arrival_time, .message_size = e->message_size,
                                  .forced_expire = m->forced_expire, .sender = e->sender, .attempts = m->attempts, .last_attempt = m->active_time};
    entry->recipients = arena_alloc(arena, (m->slot_count + 1) * sizeof(*entry->recipients));
    for (uint32_t i = 0; i < m->slot_count; i++) {
        const struct slot *slot = &m->slots[i];
        const struct recipient *r = message_recipient(m, slot);
        const struct delivery_result *reason = message_reason(slot);
        if (slot->state == SLOT_SENT)
            continue;
        entry->recipients[entry->recipient_count++] =
            (struct index_recipient){.address = r->address, .original = r->original, .index = slot->index, .reason = reason ? reason->reason : SLICE(""),
                                     .status = reason ? reason->status : SLICE("")};
        if (!entry->destination.len && slot->transport.len)
            entry->destination = arena_format(arena, SLICE_FORMAT ":" SLICE_FORMAT, SLICE_ARGS(slot->transport), SLICE_ARGS(slot->key));
    }
}

static bool each_active(struct walk *walk)
{
    struct arena *arena = arena_new(0);
    struct queue_item item;
    if (wants(walk, "active")) {
        LIST_EACH(&walk->q->active, link) {
            const struct message *m = LIST_ENTRY(link, struct message, link);
            if (m->deleted)
                continue;
            describe_active(m, arena, &item);
            look_at(walk, &item);
            arena_reset(arena);
        }
    }
    arena_free(arena);
    return walk->visitor->pause(walk->visitor->context);
}

/* ---- the index ---------------------------------------------------------------------------------------------------- */

static bool each_in_index(struct walk *walk, const char *name, enum index_queue queue)
{
    struct arena *arena = arena_new(0);
    struct queue_item item = {.queue = name};
    struct index_scan *scan = index_scan_start(walk->q->index, INDEX_BY_ID, queue, (struct slice){NULL, 0});
    bool ok = true;
    for (int i = 1; ok && wants(walk, name) && index_scan_next(scan, arena, &item.entry) > 0; i++) {
        item.queue = item.entry.requeue ? "maildrop" : name;
        if (!message_find(walk->q, item.entry.queue_id))
            look_at(walk, &item);
        arena_reset(arena);
        if (i % BATCH == 0) {
            ok = walk->visitor->pause(walk->visitor->context);
            fiber_yield();
        }
    }
    index_scan_free(scan);
    arena_free(arena);
    return ok && walk->visitor->pause(walk->visitor->context);
}

bool query_each(struct qmgr *q, struct selection *selection, const struct query_visitor *visitor)
{
    struct walk walk = {.q = q, .selection = selection, .visitor = visitor, .record_arena = arena_new(0)};
    bool ok = each_in_maildrop(&walk) && each_active(&walk) && each_in_index(&walk, "incoming", INDEX_INCOMING) &&
              each_in_index(&walk, "deferred", INDEX_DEFERRED) && each_in_index(&walk, "hold", INDEX_HOLD);
    arena_free(walk.record_arena);
    return ok;
}

/* ---- questions ---------------------------------------------------------------------------------------------------- */

struct answering {
    struct qmgr *q;
    struct lane *lane;
    const struct queue_query *query;
    struct census *census;
    struct buffer text; /* of the listing, or ids by lines: not yet sent */
};

/* send_piece - false: the asker has gone away.  Waits. */
static bool send_piece(struct answering *a, struct queue_answer *answer)
{
    lane_send(a->lane, MESSAGE_queue_answer, answer, -1);
    return lane_flush(a->lane, clock_after(a->q->params.qmgr_ipc_timeout));
}

static void answer_item(void *context, const struct queue_item *item)
{
    struct answering *a = context;
    census_add(a->census, item);
    if (a->query->form == QUEUE_QUERY_LISTING)
        showq_put(&a->text, item, slice_of(a->q->params.empty_address_recipient), true);
    if (a->query->form == QUEUE_QUERY_IDS)
        buffer_printf(&a->text, SLICE_FORMAT "\n", SLICE_ARGS(item->entry.queue_id));
}

/* answer_pause - send what was gathered, in pieces that a lane takes. */
static bool answer_pause(void *context)
{
    struct answering *a = context;
    struct slice rest = buffer_slice(&a->text);
    bool ok = true;
    while (ok && rest.len > 0) {
        struct queue_answer answer = {.more = true, .text = slice_first(rest, PIECE)};
        ok = send_piece(a, &answer);
        rest = slice_from(rest, PIECE);
    }
    buffer_clear(&a->text);
    return ok;
}

static bool send_groups(struct answering *a)
{
    struct queue_group *groups = memory_zalloc(GROUPS_AT_ONCE, sizeof(*groups));
    size_t position = 0, used = 0;
    bool ok = true, more = true;
    while (ok && more) {
        more = census_next(a->census, &position, &groups[used]);
        used += more;
        if (used == GROUPS_AT_ONCE || (!more && used > 0)) {
            struct queue_answer answer = {.more = true, .groups = groups, .groups_count = used};
            ok = send_piece(a, &answer);
            used = 0;
        }
    }
    free(groups);
    return ok;
}

void query_serve(struct qmgr *q, struct lane *lane, const struct queue_query *query)
{
    struct answering a = {.q = q, .lane = lane, .query = query};
    struct queue_answer last = {0};
    char *why = NULL;
    struct selection *selection = selection_new(&query->selection, &why);
    const struct query_visitor visitor = {answer_item, answer_pause, &a};
    if (!selection) {
        last.error = slice_of(why);
        send_piece(&a, &last);
        free(why);
        return;
    }
    store_scan(q->store); /* what was acknowledged is counted, also when cleanup's word of it is still on the way */
    a.census = census_new(query, clock_wall());
    if (query_each(q, selection, &visitor) && send_groups(&a)) {
        census_total(a.census, &last);
        send_piece(&a, &last);
    }
    buffer_release(&a.text);
    census_free(a.census);
    selection_free(selection);
}
