/* report.c - tables of counts */
#include "report.h"

#include "base/arena.h"
#include "base/clock.h"

enum { MOST_SHOWN = 10 };

struct report {
    struct arena *arena;
    struct queue_group *groups;
    size_t count, capacity;
};

struct report *report_new(void)
{
    struct report *r = memory_zalloc(1, sizeof(*r));
    r->arena = arena_new(0);
    return r;
}

void report_free(struct report *r)
{
    if (!r)
        return;
    arena_free(r->arena);
    free(r->groups);
    free(r);
}

/* clean - a terminal is not to be driven by what somebody wrote into a message. */
static struct slice clean(struct slice text, struct arena *arena)
{
    char *copy = arena_alloc(arena, text.len + 1);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        copy[i] = byte < 32 || byte == 127 ? '?' : (char)byte;
    }
    return slice_make(copy, text.len);
}

void report_add(struct report *r, const struct queue_group *group)
{
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 64;
        r->groups = memory_resize(r->groups, r->capacity * sizeof(*r->groups));
    }
    r->groups[r->count] = *group;
    r->groups[r->count].ages = NULL;
    r->groups[r->count].ages_count = 0;
    r->groups[r->count++].name = clean(group->name, r->arena);
}

static int by_kind_and_size(const void *a, const void *b)
{
    const struct queue_group *x = a, *y = b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->recipients != y->recipients)
        return x->recipients < y->recipients ? 1 : -1;
    return slice_compare(x->name, y->name);
}

static void put_group(const struct queue_group *group, FILE *out)
{
    fprintf(out, "%9lld %10lld %10lld  " SLICE_FORMAT "\n", (long long)group->messages, (long long)group->recipients, (long long)(group->bytes / 1024),
            SLICE_ARGS(group->name));
}

void report_groups(struct report *r, FILE *out)
{
    if (r->count)
        qsort(r->groups, r->count, sizeof(*r->groups), by_kind_and_size);
    fputs(" Messages Recipients     Kbytes  Name\n", out);
    for (size_t i = 0; i < r->count; i++)
        put_group(&r->groups[i], out);
}

/* put_age - "3d04h", "2h05m", "7m". */
static void put_age(int64_t arrival, int64_t now, FILE *out)
{
    long long minutes = now > arrival ? (long long)((now - arrival) / (60 * MICROSECONDS)) : 0;
    char text[32];
    if (minutes >= 1440)
        snprintf(text, sizeof(text), "%lldd%02lldh", minutes / 1440, minutes / 60 % 24);
    else if (minutes >= 60)
        snprintf(text, sizeof(text), "%lldh%02lldm", minutes / 60, minutes % 60);
    else
        snprintf(text, sizeof(text), "%lldm", minutes);
    fprintf(out, " %8s", text);
}

static void put_most(const struct report *r, int kind, const char *title, FILE *out)
{
    unsigned shown = 0;
    for (size_t i = 0; i < r->count && shown < MOST_SHOWN; i++) {
        if (r->groups[i].kind != kind)
            continue;
        if (shown++ == 0)
            fprintf(out, "\n Messages Recipients     Kbytes  %s\n", title);
        put_group(&r->groups[i], out);
    }
}

void report_summary(struct report *r, const struct queue_answer *total, int64_t now, FILE *out)
{
    static const char *const queues[] = {"maildrop", "incoming", "active", "deferred", "hold"};
    if (r->count)
        qsort(r->groups, r->count, sizeof(*r->groups), by_kind_and_size);
    fputs(" Messages Recipients     Kbytes   Oldest  Queue\n", out);
    for (size_t q = 0; q < COUNT_OF(queues); q++) {
        for (size_t i = 0; i < r->count; i++) {
            const struct queue_group *group = &r->groups[i];
            if (group->kind != QUEUE_GROUP_QUEUE || !slice_equal(group->name, slice_of(queues[q])))
                continue;
            fprintf(out, "%9lld %10lld %10lld", (long long)group->messages, (long long)group->recipients, (long long)(group->bytes / 1024));
            put_age(group->oldest, now, out);
            fprintf(out, "  %s\n", queues[q]);
        }
    }
    fprintf(out, "%9lld %10lld %10lld           total\n", (long long)total->messages, (long long)total->recipients, (long long)(total->bytes / 1024));
    put_most(r, QUEUE_GROUP_DOMAIN, "Recipient domain", out);
    put_most(r, QUEUE_GROUP_SENDER, "Sender", out);
    put_most(r, QUEUE_GROUP_NEXT_HOP, "Next hop", out);
    put_most(r, QUEUE_GROUP_REASON, "Reason", out);
}
