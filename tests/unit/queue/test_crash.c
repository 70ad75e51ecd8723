/* processes that are killed and disks that are full: what was acknowledged is never lost */
#include "queue_testing.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "base/log.h"
#include "queue/store.h"

const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libdb-5.3";
}

static void quiet(enum log_severity severity UNUSED, const char *text UNUSED, void *context UNUSED) {}

enum { FIBERS = 8, NUMBERS = 1 << 20 };

static int report_fd;
static struct segment_writer *writer;
static unsigned next_number;
static uint8_t seen[NUMBERS];

static unsigned number_of(struct slice queue_id)
{
    uint64_t number = 0;
    ck_assert(slice_to_u64_hex(slice_from(queue_id, 5), &number));
    ck_assert_uint_lt(number, NUMBERS);
    return (unsigned)number;
}

/* ---- kill ---------------------------------------------------------------------------------------------------------- */

/* The writing process: each number is reported when it is durable. */
static void append_for_ever(void *arg UNUSED)
{
    for (;;) {
        unsigned number = next_number++;
        struct queue_place place;
        if (append_message(writer, number, 1, number % 50 == 0 ? 30000 : 700, &place) == 0 &&
            write(report_fd, &number, sizeof(number)) != (ssize_t)sizeof(number))
            _exit(1);
    }
}

static void write_until_killed(void *arg UNUSED)
{
    writer = open_writer_sized(200000, 20000);
    for (int i = 1; i < FIBERS; i++)
        fiber_start("appender", append_for_ever, NULL);
    append_for_ever(NULL);
}

/* The owning process: what it finds is deferred, some of it done at once; what is done is reported. */
static struct store *store;

static void handle(void *context UNUSED, const struct queue_record *record)
{
    unsigned number = number_of(record->envelope.queue_id) | 1u << 31;
    if (number % 3 == 0) {
        struct index_entry entry = {.queue_id = record->envelope.queue_id, .queue = INDEX_DEFERRED, .place = record->place, .arrival_time = 1,
                                    .next_attempt = 1};
        if (index_put(store_index(store), &entry) != 1)
            _exit(1);
    } else if (number % 3 == 1) {
        /* Told first: a kill between the two must not look like a loss. */
        if (write(report_fd, &number, sizeof(number)) != (ssize_t)sizeof(number) || !store_mark_done(store, &record->place))
            _exit(1);
    }
}

static void own_until_killed(void *arg UNUSED)
{
    static const struct store_events events = {handle, NULL};
    char *why;
    store = store_open(spool, &events, NULL, &why);
    if (!store)
        _exit(2);
    store_recover(store);
    for (;;) {
        store_scan(store);
        store_sync(store);
        store_idle_work(store, NULL, NULL);
    }
}

static pid_t start(void (*fn)(void *arg), const int pipes[2])
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        log_set_watcher(quiet, NULL);
        close(pipes[0]);
        report_fd = pipes[1];
        run_main(fn, NULL);
        _exit(0);
    }
    return child;
}

enum { ACKNOWLEDGED = 1, DONE = 2, FOUND = 4 };

static void read_reports(int fd)
{
    unsigned number;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (read(fd, &number, sizeof(number)) == (ssize_t)sizeof(number)) {
        seen[number & (NUMBERS - 1)] |= number >> 31 ? DONE : ACKNOWLEDGED;
        if (!(number >> 31) && number >= next_number)
            next_number = number + 1;
    }
}

static void note_found(void *context UNUSED, const struct queue_record *record)
{
    unsigned number = number_of(record->envelope.queue_id);
    ck_assert_msg(!(seen[number] & FOUND), "%u was found twice", number);
    seen[number] |= FOUND;
}

static void check_all(void *arg UNUSED)
{
    static const struct store_events events = {note_found, NULL};
    char *why = NULL;
    store = store_open(spool, &events, NULL, &why);
    ck_assert_msg(store != NULL, "%s", why);
    store_recover(store);
    struct arena *arena = arena_new(0);
    struct index_entry entry;
    struct index_scan *scan = index_scan_start(store_index(store), INDEX_BY_ID, INDEX_DEFERRED, SLICE(""));
    size_t indexed = 0;
    while (index_scan_next(scan, arena, &entry) == 1) {
        struct queue_record record;
        ck_assert(store_read(store, &entry.place, arena, &record));
        note_found(NULL, &record);
        arena_reset(arena);
        indexed++;
    }
    index_scan_free(scan);
    ck_assert_uint_eq(index_count(store_index(store), INDEX_DEFERRED), indexed);
    arena_free(arena);
    store_close(store);
    unsigned acknowledged = 0;
    for (unsigned i = 0; i < NUMBERS; i++) {
        acknowledged += seen[i] & ACKNOWLEDGED;
        ck_assert_msg(!(seen[i] & ACKNOWLEDGED) || (seen[i] & (DONE | FOUND)), "%u was acknowledged and is lost", i);
    }
    ck_assert_uint_gt(acknowledged, 100);
}

START_TEST(acknowledged_mail_survives_kills)
{
    int pipes[2];
    make_spool();
    ck_assert_int_eq(pipe(pipes), 0);
    fcntl(pipes[1], F_SETPIPE_SZ, 1 << 20);
    unsigned random = 77;
    pid_t writing = start(write_until_killed, pipes), owning = start(own_until_killed, pipes);
    for (int round = 0; round < 24; round++) {
        random = random * 1103515245 + 12345;
        usleep(20000 + random % 60000);
        pid_t *victim = round % 2 ? &writing : &owning;
        kill(*victim, SIGKILL);
        waitpid(*victim, NULL, 0);
        read_reports(pipes[0]);
        next_number += FIBERS * 4; /* numbers in flight are not used again */
        *victim = start(round % 2 ? write_until_killed : own_until_killed, pipes);
    }
    kill(writing, SIGKILL);
    kill(owning, SIGKILL);
    waitpid(writing, NULL, 0);
    waitpid(owning, NULL, 0);
    read_reports(pipes[0]);
    run_main(check_all, NULL);
    remove_spool();
}
END_TEST

/* ---- full ---------------------------------------------------------------------------------------------------------- */

static unsigned arrived[NUMBERS];
static struct queue_place arrived_places[10000];
static unsigned arrived_count;

static void take(void *context UNUSED, const struct queue_record *record)
{
    arrived[arrived_count] = number_of(record->envelope.queue_id);
    arrived_places[arrived_count++] = record->place;
}

static unsigned fill(unsigned first)
{
    struct queue_place place;
    unsigned n = 0;
    while (append_message(writer, first + n, 1, 3000, &place) == 0)
        n++;
    ck_assert_int_eq(errno, ENOSPC);
    return n;
}

static void full(void *arg UNUSED)
{
    static const struct store_events events = {take, NULL};
    char *why = NULL;
    log_set_watcher(quiet, NULL);
    writer = open_writer_sized(300000, 100000);
    store = store_open(spool, &events, NULL, &why);
    ck_assert_msg(store != NULL, "%s", why);
    store_recover(store);
    unsigned first = fill(0);
    ck_assert_uint_gt(first, 100);
    ck_assert_msg(append_message(writer, first, 1, 200000, &arrived_places[0]) == -1, "nor a large one");
    store_scan(store);
    ck_assert_uint_eq(arrived_count, first);
    /* Deliveries go on: marks need no room.  Some of the mail has to wait; whether or not there is room for its entry, it is not lost. */
    unsigned waiting = 0, done = 0;
    for (unsigned i = 0; i < first; i++) {
        struct test_message message;
        make_message(&message, arrived[i], 1);
        struct index_entry entry = {.queue_id = message.envelope.queue_id, .queue = INDEX_DEFERRED, .place = arrived_places[i], .arrival_time = 1,
                                    .next_attempt = 1};
        if (i % 10 == 0) {
            index_put(store_index(store), &entry);
            waiting++;
        } else if (i < first / 2) {
            ck_assert(store_mark_done(store, &arrived_places[i]));
            done++;
        }
    }
    for (int i = 0; i < 3; i++)
        store_sync(store);
    ck_assert_uint_gt(waiting, 0);
    ck_assert_uint_gt(done, 0);
    for (unsigned i = 0; i < first; i++) {
        if (i % 10 && i >= first / 2)
            ck_assert(store_mark_done(store, &arrived_places[i]));
        if (i % 10 == 0 && i < first / 2) {
            struct test_message message;
            make_message(&message, arrived[i], 1);
            ck_assert(store_mark_done(store, &arrived_places[i]));
            index_delete(store_index(store), message.envelope.queue_id);
            waiting--;
        }
    }
    for (int i = 0; i < 3; i++)
        store_sync(store);
    unsigned more = fill(first + 1);
    ck_assert_msg(more > 20, "there is room again (%u)", more);
    segment_writer_close(writer);
    store_close(store);
    arrived_count = 0;
    store = store_open(spool, &events, NULL, &why);
    ck_assert_msg(store != NULL, "%s", why);
    store_recover(store);
    ck_assert_uint_eq(arrived_count + index_count(store_index(store), INDEX_DEFERRED), waiting + more);
    store_close(store);
}

START_TEST(a_full_disk_loses_nothing)
{
    make_spool();
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", spool, "tmpfs", 0, "size=3m") < 0) {
        fprintf(stderr, "(skipped: cannot mount a small file system)\n");
        remove_spool();
        return;
    }
    run_main(full, NULL);
    umount(spool);
    remove_spool();
}
END_TEST

TEST_MAIN("queue/crash", acknowledged_mail_survives_kills, a_full_disk_loses_nothing)
