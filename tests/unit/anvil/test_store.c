/* test_store.c - the store: its verbs, its files, what is hostile, broken or not ours */
#include "testing.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../../../smtpd/anvil/cache.h"
#include "../../../smtpd/anvil/keeper.h"
#include "../../../smtpd/anvil/store.h"
#include "base/log.h"
#include "run/run.h"
#include "service/store.h"
#include "table/table.h"

#define SECOND INT64_C(1000000)

static char directory[64];
static char warnings[4096];

static void keep_warning(enum log_severity severity, const char *text, void *context UNUSED)
{
    size_t used = strlen(warnings);

    if (severity != LOG_SEVERITY_INFO)
        snprintf(warnings + used, sizeof(warnings) - used, "%s\n", text);
}

static const char *file(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
    fchmod(fd, 0666);
    close(fd);
}

/* configuration - in a new directory; every cache is in memory but for what is said. */
static struct config *configuration(const char *lines)
{
    char text[2048];

    if (!*directory) {
        snprintf(directory, sizeof(directory), "/tmp/storeXXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(directory));
        ck_assert_int_eq(chmod(directory, 0777), 0);
    }
    snprintf(text, sizeof(text),
             "compatibility_level = 3.6\nmail_owner = nobody\ndata_directory = %s\nmyhostname = test.example\ndefault_cache_db_type = internal\n%s", directory,
             lines);
    write_file(file("main.cf"), text);
    struct config *config = config_load(directory, NULL, NULL);
    ck_assert_ptr_nonnull(config);
    log_set_watcher(keep_warning, NULL);
    return config;
}

static struct arena *memory;

static struct store_reply ask(struct anvil_store *store, int verb, const char *cache, struct slice key, struct slice value, int64_t amount, int64_t lifetime)
{
    struct store_request request = {verb, slice_of(cache), key, value, amount, lifetime};
    struct store_reply reply;

    anvil_store_request(store, &request, memory, &reply);
    return reply;
}

#define ASK(verb, cache, key, value, amount, lifetime) ask(store, verb, cache, slice_of(key), slice_of(value), amount, lifetime)

/* in_loop - open the store before the loop's fibers, as anvil does. */
static void in_loop(const char *lines, void (*body)(void *store))
{
    struct config *config = configuration(lines);
    struct anvil_store *store = anvil_store_open(config);

    memory = arena_new(4096);
    run_main(body, store);
    arena_free(memory);
    config_free(config);
}

/* ---- verbs ---------------------------------------------------------------------------------------------------------- */

static void try_verbs(void *arg)
{
    struct anvil_store *store = arg;
    int64_t now = clock_wall();

    anvil_store_start(store);
    ck_assert_int_eq(ASK(STORE_GET, "verify", "a@x", "", 0, 0).outcome, STORE_OUTCOME_MISSING);
    struct store_reply reply = ASK(STORE_PUT, "verify", "a@x", "fine", 0, 60 * SECOND);
    ck_assert_int_eq(reply.outcome, STORE_OUTCOME_FOUND);
    reply = ASK(STORE_GET, "verify", "a@x", "", 0, 0);
    ck_assert_int_eq(reply.outcome, STORE_OUTCOME_FOUND);
    ASSERT_SLICE(reply.value, "fine");
    ck_assert_int_ge(reply.expires, now + 59 * SECOND);
    ck_assert_int_le(reply.expires, now + 70 * SECOND);
    ck_assert_int_eq(ASK(STORE_GET, "postscreen", "a@x", "", 0, 0).outcome, STORE_OUTCOME_MISSING); /* a cache of its own */
    ck_assert_int_eq(ASK(STORE_DELETE, "verify", "a@x", "", 0, 0).outcome, STORE_OUTCOME_FOUND);
    ck_assert_int_eq(ASK(STORE_DELETE, "verify", "a@x", "", 0, 0).outcome, STORE_OUTCOME_MISSING);
    ck_assert_int_eq(ASK(STORE_GET, "verify", "a@x", "", 0, 0).outcome, STORE_OUTCOME_MISSING);
    /* it ends by itself */
    ASK(STORE_PUT, "verify", "short", "x", 0, SECOND);
    ck_assert_int_eq(ASK(STORE_GET, "verify", "short", "", 0, 0).outcome, STORE_OUTCOME_FOUND);
    fiber_sleep(SECOND + SECOND / 10);
    ck_assert_int_eq(ASK(STORE_GET, "verify", "short", "", 0, 0).outcome, STORE_OUTCOME_MISSING);
    /* no lifetime is no entry */
    ASK(STORE_PUT, "verify", "none", "x", 0, 60 * SECOND);
    ASK(STORE_PUT, "verify", "none", "x", 0, 0);
    ck_assert_int_eq(ASK(STORE_GET, "verify", "none", "", 0, 0).outcome, STORE_OUTCOME_MISSING);
    anvil_store_free(store); /* while there is a loop */
}

static void try_counters(void *arg)
{
    struct anvil_store *store = arg;

    anvil_store_start(store);
    struct store_reply reply = ASK(STORE_ADD, "user_limits", "u", "", 0, 60 * SECOND);
    ck_assert_int_eq(reply.sum, 0);
    ck_assert_int_eq(reply.expires, 0);
    reply = ASK(STORE_ADD, "user_limits", "u", "", 3, 60 * SECOND);
    ck_assert_int_eq(reply.sum, 3);
    int64_t ends = reply.expires;
    reply = ASK(STORE_ADD, "user_limits", "u", "", 4, 6000 * SECOND);
    ck_assert_int_eq(reply.sum, 7);
    ck_assert_int_lt(llabs(reply.expires - ends), 30 * SECOND); /* the window does not move: not to 6000 seconds */
    ck_assert_int_eq(ASK(STORE_ADD, "user_limits", "u", "", -10, SECOND).sum, -3);
    ASSERT_SLICE(ASK(STORE_GET, "user_limits", "u", "", 0, 0).value, "-3");
    /* a text is no counter, and a counter does not overflow */
    ASK(STORE_PUT, "user_limits", "t", "text", 0, SECOND);
    ck_assert_int_eq(ASK(STORE_ADD, "user_limits", "t", "", 1, SECOND).outcome, STORE_OUTCOME_FAILED);
    ASK(STORE_ADD, "user_limits", "big", "", INT64_MAX, SECOND);
    ck_assert_int_eq(ASK(STORE_ADD, "user_limits", "big", "", 1, SECOND).outcome, STORE_OUTCOME_FAILED);
    anvil_store_free(store); /* while there is a loop */
}

START_TEST(verbs)
{
    in_loop("", try_verbs);
    ck_assert_str_eq(warnings, "");
}
END_TEST

START_TEST(counting)
{
    in_loop("", try_counters);
}
END_TEST

static void try_hostile(void *arg)
{
    static char large[STORE_VALUE_MAX + 1];
    struct anvil_store *store = arg;
    struct slice nul = slice_make("a\0b", 3);

    memset(large, 'x', sizeof(large));
    anvil_store_start(store);
    ck_assert_int_eq(ASK(STORE_GET, "unheard", "k", "", 0, 0).outcome, STORE_OUTCOME_FAILED);
    ck_assert_int_eq(ASK(STORE_GET, "", "k", "", 0, 0).outcome, STORE_OUTCOME_FAILED);
    ck_assert_int_eq(ASK(STORE_GET, "verify", "", "", 0, 0).outcome, STORE_OUTCOME_FAILED);
    ck_assert_int_eq(ask(store, STORE_PUT, "verify", nul, SLICE("x"), 0, SECOND).outcome, STORE_OUTCOME_FAILED);
    ck_assert_int_eq(ask(store, STORE_PUT, "verify", SLICE("x"), nul, 0, SECOND).outcome, STORE_OUTCOME_FAILED);
    ck_assert_int_eq(ask(store, STORE_PUT, "verify", slice_make(large, STORE_KEY_MAX + 1), SLICE("x"), 0, SECOND).outcome, STORE_OUTCOME_FAILED);
    ck_assert_int_eq(ask(store, STORE_PUT, "verify", slice_make(large, STORE_KEY_MAX), slice_make(large, STORE_VALUE_MAX), 0, SECOND).outcome,
                     STORE_OUTCOME_FOUND);
    ck_assert_int_eq(ask(store, STORE_PUT, "verify", SLICE("x"), slice_make(large, sizeof(large)), 0, SECOND).outcome, STORE_OUTCOME_FAILED);
    for (int verb = -3; verb < 9; verb++)
        if (verb < STORE_GET || verb > STORE_ADD)
            ck_assert_int_eq(ask(store, verb, "verify", SLICE("k"), SLICE("v"), 1, SECOND).outcome, STORE_OUTCOME_FAILED);
    ck_assert_int_eq(ASK(STORE_PUT, "verify", "k", "v", 0, INT64_MAX).outcome, STORE_OUTCOME_FOUND);
    ck_assert_int_eq(ASK(STORE_PUT, "verify", "k", "v", 0, INT64_MIN).outcome, STORE_OUTCOME_FOUND);
    ck_assert_int_eq(ASK(STORE_ADD, "verify", "k2", "", INT64_MIN, INT64_MAX).outcome, STORE_OUTCOME_MISSING);
    ck_assert_int_eq(ASK(STORE_ADD, "verify", "k2", "", -1, INT64_MAX).outcome, STORE_OUTCOME_FAILED);
    anvil_store_free(store); /* while there is a loop */
}

START_TEST(hostile)
{
    in_loop("", try_hostile);
}
END_TEST

/* ---- memory --------------------------------------------------------------------------------------------------------- */

START_TEST(bounded)
{
    struct cache *cache = cache_new((struct cache_limits){.entries = 100, .bytes = 1 << 20});
    size_t kept = 0, dropped = 0;
    struct slice value;
    int64_t expires;
    char key[32];

    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "key%d", i);
        cache_put(cache, slice_of(key), SLICE("v"), i < 950 ? 100 : 50);
        cache_put(cache, SLICE("often"), SLICE("v"), 100);
    }
    ck_assert_uint_eq(cache_count(cache), 100);
    ck_assert(cache_get(cache, SLICE("key999"), 0, &value, &expires));
    ck_assert(cache_get(cache, SLICE("often"), 0, &value, &expires));
    ck_assert(!cache_get(cache, SLICE("key1"), 0, &value, &expires));
    while (cache_clean(cache, 60, 7, &kept, &dropped))
        ;
    ck_assert_uint_eq(dropped, 50);
    ck_assert_uint_eq(kept, 50);
    cache_free(cache);
}
END_TEST

START_TEST(all_again)
{
    struct cache *cache = cache_new((struct cache_limits){.entries = 10, .bytes = 1 << 20});
    struct buffer changes = BUFFER_INIT;
    struct cache_change change;

    cache_track(cache);
    cache_load(cache, SLICE("of the file"), SLICE("1"), INT64_MAX);
    cache_put(cache, SLICE("told"), SLICE("2"), INT64_MAX);
    ck_assert(!cache_take_changes(cache, 1000, &changes));
    cache_put(cache, SLICE("waits"), SLICE("3"), INT64_MAX);
    cache_change_all(cache);
    buffer_clear(&changes);
    ck_assert(!cache_take_changes(cache, 1000, &changes));
    struct slice rest = buffer_slice(&changes);
    for (const char *value = "123"; *value; value++) {
        ck_assert(cache_change_next(&rest, &change));
        ck_assert(change.value.len == 1 && change.value.data[0] == *value && !change.is_delete);
    }
    ck_assert_uint_eq(rest.len, 0);
    buffer_release(&changes);
    cache_free(cache);
}
END_TEST

START_TEST(broken_changes)
{
    struct buffer changes = BUFFER_INIT;
    struct cache_change change;

    cache_change_put(&changes, &(struct cache_change){.key = SLICE("key"), .value = SLICE("value"), .expires = 5});
    cache_change_put(&changes, &(struct cache_change){.is_delete = true, .key = SLICE("other")});
    for (size_t cut = 0; cut <= changes.len; cut++) {
        char *copy = memory_copy(changes.data, cut ? cut : 1); /* so that reading beyond is found */
        struct slice rest = slice_make(copy, cut);
        int count = 0;
        while (cache_change_next(&rest, &change))
            count++;
        ck_assert_int_eq(count, cut == changes.len ? 2 : cut >= changes.len - 16 + 0 && cut >= 19 ? 1 : 0);
        free(copy);
    }
    buffer_release(&changes);
}
END_TEST

START_TEST(records)
{
    struct buffer text = BUFFER_INIT;
    struct slice value;
    int64_t expires;

    keeper_format(&text, 12345, SLICE("a:b"));
    ck_assert(keeper_parse(buffer_slice(&text), &expires, &value));
    ck_assert_int_eq(expires, 12345);
    ASSERT_SLICE(value, "a:b");
    static const char *const foreign[] = {"", "p1:", "p1:x:y", "p1:5", "0:1603456:1603456:250 2.1.5 Ok", "1603456;0;0;0;0", "p1:99999999999999999999:x"};
    for (size_t i = 0; i < COUNT_OF(foreign); i++)
        ck_assert_msg(!keeper_parse(slice_of(foreign[i]), &expires, &value), "%s", foreign[i]);
    buffer_release(&text);
}
END_TEST

/* ---- files ---------------------------------------------------------------------------------------------------------- */

static const char *const places[] = {
    "address_verify_map = btree:$data_directory/v\n",
    "address_verify_map = proxy:hash:$data_directory/v\n",
    "address_verify_map = lmdb:$data_directory/v\n",
};

static void write_some(void *arg)
{
    struct anvil_store *store = arg;
    char key[32];

    anvil_store_start(store);
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof(key), "key%d@example.com", i);
        ASK(STORE_PUT, "verify", key, key, 0, 600 * SECOND);
    }
    ASK(STORE_PUT, "verify", "ends soon", "x", 0, SECOND / 100);
    ASK(STORE_ADD, "verify", "count", "", 5, 600 * SECOND);
    ck_assert(anvil_store_flush(store, clock_after(20 * SECOND)));
    ASK(STORE_DELETE, "verify", "key7@example.com", "", 0, 0);
    ck_assert(anvil_store_flush(store, clock_after(20 * SECOND)));
    anvil_store_free(store); /* while there is a loop */
}

static void read_some(void *arg)
{
    struct anvil_store *store = arg;

    anvil_store_start(store);
    fiber_sleep(SECOND / 20); /* for what ends soon */
    ASSERT_SLICE(ASK(STORE_GET, "verify", "key0@example.com", "", 0, 0).value, "key0@example.com");
    ASSERT_SLICE(ASK(STORE_GET, "verify", "key2999@example.com", "", 0, 0).value, "key2999@example.com");
    ck_assert_int_eq(ASK(STORE_GET, "verify", "key7@example.com", "", 0, 0).outcome, STORE_OUTCOME_MISSING);
    ck_assert_int_eq(ASK(STORE_GET, "verify", "ends soon", "", 0, 0).outcome, STORE_OUTCOME_MISSING);
    ck_assert_int_eq(ASK(STORE_ADD, "verify", "count", "", 1, SECOND).sum, 6);
    anvil_store_free(store); /* while there is a loop */
}

START_TEST(files)
{
    in_loop(places[_i], write_some);
    in_loop(places[_i], read_some);
    ck_assert_str_eq(warnings, "");
}
END_TEST

static void look_foreign(void *arg)
{
    struct anvil_store *store = arg;

    anvil_store_start(store);
    ck_assert_int_eq(ASK(STORE_GET, "verify", "someone@example.com", "", 0, 0).outcome, STORE_OUTCOME_MISSING);
    ASK(STORE_PUT, "verify", "ours", "x", 0, 600 * SECOND);
    ck_assert(anvil_store_flush(store, clock_after(20 * SECOND)));
    anvil_store_free(store); /* while there is a loop */
}

START_TEST(foreign)
{
    struct config *config = configuration("");
    char name[128];

    snprintf(name, sizeof(name), "btree:%s/v", directory);
    struct table *table = table_open(slice_of(name), TABLE_WRITE, config);
    ck_assert_int_eq(table_update(table, SLICE("someone@example.com"), SLICE("0:1603456:1603456:250 2.1.5 Ok")), TABLE_FOUND);
    table_free(table);
    ck_assert_int_eq(chmod(file("v.db"), 0666), 0);
    config_free(config);
    in_loop(places[0], look_foreign);
    config = configuration("");
    table = table_open(slice_of(name), 0, config);
    struct buffer value = BUFFER_INIT;
    for (int i = 0; i < 100 && table_lookup(table, SLICE("ours"), &value) != TABLE_FOUND; i++)
        usleep(20000); /* the keeper ends by itself */
    ck_assert(slice_ends(buffer_slice(&value), SLICE(":x")));
    ck_assert_int_eq(table_lookup(table, SLICE("someone@example.com"), &value), TABLE_NOT_FOUND);
    table_free(table);
    buffer_release(&value);
    config_free(config);
    ck_assert_str_eq(warnings, "");
}
END_TEST

START_TEST(damaged)
{
    config_free(configuration(""));
    write_file(file("v.db"), "this is no database, whatever its name says; it is long enough to be looked at as if it had pages, or is it?\n");
    in_loop(places[0], write_some);
    ck_assert_ptr_nonnull(strstr(warnings, "v.db.damaged"));
    in_loop(places[0], read_some);
}
END_TEST

static void no_file(void *arg)
{
    struct anvil_store *store = arg;

    anvil_store_start(store);
    ASK(STORE_PUT, "verify", "a", "x", 0, 600 * SECOND);
    ck_assert_int_eq(ASK(STORE_GET, "verify", "a", "", 0, 0).outcome, STORE_OUTCOME_FOUND);
    ck_assert(anvil_store_flush(store, clock_after(20 * SECOND)));
    anvil_store_free(store); /* while there is a loop */
}

START_TEST(unopenable)
{
    in_loop("address_verify_map = btree:$data_directory/no/such/folder/v\n", no_file);
    ck_assert_ptr_nonnull(strstr(warnings, "going on in memory only"));
    *warnings = '\0';
    in_loop("address_verify_map = memcache:/etc/postfix/memcache.cf\n", no_file);
    ck_assert_ptr_nonnull(strstr(warnings, "address_verify_map: \"memcache:/etc/postfix/memcache.cf\" is no place for a cache"));
    *warnings = '\0';
    in_loop("address_verify_map = btree:$data_directory/v\npostscreen_cache_map = btree:$data_directory/v\n", no_file);
    ck_assert_ptr_nonnull(strstr(warnings, "is in use by address_verify_map"));
}
END_TEST

/* ---- Redis ---------------------------------------------------------------------------------------------------------- */

static pid_t start_redis(void)
{
    char socket[128], definition[256];

    snprintf(socket, sizeof(socket), "%s/redis", directory);
    snprintf(definition, sizeof(definition), "hosts = unix:%s\ntimeout = 2\nretry_interval = 1\n", socket);
    write_file(file("redis.cf"), definition);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", socket, "--unixsocketperm", "777", "--save", "", "--dir", directory, NULL);
        _exit(127);
    }
    for (int i = 0; i < 250 && access(socket, F_OK) < 0 && waitpid(pid, NULL, WNOHANG) == 0; i++)
        usleep(20000);
    return access(socket, F_OK) == 0 ? pid : -1;
}

static void try_shared_counters(void *arg)
{
    struct anvil_store *store = arg;
    struct anvil_reply sums;

    anvil_store_start(store);
    ck_assert(anvil_store_shares_counters(store));
    ck_assert(anvil_store_count(store, SLICE("smtp:192.0.2.1"), "connection", 1, SECOND, memory, &sums));
    ck_assert_int_eq(sums.rate, 1);
    ck_assert_int_eq(sums.connections, 1);
    ck_assert(anvil_store_count(store, SLICE("smtp:192.0.2.1"), "connection", 2, SECOND, memory, &sums));
    ck_assert_int_eq(sums.rate, 2);
    ck_assert_int_eq(sums.connections, 2); /* of this machine: 2 in place of 1 */
    ck_assert(anvil_store_count(store, SLICE("smtp:192.0.2.1"), "message", 2, SECOND, memory, &sums));
    ck_assert_int_eq(sums.rate, 1);
    fiber_sleep(SECOND + SECOND / 3);
    ck_assert(anvil_store_count(store, SLICE("smtp:192.0.2.1"), "connection", 0, SECOND, memory, &sums));
    ck_assert_int_eq(sums.rate, 1);
    ck_assert_int_eq(sums.connections, 0);
    anvil_store_free(store); /* while there is a loop */
}

static pid_t redis_pid;

static void try_lost(void *arg)
{
    struct anvil_store *store = arg;

    anvil_store_start(store);
    ck_assert_int_eq(ASK(STORE_PUT, "verify", "a", "x", 0, 60 * SECOND).outcome, STORE_OUTCOME_FOUND);
    kill(redis_pid, SIGKILL);
    waitpid(redis_pid, NULL, 0);
    ck_assert_int_eq(ASK(STORE_GET, "verify", "a", "", 0, 0).outcome, STORE_OUTCOME_FAILED);
    ck_assert_int_eq(ASK(STORE_ADD, "verify", "b", "", 1, SECOND).outcome, STORE_OUTCOME_FAILED);
    anvil_store_free(store); /* while there is a loop */
}

START_TEST(in_redis)
{
    static const char where[] = "address_verify_map = redis:$data_directory/redis.cf\n"
                                "smtpd_user_limit_cache_map = redis:$data_directory/redis.cf\nanvil_counter_map = redis:$data_directory/redis.cf\n";

    config_free(configuration(""));
    redis_pid = start_redis();
    if (redis_pid < 0) {
        fprintf(stderr, "no redis-server: not tested\n");
        return;
    }
    in_loop(where, try_verbs);
    ck_assert_str_eq(warnings, "");
    in_loop(where, try_counters);
    *warnings = '\0';
    in_loop(where, try_shared_counters);
    ck_assert_str_eq(warnings, "");
    in_loop(where, try_lost);
    ck_assert_ptr_nonnull(strstr(warnings, "connect to redis server"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("anvil/store");
    TCase *tcase = tcase_create("anvil/store");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, verbs);
    tcase_add_test(tcase, counting);
    tcase_add_test(tcase, hostile);
    tcase_add_test(tcase, bounded);
    tcase_add_test(tcase, broken_changes);
    tcase_add_test(tcase, all_again);
    tcase_add_test(tcase, records);
    tcase_add_loop_test(tcase, files, 0, COUNT_OF(places));
    tcase_add_test(tcase, foreign);
    tcase_add_test(tcase, damaged);
    tcase_add_test(tcase, unopenable);
    tcase_add_test(tcase, in_redis);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
