/* test_query.c - templates, definitions and hosts of tables of servers (compat.md c.1) */
#include <fcntl.h>

#include "testing.h"

#include "table/client.h"

static char directory[64] = "/tmp/test-query-XXXXXX";

/* a_table - as table_open makes it, of a definition with this text. */
static struct table *a_table(const char *text)
{
    static const struct table_driver driver = {.type = "test", .kind = DRIVER_AS_IS};
    struct table *table = memory_zalloc(1, sizeof(*table));
    char path[128];
    if (directory[strlen(directory) - 1] == 'X')
        ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/x.cf", directory);
    (void)mkdir(directory, 0700);
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
    table->fd = table->source_fd = -1;
    table->driver = &driver;
    table->name = memory_zalloc(1, 200);
    snprintf(table->name, 200, "test:%s", path);
    table->argument = table->name + strlen("test:");
    return table;
}

static void drop(struct table *table)
{
    unlink(table->argument);
    rmdir(directory);
    close(table->fd);
    free(table->path);
    free(table->name);
    buffer_release(&table->why);
    free(table);
}

static void double_quote(void *context, struct slice text, struct buffer *out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\'')
            buffer_append_byte(out, '\'');
        buffer_append_byte(out, text.data[i]);
    }
}

START_TEST(test_templates)
{
    static const struct { const char *template, *key, *want; } cases[] = {
        {"k='%s'", "user@mail.example.com", "k='user@mail.example.com'"},
        {"%u|%d", "user@mail.example.com", "user|mail.example.com"},
        {"%S|%U|%D", "user@mail.example.com", "user@mail.example.com|user|mail.example.com"},
        {"%1.%2.%3", "user@mail.example.com", "com.example.mail"},
        {"%u", "bare", "bare"},
        {"%d", "bare", NULL},
        {"%1", "bare", NULL},
        {"%u", "@example.com", NULL},
        {"%d", "@example.com", "example.com"},
        {"%3", "user@example.com", NULL},
        {"%2", "user@example.com", "example"},
        {"100%% '%s'", "o'hara", "100% 'o''hara'"},
        {"%u", "o'hara@x.test", "o''hara"},
        {"%d", "a@b@c.test", "c.test"},
        {"%u", "a@b@c.test", "a@b"},
        {"no parts", "x", "no parts"},
        {"end %", "x", "end %"},
        {"%s", "a%sb", "a%sb"},
        {"%1", "user@.", NULL},
        {"%1", "user@x..", NULL},
        {"%d", "user@", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer out = BUFFER_INIT;
        bool found = query_expand(cases[i].template, slice_of(cases[i].key), double_quote, NULL, &out);
        ck_assert_msg(found == (cases[i].want != NULL) && (!found || strcmp(buffer_string(&out), cases[i].want) == 0),
                      "%s of %s: got \"%s\" want \"%s\"", cases[i].template, cases[i].key, found ? buffer_string(&out) : "nothing",
                      cases[i].want ? cases[i].want : "nothing");
        buffer_release(&out);
    }
}
END_TEST

START_TEST(test_results)
{
    static const struct { const char *format, *elements[4], *want; } cases[] = {
        {"%s", {"a", "b"}, "a,b"},
        {"smtp:[%s]", {"h1", "h2"}, "smtp:[h1],smtp:[h2]"},
        {"%u at %d", {"x@y.test", "bare"}, "x at y.test"}, /* what has no domain is left out */
        {"%s=%U@%D/%1", {"v"}, "v=key@k.example/example"},
        {"%s", {"", "b"}, "b"},
        {"%%%s", {"v"}, "%v"},
        {"OK", {"anything"}, "OK"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct table *table = a_table("");
        struct query query = {.template = "%s", .result_format = cases[i].format};
        struct buffer value = BUFFER_INIT;
        int64_t count = 0;
        for (size_t e = 0; e < 4 && cases[i].elements[e]; e++)
            ck_assert(query_add_result(&query, table, SLICE("key@k.example"), slice_of(cases[i].elements[e]), &count, &value));
        ck_assert_str_eq(buffer_string(&value), cases[i].want);
        buffer_release(&value);
        drop(table);
    }
}
END_TEST

START_TEST(test_expansion_limit)
{
    struct table *table = a_table("expansion_limit = 2\nquery = x\n");
    struct client_settings *settings = client_settings_open(table);
    struct query query = {.template = "%s"};
    struct buffer value = BUFFER_INIT;
    int64_t count = 0;
    query_open(&query, table, settings, "%s");
    ck_assert(query_add_result(&query, table, SLICE("k"), SLICE("1"), &count, &value));
    ck_assert(query_add_result(&query, table, SLICE("k"), SLICE(""), &count, &value)); /* nothing does not count */
    ck_assert(query_add_result(&query, table, SLICE("k"), SLICE("2"), &count, &value));
    ck_assert(!query_add_result(&query, table, SLICE("k"), SLICE("3"), &count, &value));
    ck_assert(table->config_error);
    buffer_release(&value);
    query_release(&query);
    client_settings_free(settings);
    drop(table);
}
END_TEST

START_TEST(test_domains)
{
    static const struct { const char *key; enum table_result want; } cases[] = {
        {"user@a.test", TABLE_FOUND}, {"user@A.TEST", TABLE_FOUND},   {"user@b.test", TABLE_NOT_FOUND}, {"user@sub.a.test", TABLE_NOT_FOUND},
        {"user", TABLE_NOT_FOUND},    {"@a.test", TABLE_NOT_FOUND},   {"a.test", TABLE_NOT_FOUND},      {"user@", TABLE_NOT_FOUND},
        {"", TABLE_NOT_FOUND},
    };
    struct config *config = config_empty();
    struct table *table = a_table("domain = a.test, c.test\n");
    table->config = config;
    struct client_settings *settings = client_settings_open(table);
    struct query query = {.template = "%s"};
    query_open(&query, table, settings, "%s");
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        ck_assert_msg(query_wanted(&query, table, slice_of(cases[i].key)) == cases[i].want, "%s", cases[i].key);
    query_release(&query);
    client_settings_free(settings);
    drop(table);
    config_free(config);
}
END_TEST

START_TEST(test_settings)
{
    struct table *table = a_table("# a comment\nhosts = one\n two\nnumber = 12\nflag = yes\npause = 2m\nempty =\ndollar = $x\n"
                                  "table = aliases\nselect_field = goto\nwhere_field = address\n");
    struct client_settings *settings = client_settings_open(table);
    ck_assert_str_eq(client_string(settings, "hosts", ""), "one two");
    ck_assert_str_eq(client_string(settings, "dollar", ""), "$x");
    ck_assert_str_eq(client_string(settings, "missing", "standard"), "standard");
    ck_assert_str_eq(client_string(settings, "empty", "standard"), "");
    ck_assert_int_eq(client_number(settings, "number", 1, 0, 100), 12);
    ck_assert(client_bool(settings, "flag", false));
    ck_assert_int_eq(client_time(settings, "pause", 1), 120 * MICROSECONDS);
    ck_assert_int_eq(client_time(settings, "missing", 3), 3 * MICROSECONDS);
    struct query query = {0};
    query_sql(&query, settings, false);
    ck_assert_str_eq(query.template, "SELECT goto FROM aliases WHERE address = '%s' ");
    query_release(&query);
    ck_assert(client_settings_good(settings, table));
    (void)client_number(settings, "number", 1, 0, 10);
    ck_assert(!client_settings_good(settings, table));
    client_settings_free(settings);
    drop(table);
}
END_TEST

START_TEST(test_settings_of_main_cf)
{
    struct config *config = config_empty();
    ck_assert(config_parse(config, SLICE("who = me\nold_user = $who\nold_hosts = a b\n"), "main.cf"));
    struct table *table = a_table("");
    char *argument = memory_string("old");
    table->config = config;
    const char *kept = table->argument;
    table->argument = argument;
    struct client_settings *settings = client_settings_open(table);
    ck_assert_str_eq(client_string(settings, "user", ""), "me");
    ck_assert_str_eq(client_string(settings, "hosts", ""), "a b");
    ck_assert_str_eq(client_string(settings, "dbname", "none"), "none");
    client_settings_free(settings);
    table->argument = kept;
    free(argument);
    drop(table);
    config_free(config);
}
END_TEST

static void no_close(void *connection UNUSED) {}

START_TEST(test_hosts)
{
    struct table *table = a_table("hosts = inet:one unix:/two three\nretry_interval = 1h\n");
    struct client_settings *settings = client_settings_open(table);
    struct hosts hosts = {0};
    int connection;
    hosts_open(&hosts, settings, "localhost", no_close);
    ck_assert_uint_eq(hosts.count, 3);
    struct host *first = hosts_next(&hosts);
    ck_assert_str_eq(first->name, "/two"); /* local before others */
    hosts_down(&hosts, first);
    struct host *second = hosts_next(&hosts);
    ck_assert_ptr_ne(second, first);
    second->connection = &connection;
    for (int i = 0; i < 20; i++)
        ck_assert_ptr_eq(hosts_next(&hosts), second); /* connected before others */
    hosts_down(&hosts, second);
    struct host *third = hosts_next(&hosts);
    ck_assert(third && third != first && third != second);
    hosts_down(&hosts, third);
    ck_assert_ptr_null(hosts_next(&hosts));
    hosts_release(&hosts);
    client_settings_free(settings);
    drop(table);
}
END_TEST

TEST_MAIN("table/query", test_templates, test_results, test_expansion_limit, test_domains, test_settings, test_settings_of_main_cf, test_hosts)
