/* test_lane_pool.c - stubs that ask, against a service that comes, goes and dies over questions */
#include "testing.h"

#include "base/log.h"
#include "ipc/lane_pool.h"
#include "lane_service.h"

static char directory[] = "/tmp/postern-test-XXXXXX";
static char path[64];
static unsigned lanes, questions, deaths; /* deaths: so many questions are its end */
static char warnings[1000];

static void keep_warning(enum log_severity severity UNUSED, const char *text, void *context UNUSED)
{
    size_t used = strlen(warnings);

    snprintf(warnings + used, sizeof(warnings) - used, "%s\n", text);
}

static void serve_lane(void *arg)
{
    struct arena *mine = arena_new(0);
    struct lane *lane = lane_accept(arg, clock_after(MICROSECONDS));
    struct store_reply reply = {.sum = 42};
    void *value;

    lanes++;
    while (lane && !stopping) {
        int type = lane_receive(lane, mine, &value, clock_after(5000));
        if (type == 0)
            continue;
        questions += type > 0;
        if (type < 0 || (deaths > 0 && deaths--))
            break;
        lane_send(lane, MESSAGE_store_reply, &reply, -1);
        lane_flush(lane, clock_after(MICROSECONDS));
        arena_reset(mine);
    }
    lane_free(lane);
    arena_free(mine);
}

static bool ask(struct lane_pool *pool, int tries)
{
    struct arena *arena = arena_new(256);
    struct store_request request = {.verb = 1, .cache = SLICE("verify"), .key = SLICE("a")};
    struct lane_question question = {MESSAGE_store_request, &request, MESSAGE_store_reply, clock_after(5 * MICROSECONDS), tries, "it"};
    const struct store_reply *reply = lane_pool_ask(pool, &question, arena);
    bool answered = reply && reply->sum == 42;

    arena_free(arena);
    return answered;
}

static void test_main(void *arg)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/service", directory);
    log_set_watcher(keep_warning, NULL);
    struct lane_pool *pool =
        lane_pool_new(&(struct lane_pool_settings){.path = path, .lanes = 2, .kept = 1, .pause = MICROSECONDS / 10, .loss = "going on without "});
    ((void (*)(struct lane_pool *))(*(void **)arg))(pool);
    lane_pool_free(pool);
    service_end(path);
    rmdir(directory);
}

static void run_with(void (*test)(struct lane_pool *pool))
{
    void *pointer = (void *)test;

    run_main(test_main, &pointer);
}

static void one_by_one(struct lane_pool *pool)
{
    service_start(path);
    for (int i = 0; i < 5; i++)
        ck_assert(ask(pool, 1));
    ck_assert_uint_eq(lanes, 1);
    lane_pool_connect(pool, clock_after(MICROSECONDS));
    ck_assert_uint_eq(lanes, 1);
    ck_assert_str_eq(warnings, "");
}

START_TEST(lane_is_kept)
{
    run_with(one_by_one);
}
END_TEST

/* busy_caller - the pause is over when it is over, however often somebody asked meanwhile. */
static void busy_caller(struct lane_pool *pool)
{
    int64_t deadline = clock_after(3 * MICROSECONDS);
    bool answered = false;

    ck_assert(!ask(pool, 1));
    ck_assert_msg(strstr(warnings, "service: No such file or directory: going on without it\n") != NULL, "got \"%s\"", warnings);
    service_start(path);
    ck_assert(!ask(pool, 1));
    while (!answered && clock_monotonic() < deadline) {
        fiber_sleep(MICROSECONDS / 100);
        answered = ask(pool, 1);
    }
    ck_assert_msg(answered, "a pause of a tenth of a second did not end in three seconds");
    ck_assert_ptr_null(strchr(strchr(warnings, '\n') + 1, '\n'));
}

START_TEST(pause_ends_under_load)
{
    run_with(busy_caller);
}
END_TEST

static void ask_the_dying(struct lane_pool *pool)
{
    service_start(path);
    deaths = 1;
    ck_assert(ask(pool, 2));
    ck_assert_uint_eq(questions, 2);
    deaths = 1;
    ck_assert(!ask(pool, 1));
    ck_assert_uint_eq(questions, 3);
    ck_assert_msg(strstr(warnings, "service: no answer: going on without it\n") != NULL, "got \"%s\"", warnings);
}

START_TEST(death_over_a_question)
{
    run_with(ask_the_dying);
}
END_TEST

TEST_MAIN("ipc/lane_pool", lane_is_kept, pause_ends_under_load, death_over_a_question)
