/* recipients.c - the envelope's addresses: rewriting, blind copies, duplicates (compat.md e.3) */
#include "base/log.h"
#include "transaction.h"

/* Envelope addresses are always completed in the local context. */
struct slice recipients_rewrite(struct transaction *t, struct slice address)
{
    return route_rewrite(t->cleanup->route, SLICE("local"), address, t->arena);
}

/* ---- adding ---- */

/* make_key - what makes a recipient the same as another: address, original, original of its sender (a blind copy has none). */
static void make_key(struct transaction *t, const struct recipient *r, bool copy, struct buffer *key)
{
    buffer_append_lower(key, r->address);
    if (t->cleanup->params.enable_original_recipient) {
        buffer_append_byte(key, '\n');
        buffer_append_lower(key, r->original);
        buffer_append_byte(key, copy ? 'c' : '\n');
        buffer_append_lower(key, r->orcpt);
    }
}

/* is_duplicate - remembers them. */
static bool is_duplicate(struct transaction *t, const struct recipient *r, bool copy)
{
    struct buffer key = BUFFER_INIT;
    static char seen;
    make_key(t, r, copy, &key);
    bool duplicate = map_get(t->recipients_seen, buffer_slice(&key)) != NULL;
    int64_t limit = t->cleanup->params.duplicate_filter_limit;
    if (!duplicate && (limit <= 0 || map_count(t->recipients_seen) < (size_t)limit))
        map_set(t->recipients_seen, buffer_slice(&key), &seen);
    buffer_release(&key);
    return duplicate;
}

/* forget - it was taken away, and may come again. */
static void forget(struct transaction *t, const struct recipient *r)
{
    struct buffer key = BUFFER_INIT;
    make_key(t, r, false, &key);
    map_remove(t->recipients_seen, buffer_slice(&key));
    buffer_release(&key);
}

/* append - to a list that grows by doubling, or a long one would take memory by the square of its length. */
static void append(struct transaction *t, struct recipient **list, size_t *count, size_t *room, const struct recipient *r)
{
    if (*count >= *room) { /* what the submitter gave has no room beside it */
        *room = *count ? *count * 2 : 4;
        struct recipient *larger = arena_alloc(t->arena, *room * sizeof(*larger));
        if (*count)
            memcpy(larger, *list, *count * sizeof(*larger));
        *list = larger;
    }
    (*list)[(*count)++] = *r;
}

static void add(struct transaction *t, const struct recipient *r, bool copy)
{
    struct envelope *e = &t->envelope;
    if (e->recipients_count == 1 && !t->recipients_seen) {
        t->recipients_seen = map_new(NULL);
        is_duplicate(t, &e->recipients[0], t->first_is_copy);
    }
    if (t->recipients_seen && is_duplicate(t, r, copy))
        return;
    if (e->recipients_count == 0)
        t->first_is_copy = copy;
    append(t, &e->recipients, &e->recipients_count, &t->recipient_room, r);
}

/* note_expanded - the sender wants to hear of success: the way ends here, for it (RFC 3461 5.2.7.3). */
static void note_expanded(struct transaction *t, const struct recipient *r)
{
    append(t, &t->envelope.expanded, &t->envelope.expanded_count, &t->expanded_room, r);
}

/* expand_and_add - a rewritten recipient through virtual_alias_maps; copy: a blind copy, which is no duplicate of a recipient that was given. */
static void expand_and_add(struct transaction *t, struct recipient *r, bool copy)
{
    struct slice *results;
    size_t count;
    if ((t->options & SUBMIT_NO_ADDRESS_MAPPING) || table_list_is_empty(t->cleanup->maps->virtual_alias)) {
        add(t, r, copy);
        return;
    }
    if (!recipients_expand(t, r->address, &results, &count))
        return;
    if (count > 1 && (t->envelope.trace & TRACE_PROBE)) {
        t->envelope.trace |= TRACE_SEVERAL; /* the probe is answered: qmgr says so */
        add(t, r, copy);
        return;
    }
    bool itself = count == 1 && slice_equal_case(results[0], r->address);
    if (!itself && (r->notify & NOTIFY_SUCCESS)) {
        note_expanded(t, r);
        r->notify &= ~NOTIFY_SUCCESS;
        if (r->notify == 0)
            r->notify = NOTIFY_NEVER;
    }
    struct slice original = recipient_original(r);
    for (size_t i = 0; i < count; i++) {
        struct recipient child = *r;
        child.address = results[i];
        child.original = original;
        if (slice_equal(original, results[i]))
            child.original.len = 0;
        add(t, &child, copy);
    }
}

/* ---- blind copies ---- */

static bool wants_bcc(const struct transaction *t)
{
    return !(t->options & (SUBMIT_NO_BCC | SUBMIT_NO_ADDRESS_MAPPING)) && t->envelope.source != SOURCE_BOUNCE &&
           t->envelope.source != SOURCE_FORWARD && !(t->envelope.trace & (TRACE_PROBE | TRACE_VERIFY_ONLY));
}

void recipients_add_bcc(struct transaction *t, struct slice address)
{
    struct recipient r = {.address = recipients_rewrite(t, address), .notify = NOTIFY_NEVER};
    struct slice given = r.address;
    if (r.address.len == 0 || !address_map(t, CLASS_ENVELOPE_RECIPIENT, &r.address))
        return;
    if (!slice_equal(given, r.address))
        r.original = given;
    expand_and_add(t, &r, true);
}

/* add_mapped_bcc - the copies that sender_bcc_maps or recipient_bcc_maps give for an address. */
static void add_mapped_bcc(struct transaction *t, struct table_list *maps, const char *name, struct slice address)
{
    if (table_list_is_empty(maps) || address.len == 0 || !wants_bcc(t))
        return;
    struct buffer value = BUFFER_INIT;
    struct slice *copies;
    enum table_result found = address_lookup(maps, route_keys(t->cleanup->route), address, ADDRESS_KEY_ALL, &value, NULL, NULL);
    if (found == TABLE_TRY_AGAIN)
        transaction_map_failed(t, name, address);
    if (found == TABLE_FOUND) {
        size_t count = address_list_addresses(arena_slice(t->arena, buffer_slice(&value)), 0, t->arena, &copies);
        for (size_t i = 0; i < count; i++) {
            struct slice copy = route_map_result(t->cleanup->route, address, copies[i], (struct slice){0}, t->arena);
            recipients_add_bcc(t, copy);
        }
    }
    buffer_release(&value);
}

/* ---- at the wish of mail filters ---- */

void recipients_begin_later(struct transaction *t)
{
    map_free(t->recipients_seen);
    t->recipients_seen = map_new(NULL);
}

void recipients_add_later(struct transaction *t, struct recipient recipient)
{
    recipient.address = recipients_rewrite(t, recipient.address);
    if (recipient.address.len && address_map(t, CLASS_ENVELOPE_RECIPIENT, &recipient.address))
        expand_and_add(t, &recipient, false);
}

void recipients_delete(struct transaction *t, struct slice given)
{
    struct envelope *e = &t->envelope;
    size_t kept = 0;
    for (size_t i = 0; i < e->recipients_count; i++) {
        const struct recipient *r = &e->recipients[i];
        if (slice_equal(recipient_original(r), given))
            forget(t, r);
        else
            e->recipients[kept++] = *r;
    }
    e->recipients_count = kept;
}

/* ---- the envelope ---- */

void envelope_rewrite_sender(struct transaction *t)
{
    struct envelope *e = &t->envelope;
    if (e->sender.len == 0)
        return;
    e->sender = recipients_rewrite(t, e->sender);
    if (!address_map(t, CLASS_ENVELOPE_SENDER, &e->sender))
        return;
    struct slice null = arena_format(t->arena, "MAILER-DAEMON@%s", t->cleanup->params.myorigin);
    if (slice_equal_case(e->sender, null))
        e->sender = (struct slice){0};
}

static void rewrite_recipient(struct transaction *t, const struct recipient *given)
{
    struct recipient r = *given;
    struct slice address = r.address.len ? r.address : slice_of(t->cleanup->params.empty_address_recipient);
    struct slice original = recipient_original(&r);
    r.address = recipients_rewrite(t, address);
    /* Notices name the completed address; where nothing was completed they make it from the original. */
    if (r.orcpt.len == 0 && !slice_equal(original, r.address) && t->envelope.source != SOURCE_FORWARD) {
        struct slice plain = mail_address_internal(r.address, t->arena); /* as Postfix has it: without quotes */
        r.orcpt = arena_format(t->arena, "rfc822;" SLICE_FORMAT, SLICE_ARGS(plain));
    }
    if (!address_map(t, CLASS_ENVELOPE_RECIPIENT, &r.address))
        return;
    r.original = original;
    if (slice_equal(original, r.address))
        r.original = (struct slice){0};
    t->last_recipient = r.address;
    add_mapped_bcc(t, t->cleanup->recipient_bcc, "recipient_bcc_maps", r.address);
    expand_and_add(t, &r, false);
}

void envelope_rewrite(struct transaction *t)
{
    struct envelope *e = &t->envelope;
    e->recipients = NULL;
    e->recipients_count = 0;
    envelope_rewrite_sender(t);
    add_mapped_bcc(t, t->cleanup->sender_bcc, "sender_bcc_maps", e->sender);
    for (size_t i = 0; i < t->given_count && !t->refused; i++)
        rewrite_recipient(t, &t->given[i]);
    if (t->cleanup->params.always_bcc[0] && wants_bcc(t) && !t->refused)
        recipients_add_bcc(t, slice_of(t->cleanup->params.always_bcc));
    if (e->redirect.len)
        e->redirect = recipients_rewrite(t, e->redirect);
}
