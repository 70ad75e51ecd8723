/* postsuper while the system is down: on a queue with messages of all kinds */
#include "../queue/queue_testing.h"

#include "../../../tools/postsuper/postsuper.h"
#include "base/log.h"
#include "queue/maildrop_summary.h"
#include "queue/segment_search.h"
#include "queue/store.h"

const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libdb-5.3";
}

enum { DEFERRED = 10, HELD = 5, NEW = 3, ALL_QUEUES = QUEUE_HOLD | QUEUE_INCOMING | QUEUE_ACTIVE | QUEUE_DEFERRED };

static struct config *config;
static struct queue_place places[DEFERRED + HELD + NEW];
static unsigned changed;

static void on_changed(const struct action *action UNUSED, struct slice queue_id UNUSED)
{
    changed++;
}

/* main.c is not linked in. */
void action_add(struct action *action, struct slice id)
{
    action->ids = memory_resize(action->ids, (action->count + 1) * sizeof(*action->ids));
    action->ids[action->count++] = id;
}

static void nothing(void *context UNUSED, const struct queue_record *record UNUSED) {}

static void defer(struct index *index, unsigned number, enum index_queue queue)
{
    struct test_message message;
    make_message(&message, number, 1);
    struct index_recipient to = {.address = message.recipients[0].address, .reason = SLICE("busy")};
    struct index_entry entry = {.queue_id = message.envelope.queue_id, .queue = queue, .place = places[number], .arrival_time = 1,
                                .next_attempt = 5, .sender = message.envelope.sender, .destination = SLICE("smtp:x"), .recipients = &to,
                                .recipient_count = 1};
    ck_assert_int_eq(index_put(index, &entry), 1);
}

/* make_queue - 0..9 deferred, 10..14 held, 15..17 known to nobody yet. */
static void make_queue(void)
{
    static const struct store_events events = {nothing, NULL};
    char path[100], *why;
    struct segment_writer *writer = open_writer_sized(5000, 256 << 10);
    for (unsigned i = 0; i < COUNT_OF(places); i++)
        ck_assert_int_eq(append_message(writer, i, 1, 500, &places[i]), 0);
    segment_writer_close(writer);
    struct store *store = store_open(spool, &events, NULL, &why);
    store_recover(store);
    for (unsigned i = 0; i < DEFERRED + HELD; i++) {
        defer(store_index(store), i, i < DEFERRED ? INDEX_DEFERRED : INDEX_HOLD);
        if (i >= DEFERRED)
            store_mark_state(store, &places[i], MESSAGE_STATE_HELD);
    }
    store_close(store);
    snprintf(path, sizeof(path), "%s/maildrop", spool);
    mkdir(path, 0700);
    ck_assert_int_eq(chdir(spool), 0);
    snprintf(path, sizeof(path), "%s/main.cf", spool);
    FILE *file = fopen(path, "w");
    fprintf(file, "queue_directory = %s\nmail_owner = nobody-like-that\n", spool);
    fclose(file);
    config = config_load(spool, NULL, NULL);
    ck_assert_ptr_nonnull(config);
}

static uint64_t perform(int verb, bool all, int queues, const char *id)
{
    struct action action = {.verb = verb, .all = all};
    struct outcome outcome = {.changed = on_changed};
    struct offline *offline = offline_open(config);
    changed = 0;
    if (id)
        action_add(&action, slice_of(id));
    offline_do(offline, &action, queues, &outcome);
    offline_close(offline);
    free(action.ids);
    return outcome.count;
}

static struct { uint64_t deferred, held, found; } counts;

static void count_found(void *context UNUSED, const struct queue_record *record UNUSED)
{
    counts.found++;
}

static void look(void)
{
    static const struct store_events events = {count_found, NULL};
    char *why;
    counts.found = 0;
    struct store *store = store_open(spool, &events, NULL, &why);
    store_recover(store);
    counts.deferred = index_count(store_index(store), INDEX_DEFERRED);
    counts.held = index_count(store_index(store), INDEX_HOLD);
    store_close(store);
}

static void expect(uint64_t deferred, uint64_t held, uint64_t found)
{
    look();
    ck_assert_uint_eq(counts.deferred, deferred);
    ck_assert_uint_eq(counts.held, held);
    ck_assert_uint_eq(counts.found, found);
}

static void delete_some(void *arg UNUSED)
{
    make_queue();
    expect(10, 5, 3);
    ck_assert_uint_eq(perform(QUEUE_CONTROL_DELETE, false, ALL_QUEUES, "ABCDE000004"), 1);
    ck_assert_uint_eq(changed, 1);
    expect(9, 5, 3);
    ck_assert_uint_eq(perform(QUEUE_CONTROL_DELETE, false, ALL_QUEUES, "ABCDE000010"), 1);
    ck_assert_uint_eq(perform(QUEUE_CONTROL_DELETE, false, ALL_QUEUES, "ABCDE000099"), 0);
    ck_assert_uint_eq(perform(QUEUE_CONTROL_DELETE, false, QUEUE_DEFERRED, "ABCDE00000C"), 0); /* it is held */
    expect(9, 5, 2);
    ck_assert_uint_eq(perform(QUEUE_CONTROL_DELETE, true, QUEUE_HOLD, NULL), 5);
    expect(9, 0, 2);
    ck_assert_uint_eq(perform(QUEUE_CONTROL_DELETE, true, ALL_QUEUES, NULL), 11);
    expect(0, 0, 0);
    config_free(config);
}

START_TEST(deleting)
{
    in_fiber(delete_some);
}
END_TEST

static void hold_some(void *arg UNUSED)
{
    make_queue();
    ck_assert_uint_eq(perform(QUEUE_CONTROL_HOLD, false, ALL_QUEUES, "ABCDE000004"), 1);
    expect(9, 6, 3);
    ck_assert_uint_eq(perform(QUEUE_CONTROL_HOLD, false, ALL_QUEUES, "ABCDE000004"), 0);
    ck_assert_uint_eq(perform(QUEUE_CONTROL_HOLD, false, ALL_QUEUES, "ABCDE000011"), 1); /* new mail: held when it is found */
    ck_assert_uint_eq(perform(QUEUE_CONTROL_RELEASE, true, QUEUE_HOLD, NULL), 7);
    expect(15, 0, 3);
    ck_assert_uint_eq(perform(QUEUE_CONTROL_HOLD, true, QUEUE_INCOMING | QUEUE_ACTIVE | QUEUE_DEFERRED, NULL), 18);
    expect(0, 15, 3);
    ck_assert_uint_eq(perform(QUEUE_CONTROL_EXPIRE, true, ALL_QUEUES, NULL), 18);
    expect(0, 15, 3);
    ck_assert_uint_eq(perform(QUEUE_CONTROL_RELEASE, false, ALL_QUEUES, "ABCDE000004"), 1);
    expect(1, 14, 3);
    config_free(config);
}

static void expire_all(void *arg UNUSED)
{
    char *why;
    make_queue();
    struct store *store = store_open(spool, NULL, NULL, &why);
    for (unsigned i = 0; i < 4; i++)
        defer(store_index(store), i, INDEX_INCOMING);
    store_close(store);
    expect(6, 5, 3);
    ck_assert_uint_eq(perform(QUEUE_CONTROL_EXPIRE, true, ALL_QUEUES, NULL), 18); /* each once, wherever it goes */
    expect(10, 5, 3);
    config_free(config);
}

START_TEST(expiring_all)
{
    in_fiber(expire_all);
}
END_TEST

START_TEST(holding_releasing_expiring)
{
    in_fiber(hold_some);
}
END_TEST

static void requeue_some(void *arg UNUSED)
{
    make_queue();
    ck_assert_uint_eq(perform(QUEUE_CONTROL_REQUEUE, false, ALL_QUEUES, "ABCDE000004"), 1);
    ck_assert_uint_eq(perform(QUEUE_CONTROL_REQUEUE, false, ALL_QUEUES, "ABCDE000010"), 1);
    expect(9, 5, 2);
    int directory = open("maildrop", O_RDONLY | O_DIRECTORY), files = 0;
    struct arena *arena = arena_new(0);
    FILE *names = popen("ls maildrop", "r");
    char name[64];
    while (fscanf(names, "%63s", name) == 1) {
        struct maildrop_summary summary;
        ck_assert(maildrop_summary_read(directory, name, arena, &summary));
        ASSERT_SLICE(summary.sender, "sender@example.test");
        ck_assert_uint_eq(summary.recipient_count, 1);
        ASSERT_SLICE(summary.recipients[0], "user0@example.test");
        files++;
    }
    pclose(names);
    ck_assert_int_eq(files, 2);
    struct action action = {.verb = QUEUE_CONTROL_DELETE, .all = true};
    struct outcome outcome = {.changed = on_changed};
    maildrop_do(&action, &outcome);
    ck_assert_uint_eq(outcome.count, 2);
    close(directory);
    arena_free(arena);
    config_free(config);
}

START_TEST(requeueing)
{
    in_fiber(requeue_some);
}
END_TEST

static void search(void *arg UNUSED)
{
    make_queue();
    struct arena *arena = arena_new(0);
    struct queue_record record;
    int fd = -1;
    ck_assert_int_eq(segment_search(spool, SLICE("ABCDE00000C"), arena, &record, &fd), 1);
    ck_assert_mem_eq(&record.place, &places[12], sizeof(places[12]));
    ck_assert_int_eq(record.state, MESSAGE_STATE_HELD);
    close(fd);
    ck_assert_int_eq(segment_search(spool, SLICE("ABCDE0000FF"), arena, &record, &fd), 0);
    ck_assert_uint_eq(perform(QUEUE_CONTROL_DELETE, false, ALL_QUEUES, "ABCDE00000C"), 1);
    ck_assert_int_eq(segment_search(spool, SLICE("ABCDE00000C"), arena, &record, &fd), 0);
    arena_free(arena);
    config_free(config);
}

START_TEST(searching_without_index)
{
    in_fiber(search);
}
END_TEST

TEST_MAIN("postsuper/offline", deleting, holding_releasing_expiring, expiring_all, requeueing, searching_without_index)
