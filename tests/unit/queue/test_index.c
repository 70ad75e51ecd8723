/* the index: entries and orders, transactions, damage, what a killed process leaves behind */
#include "queue_testing.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/log.h"
#include "queue/index_entry.h"
#include "queue/queue_id.h"

/* Berkeley DB leaks when it gives an environment up. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libdb-5.3";
}

static void ignore_log(enum log_severity severity UNUSED, const char *text UNUSED, void *context UNUSED) {}

static struct arena *arena;

static struct index *open_index(bool *fresh)
{
    bool ignored;
    char *why = NULL;
    struct index *index = index_open(spool, fresh ? fresh : &ignored, &why);
    ck_assert_msg(index != NULL, "%s", why);
    if (!arena)
        arena = arena_new(0);
    return index;
}

struct texts {
    char id[QUEUE_ID_MAX], sender[64], destination[64], address[64];
    struct index_recipient recipients[3];
};

static struct index_entry make_entry(struct texts *t, unsigned i, enum index_queue queue)
{
    snprintf(t->id, sizeof(t->id), "%05X%08X", i * 977 % 0x10000, 0xA0000000 + i);
    snprintf(t->sender, sizeof(t->sender), "sender%u@example.test", i % 5);
    snprintf(t->destination, sizeof(t->destination), "smtp:d%u.example.test", i % 3);
    snprintf(t->address, sizeof(t->address), "user%u@example.test", i);
    t->recipients[0] = (struct index_recipient){.address = slice_of(t->address), .index = 4, .status = SLICE("4.4.1"), .reason = SLICE("timed out")};
    t->recipients[1] = (struct index_recipient){.address = SLICE("b@example.test"), .original = SLICE("B@example.test"), .index = 7,
                                                .status = SLICE("4.4.1"), .reason = SLICE("timed out")};
    t->recipients[2] = (struct index_recipient){.address = SLICE("b@example.test"), .index = 70000};
    return (struct index_entry){
        .queue_id = slice_of(t->id), .queue = queue,
        .place = {.segment = 10 + i / 100, .offset = 64 + i % 100 * 1000, .length = 1000, .content_file = i % 7, .content_offset = 300, .content_length = 600},
        .arrival_time = 1700000000000000 + i, .next_attempt = 1700000100000000 + i * 7919 % 1000, .last_attempt = 5, .attempts = i,
        .message_size = 600, .forced_expire = i % 2, .warned = i % 3 == 0, .sender = slice_of(t->sender),
        .destination = slice_of(t->destination), .recipients = t->recipients, .recipient_count = i % 4};
}

static void check_same(const struct index_entry *got, const struct index_entry *want)
{
    ck_assert(slice_equal(got->queue_id, want->queue_id) && slice_equal(got->sender, want->sender) && slice_equal(got->destination, want->destination));
    ck_assert_mem_eq(&got->place, &want->place, sizeof(got->place));
    ck_assert(got->queue == want->queue && got->arrival_time == want->arrival_time && got->next_attempt == want->next_attempt &&
              got->last_attempt == want->last_attempt && got->attempts == want->attempts && got->message_size == want->message_size &&
              got->forced_expire == want->forced_expire && got->warned == want->warned && got->requeue == want->requeue);
    ck_assert_uint_eq(got->recipient_count, want->recipient_count);
    for (size_t i = 0; i < got->recipient_count; i++) {
        const struct index_recipient *a = &got->recipients[i], *b = &want->recipients[i];
        ck_assert(slice_equal(a->address, b->address) && slice_equal(a->original, b->original) && slice_equal(a->status, b->status) &&
                  slice_equal(a->reason, b->reason) && a->index == b->index);
    }
}

static size_t count_scan(struct index *index, enum index_order order, enum index_queue queue, const char *key)
{
    struct index_entry entry;
    struct index_scan *scan = index_scan_start(index, order, queue, slice_of(key));
    size_t n = 0;
    int64_t last_next = 0, last_arrival = 0;
    for (int result; (result = index_scan_next(scan, arena, &entry)) != 0; n++) {
        ck_assert_int_eq(result, 1);
        ck_assert_int_eq(entry.queue, queue);
        if (order == INDEX_BY_NEXT_ATTEMPT)
            ck_assert_int_ge(entry.next_attempt, last_next);
        if (order == INDEX_BY_ID)
            ck_assert_int_gt(entry.arrival_time, last_arrival);
        last_next = entry.next_attempt;
        last_arrival = entry.arrival_time;
    }
    index_scan_free(scan);
    return n;
}

START_TEST(entries_come_back_in_every_order)
{
    make_spool();
    bool fresh;
    struct texts t;
    struct index *index = open_index(&fresh);
    ck_assert(fresh);
    for (unsigned i = 0; i < 300; i++) {
        struct index_entry entry = make_entry(&t, i, i < 200 ? INDEX_DEFERRED : i < 250 ? INDEX_HOLD : INDEX_INCOMING), got;
        ck_assert_int_eq(index_put(index, &entry), 1);
        ck_assert_int_eq(index_get(index, entry.queue_id, arena, &got), 1);
        check_same(&got, &entry);
    }
    for (int again = 0; again < 2; again++) {
        ck_assert_uint_eq(index_count(index, INDEX_DEFERRED), 200);
        ck_assert_uint_eq(index_count(index, INDEX_HOLD), 50);
        ck_assert_uint_eq(index_count(index, INDEX_INCOMING), 50);
        ck_assert_uint_eq(count_scan(index, INDEX_BY_ID, INDEX_DEFERRED, ""), 200);
        ck_assert_uint_eq(count_scan(index, INDEX_BY_ID, INDEX_HOLD, ""), 50);
        ck_assert_uint_eq(count_scan(index, INDEX_BY_NEXT_ATTEMPT, INDEX_DEFERRED, ""), 200);
        ck_assert_uint_eq(count_scan(index, INDEX_BY_ID, INDEX_INCOMING, ""), 50);
        ck_assert_uint_eq(count_scan(index, INDEX_BY_DESTINATION, INDEX_INCOMING, "smtp:d1.example.test"), 17);
        ck_assert_uint_eq(count_scan(index, INDEX_BY_DESTINATION, INDEX_INCOMING, "smtp:d9.example.test"), 0);
        ck_assert_uint_eq(index_segment_count(index, 10), 100);
        index_close(index);
        index = open_index(&fresh);
        ck_assert(!fresh);
    }
    index_close(index);
    remove_spool();
}
END_TEST

START_TEST(moving_and_deleting_keeps_orders_in_step)
{
    make_spool();
    struct texts t;
    struct index_entry got;
    struct index *index = open_index(NULL);
    struct index_entry entry = make_entry(&t, 3, INDEX_DEFERRED);
    ck_assert_int_eq(index_put(index, &entry), 1);
    entry.queue = INDEX_HOLD;
    entry.next_attempt += 5;
    entry.destination = SLICE("smtp:other.example.test");
    entry.place.segment = 99;
    ck_assert_int_eq(index_put(index, &entry), 1);
    ck_assert_int_eq(index_get(index, entry.queue_id, arena, &got), 1);
    check_same(&got, &entry);
    ck_assert_uint_eq(index_count(index, INDEX_DEFERRED), 0);
    ck_assert_uint_eq(index_count(index, INDEX_HOLD), 1);
    ck_assert_uint_eq(index_segment_count(index, 10), 0);
    ck_assert_uint_eq(index_segment_count(index, 99), 1);
    ck_assert_uint_eq(count_scan(index, INDEX_BY_NEXT_ATTEMPT, INDEX_DEFERRED, ""), 0);
    ck_assert_uint_eq(count_scan(index, INDEX_BY_ID, INDEX_DEFERRED, ""), 0);
    ck_assert_uint_eq(count_scan(index, INDEX_BY_ID, INDEX_HOLD, ""), 1);
    entry.queue = INDEX_INCOMING;
    ck_assert_int_eq(index_put(index, &entry), 1);
    ck_assert_uint_eq(count_scan(index, INDEX_BY_ID, INDEX_HOLD, ""), 0);
    ck_assert_uint_eq(count_scan(index, INDEX_BY_DESTINATION, INDEX_INCOMING, "smtp:other.example.test"), 1);
    ck_assert_int_eq(index_delete(index, entry.queue_id), 1);
    ck_assert_int_eq(index_delete(index, entry.queue_id), 0);
    ck_assert_int_eq(index_get(index, entry.queue_id, arena, &got), 0);
    ck_assert_uint_eq(index_count(index, INDEX_INCOMING), 0);
    ck_assert_uint_eq(count_scan(index, INDEX_BY_DESTINATION, INDEX_INCOMING, "smtp:other.example.test"), 0);
    index_close(index);
    remove_spool();
}
END_TEST

static size_t watched_present, watched_absent;
static void watch(void *context UNUSED, uint64_t segment UNUSED, uint64_t offset UNUSED, bool present)
{
    *(present ? &watched_present : &watched_absent) += 1;
}

START_TEST(the_watcher_hears_after_the_commit)
{
    make_spool();
    struct texts t;
    struct index *index = open_index(NULL);
    index_set_watcher(index, watch, NULL);
    index_write_begin(index);
    for (unsigned i = 0; i < 10; i++) {
        struct index_entry entry = make_entry(&t, i, INDEX_DEFERRED);
        ck_assert_int_eq(index_put(index, &entry), 1);
        entry.next_attempt++;
        ck_assert_int_eq(index_put(index, &entry), 1);
    }
    ck_assert_uint_eq(index_count(index, INDEX_DEFERRED), 10);
    ck_assert_uint_eq(watched_present, 0);
    index_write_end(index);
    ck_assert_uint_eq(watched_present, 10);
    struct index_entry entry = make_entry(&t, 4, INDEX_DEFERRED);
    ck_assert_int_eq(index_delete(index, entry.queue_id), 1);
    ck_assert_uint_eq(watched_absent, 1);
    entry = make_entry(&t, 5, INDEX_DEFERRED);
    entry.place.segment = 77;
    ck_assert_int_eq(index_put(index, &entry), 1);
    ck_assert_uint_eq(watched_absent, 2);
    ck_assert_uint_eq(watched_present, 11);
    index_close(index);
    remove_spool();
}
END_TEST

START_TEST(segments_are_remembered)
{
    make_spool();
    struct texts t;
    struct index *index = open_index(NULL);
    uint64_t until = 0;
    ck_assert_int_eq(index_segment_get(index, 5, &until), 0);
    ck_assert_int_eq(index_segment_put(index, 5, 12345), 1);
    struct index_entry entry = make_entry(&t, 1, INDEX_DEFERRED);
    ck_assert_int_eq(index_put(index, &entry), 1);
    ck_assert_int_eq(index_segment_get(index, 10, &until), 0); /* entries, but not read */
    index_close(index);
    index = open_index(NULL);
    ck_assert_int_eq(index_segment_get(index, 5, &until), 1);
    ck_assert_uint_eq(until, 12345);
    ck_assert_uint_eq(index_segment_count(index, 10), 1);
    ck_assert_int_eq(index_segment_delete(index, 5), 1);
    ck_assert_int_eq(index_segment_get(index, 5, &until), 0);
    size_t position = 0;
    uint64_t number;
    ck_assert(index_segment_next(index, &position, &number) && number == 10);
    ck_assert(!index_segment_next(index, &position, &number));
    index_drop_all(index);
    ck_assert_uint_eq(index_count(index, INDEX_DEFERRED), 0);
    position = 0;
    ck_assert(!index_segment_next(index, &position, &number));
    ck_assert_int_eq(index_put(index, &entry), 1);
    index_close(index);
    remove_spool();
}
END_TEST

START_TEST(a_scan_survives_changes)
{
    make_spool();
    struct texts t;
    struct index *index = open_index(NULL);
    for (unsigned i = 0; i < 500; i++) {
        struct index_entry entry = make_entry(&t, i, INDEX_DEFERRED);
        ck_assert_int_eq(index_put(index, &entry), 1);
    }
    struct index_scan *scan = index_scan_start(index, INDEX_BY_NEXT_ATTEMPT, INDEX_DEFERRED, SLICE(""));
    struct index_entry entry;
    size_t seen = 0;
    while (index_scan_next(scan, arena, &entry) == 1) {
        ck_assert_int_eq(index_delete(index, entry.queue_id), 1);
        seen++;
    }
    index_scan_free(scan);
    ck_assert_uint_eq(seen, 500);
    ck_assert_uint_eq(index_count(index, INDEX_DEFERRED), 0);
    index_close(index);
    remove_spool();
}
END_TEST

/* ---- many at once ------------------------------------------------------------------------------------------------- */

static unsigned asked;

static bool not_every_third(void *context UNUSED, struct slice queue_id, const struct queue_place *place)
{
    ck_assert(queue_id_is_valid(queue_id) && place->length == 1000);
    return ++asked % 3 != 0;
}

static uint64_t change_all(struct index *index, enum index_queue from, const struct index_change *change)
{
    uint64_t changed = 0;
    struct index_scan *scan = index_scan_start(index, INDEX_BY_ID, from, SLICE(""));
    int result;
    asked = 0;
    while ((result = index_change_some(scan, change, not_every_third, NULL, &changed)) > 0)
        continue;
    ck_assert_int_eq(result, 0);
    index_scan_free(scan);
    return changed;
}

START_TEST(many_entries_are_changed_at_once)
{
    make_spool();
    struct texts t;
    struct index_entry got;
    struct index *index = open_index(NULL);
    for (unsigned i = 0; i < 3000; i++) {
        struct index_entry entry = make_entry(&t, i, i % 10 == 9 ? INDEX_INCOMING : INDEX_DEFERRED);
        ck_assert_int_eq(index_put(index, &entry), 1);
    }
    index_set_watcher(index, watch, NULL);
    watched_present = watched_absent = 0;
    ck_assert_uint_eq(change_all(index, INDEX_DEFERRED, &(struct index_change){.queue = INDEX_HOLD}), 1800);
    ck_assert_uint_eq(asked, 2700);
    ck_assert_uint_eq(watched_present + watched_absent, 0); /* they stay in their places */
    for (int again = 0; again < 2; again++) {
        ck_assert_uint_eq(index_count(index, INDEX_HOLD), 1800);
        ck_assert_uint_eq(count_scan(index, INDEX_BY_ID, INDEX_HOLD, ""), 1800);
        ck_assert_uint_eq(count_scan(index, INDEX_BY_ID, INDEX_DEFERRED, ""), 900);
        ck_assert_uint_eq(count_scan(index, INDEX_BY_NEXT_ATTEMPT, INDEX_DEFERRED, ""), 900);
        ck_assert_uint_eq(count_scan(index, INDEX_BY_ID, INDEX_INCOMING, ""), 300);
        ck_assert_uint_eq(index_segment_count(index, 10), 100);
        index_close(index);
        index = open_index(NULL);
    }
    struct index_entry entry = make_entry(&t, 1, INDEX_HOLD);
    ck_assert_int_eq(index_get(index, entry.queue_id, arena, &got), 1);
    check_same(&got, &entry);
    /* Back, due at another time, expired, to be requeued: the rest of the entry is as it was. */
    struct index_change back = {.queue = INDEX_DEFERRED, .next_attempt = 77, .expire = true, .requeue = true};
    ck_assert_uint_eq(change_all(index, INDEX_HOLD, &back), 1200);
    ck_assert_int_eq(index_get(index, entry.queue_id, arena, &got), 1);
    entry.queue = INDEX_DEFERRED;
    entry.next_attempt = 77;
    entry.forced_expire = entry.requeue = true;
    check_same(&got, &entry);
    ck_assert_uint_eq(count_scan(index, INDEX_BY_NEXT_ATTEMPT, INDEX_DEFERRED, ""), 2100);
    /* Those of a queue that changes into itself are met once. */
    ck_assert_uint_eq(change_all(index, INDEX_DEFERRED, &(struct index_change){.queue = INDEX_DEFERRED, .next_attempt = 99}), 1400);
    ck_assert_uint_eq(count_scan(index, INDEX_BY_NEXT_ATTEMPT, INDEX_DEFERRED, ""), 2100);
    ck_assert_uint_eq(change_all(index, INDEX_INCOMING, &(struct index_change){.remove = true}), 200);
    ck_assert_uint_eq(count_scan(index, INDEX_BY_ID, INDEX_INCOMING, ""), 100);
    ck_assert_uint_eq(count_scan(index, INDEX_BY_DESTINATION, INDEX_INCOMING, "smtp:d0.example.test"), 0);
    ck_assert_uint_eq(count_scan(index, INDEX_BY_DESTINATION, INDEX_INCOMING, "smtp:d2.example.test"), 100);
    index_close(index);
    remove_spool();
}
END_TEST

START_TEST(a_damaged_entry_is_left_out_of_many)
{
    char key[QUEUE_ID_MAX];
    make_spool();
    log_set_watcher(ignore_log, NULL);
    struct texts t;
    struct index *index = open_index(NULL);
    for (unsigned i = 0; i < 20; i++) {
        struct index_entry entry = make_entry(&t, i, INDEX_DEFERRED);
        ck_assert_int_eq(index_put(index, &entry), 1);
    }
    index_test_spoil(index, queue_id_sort_key(slice_of(t.id), key));
    ck_assert_uint_eq(change_all(index, INDEX_DEFERRED, &(struct index_change){.queue = INDEX_HOLD}), 13);
    ck_assert_uint_eq(asked, 19);
    ck_assert_uint_eq(index_damaged_entries(index), 1);
    index_close(index);
    remove_spool();
}
END_TEST

/* A process that is killed at any moment leaves an index whose counts and orders agree. */
START_TEST(a_kill_leaves_it_consistent)
{
    make_spool();
    for (int round = 0; round < 8; round++) {
        pid_t child = fork();
        if (child == 0) {
            struct index *index = open_index(NULL);
            struct texts t;
            for (unsigned i = 0;; i++) {
                struct index_entry entry = make_entry(&t, i % 3000, i % 5 ? INDEX_DEFERRED : INDEX_HOLD);
                entry.next_attempt += i;
                index_write_begin(index);
                index_put(index, &entry);
                make_entry(&t, (i * 7) % 3000, INDEX_DEFERRED);
                if (i % 4 == 0)
                    index_delete(index, slice_of(t.id));
                index_write_end(index);
                if (i % 500 == 0)
                    index_maintain(index);
            }
        }
        usleep((useconds_t)(60000 + round * 23456));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        bool fresh;
        struct index *index = open_index(&fresh);
        ck_assert(!fresh || round == 0);
        static const enum index_queue queues[] = {INDEX_DEFERRED, INDEX_HOLD};
        for (size_t q = 0; q < COUNT_OF(queues); q++) {
            uint64_t count = index_count(index, queues[q]);
            ck_assert_uint_eq(count_scan(index, INDEX_BY_ID, queues[q], ""), count);
            if (queues[q] == INDEX_DEFERRED)
                ck_assert_uint_eq(count_scan(index, INDEX_BY_NEXT_ATTEMPT, queues[q], ""), count);
        }
        index_close(index);
        arena_reset(arena);
    }
    remove_spool();
}
END_TEST

/* ---- damage ------------------------------------------------------------------------------------------------------- */

static unsigned random_state = 4711;
static unsigned next_random(void)
{
    random_state = random_state * 1103515245 + 12345;
    return random_state >> 8;
}

static void spoil_file(const char *path, size_t bytes)
{
    int fd = open(path, O_RDWR);
    struct stat status;
    fstat(fd, &status);
    for (size_t i = 0; i < bytes && status.st_size > 0; i++) {
        char byte = (char)next_random();
        ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)(next_random() % (unsigned)status.st_size)), 1);
    }
    close(fd);
}

static void spoil(size_t bytes)
{
    char folder[128], path[512];
    snprintf(folder, sizeof(folder), "%s/index", spool);
    DIR *list = opendir(folder);
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "reserve") != 0)
            spoil_file(path, bytes);
    }
    closedir(list);
}

static void fill(unsigned n)
{
    struct texts t;
    struct index *index = open_index(NULL);
    for (unsigned i = 0; i < n; i++) {
        struct index_entry entry = make_entry(&t, i, INDEX_DEFERRED);
        ck_assert_int_eq(index_put(index, &entry), 1);
    }
    index_close(index);
}

/* use - everything that can be done with a damaged index, without a crash: either it says that it is damaged, or what it gives is
   right. */
static void use(struct index *index)
{
    struct texts t;
    struct index_entry got;
    for (unsigned i = 0; i < 200; i++) {
        struct index_entry entry = make_entry(&t, i, INDEX_DEFERRED);
        if (index_get(index, entry.queue_id, arena, &got) == 1)
            check_same(&got, &entry);
        entry.next_attempt += 17;
        if (i % 3 == 0)
            index_put(index, &entry);
    }
    struct index_scan *scan = index_scan_start(index, INDEX_BY_NEXT_ATTEMPT, INDEX_DEFERRED, SLICE(""));
    while (index_scan_next(scan, arena, &got) == 1)
        continue;
    index_scan_free(scan);
    arena_reset(arena);
}

START_TEST(random_damage_never_kills)
{
    unsigned rebuilt = 0, noticed = 0;
    log_set_watcher(ignore_log, NULL);
    for (unsigned round = 0; round < 30; round++) {
        make_spool();
        fill(200);
        spoil(round % 3 == 0 ? 1 : round % 3 == 1 ? 50 : 3000);
        bool fresh;
        struct index *index = open_index(&fresh);
        use(index);
        bool damaged = index_is_damaged(index);
        rebuilt += fresh;
        noticed += damaged;
        index_close(index);
        if (damaged) {
            index = open_index(&fresh);
            ck_assert_msg(fresh, "a damaged index is rebuilt at the next start");
            index_close(index);
        }
        remove_spool();
    }
    ck_assert_uint_gt(rebuilt + noticed, 10);
}
END_TEST

START_TEST(a_missing_or_foreign_index_is_replaced)
{
    char path[128];
    log_set_watcher(ignore_log, NULL);
    make_spool();
    fill(50);
    snprintf(path, sizeof(path), "%s/index/entries.db", spool);
    unlink(path);
    bool fresh;
    struct index *index = open_index(&fresh);
    ck_assert(fresh || index_count(index, INDEX_DEFERRED) == 50); /* Berkeley DB makes it again from its log */
    index_close(index);
    int fd = open(path, O_WRONLY | O_TRUNC);
    ck_assert_int_eq(write(fd, "this is no database", 19), 19);
    close(fd);
    index = open_index(&fresh);
    ck_assert(fresh);
    ck_assert_uint_eq(index_count(index, INDEX_DEFERRED), 0);
    index_close(index);
    remove_spool();
}
END_TEST

START_TEST(decoding_refuses_every_changed_byte)
{
    struct texts t;
    char key[QUEUE_ID_MAX];
    struct index_entry entry = make_entry(&t, 3, INDEX_DEFERRED), got;
    struct buffer bytes = BUFFER_INIT;
    arena = arena_new(0);
    index_entry_encode(&entry, &bytes);
    struct slice sort_key = queue_id_sort_key(entry.queue_id, key);
    ck_assert(index_entry_decode(buffer_slice(&bytes), sort_key, arena, &got));
    check_same(&got, &entry);
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.data[i] ^= 0x10;
        ck_assert(!index_entry_decode(buffer_slice(&bytes), sort_key, arena, &got));
        bytes.data[i] ^= 0x10;
        ck_assert(!index_entry_decode(slice_first(buffer_slice(&bytes), i), sort_key, arena, &got));
    }
    ck_assert(!index_entry_decode(buffer_slice(&bytes), SLICE("other"), arena, &got));
    buffer_release(&bytes);
}
END_TEST

START_TEST(a_full_disk_fails_one_change_and_recovers)
{
    make_spool();
    struct texts t;
    signal(SIGXFSZ, SIG_IGN);
    log_set_watcher(ignore_log, NULL);
    struct index *index = open_index(NULL);
    struct index_entry entry = make_entry(&t, 1, INDEX_DEFERRED), got;
    ck_assert_int_eq(index_put(index, &entry), 1);
    struct rlimit limit = {20000, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &limit);
    unsigned failed = 0;
    for (unsigned i = 0; i < 500; i++) {
        entry = make_entry(&t, i, INDEX_DEFERRED);
        failed += index_put(index, &entry) != 1;
    }
    ck_assert_uint_gt(failed, 0);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    index_close(index);
    bool fresh;
    index = open_index(&fresh);
    for (unsigned i = 0; i < 500; i++) {
        entry = make_entry(&t, i, INDEX_DEFERRED);
        ck_assert_int_eq(index_put(index, &entry), 1);
        ck_assert_int_eq(index_get(index, entry.queue_id, arena, &got), 1);
    }
    ck_assert_uint_eq(index_count(index, INDEX_DEFERRED), 500);
    index_close(index);
    remove_spool();
}
END_TEST

TEST_MAIN("queue/index", entries_come_back_in_every_order, moving_and_deleting_keeps_orders_in_step, the_watcher_hears_after_the_commit,
          segments_are_remembered, a_scan_survives_changes, many_entries_are_changed_at_once, a_damaged_entry_is_left_out_of_many, a_kill_leaves_it_consistent, random_damage_never_kills,
          a_missing_or_foreign_index_is_replaced, decoding_refuses_every_changed_byte, a_full_disk_fails_one_change_and_recovers)
