/* qshape.c - counts by domain and age */
#include "qshape.h"

#include "queue/census.h"

enum { NAME_SHORTENED = 17 };

struct row {
    char *name;
    uint64_t total, counts[QSHAPE_BUCKETS_MAX];
    unsigned subdomains;
};

struct qshape {
    struct qshape_options options;
    struct map *rows; /* domain -> struct row */
    struct row all;
};

static void free_row(void *value)
{
    struct row *row = value;
    free(row->name);
    free(row);
}

struct qshape *qshape_new(const struct qshape_options *options)
{
    struct qshape *s = memory_zalloc(1, sizeof(*s));
    s->options = *options;
    s->rows = map_new(free_row);
    s->all.name = (char *)"TOTAL";
    return s;
}

void qshape_free(struct qshape *s)
{
    if (!s)
        return;
    map_free(s->rows);
    free(s);
}

static uint64_t bound(const struct qshape_options *options, unsigned bucket)
{
    const struct queue_query query = qshape_query(options);
    return census_age_bound(&query, bucket);
}

static struct row *row_of(struct qshape *s, struct slice name)
{
    struct row *row = map_get(s->rows, name);
    if (!row) {
        row = memory_zalloc(1, sizeof(*row));
        row->name = slice_string(name);
        map_set(s->rows, name, row);
    }
    return row;
}

static void add_to(struct row *row, const struct queue_group *group)
{
    for (size_t i = 0; i < group->ages_count && i < QSHAPE_BUCKETS_MAX; i++) {
        row->counts[i] += (uint64_t)group->ages[i].value;
        row->total += (uint64_t)group->ages[i].value;
    }
}

/* add_to_parents - ".example.com" for "a.example.com"; never a top-level domain. */
static void add_to_parents(struct qshape *s, const struct queue_group *group)
{
    for (struct slice rest = group->name;;) {
        size_t dot = slice_find(rest, '.');
        rest = slice_from(rest, dot + 1);
        if (slice_find(rest, '.') >= rest.len)
            return;
        struct row *row = row_of(s, slice_make(rest.data - 1, rest.len + 1));
        row->subdomains++;
        add_to(row, group);
    }
}

void qshape_add(struct qshape *s, const struct queue_group *group)
{
    add_to(row_of(s, group->name), group);
    add_to(&s->all, group);
    if (s->options.parents && !slice_equal(group->name, SLICE("MAILER-DAEMON")))
        add_to_parents(s, group);
}

struct queue_query qshape_query(const struct qshape_options *options)
{
    return (struct queue_query){.form = QUEUE_QUERY_COUNTS, .group_by = options->by_sender ? QUEUE_GROUP_SENDER_DOMAIN : QUEUE_GROUP_DOMAIN,
                                .age_columns = options->buckets, .first_age = options->first_bucket, .linear = options->linear};
}

/* ---- the table ---------------------------------------------------------------------------------------------------- */

static int by_total(const void *a, const void *b)
{
    const struct row *x = *(const struct row *const *)a, *y = *(const struct row *const *)b;
    return x->total != y->total ? (x->total < y->total ? 1 : -1) : strcmp(x->name, y->name);
}

static void heading_of(const struct qshape *s, unsigned column, char text[32])
{
    if (column == 0)
        snprintf(text, 32, "T");
    else if (column < s->options.buckets)
        snprintf(text, 32, "%llu", (unsigned long long)bound(&s->options, column - 1));
    else if (column == 1)
        snprintf(text, 32, "0+");
    else
        snprintf(text, 32, "%llu+", (unsigned long long)bound(&s->options, column - 2));
}

static uint64_t cell(const struct row *row, unsigned column)
{
    return column == 0 ? row->total : row->counts[column - 1];
}

/* widths - of the columns, blank included; the result is what is left for the name. */
static int widths(const struct qshape *s, int width[QSHAPE_BUCKETS_MAX + 1])
{
    int left = (int)s->options.width;
    char text[32];
    for (unsigned c = 0; c <= s->options.buckets; c++) {
        heading_of(s, c, text);
        int heading = (int)strlen(text);
        int number = snprintf(text, sizeof(text), "%2llu", (unsigned long long)cell(&s->all, c));
        width[c] = 1 + (heading > number ? heading : number);
        left -= width[c];
    }
    return left > NAME_SHORTENED + 1 ? left : NAME_SHORTENED + 1;
}

static void print_row(const struct qshape *s, FILE *out, const struct row *row, const int width[], int name_width)
{
    size_t len = strlen(row->name);
    if (len <= (size_t)name_width)
        fprintf(out, "%*s", name_width, row->name);
    else if (row->name[0] == '.')
        fprintf(out, "%*s.+%s", name_width - NAME_SHORTENED - 1, "", row->name + len - (NAME_SHORTENED - 1));
    else
        fprintf(out, "%*s+%s", name_width - NAME_SHORTENED - 1, "", row->name + len - NAME_SHORTENED);
    for (unsigned c = 0; c <= s->options.buckets; c++)
        fprintf(out, "%*llu", width[c], (unsigned long long)cell(row, c));
    putc('\n', out);
}

void qshape_print(struct qshape *s, FILE *out)
{
    int width[QSHAPE_BUCKETS_MAX + 1];
    int name_width = widths(s, width);
    char text[32];
    struct row **rows = memory_zalloc(map_count(s->rows) + 1, sizeof(void *));
    size_t used = 0, position = 0;
    struct slice key;
    void *value;
    while (map_next(s->rows, &position, &key, &value)) {
        struct row *row = value;
        if (row->name[0] != '.' || row->subdomains >= s->options.minimum_subdomains)
            rows[used++] = row;
    }
    qsort(rows, used, sizeof(void *), by_total);
    fprintf(out, "%*s", name_width, "");
    for (unsigned c = 0; c <= s->options.buckets; c++) {
        heading_of(s, c, text);
        fprintf(out, "%*s", width[c], text);
    }
    putc('\n', out);
    print_row(s, out, &s->all, width, name_width);
    for (size_t i = 0; i < used; i++)
        print_row(s, out, rows[i], width, name_width);
    free(rows);
}
