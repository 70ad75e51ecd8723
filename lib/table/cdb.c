/* cdb.c - cdb: tables, one file PATH.cdb that is only ever made anew (compat.md c.1, c.4) */
#include <fcntl.h>

#include "table/library.h"
#include "table/maker.h"

#if __has_include(<cdb.h>)
#include <cdb.h>

#define FUNCTIONS(X) X(cdb_init) X(cdb_free) X(cdb_find) X(cdb_get) X(cdb_seqnext) X(cdb_make_start) X(cdb_make_put) X(cdb_make_finish)
static struct { FUNCTIONS(LIBRARY_MEMBER) } lib;
#define SYMBOL(name) {#name, &lib.name},
static const struct library_symbol symbols[] = {FUNCTIONS(SYMBOL) {0}};
static const struct library library = {"libcdb.so.1", "libcdb1", symbols};

struct cdb_table {
    struct cdb cdb;
    unsigned position; /* of cdb_next */
    enum { NUL_UNKNOWN, NUL_WITH, NUL_WITHOUT } nul;
};

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static bool open_table(struct table *table)
{
    struct buffer path = BUFFER_INIT;
    struct cdb_table *c = memory_zalloc(1, sizeof(*c));
    bool ok = library_load(table, &library);
    buffer_printf(&path, "%s.cdb", table->argument);
    int fd = ok ? open(buffer_string(&path), O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1;
    if (ok && fd < 0) {
        table_fail(table, "open database %s: %s", buffer_string(&path), strerror(errno));
        ok = false;
    }
    if (ok) {
        table_watch(table, buffer_string(&path), fd);
        ok = lib.cdb_init(&c->cdb, fd) == 0;
        if (!ok)
            table_fail(table, "open database %s: %s", buffer_string(&path), errno == EPROTO ? "not a cdb file" : strerror(errno));
    }
    if (ok)
        table->state = c;
    else
        free(c);
    buffer_release(&path);
    return ok;
}

static void close_table(void *state)
{
    struct cdb_table *c = state;
    lib.cdb_free(&c->cdb); /* the mapping; the descriptor is the table's */
    free(c);
}

static struct slice up_to_nul(struct slice s)
{
    return slice_first(s, slice_find(s, '\0'));
}

/* find - with the NUL, then without; remembers which it was.  As cdb_find. */
static int find(struct cdb_table *c, struct slice key)
{
    int found = 0;
    if (key.len >= UINT_MAX)
        return 0;
    if (c->nul != NUL_WITHOUT && (found = lib.cdb_find(&c->cdb, key.data, (unsigned)key.len + 1)) > 0)
        c->nul = NUL_WITH;
    if (found == 0 && c->nul != NUL_WITH && (found = lib.cdb_find(&c->cdb, key.data, (unsigned)key.len)) > 0)
        c->nul = NUL_WITHOUT;
    return found;
}

static enum table_result broken(struct table *table)
{
    return table_fail(table, "error reading %s: %s", table->path, errno == EPROTO ? "the file is damaged" : strerror(errno));
}

static enum table_result lookup(struct table *table, struct slice key, struct buffer *value)
{
    struct cdb_table *c = table->state;
    int found = find(c, key);
    if (found == 0)
        return TABLE_NOT_FOUND;
    const void *data = found > 0 ? lib.cdb_get(&c->cdb, cdb_datalen(&c->cdb), cdb_datapos(&c->cdb)) : NULL;
    if (!data)
        return broken(table);
    buffer_append_slice(value, up_to_nul(slice_make(data, cdb_datalen(&c->cdb))));
    return TABLE_FOUND;
}

/* is_current - a row that was replaced stays in the file, but the index leads to the newer one. */
static bool is_current(struct cdb_table *c, const void *key)
{
    unsigned position = cdb_datapos(&c->cdb), length = cdb_datalen(&c->cdb), key_position = cdb_keypos(&c->cdb), key_length = cdb_keylen(&c->cdb);
    bool current = lib.cdb_find(&c->cdb, key, key_length) > 0 && cdb_datapos(&c->cdb) == position;
    c->cdb.cdb_vpos = position;
    c->cdb.cdb_vlen = length;
    c->cdb.cdb_kpos = key_position;
    c->cdb.cdb_klen = key_length;
    return current;
}

static enum table_result next(struct table *table, bool first, struct buffer *key, struct buffer *value)
{
    struct cdb_table *c = table->state;
    int more;
    if (first)
        cdb_seqinit(&c->position, &c->cdb);
    while ((more = lib.cdb_seqnext(&c->position, &c->cdb)) > 0) {
        const void *key_data = lib.cdb_get(&c->cdb, cdb_keylen(&c->cdb), cdb_keypos(&c->cdb));
        const void *data = lib.cdb_get(&c->cdb, cdb_datalen(&c->cdb), cdb_datapos(&c->cdb));
        if (!key_data || !data)
            return broken(table);
        if (!is_current(c, key_data))
            continue;
        buffer_append_slice(key, up_to_nul(slice_make(key_data, cdb_keylen(&c->cdb))));
        buffer_append_slice(value, up_to_nul(slice_make(data, cdb_datalen(&c->cdb))));
        return TABLE_FOUND;
    }
    return more == 0 ? TABLE_NOT_FOUND : broken(table);
}

const struct table_driver table_driver_cdb = {"cdb", 0, open_table, close_table, lookup, NULL, NULL, next};

/* ---- making ------------------------------------------------------------------------------------------------------- */

struct making { struct cdb_make make; int fd; };

static bool create(struct table_maker *maker, const char *file)
{
    struct buffer why = BUFFER_INIT;
    bool ok = library_find("cdb", &library, &why);
    struct making *m = memory_zalloc(1, sizeof(*m));
    if (!ok)
        maker_fail(maker, "%s", buffer_string(&why));
    m->fd = ok ? open(file, O_RDWR | O_TRUNC | O_CLOEXEC) : -1;
    if (ok && (m->fd < 0 || lib.cdb_make_start(&m->make, m->fd) < 0)) {
        maker_fail(maker, "open database %s: %s", file, strerror(errno));
        ok = false;
    }
    if (ok) {
        maker->state = m;
    } else {
        if (m->fd >= 0)
            close(m->fd);
        free(m);
    }
    buffer_release(&why);
    return ok;
}

static bool open_existing(struct table_maker *maker, const char *file)
{
    maker_fail(maker, "open database %s: a cdb file cannot be changed, only made anew", file);
    return false;
}

static enum maker_result add(struct table_maker *maker, struct slice key, struct slice value, bool replace)
{
    struct making *m = maker->state;
    unsigned nul = maker->options.nul == MAKER_NUL_WITH;
    if (key.len >= UINT_MAX / 4 || value.len >= UINT_MAX / 4) {
        maker_fail(maker, "error writing %s: row too long", maker->name);
        return MAKER_FAILED;
    }
    char *key_text = slice_string(key), *value_text = slice_string(value);
    int result = lib.cdb_make_put(&m->make, key_text, (unsigned)key.len + nul, value_text, (unsigned)value.len + nul,
                                  replace ? CDB_PUT_REPLACE : CDB_PUT_INSERT);
    free(key_text);
    free(value_text);
    if (result < 0) {
        maker_fail(maker, "error writing %s: %s", maker->name, strerror(errno));
        return MAKER_FAILED;
    }
    return result > 0 && !replace ? MAKER_DUPLICATE : MAKER_ADDED;
}

static bool finish(struct table_maker *maker)
{
    struct making *m = maker->state;
    maker->state = NULL;
    if (!m)
        return true;
    bool ok = lib.cdb_make_finish(&m->make) == 0;
    if (!ok)
        maker_fail(maker, "error writing %s: %s", maker->name, strerror(errno));
    close(m->fd);
    free(m);
    return ok;
}

#else

static bool open_table(struct table *table)
{
    return library_not_built(table, "libcdb-dev");
}

const struct table_driver table_driver_cdb = {"cdb", DRIVER_HIDDEN, open_table, NULL, NULL, NULL, NULL, NULL};

static bool create(struct table_maker *maker, const char *file)
{
    maker_fail(maker, "unsupported dictionary type: cdb: this program was built without libcdb-dev");
    return false;
}

static bool open_existing(struct table_maker *maker, const char *file)
{
    return create(maker, file);
}

static enum maker_result add(struct table_maker *maker, struct slice key, struct slice value, bool replace)
{
    return MAKER_FAILED;
}

static bool finish(struct table_maker *maker)
{
    return true;
}
#endif

const struct maker_format maker_format_cdb = {"cdb", ".cdb", false, true, create, open_existing, add, finish};
