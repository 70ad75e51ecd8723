/* census.c - counting */
#include "queue/census.h"

#include "address/mail_address.h"
#include "base/map.h"

enum { NAME_MAX_LENGTH = 300 };

struct group {
    struct queue_group counts;
    uint64_t last_message; /* counted last: a message with several recipients in a domain is one message */
};

struct census {
    struct queue_query query;
    int64_t now;
    struct arena *arena;
    struct map *groups; /* kind byte and name -> struct group */
    uint64_t message;
    int64_t recipients, bytes;
    struct buffer key;
};

struct census *census_new(const struct queue_query *query, int64_t now)
{
    struct census *c = memory_zalloc(1, sizeof(*c));
    c->query = *query;
    c->query.age_columns = query->age_columns < 0 ? 0 : query->age_columns > CENSUS_AGES_MAX ? CENSUS_AGES_MAX : query->age_columns;
    c->now = now;
    c->arena = arena_new(0);
    c->groups = map_new(NULL);
    return c;
}

void census_free(struct census *c)
{
    if (!c)
        return;
    map_free(c->groups);
    buffer_release(&c->key);
    arena_free(c->arena);
    free(c);
}

uint64_t census_age_bound(const struct queue_query *query, unsigned column)
{
    uint64_t first = query->first_age > 0 ? (uint64_t)query->first_age : 5;
    return query->linear ? first * (column + 1) : column < 40 ? first << column : UINT64_MAX;
}

static unsigned column_of(const struct census *c, int64_t arrival)
{
    uint64_t minutes = c->now > arrival ? (uint64_t)(c->now - arrival) / (60 * 1000000u) : 0;
    unsigned column = 0;
    while (column + 1 < (unsigned)c->query.age_columns && minutes >= census_age_bound(&c->query, column))
        column++;
    return column;
}

static struct group *find_group(struct census *c, int kind, struct slice name)
{
    buffer_clear(&c->key);
    buffer_printf(&c->key, "%d ", kind);
    size_t prefix = c->key.len;
    buffer_append_slice(&c->key, slice_first(name, NAME_MAX_LENGTH));
    struct group *group = map_get(c->groups, buffer_slice(&c->key));
    if (group)
        return group;
    if (map_count(c->groups) >= CENSUS_GROUPS_MAX && !slice_equal(name, SLICE("(other)")))
        return find_group(c, kind, SLICE("(other)"));
    group = arena_alloc(c->arena, sizeof(*group));
    group->counts.kind = kind;
    group->counts.name = arena_slice(c->arena, slice_from(buffer_slice(&c->key), prefix));
    group->counts.ages_count = (size_t)c->query.age_columns;
    group->counts.ages = arena_alloc(c->arena, (group->counts.ages_count + 1) * sizeof(*group->counts.ages));
    map_set(c->groups, buffer_slice(&c->key), group);
    return group;
}

/* count - so many recipients of this message; by_message: ages count messages. */
static void count(struct census *c, int kind, struct slice name, const struct index_entry *e, int64_t recipients, bool by_message)
{
    if (!(c->query.group_by & kind))
        return;
    struct group *group = find_group(c, kind, name);
    struct queue_group *counts = &group->counts;
    bool first = group->last_message != c->message;
    group->last_message = c->message;
    counts->messages += first;
    counts->bytes += first ? e->message_size : 0;
    counts->recipients += recipients;
    if (!counts->oldest || e->arrival_time < counts->oldest)
        counts->oldest = e->arrival_time;
    if (counts->ages_count)
        counts->ages[column_of(c, e->arrival_time)].value += by_message ? first : recipients;
}

static struct slice lower_domain(struct slice address, struct buffer *lower)
{
    struct slice domain = mail_address_domain(address);
    buffer_clear(lower);
    if (domain.len == 0)
        return SLICE("MAILER-DAEMON");
    buffer_append_lower(lower, slice_first(domain, NAME_MAX_LENGTH));
    return buffer_slice(lower);
}

static struct slice next_hop(struct slice destination)
{
    return slice_from(destination, slice_find(destination, ':') + 1);
}

void census_add(struct census *c, const struct queue_item *item)
{
    const struct index_entry *e = &item->entry;
    struct buffer lower = BUFFER_INIT;
    int64_t recipients = (int64_t)e->recipient_count;
    struct slice sender = slice_equal(e->sender, SLICE("MAILER-DAEMON")) ? (struct slice){NULL, 0} : e->sender;
    c->message++;
    c->recipients += recipients;
    c->bytes += e->message_size;
    count(c, QUEUE_GROUP_QUEUE, slice_of(item->queue), e, recipients, true);
    count(c, QUEUE_GROUP_SENDER, sender.len ? sender : SLICE("MAILER-DAEMON"), e, recipients, true);
    if (c->query.group_by & QUEUE_GROUP_SENDER_DOMAIN)
        count(c, QUEUE_GROUP_SENDER_DOMAIN, lower_domain(sender, &lower), e, recipients, true);
    if (e->destination.len)
        count(c, QUEUE_GROUP_NEXT_HOP, next_hop(e->destination), e, recipients, false);
    for (size_t i = 0; i < e->recipient_count; i++) {
        if (c->query.group_by & QUEUE_GROUP_DOMAIN)
            count(c, QUEUE_GROUP_DOMAIN, lower_domain(e->recipients[i].address, &lower), e, 1, false);
        if (e->recipients[i].reason.len)
            count(c, QUEUE_GROUP_REASON, e->recipients[i].reason, e, 1, false);
    }
    buffer_release(&lower);
}

bool census_next(struct census *c, size_t *position, struct queue_group *group)
{
    struct slice key;
    void *value;
    if (!map_next(c->groups, position, &key, &value))
        return false;
    *group = ((struct group *)value)->counts;
    return true;
}

void census_total(const struct census *c, struct queue_answer *answer)
{
    answer->messages = (int64_t)c->message;
    answer->recipients = c->recipients;
    answer->bytes = c->bytes;
}
