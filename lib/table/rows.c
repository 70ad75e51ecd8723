/* rows.c - see rows.h */
#include "table/rows.h"

struct row {
    uint64_t hash;
    uint32_t key, key_len; /* place in the text */
    uint32_t value, value_len;
    bool gone;
};

struct rows {
    struct buffer text;
    struct row *rows;
    size_t count, capacity; /* of rows, removed ones included */
    size_t removed;
    uint32_t *index;   /* row number + 1; 0: free */
    size_t index_size; /* a power of two */
};

struct rows *rows_new(void)
{
    struct rows *rows = memory_zalloc(1, sizeof(*rows));
    buffer_init(&rows->text, UINT32_MAX);
    return rows;
}

void rows_free(struct rows *rows)
{
    if (!rows)
        return;
    buffer_release(&rows->text);
    free(rows->rows);
    free(rows->index);
    free(rows);
}

static void put_in_index(struct rows *rows, size_t number)
{
    size_t mask = rows->index_size - 1, at = rows->rows[number].hash & mask;
    while (rows->index[at])
        at = (at + 1) & mask;
    rows->index[at] = (uint32_t)number + 1;
}

static void grow_index(struct rows *rows, size_t count)
{
    size_t size = rows->index_size ? rows->index_size : 16;
    while (size < count * 2)
        size *= 2;
    if (size == rows->index_size)
        return;
    free(rows->index);
    rows->index = memory_zalloc(size, sizeof(*rows->index));
    rows->index_size = size;
    for (size_t i = 0; i < rows->count; i++)
        put_in_index(rows, i);
}

void rows_reserve(struct rows *rows, size_t count, size_t text)
{
    if (count > rows->capacity) {
        rows->rows = memory_resize(rows->rows, count * sizeof(*rows->rows));
        rows->capacity = count;
    }
    grow_index(rows, count);
    (void)buffer_reserve(&rows->text, text);
    rows->text.overflow = false;
}

static struct slice key_of(const struct rows *rows, const struct row *row)
{
    return slice_make(rows->text.data + row->key, row->key_len);
}

static struct slice value_of(const struct rows *rows, const struct row *row)
{
    return slice_make(rows->text.data + row->value, row->value_len);
}

static struct row *find(const struct rows *rows, struct slice key, uint64_t hash)
{
    if (!rows->index_size)
        return NULL;
    size_t mask = rows->index_size - 1;
    for (size_t at = hash & mask; rows->index[at]; at = (at + 1) & mask) {
        struct row *row = &rows->rows[rows->index[at] - 1];
        if (row->hash == hash && slice_equal(key_of(rows, row), key))
            return row;
    }
    return NULL;
}

/* add_text - both with a NUL after them, so that views are C strings too. */
static bool add_text(struct rows *rows, struct slice s, uint32_t *place, uint32_t *length)
{
    if (s.len > UINT32_MAX - 1 || rows->text.len + s.len + 1 > UINT32_MAX)
        return false;
    *place = (uint32_t)rows->text.len;
    *length = (uint32_t)s.len;
    return buffer_append_slice(&rows->text, s) && buffer_append_byte(&rows->text, '\0');
}

bool rows_set(struct rows *rows, struct slice key, struct slice value, bool replace)
{
    uint64_t hash = slice_hash(key);
    struct row *row = find(rows, key, hash);
    if (row) {
        if (!row->gone && !replace)
            return false;
        struct row changed = *row;
        if (!add_text(rows, value, &changed.value, &changed.value_len))
            return false;
        rows->removed -= row->gone;
        changed.gone = false;
        *row = changed;
        return true;
    }
    struct row fresh = {.hash = hash};
    if (rows->count >= UINT32_MAX - 1 || !add_text(rows, key, &fresh.key, &fresh.key_len) ||
        !add_text(rows, value, &fresh.value, &fresh.value_len))
        return false;
    if (rows->count == rows->capacity)
        rows_reserve(rows, rows->capacity ? rows->capacity * 2 : 8, 0);
    grow_index(rows, rows->count + 1);
    rows->rows[rows->count] = fresh;
    put_in_index(rows, rows->count++);
    return true;
}

bool rows_get(const struct rows *rows, struct slice key, struct slice *value)
{
    const struct row *row = find(rows, key, slice_hash(key));
    if (!row || row->gone)
        return false;
    *value = value_of(rows, row);
    return true;
}

bool rows_remove(struct rows *rows, struct slice key)
{
    struct row *row = find(rows, key, slice_hash(key));
    if (!row || row->gone)
        return false;
    row->gone = true;
    rows->removed++;
    return true;
}

size_t rows_count(const struct rows *rows)
{
    return rows->count - rows->removed;
}

bool rows_next(const struct rows *rows, size_t *position, struct slice *key, struct slice *value)
{
    while (*position < rows->count) {
        const struct row *row = &rows->rows[(*position)++];
        if (row->gone)
            continue;
        *key = key_of(rows, row);
        *value = value_of(rows, row);
        return true;
    }
    return false;
}

enum table_result rows_walk(const struct rows *rows, bool first, struct buffer *key, struct buffer *value)
{
    static size_t position;
    struct slice k, v;

    if (first)
        position = 0;
    if (!rows_next(rows, &position, &k, &v))
        return TABLE_NOT_FOUND;
    buffer_append_slice(key, k);
    buffer_append_slice(value, v);
    return TABLE_FOUND;
}
