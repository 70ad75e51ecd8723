/* qshape.c - counts by domain and age */
#include "qshape.h"

#include "address/mail_address.h"

enum { NAME_SHORTENED = 17 };

struct row {
    char *name;
    uint64_t total, counts[QSHAPE_BUCKETS_MAX];
    unsigned subdomains;
};

struct qshape {
    struct qshape_options options;
    int64_t now;
    struct map *rows; /* domain -> struct row */
    struct row all;
    bool counted;     /* this message is in one of the queues asked for */
    unsigned bucket;  /* of this message */
};

static void free_row(void *value)
{
    struct row *row = value;
    free(row->name);
    free(row);
}

struct qshape *qshape_new(const struct qshape_options *options, int64_t now)
{
    struct qshape *s = memory_zalloc(1, sizeof(*s));
    s->options = *options;
    s->now = now;
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

/* bound - greatest age in minutes of a bucket that is not the last. */
static uint64_t bound(const struct qshape_options *options, unsigned bucket)
{
    return options->linear ? (uint64_t)options->first_bucket * (bucket + 1) : (uint64_t)options->first_bucket << bucket;
}

static unsigned bucket_of(const struct qshape *s, int64_t time)
{
    int64_t age = s->now > time ? (s->now - time) / 60 : 0;
    unsigned bucket = 0;
    while (bucket + 1 < s->options.buckets && (uint64_t)age >= bound(&s->options, bucket))
        bucket++;
    return bucket;
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

static void count_in(struct row *row, unsigned bucket)
{
    row->total++;
    row->counts[bucket]++;
}

/* count_parents - ".example.com" for "a.example.com"; never a top-level domain. */
static void count_parents(struct qshape *s, struct slice domain, bool is_new)
{
    for (struct slice rest = domain;;) {
        size_t dot = slice_find(rest, '.');
        rest = slice_from(rest, dot + 1);
        if (slice_find(rest, '.') >= rest.len)
            return;
        struct row *row = row_of(s, slice_make(rest.data - 1, rest.len + 1));
        row->subdomains += is_new;
        count_in(row, s->bucket);
    }
}

static void count(struct qshape *s, struct slice address)
{
    struct buffer lower = BUFFER_INIT_MAX(1024);
    struct slice domain = mail_address_domain(address);
    buffer_append_lower(&lower, domain.len ? domain : SLICE("MAILER-DAEMON"));
    if (domain.len == 0) {
        buffer_clear(&lower);
        buffer_append_slice(&lower, SLICE("MAILER-DAEMON"));
    }
    bool is_new = map_get(s->rows, buffer_slice(&lower)) == NULL;
    count_in(row_of(s, buffer_slice(&lower)), s->bucket);
    count_in(&s->all, s->bucket);
    if (s->options.parents && domain.len)
        count_parents(s, buffer_slice(&lower), is_new);
    buffer_release(&lower);
}

static bool wants_queue(const struct qshape *s, struct slice queue)
{
    for (const char *const *name = s->options.queues; *name; name++) {
        if (slice_equal(queue, slice_of(*name)))
            return true;
    }
    return false;
}

static void on_message(void *context, const struct queue_message *m)
{
    struct qshape *s = context;
    s->counted = wants_queue(s, m->queue_name);
    s->bucket = bucket_of(s, m->time);
    if (s->counted && s->options.by_sender)
        count(s, m->sender);
}

static void on_recipient(void *context, struct slice original UNUSED, struct slice address, struct slice reason UNUSED)
{
    struct qshape *s = context;
    if (s->counted && !s->options.by_sender)
        count(s, address);
}

static void on_message_end(void *context UNUSED)
{
}

struct queue_handler qshape_handler(struct qshape *s)
{
    return (struct queue_handler){.message = on_message, .recipient = on_recipient, .message_end = on_message_end, .context = s};
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
        int number = snprintf(text, sizeof(text), "%llu", (unsigned long long)cell(&s->all, c));
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
