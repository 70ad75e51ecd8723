/* tables.c - figures of lookup tables: making, loading and looking up

   tables [ROWS [PATTERNS [DIRECTORY]]]   (1000000, 100000, a fresh directory in /tmp) */
#include <ftw.h>

#include "base/clock.h"
#include "base/log.h"
#include "table/table.h"

enum { LOOKUPS = 500000, KEY_MAX = 64 };

static size_t rows = 1000000, patterns = 100000;
static const char *directory;

static double now(void)
{
    return (double)clock_monotonic() / 1e6;
}

static const char *key_of(size_t number, char *key)
{
    snprintf(key, KEY_MAX, "user%zu@domain%zu.example.com", number, number % 1000);
    return key;
}

/* write_text - a source file of rows, or of patterns. */
static void write_text(const char *path, size_t count, const char *format_before, const char *format_after)
{
    char key[KEY_MAX];
    FILE *file = fopen(path, "w");
    if (!file)
        log_fatal("open %s: %s", path, strerror(errno));
    for (size_t i = 0; i < count; i++)
        fprintf(file, "%s%s%s%zu\n", format_before, key_of(i, key), format_after, i);
    if (fclose(file) != 0)
        log_fatal("write %s: %s", path, strerror(errno));
}

static struct table *open_named(const char *type, const char *path)
{
    struct buffer name = BUFFER_INIT;
    buffer_printf(&name, "%s:%s", type, path);
    double start = now();
    struct table *table = table_open(buffer_slice(&name), TABLE_FOLD | TABLE_FATAL, NULL);
    double took = now() - start;
    printf("%-9s opened in %8.3f s", type, took);
    if (strcmp(type, "texthash") == 0)
        printf("  (%.0f rows/s)", (double)rows / took);
    if (strcmp(type, "pcre") == 0 || strcmp(type, "regexp") == 0)
        printf("  (%.0f patterns/s)", (double)patterns / took);
    puts("");
    buffer_release(&name);
    return table;
}

static void make(const char *type, const char *path)
{
    struct table_maker_options options = {.mode = 0644, .expected = rows};
    struct buffer name = BUFFER_INIT;
    char key[KEY_MAX], *why = NULL;
    buffer_printf(&name, "%s:%s", type, path);
    double start = now();
    struct table_maker *maker = table_maker_open(buffer_slice(&name), &options, NULL, &why);
    for (size_t i = 0; maker && i < rows; i++)
        if (table_maker_add(maker, slice_of(key_of(i, key)), SLICE("a value"), false) != MAKER_ADDED)
            break;
    if (!maker || !table_maker_commit(maker, &why))
        log_fatal("%s: %s", type, why);
    printf("%-9s made in   %8.3f s  (%.0f rows/s)\n", type, now() - start, (double)rows / (now() - start));
    buffer_release(&name);
}

static void look_up(const char *type, struct table *table)
{
    struct buffer value = BUFFER_INIT;
    char key[KEY_MAX];
    uint64_t random = 88172645463325252U;
    size_t found = 0;
    double start = now();
    for (size_t i = 0; i < LOOKUPS; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        /* Every tenth key is not there. */
        found += table_lookup(table, slice_of(key_of(i % 10 ? random % rows : rows + i, key)), &value) == TABLE_FOUND;
    }
    printf("%-9s %.2f us per lookup (%zu of %d found)\n", type, (now() - start) * 1e6 / LOOKUPS, found, (int)LOOKUPS);
    buffer_release(&value);
}

static void measure(void)
{
    static const char *const made[] = {"hash", "btree", "lmdb", "cdb"}, *const expressions[] = {"pcre", "regexp"};
    struct buffer path = BUFFER_INIT;
    buffer_printf(&path, "%s/t", directory);
    write_text(buffer_string(&path), rows, "", " ");
    struct table *table = open_named("texthash", buffer_string(&path));
    look_up("texthash", table);
    table_free(table);
    for (size_t i = 0; i < COUNT_OF(made); i++) {
        make(made[i], buffer_string(&path));
        table = open_named(made[i], buffer_string(&path));
        look_up(made[i], table);
        table_free(table);
    }
    write_text(buffer_string(&path), patterns, "/^", "$/ ");
    for (size_t i = 0; i < COUNT_OF(expressions); i++)
        table_free(open_named(expressions[i], buffer_string(&path)));
    buffer_release(&path);
}

static int remove_one(const char *path, const struct stat *info UNUSED, int flag UNUSED, struct FTW *walk UNUSED)
{
    return remove(path);
}

static size_t number(const char *text)
{
    uint64_t value;
    if (!slice_to_u64(slice_of(text), &value) || value == 0)
        log_fatal("usage: tables [ROWS [PATTERNS [DIRECTORY]]]");
    return (size_t)value;
}

int main(int argc, char **argv)
{
    char fresh[] = "/tmp/bench-tables-XXXXXX";
    if (argc > 1)
        rows = number(argv[1]);
    if (argc > 2)
        patterns = number(argv[2]);
    directory = argc > 3 ? argv[3] : mkdtemp(fresh);
    if (!directory)
        log_fatal("mkdtemp: %s", strerror(errno));
    measure();
    if (argc <= 3)
        nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
