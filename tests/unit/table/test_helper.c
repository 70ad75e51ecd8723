/* test_helper.c - lookups that may block are done by other processes */
#include <signal.h>

#include "testing.h"

#include "run/run.h"
#include "table/helper.h"

static enum table_result fake_lookup(struct table *table, struct slice key, struct buffer *value)
{
    if (slice_equal(key, SLICE("missing")))
        return TABLE_NOT_FOUND;
    if (slice_equal(key, SLICE("slow")))
        usleep(300000);
    if (slice_equal(key, SLICE("crash")))
        kill(getpid(), SIGKILL);
    if (slice_equal(key, SLICE("fail"))) {
        log_warning("the server said no");
        table->config_error = true;
        return table_fail(table, "no");
    }
    if (slice_equal(key, SLICE("huge"))) {
        char *room = buffer_reserve(value, HELPER_TEXT_MAX + 1);
        memset(room, 'x', HELPER_TEXT_MAX + 1);
        buffer_commit(value, HELPER_TEXT_MAX + 1);
        return TABLE_FOUND;
    }
    buffer_printf(value, "%d:%s", (int)getpid(), key.data);
    return TABLE_FOUND;
}

static void fake_close(void *state UNUSED) {}

static const struct table_driver fake = {.type = "fake", .kind = DRIVER_AS_IS | DRIVER_BLOCKS, .lookup = fake_lookup, .close = fake_close};

static struct table *a_table(void)
{
    struct table *table = memory_zalloc(1, sizeof(*table));
    list_init(&table->link);
    table->driver = &fake;
    table->name = memory_string("fake:x");
    table->argument = table->name + 5;
    table->fd = table->source_fd = -1;
    helper_register(table);
    return table;
}

static struct buffer logged;

static void watch(enum log_severity severity UNUSED, const char *text, void *context UNUSED)
{
    buffer_printf(&logged, "%s\n", text);
}

static struct table *table;
static unsigned answered;
static int64_t started;

static enum table_result ask(const char *key, struct buffer *value)
{
    return table_lookup(table, slice_of(key), value);
}

static void one_slow(void *arg UNUSED)
{
    struct buffer value = BUFFER_INIT;
    ck_assert_int_eq(ask("slow", &value), TABLE_FOUND);
    buffer_release(&value);
    answered++;
}

static void results(void *arg UNUSED)
{
    struct buffer value = BUFFER_INIT, own = BUFFER_INIT;
    tables_start_helper(getuid(), getgid());
    ck_assert_int_eq(ask("Key", &value), TABLE_FOUND);
    ck_assert_str_eq(strchr(buffer_string(&value), ':'), ":Key");
    buffer_printf(&own, "%d:Key", (int)getpid());
    ck_assert_str_ne(buffer_string(&value), buffer_string(&own)); /* another process */
    ck_assert_int_eq(ask("missing", &value), TABLE_NOT_FOUND);
    ck_assert_int_eq(ask("fail", &value), TABLE_TRY_AGAIN);
    ck_assert(table_is_misconfigured(table));
    ck_assert_str_eq(table_why(table), "no");
    ck_assert_str_eq(buffer_string(&logged), "warning: the server said no\n");
    ck_assert_int_eq(ask("huge", &value), TABLE_TRY_AGAIN);
    ck_assert_str_eq(table_why(table), "the result is too long");
    buffer_release(&value);
    buffer_release(&own);
}

START_TEST(test_results)
{
    table = a_table();
    log_set_watcher(watch, NULL);
    run_main(results, NULL);
    table_free(table);
}
END_TEST

static void together(void *arg UNUSED)
{
    struct buffer value = BUFFER_INIT;
    tables_start_helper(getuid(), getgid());
    ck_assert_int_eq(ask("first", &value), TABLE_FOUND);
    started = clock_monotonic();
    for (int i = 0; i < 8; i++)
        fiber_start("slow", one_slow, NULL);
    while (answered < 8)
        fiber_sleep(10000);
    /* One after the other they take 2.4 s. */
    ck_assert_int_lt(clock_monotonic() - started, 1500000);
    buffer_release(&value);
}

START_TEST(test_slow_ones_wait_together)
{
    table = a_table();
    run_main(together, NULL);
    table_free(table);
}
END_TEST

static void crashes(void *arg UNUSED)
{
    struct buffer value = BUFFER_INIT;
    tables_start_helper(getuid(), getgid());
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(ask("crash", &value), TABLE_TRY_AGAIN);
        ck_assert_str_eq(table_why(table), "the process that looks up died");
        ck_assert_int_eq(ask("after", &value), TABLE_FOUND);
    }
    ck_assert(!tables_outdated());
    buffer_release(&value);
}

START_TEST(test_crash_costs_one_lookup)
{
    table = a_table();
    log_set_watcher(watch, NULL);
    run_main(crashes, NULL);
    ck_assert_ptr_nonnull(strstr(buffer_string(&logged), "died (signal 9)"));
    table_free(table);
}
END_TEST

static void too_late(void *arg UNUSED)
{
    struct buffer value = BUFFER_INIT;
    struct table *late;
    tables_start_helper(getuid(), getgid());
    late = a_table();
    ck_assert_int_eq(table_lookup(late, SLICE("x"), &value), TABLE_TRY_AGAIN);
    /* Reload in place: the next helper knows it. */
    tables_start_helper(getuid(), getgid());
    ck_assert_int_eq(table_lookup(late, SLICE("x"), &value), TABLE_FOUND);
    ck_assert_int_eq(ask("x", &value), TABLE_FOUND);
    table_free(late);
    buffer_release(&value);
}

START_TEST(test_reload)
{
    table = a_table();
    run_main(too_late, NULL);
    table_free(table);
}
END_TEST

static void command(void *arg UNUSED)
{
    struct buffer value = BUFFER_INIT;
    ck_assert_int_eq(ask("x", &value), TABLE_FOUND);
    ck_assert_int_eq(ask("slow", &value), TABLE_FOUND);
    buffer_release(&value);
}

START_TEST(test_commands_have_no_helper)
{
    table = a_table();
    run_main(command, NULL);
    table_free(table);
}
END_TEST

TEST_MAIN("table/helper", test_results, test_slow_ones_wait_together, test_crash_costs_one_lookup, test_reload, test_commands_have_no_helper)
