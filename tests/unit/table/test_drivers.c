/* test_drivers.c - every driver that needs no server: hits, misses, folding, substitution, hostile keys, broken files, files that are replaced */
#include "testing.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "base/log.h"
#include "table/table.h"

static char directory[64], warnings[8192];
static struct config *config;

static void keep(enum log_severity severity UNUSED, const char *text, void *context UNUSED)
{
    snprintf(warnings + strlen(warnings), sizeof(warnings) - strlen(warnings), "%s\n", text);
}

static int remove_one(const char *path, const struct stat *status UNUSED, int flag UNUSED, struct FTW *ftw UNUSED)
{
    return remove(path);
}

static void start(void)
{
    warnings[0] = '\0';
    log_set_watcher(keep, NULL);
    config = config_empty();
    snprintf(directory, sizeof(directory), "/tmp/postern-drivers-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void finish(void)
{
    config_free(config);
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* put - a file with that content; its path (static). */
static const char *put(const char *name, const char *content, size_t length)
{
    static char path[128], fresh[160];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, content, length), (ssize_t)length);
    close(fd);
    ck_assert_int_eq(rename(fresh, path), 0);
    return path;
}

static struct table *open_file(const char *type, const char *name, int flags)
{
    char full[200];

    snprintf(full, sizeof(full), "%s:%s/%s", type, directory, name);
    return table_open(slice_of(full), flags, config);
}

static void check(struct table *table, const char *key, const char *want)
{
    struct buffer value = BUFFER_INIT;
    enum table_result found = table_lookup(table, slice_of(key), &value);

    ck_assert_msg(found == (want ? TABLE_FOUND : TABLE_NOT_FOUND), "%s in %s: got %d, %s", key, table_name(table), (int)found, table_why(table));
    if (want)
        ck_assert_msg(strcmp(buffer_string(&value), want) == 0, "%s in %s: got \"%s\" want \"%s\"", key, table_name(table), buffer_string(&value), want);
    buffer_release(&value);
}

/* check_hostile - keys that no file can hold, and very long ones, are simply not there. */
static void check_hostile(struct table *table)
{
    struct buffer value = BUFFER_INIT, key = BUFFER_INIT;

    ck_assert_int_eq(table_lookup(table, slice_make("a\0b", 3), &value), TABLE_NOT_FOUND);
    for (int i = 0; i < 100000; i++)
        buffer_append_byte(&key, 'k');
    ck_assert_int_eq(table_lookup(table, buffer_slice(&key), &value), TABLE_NOT_FOUND);
    ck_assert_int_eq(table_lookup(table, SLICE(""), &value), TABLE_NOT_FOUND);
    ck_assert_int_eq(table_lookup(table, SLICE("\xff\xfe"), &value), TABLE_NOT_FOUND);
    buffer_release(&value);
    buffer_release(&key);
}

/* ---- written where they are used ---- */

START_TEST(small_ones)
{
    static const struct { const char *table, *key, *want; } rows[] = {
        {"static:always", "x", "always"}, {"static:{two words}", "x", "two words"}, {"environ:x", "POSTERN_TEST_KEY", NULL},
        {"environ:x", "no_such_variable", NULL}, {"inline:{a=b}", "A", "b"}, {"inline:{a=b}", "b", NULL}, {"inline:{ {a = b c}, {d=e} }", "a", "b c"},
        {"inline:{a=1, a=2}", "a", "2"}, {"inline:{ {\"a b\" = c} }", "a b", "c"}, {"randmap:{only}", "x", "only"}, {"randmap:{ {two words} }", "x", "two words"},
        {"unionmap:{static:a, inline:{x=b}}", "x", "a,b"}, {"unionmap:{static:a, inline:{x=b}}", "y", "a"}, {"unionmap:{inline:{x=b}}", "y", NULL},
        {"pipemap:{inline:{x=y}, inline:{y=z}}", "X", "z"}, {"pipemap:{inline:{x=y}, inline:{q=z}}", "x", NULL}, {"internal:x", "a", NULL},
        {"pipemap:{pcre:{{/^(.*)@/ $1}}, inline:{bob=yes}}", "bob@x.test", "yes"}, {"unionmap:{pcre:{{/^b/ 1}}, pcre:{{/b$/ 2}}}", "bob", "1,2"},
    };

    start();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct table *table = table_open(slice_of(rows[i].table), TABLE_FOLD, config);
        check(table, rows[i].key, rows[i].want);
        table_free(table);
    }
    finish();
}
END_TEST

START_TEST(failing_ones)
{
    static const char *const tables[] = {"fail:x", "unionmap:{static:a, fail:x}", "pipemap:{fail:x, static:a}", "static:", "nosuch:x", "inline:x", "inline:{a}",
        "inline:{}", "static:{a", "static:{a}b", "unionmap:{static}", "randmap:x", "randmap:{}", "unionmap:{}", "pipemap:x", "unionmap:{static:a", "x", "", ":", "hash:/no/such/file", "btree:/no/such/file",
        "lmdb:/no/such/file", "texthash:/no/such/file", "pcre:/no/such/file", "regexp:/no/such/file", "cidr:/no/such/file"};
    struct buffer value = BUFFER_INIT;

    start();
    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        struct table *table = table_open(slice_of(tables[i]), TABLE_FOLD, config);
        enum table_result found = table_lookup(table, SLICE("key"), &value);
        ck_assert_msg(found == TABLE_TRY_AGAIN, "%s: got %d", tables[i], (int)found);
        ck_assert_msg(table_why(table)[0] != '\0', "%s: nobody says why", tables[i]);
        table_free(table);
    }
    buffer_release(&value);
    finish();
}
END_TEST

START_TEST(random_choice)
{
    struct buffer value = BUFFER_INIT;
    int seen[3] = {0};

    start();
    struct table *table = table_open(SLICE("randmap:{0, 1, 2}"), 0, config);
    for (int i = 0; i < 300; i++) {
        ck_assert_int_eq(table_lookup(table, SLICE("x"), &value), TABLE_FOUND);
        seen[buffer_string(&value)[0] - '0']++;
    }
    ck_assert(seen[0] > 30 && seen[1] > 30 && seen[2] > 30);
    table_free(table);
    buffer_release(&value);
    finish();
}
END_TEST

/* ---- patterns ---- */

START_TEST(expressions)
{
    static const char rules[] = "# comment\n\n/^case$/ insensitive\n/^Exact$/i sensitive\n/^(a+)(b*)$/ $1-$2-${2}x$(1)$$\n!/@/ no at\n"
                                "if /^in@/\n/x/ has x\n!/x/ has none\nendif\n/long (text)/\n  continued $1\n/empty/\n";
    static const struct { const char *key, *want; } rows[] = {
        {"CASE", "insensitive"}, {"Exact", "sensitive"}, {"exact", "no at"}, {"aabb", "aa-bb-bbxaa$"}, {"a", "a--xa$"}, {"in@x", "has x"}, {"in@y", "has none"},
        {"out@x", NULL}, {"long text@", "continued text"}, {"empty@", ""},
    };
    static const char *const types[] = {"regexp", "pcre"};

    start();
    for (size_t t = 0; t < COUNT_OF(types); t++) {
        put(types[t], rules, strlen(rules));
        struct table *table = open_file(types[t], types[t], TABLE_FOLD);
        ck_assert(table_is_pattern(table));
        for (size_t i = 0; i < COUNT_OF(rows); i++)
            check(table, rows[i].key, rows[i].want);
        check(table, "Exact Key@", NULL);
        table_free(table);
    }
    finish();
}
END_TEST

START_TEST(broken_expressions)
{
    static const char rules[] = "/(/ unclosed\nno delimiter\n/good/ yes\n/x/ $9\n/y\n!/z/ $1\nendif\nif /q/\n";
    static const char *const types[] = {"regexp", "pcre"};

    start();
    for (size_t t = 0; t < COUNT_OF(types); t++) {
        warnings[0] = '\0';
        put(types[t], rules, strlen(rules));
        struct table *table = open_file(types[t], types[t], 0);
        check(table, "good", "yes"); /* the rules around are skipped, with a warning each */
        check(table, "other", NULL);
        size_t count = 0;
        for (const char *at = warnings; (at = strstr(at, ", line ")) != NULL; at++)
            count++;
        ck_assert_msg(count >= 6, "%s: %zu warnings:\n%s", types[t], count, warnings);
        table_free(table);
    }
    put("sensitive", "/(.*)/ $1\n/y/ plain\n", strlen("/(.*)/ $1\n/y/ plain\n"));
    struct table *table = open_file("pcre", "sensitive", TABLE_NO_SUBSTITUTION);
    check(table, "x", NULL);
    check(table, "y", "plain");
    table_free(table);
    finish();
}
END_TEST

START_TEST(networks)
{
    static const char rules[] = "10.1.0.0/16 first\n10.0.0.0/8 second\n!192.0.2.0/24 not test net\n192.0.2.7 host\nif 192.0.2.128/25\n192.0.2.130 inside\nendif\n"
                                "2001:db8::/32 six\n[fd00::1] bracketed\n10.2.3.4/8 host bits\n300.1.1.1 no address\n";
    static const struct { const char *key, *want; } rows[] = {
        {"10.1.2.3", "first"}, {"10.2.0.0", "second"}, {"192.0.2.7", "host"}, {"192.0.2.130", "inside"}, {"192.0.2.9", NULL}, {"198.51.100.1", "not test net"},
        {"2001:db8::99", "six"}, {"2001:DB8:0:0::99", "six"}, {"no address", NULL}, {"10.1.2", NULL},
    };

    start();
    put("cidr", rules, strlen(rules));
    struct table *table = open_file("cidr", "cidr", 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        check(table, rows[i].key, rows[i].want);
    check_hostile(table);
    ck_assert_msg(strstr(warnings, "host address bits") != NULL, "%s", warnings);
    table_free(table);
    finish();
}
END_TEST

START_TEST(odd_networks)
{
    static const struct { const char *rules, *key, *want, *warning; } rows[] = {
        {"192.0.2.0/24 x\n", "[192.0.2.1]", NULL, ""}, {"::ffff:0:0/96 x\n", "192.0.2.1", NULL, ""}, {"::ffff:0:0/96 x\n", "::ffff:192.0.2.1", "x", ""},
        {"::/0 x\n", "::ffff:192.0.2.1", "x", ""}, {"! 10.0.0.0/8 x\n", "192.0.2.1", "x", ""}, {"10.0.0.1\n", "10.0.0.1", NULL, "no lookup result: skipping"},
        {" 10.0.0.1 x\n", "10.0.0.1", NULL, "must not start with whitespace"}, {"if 10.0.0.0/8 x\n", "10.0.0.1", NULL, "bad mask value in \"10.0.0.0/8 x\""},
        {"10.0.0.1/33 x\n", "10.0.0.1", NULL, "bad mask length in \"10.0.0.1/33\""}, {"[::1 x\n", "::1", NULL, "missing ']' character after \"[::1\""},
        {"a.test x\n", "a.test", NULL, "bad address pattern: \"a.test\""}, {"if\n", "::1", NULL, "no address pattern: skipping"}, {"endif\n", "::1", NULL, "ENDIF without IF"},
        {"endif x\n", "::1", NULL, "garbage after ENDIF"}, {"if 10.0.0.0/8\n10.0.0.1 x\n", "10.0.0.1", "x", "line 1: IF has no matching ENDIF"},
    };

    start();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        put("odd", rows[i].rules, strlen(rows[i].rules));
        struct table *table = open_file("cidr", "odd", 0);
        check(table, rows[i].key, rows[i].want);
        ck_assert_msg(strstr(warnings, rows[i].warning) != NULL, "%s: %s", rows[i].rules, warnings);
        table_free(table);
    }
    finish();
}
END_TEST

START_TEST(odd_rules)
{
    static const struct { const char *rules, *key, *want, *warning; } rows[] = {
        {"  if /a/\n/./ x\nendif\n", "b", "x", "logical line must not start with whitespace: \"  if /a/\""}, {"\\a\\ x\n", "a", NULL, "no closing regexp delimiter \"\\\""},
        {"a x\n", "a", NULL, "ignoring unrecognized request"}, {"if\n", "a", NULL, "no regexp: skipping this rule"}, {"/a/? x\n", "a", NULL, "unknown regexp option \"?\""},
        {"if /a/\n  /a/ x\nendif\n", "a", NULL, "ignoring extra text after IF statement: \"/a/ x\""}, {"endif x\n", "a", NULL, "ignoring ENDIF without matching IF"},
    };

    start();
    for (size_t i = 0; i < 2 * COUNT_OF(rows); i++) {
        put("odd", rows[i / 2].rules, strlen(rows[i / 2].rules));
        struct table *table = open_file(i % 2 ? "pcre" : "regexp", "odd", 0);
        check(table, rows[i / 2].key, rows[i / 2].want);
        ck_assert_msg(strstr(warnings, rows[i / 2].warning) != NULL, "%s: %s", rows[i / 2].rules, warnings);
        table_free(table);
    }
    finish();
}
END_TEST

START_TEST(files_named_in_rules)
{
    struct buffer rules = BUFFER_INIT;

    start();
    put("content", "c", 1);
    for (int i = 0; i < 3; i++) {
        static const char *const types[] = {"regexp", "pcre", "cidr"}, *const patterns[] = {"/^::1$/", "/^::1$/", "::1"};
        buffer_clear(&rules);
        buffer_printf(&rules, "%s %s/none\n%s %s/content\n", patterns[i], directory, patterns[i], directory);
        put("rules", buffer_string(&rules), rules.len);
        struct table *table = open_file(types[i], "rules", TABLE_FILE_VALUES);
        check(table, "::1", "c");
        ck_assert_msg(strstr(warnings, "none: No such file or directory: skipping this rule") != NULL, "%s", warnings);
        table_free(table);
    }
    buffer_release(&rules);
    finish();
}
END_TEST

/* ---- files that are made ---- */

static const char *const made_types[] = {"hash", "btree", "lmdb"};

static void make(const char *type, const char *name, const char *const rows[][2], size_t count, int nul)
{
    struct table_maker_options options = {.mode = 0644};
    char full[200], *why = NULL;

    options.nul = nul == 0 ? MAKER_NUL_DEFAULT : nul < 0 ? MAKER_NUL_WITHOUT : MAKER_NUL_WITH;
    snprintf(full, sizeof(full), "%s:%s/%s", type, directory, name);
    struct table_maker *maker = table_maker_open(slice_of(full), &options, config, &why);
    ck_assert_msg(maker != NULL, "%s: %s", full, why);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(table_maker_add(maker, slice_of(rows[i][0]), slice_of(rows[i][1]), false), MAKER_ADDED);
    ck_assert_msg(table_maker_commit(maker, &why), "%s: %s", full, why);
}

START_TEST(databases)
{
    static const char *const rows[][2] = {{"alice", "one"}, {"bob@example.test", "two words"}, {"a b", "blank"}, {"empty", ""}};

    start();
    for (size_t t = 0; t < COUNT_OF(made_types); t++) {
        for (int nul = -1; nul <= 1; nul++) {
            make(made_types[t], made_types[t], rows, COUNT_OF(rows), nul);
            struct table *table = open_file(made_types[t], made_types[t], TABLE_FOLD);
            check(table, "alice", "one");
            check(table, "ALICE", "one");
            check(table, "Bob@Example.TEST", "two words");
            check(table, "a b", "blank");
            check(table, "empty", "");
            check(table, "alic", NULL);
            check(table, "alicea", NULL);
            check_hostile(table);
            table_free(table);
            table = open_file(made_types[t], made_types[t], TABLE_NO_FOLD);
            check(table, "ALICE", NULL);
            table_free(table);
        }
    }
    finish();
}
END_TEST

START_TEST(databases_replaced_while_open)
{
    static const char *const before[][2] = {{"a", "old"}, {"gone", "x"}}, *const after[][2] = {{"a", "new"}, {"b", "more"}};

    start();
    for (size_t t = 0; t < COUNT_OF(made_types); t++) {
        make(made_types[t], made_types[t], before, COUNT_OF(before), 0);
        struct table *table = open_file(made_types[t], made_types[t], TABLE_FOLD);
        check(table, "a", "old");
        make(made_types[t], made_types[t], after, COUNT_OF(after), 0);
        ck_assert_msg(table_refresh(table), "%s was not read again", made_types[t]);
        check(table, "a", "new");
        check(table, "b", "more");
        check(table, "gone", NULL);
        ck_assert(!table_refresh(table));
        table_free(table);
    }
    finish();
}
END_TEST

START_TEST(broken_databases)
{
    static const struct { const char *type, *file; } rows[] = {{"hash", "bad.db"}, {"btree", "bad.db"}, {"lmdb", "bad.lmdb"}};
    struct buffer value = BUFFER_INIT;
    char garbage[20000];

    start();
    for (size_t i = 0; i < sizeof(garbage); i++)
        garbage[i] = (char)(i * 7 + i / 251);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t size = 0; size <= sizeof(garbage); size += 4000) {
            put(rows[i].file, garbage, size);
            struct table *table = open_file(rows[i].type, "bad", TABLE_FOLD);
            enum table_result found = table_lookup(table, SLICE("a"), &value);
            /* an empty LMDB file is an empty database */
            ck_assert_msg(found == TABLE_TRY_AGAIN || size == 0, "%s, %zu bytes: got %d", rows[i].type, size, (int)found);
            table_free(table);
        }
    }
    buffer_release(&value);
    finish();
}
END_TEST

START_TEST(broken_while_open)
{
    static const char *const rows[][2] = {{"a", "old"}};

    start();
    for (size_t t = 0; t < 2; t++) { /* lmdb maps the file: it is replaced, never written over */
        make(made_types[t], made_types[t], rows, 1, 0);
        struct table *table = open_file(made_types[t], made_types[t], TABLE_FOLD);
        char name[20];
        snprintf(name, sizeof(name), "%s.db", made_types[t]);
        put(name, "garbage", 7);
        ck_assert(!table_refresh(table));
        check(table, "a", "old"); /* better than nothing, and the log says so */
        ck_assert_msg(strstr(warnings, "still using the old content") != NULL, "%s", warnings);
        table_free(table);
    }
    finish();
}
END_TEST

START_TEST(changed_in_place)
{
    struct buffer key = BUFFER_INIT, value = BUFFER_INIT;

    start();
    for (size_t t = 0; t < COUNT_OF(made_types); t++) {
        struct table *table = open_file(made_types[t], made_types[t], TABLE_FOLD | TABLE_WRITE);
        ck_assert_int_eq(table_update(table, SLICE("Key"), SLICE("1")), TABLE_FOUND);
        ck_assert_int_eq(table_update(table, SLICE("other"), SLICE("2")), TABLE_FOUND);
        ck_assert_int_eq(table_update(table, SLICE("key"), SLICE("3")), TABLE_FOUND);
        check(table, "KEY", "3");
        size_t rows = 0;
        for (enum table_result r = table_next(table, true, &key, &value); r == TABLE_FOUND; r = table_next(table, false, &key, &value))
            rows++;
        ck_assert_msg(rows == 2, "%s: %zu rows", made_types[t], rows);
        ck_assert_int_eq(table_delete(table, SLICE("KEY")), TABLE_FOUND);
        ck_assert_int_eq(table_delete(table, SLICE("key")), TABLE_NOT_FOUND);
        check(table, "key", NULL);
        check(table, "other", "2");
        table_free(table);
    }
    buffer_release(&key);
    buffer_release(&value);
    finish();
}
END_TEST

/* ---- text ---- */

START_TEST(texts)
{
    static const char before[] = "# comment\nAlice one\n\"quoted key\"  value\nlong\n  continued\nno_value\n", after[] = "alice new\n";
    struct buffer value = BUFFER_INIT;

    start();
    put("text", before, strlen(before));
    struct table *table = open_file("texthash", "text", TABLE_FOLD);
    check(table, "ALICE", "one");
    check(table, "long", "continued");
    check(table, "no_value", NULL);
    check_hostile(table);
    put("text", after, strlen(after));
    ck_assert(table_refresh(table));
    check(table, "alice", "new");
    check(table, "long", NULL);
    put("text", "a 1\na 2\n", 8); /* duplicates are an error where nobody asked for leniency */
    ck_assert(!table_refresh(table));
    check(table, "alice", "new");
    table_free(table);
    table = open_file("texthash", "text", TABLE_FOLD);
    ck_assert_int_eq(table_lookup(table, SLICE("a"), &value), TABLE_TRY_AGAIN);
    table_free(table);
    table = open_file("texthash", "text", TABLE_FOLD | TABLE_SOURCE_MAY_DUPLICATE);
    ck_assert_int_eq(table_lookup(table, SLICE("a"), &value), TABLE_FOUND);
    ck_assert_msg(strstr(warnings, "duplicate entry: \"a\"") != NULL, "%s", warnings);
    table_free(table);
    buffer_release(&value);
    finish();
}
END_TEST

TEST_MAIN("table/drivers", small_ones, failing_ones, random_choice, expressions, broken_expressions, networks, odd_networks, odd_rules,
          files_named_in_rules, databases, databases_replaced_while_open, broken_databases, broken_while_open, changed_in_place, texts)
