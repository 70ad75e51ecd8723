/* the store: recovery from every legal state after a crash, marks, reclaim, damage, the cleaner */
#include "queue_testing.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/log.h"
#include "queue/crc32c.h"
#include "queue/queue_id.h"
#include "queue/store_private.h"

const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libdb-5.3";
}

enum { MANY = 2000 };

/* What the store told. */
static struct {
    size_t found, corrupt;
    unsigned numbers[MANY * 4];
    struct queue_place places[MANY * 4];
    char states[MANY * 4];
    uint32_t generations[MANY * 4];
    char text[400];
} seen;

static unsigned number_of(struct slice queue_id)
{
    uint64_t number = 0;
    ck_assert(slice_to_u64_hex(slice_from(queue_id, 5), &number));
    return (unsigned)number;
}

static void on_found(void *context UNUSED, const struct queue_record *record)
{
    ck_assert_uint_lt(seen.found, COUNT_OF(seen.numbers));
    seen.numbers[seen.found] = number_of(record->envelope.queue_id);
    seen.states[seen.found] = record->state;
    seen.generations[seen.found] = record->generation;
    seen.places[seen.found++] = record->place;
}

static void on_corrupt(void *context UNUSED, const struct queue_place *place UNUSED, const char *text)
{
    snprintf(seen.text, sizeof(seen.text), "%s", text);
    seen.corrupt++;
}

static const struct store_events events = {on_found, on_corrupt};
static struct arena *arena;

static void quiet(enum log_severity severity UNUSED, const char *text UNUSED, void *context UNUSED) {}

static struct store *open_store(void)
{
    char *why = NULL;
    if (!arena)
        arena = arena_new(0);
    seen.found = seen.corrupt = 0;
    struct store *store = store_open(spool, &events, NULL, &why);
    ck_assert_msg(store != NULL, "%s", why);
    store_recover(store);
    return store;
}

static bool was_found(unsigned number)
{
    size_t times = 0;
    for (size_t i = 0; i < seen.found; i++)
        times += seen.numbers[i] == number;
    ck_assert_uint_le(times, 1);
    return times == 1;
}

static size_t count_files(const char *folder)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", spool, folder);
    DIR *list = opendir(path);
    size_t n = 0;
    for (struct dirent *entry; list && (entry = readdir(list)) != NULL;)
        n += entry->d_name[0] != '.';
    if (list)
        closedir(list);
    return n;
}

static void defer(struct store *store, unsigned number, const struct queue_place *place, enum index_queue queue)
{
    struct test_message message;
    make_message(&message, number, 1);
    struct index_recipient to = {.address = message.recipients[0].address, .status = SLICE("4.4.1"), .reason = SLICE("timed out")};
    struct index_entry entry = {.queue_id = message.envelope.queue_id, .queue = queue, .place = *place, .arrival_time = 1,
                                .next_attempt = 1000 + number, .attempts = 7, .sender = message.envelope.sender,
                                .destination = SLICE("smtp:example.test"), .recipients = &to, .recipient_count = 1};
    ck_assert_int_eq(index_put(store_index(store), &entry), 1);
}

static void finish(struct store *store, unsigned number, const struct queue_place *place)
{
    struct test_message message;
    make_message(&message, number, 1);
    ck_assert(store_mark_recipient(store, place, 0, RECIPIENT_STATE_DONE));
    ck_assert(store_mark_done(store, place));
    index_delete(store_index(store), message.envelope.queue_id);
}

/* write_some - n messages (number 0..) into segments of a given size. */
static void write_some(unsigned n, uint64_t segment_size, struct queue_place *places)
{
    struct segment_writer *writer = open_writer_sized(segment_size, 256 << 10);
    for (unsigned i = 0; i < n; i++)
        ck_assert_int_eq(append_message(writer, i, 1, 1000, &places[i]), 0);
    segment_writer_close(writer);
}

static struct queue_place places[MANY];

/* ---- arrivals and scans ------------------------------------------------------------------------------------------- */

static void arrivals(void *arg UNUSED)
{
    struct segment_writer *writer = open_writer();
    struct store *store = open_store();
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(append_message(writer, i, 1, 500, &places[i]), 0);
    for (unsigned i = 0; i < 100; i++) {
        unsigned turned = i ^ 3; /* out of order */
        if (i % 10 != 7) {
            ck_assert(store_arrived(store, &places[turned]));
            ck_assert(!store_arrived(store, &places[turned]));
        }
    }
    store_scan(store);
    ck_assert_uint_eq(seen.found, 10);
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_int_eq(was_found(i), (i ^ 3) % 10 == 7);
        ck_assert(!store_arrived(store, &places[i]));
    }
    store_scan(store);
    ck_assert_uint_eq(seen.found, 10);
    struct store_segment *segment = store_segment_find(store, places[0].segment);
    ck_assert_uint_eq(segment->in_memory.count, 100);
    ck_assert_uint_eq(segment->ahead_count, 0);
    segment_writer_close(writer);
    store_close(store);
}

START_TEST(each_message_is_known_once)
{
    in_fiber(arrivals);
}
END_TEST

static void all_found(void *arg UNUSED)
{
    write_some(300, 50000, places);
    struct store *store = open_store();
    ck_assert_uint_eq(seen.found, 300);
    for (unsigned i = 0; i < 300; i++) {
        ck_assert(was_found(i));
        ck_assert_mem_eq(&seen.places[i], &places[seen.numbers[i]], sizeof(places[0]));
    }
    /* Some wait, some end, some stay in memory: a restart finds the last only. */
    for (unsigned i = 0; i < 300; i++) {
        if (i % 3 == 0)
            defer(store, i, &places[i], i % 2 ? INDEX_HOLD : INDEX_DEFERRED);
        else if (i % 3 == 1)
            finish(store, i, &places[i]);
    }
    store_sync(store);
    store_close(store);
    store = open_store();
    ck_assert_uint_eq(seen.found, 100);
    for (unsigned i = 0; i < 300; i++)
        ck_assert_int_eq(was_found(i), i % 3 == 2);
    ck_assert_uint_eq(index_count(store_index(store), INDEX_DEFERRED) + index_count(store_index(store), INDEX_HOLD), 100);
    for (unsigned i = 2; i < 300; i += 3)
        defer(store, i, &places[i], INDEX_DEFERRED);
    store_sync(store);
    store_close(store);
    /* Now nothing has to be read again. */
    store = open_store();
    ck_assert_uint_eq(seen.found, 0);
    struct store_segment *segment = store_segment_find(store, places[0].segment);
    ck_assert_uint_gt(segment->persisted, SEGMENT_HEADER_SIZE);
    for (unsigned i = 0; i < 300; i++) {
        if (i % 3 != 1)
            finish(store, i, &places[i]);
    }
    ck_assert_uint_gt(count_files("segment"), 0);
    store_sync(store);
    ck_assert_uint_eq(count_files("segment"), 0);
    ck_assert_uint_eq(map_count(store->segments), 0);
    store_close(store);
}

START_TEST(a_restart_finds_what_only_memory_knew)
{
    in_fiber(all_found);
}
END_TEST

/* ---- the states a crash can leave ---------------------------------------------------------------------------------- */

static void torn_tail(void *arg UNUSED)
{
    log_set_watcher(quiet, NULL);
    write_some(10, 1 << 20, places);
    int fd = open_segment_at(places[9].segment, O_RDWR);
    ck_assert_int_eq(ftruncate(fd, (off_t)(places[9].offset + places[9].length - 100)), 0);
    close(fd);
    struct store *store = open_store();
    ck_assert_uint_eq(seen.found, 9);
    ck_assert_uint_eq(seen.corrupt, 0);
    ck_assert(!was_found(9));
    for (unsigned i = 0; i < 9; i++)
        finish(store, i, &places[i]);
    store_sync(store);
    ck_assert_uint_eq(count_files("segment"), 0);
    store_close(store);
}

START_TEST(an_incomplete_record_is_dropped)
{
    in_fiber(torn_tail);
}
END_TEST

/* A power cut may leave any part of what was not synced: here sectors in the middle of the last record. */
static void holed_tail(void *arg UNUSED)
{
    write_some(5, 1 << 20, places);
    struct segment_writer *writer = open_writer();
    ck_assert_int_eq(append_message(writer, 5, 1, 20000, &places[5]), 0);
    ck_assert_int_eq(append_message(writer, 6, 1, 1000, &places[6]), 0);
    segment_writer_close(writer);
    int fd = open_segment_at(places[5].segment, O_RDWR);
    char zeros[4096] = {0};
    ck_assert(segment_file_write(fd, zeros, sizeof(zeros), 8192));
    close(fd);
    struct store *store = open_store();
    ck_assert_uint_eq(seen.found, 6);
    ck_assert(!was_found(5) && was_found(6));
    ck_assert_uint_eq(seen.corrupt, 1);
    ck_assert_msg(strstr(seen.text, "never written") != NULL, "%s", seen.text);
    store_close(store);
}

START_TEST(a_hole_costs_one_message)
{
    in_fiber(holed_tail);
}
END_TEST

/* A writer that is killed: what is complete is delivered although nobody was told, and the segment is closed. */
static void killed_writer(void *arg UNUSED)
{
    int ready[2];
    ck_assert_int_eq(pipe(ready), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        /* The event loop is the parent's: write with our own hands. */
        struct segment_directory directory;
        struct segment_header header;
        struct test_message message;
        struct record_header record = {.recipient_count = 1, .arrival_time = 1, .state = MESSAGE_STATE_LIVE};
        struct buffer envelope = BUFFER_INIT;
        uint8_t head[RECORD_RECIPIENTS_OFFSET + 8] = {0};
        if (!segment_directory_open(&directory, spool))
            _exit(1);
        int fd = segment_file_create(&directory, SEGMENT_KIND_ARRIVALS, &header);
        make_message(&message, 77, 1);
        MESSAGE_ENCODE(envelope, &message.envelope, &envelope);
        record.segment = header.number;
        record.offset = SEGMENT_HEADER_SIZE;
        record.mark = header.mark;
        record.envelope_length = (uint32_t)envelope.len;
        record.envelope_checksum = crc32c(0, envelope.data, envelope.len);
        memcpy(record.queue_id, message.id, strlen(message.id));
        record_header_build(&record, head);
        head[RECORD_RECIPIENTS_OFFSET] = RECIPIENT_STATE_PENDING;
        buffer_append(&envelope, "\0\0\0\0\0\0\0\0", 8);
        if (!segment_file_write(fd, head, sizeof(head), SEGMENT_HEADER_SIZE) ||
            !segment_file_write(fd, envelope.data, record_size(&record) - sizeof(head), SEGMENT_HEADER_SIZE + sizeof(head)) ||
            fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 4 << 20) < 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char byte;
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    struct store *store = open_store();
    ck_assert_uint_eq(seen.found, 1);
    struct store_segment *segment = store_segment_find(store, seen.places[0].segment);
    ck_assert(!segment->closed);
    finish(store, 77, &seen.places[0]);
    store_sync(store);
    ck_assert_uint_eq(count_files("segment"), 1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    store_sync(store);
    ck_assert_uint_eq(count_files("segment"), 0);
    store_close(store);
}

START_TEST(a_killed_writers_segment_is_closed)
{
    in_fiber(killed_writer);
}
END_TEST

static size_t syncs;
static bool syncs_fail;
static int counting_datasync(int fd)
{
    syncs++;
    if (syncs_fail) {
        errno = EIO;
        return -1;
    }
    return fdatasync(fd);
}

static void unlink_after_sync(void *arg UNUSED)
{
    log_set_watcher(quiet, NULL);
    write_some(10, 1 << 20, places);
    struct store *store = open_store();
    for (unsigned i = 0; i < 10; i++)
        finish(store, i, &places[i]);
    segment_file_datasync = counting_datasync;
    syncs_fail = true;
    store_sync(store);
    ck_assert_uint_eq(syncs, 1);
    ck_assert_msg(count_files("segment") == 1, "marks are not on disk: the segment must stay");
    syncs_fail = false;
    store_sync(store);
    ck_assert_uint_eq(syncs, 2);
    ck_assert_uint_eq(count_files("segment"), 0);
    store_sync(store);
    ck_assert_msg(syncs == 2, "nothing to do, nothing synced");
    segment_file_datasync = fdatasync;
    store_close(store);
}

START_TEST(a_segment_goes_only_after_its_marks_are_on_disk)
{
    in_fiber(unlink_after_sync);
}
END_TEST

static void set_state(const struct queue_place *place, char state)
{
    int fd = open_segment_at(place->segment, O_RDWR);
    ck_assert(segment_file_write(fd, &state, 1, place->offset + RECORD_STATE_OFFSET));
    close(fd);
}

/* Marks that a power cut took back: a duplicate at most, unless the index remembers. */
static void lost_marks(void *arg UNUSED)
{
    write_some(10, 1 << 20, places);
    struct store *store = open_store();
    for (unsigned i = 0; i < 9; i++)
        finish(store, i, &places[i]);
    store_close(store); /* as if killed: nothing was told to the index */
    set_state(&places[4], MESSAGE_STATE_LIVE);
    store = open_store();
    ck_assert_uint_eq(seen.found, 2);
    ck_assert(was_found(4) && was_found(9));
    finish(store, 4, &places[4]);
    defer(store, 9, &places[9], INDEX_DEFERRED);
    store_sync(store); /* the index has read it all */
    store_close(store);
    set_state(&places[4], MESSAGE_STATE_LIVE);
    store = open_store();
    ck_assert_uint_eq(seen.found, 0);
    store_close(store);
    /* The mark is there but the index entry came back: whoever reads the record sees that it is done. */
    store = open_store();
    struct queue_record record;
    ck_assert(store_mark_done(store, &places[9]));
    store_close(store);
    store = open_store();
    ck_assert_uint_eq(seen.found, 0);
    ck_assert_uint_eq(index_count(store_index(store), INDEX_DEFERRED), 1);
    ck_assert(store_read(store, &places[9], arena, &record));
    ck_assert_int_eq(record.state, MESSAGE_STATE_DONE);
    finish(store, 9, &places[9]);
    store_sync(store);
    ck_assert_uint_eq(count_files("segment"), 0);
    store_close(store);
}

START_TEST(marks_that_were_not_on_disk_cost_a_duplicate_at_most)
{
    in_fiber(lost_marks);
}
END_TEST

static void dead_records(void *arg UNUSED)
{
    write_some(3, 1 << 20, places);
    set_state(&places[1], MESSAGE_STATE_DEAD);
    set_state(&places[2], MESSAGE_STATE_HELD);
    struct store *store = open_store();
    ck_assert_uint_eq(seen.found, 2);
    ck_assert(was_found(0) && was_found(2));
    ck_assert_int_eq(seen.states[1], MESSAGE_STATE_HELD);
    store_close(store);
}

START_TEST(what_was_refused_is_not_delivered)
{
    in_fiber(dead_records);
}
END_TEST

/* ---- the index is a cache ------------------------------------------------------------------------------------------ */

static void remove_index(void)
{
    char path[600], folder[128];
    snprintf(folder, sizeof(folder), "%s/index", spool);
    DIR *list = opendir(folder);
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    closedir(list);
}

static void rebuild_index(void *arg UNUSED)
{
    write_some(200, 50000, places);
    struct store *store = open_store();
    for (unsigned i = 0; i < 200; i++) {
        if (i % 4 == 0)
            finish(store, i, &places[i]);
        else
            defer(store, i, &places[i], INDEX_DEFERRED);
    }
    ck_assert(store_mark_state(store, &places[5], MESSAGE_STATE_HELD));
    ck_assert(store_mark_warned(store, &places[5]));
    ck_assert(store_mark_expired(store, &places[5]));
    store_sync(store);
    store_close(store);
    remove_index();
    store = open_store();
    ck_assert_uint_eq(seen.found, 150);
    for (unsigned i = 0; i < 200; i++)
        ck_assert_int_eq(was_found(i), i % 4 != 0);
    struct queue_record record;
    ck_assert(store_read(store, &places[5], arena, &record));
    ck_assert(record.state == MESSAGE_STATE_HELD && record.warned && record.expired);
    store_close(store);
}

START_TEST(a_lost_index_is_rebuilt_from_the_segments)
{
    in_fiber(rebuild_index);
}
END_TEST

static void missing_segment(void *arg UNUSED)
{
    char path[160], name[SEGMENT_NAME_SIZE];
    log_set_watcher(quiet, NULL);
    write_some(20, 5000, places);
    struct store *store = open_store();
    for (unsigned i = 0; i < 20; i++)
        defer(store, i, &places[i], INDEX_DEFERRED);
    store_sync(store);
    store_close(store);
    snprintf(path, sizeof(path), "%s/segment/%s", spool, segment_file_name(places[0].segment, name));
    ck_assert_int_eq(unlink(path), 0);
    unsigned gone = 0;
    for (unsigned i = 0; i < 20; i++)
        gone += places[i].segment == places[0].segment;
    store = open_store();
    ck_assert_uint_eq(index_count(store_index(store), INDEX_DEFERRED), 20 - gone);
    ck_assert_uint_eq(index_segment_count(store_index(store), places[0].segment), 0);
    store_close(store);
}

START_TEST(entries_without_a_segment_are_dropped)
{
    in_fiber(missing_segment);
}
END_TEST

/* ---- damage ------------------------------------------------------------------------------------------------------- */

static unsigned random_state = 99;
static unsigned next_random(void)
{
    random_state = random_state * 1103515245 + 12345;
    return random_state >> 8;
}

static void spoiled_segments(void *arg UNUSED)
{
    enum { N = 60 };
    log_set_watcher(quiet, NULL);
    for (int round = 0; round < 40; round++) {
        make_spool();
        write_some(N, 1 << 20, places);
        int fd = open_segment_at(places[0].segment, O_RDWR);
        uint64_t size = places[N - 1].offset + places[N - 1].length;
        uint64_t at = next_random() % size, len = 1 + next_random() % (round % 2 ? 3 : 4000);
        len = at + len > size ? size - at : len;
        for (uint64_t i = 0; i < len; i++) {
            char byte = (char)next_random();
            ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)(at + i)), 1);
        }
        close(fd);
        struct store *store = open_store();
        unsigned lost = 0;
        for (unsigned i = 0; i < N; i++) {
            bool touched = at < places[i].offset + places[i].length && at + len > places[i].offset;
            ck_assert_msg(touched || was_found(i), "round %d: %u is missing", round, i);
            lost += !was_found(i);
        }
        ck_assert(lost == 0 || seen.corrupt > 0);
        ck_assert(seen.corrupt == 0 || count_files("corrupt") > 0);
        size_t reported = seen.corrupt;
        store_close(store);
        store = open_store();
        ck_assert_msg(seen.corrupt == 0, "round %d: reported again (%zu)", round, reported);
        ck_assert_uint_eq(seen.found, N - lost);
        store_close(store);
        remove_spool();
    }
    make_spool();
}

START_TEST(damage_is_reported_and_neighbours_are_found)
{
    in_fiber(spoiled_segments);
}
END_TEST

static void damaged_while_waiting(void *arg UNUSED)
{
    write_some(3, 1 << 20, places);
    struct store *store = open_store();
    struct queue_record record;
    for (unsigned i = 0; i < 3; i++)
        defer(store, i, &places[i], INDEX_DEFERRED);
    int fd = open_segment_at(places[0].segment, O_RDWR);
    char byte = 'X';
    ck_assert(segment_file_write(fd, &byte, 1, places[1].content_offset + 17));
    ck_assert(segment_file_write(fd, &byte, 1, places[2].offset + 60));
    close(fd);
    ck_assert(store_read(store, &places[0], arena, &record));
    for (unsigned i = 1; i < 3; i++) {
        struct test_message message;
        make_message(&message, i, 1);
        ck_assert(!store_read(store, &places[i], arena, &record));
        ck_assert_uint_eq(seen.corrupt, i);
        ck_assert_int_eq(index_delete(store_index(store), message.envelope.queue_id), 1);
    }
    finish(store, 0, &places[0]);
    store_sync(store);
    ck_assert_uint_eq(count_files("segment"), 0);
    ck_assert_uint_eq(count_files("corrupt"), 2);
    store_close(store);
}

START_TEST(damage_is_found_when_a_message_is_read_again)
{
    in_fiber(damaged_while_waiting);
}
END_TEST

static void damaged_entry(void *arg UNUSED)
{
    log_set_watcher(quiet, NULL);
    write_some(20, 5000, places);
    struct store *store = open_store();
    for (unsigned i = 0; i < 20; i++)
        defer(store, i, &places[i], INDEX_DEFERRED);
    store_sync(store);
    /* Spoil an entry as a defect of the database would. */
    struct test_message message;
    struct index_entry entry;
    char key[QUEUE_ID_MAX];
    make_message(&message, 7, 1);
    index_test_spoil(store_index(store), queue_id_sort_key(message.envelope.queue_id, key));
    ck_assert_int_eq(index_get(store_index(store), message.envelope.queue_id, arena, &entry), -1);
    seen.found = 0;
    store_idle_work(store, NULL, NULL);
    ck_assert_uint_eq(seen.found, 1);
    ck_assert(was_found(7));
    ck_assert_uint_eq(index_count(store_index(store), INDEX_DEFERRED), 19);
    for (unsigned i = 0; i < 20; i++)
        finish(store, i, &places[i]);
    store_sync(store);
    ck_assert_uint_eq(count_files("segment"), 0);
    store_close(store);
}

START_TEST(a_damaged_index_entry_costs_nothing)
{
    in_fiber(damaged_entry);
}
END_TEST

/* ---- large contents ------------------------------------------------------------------------------------------------ */

static void large_contents(void *arg UNUSED)
{
    struct segment_writer *writer = open_writer_sized(1 << 20, 10000);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(append_message(writer, i, 1, 50000, &places[i]), 0);
    struct store *store = open_store();
    int fd, again;
    uint64_t key, same;
    char byte;
    struct queue_record record;
    ck_assert_uint_eq(seen.found, 4);
    ck_assert(store_read(store, &places[0], arena, &record));
    ck_assert(store_content(store, &places[0], &fd, &key) && store_content(store, &places[0], &again, &same));
    ck_assert(fd == again && key == same);
    ck_assert_int_eq(pread(fd, &byte, 1, 0), 1);
    ck_assert_int_eq(pwrite(fd, &byte, 1, 0), -1);
    ck_assert(store_content(store, &places[1], &again, &same) && key != same);
    char folder[64], name[SEGMENT_NAME_SIZE];
    snprintf(folder, sizeof(folder), "content/%s", segment_file_name(places[0].segment, name));
    ck_assert_uint_eq(count_files(folder), 4);
    finish(store, 0, &places[0]);
    ck_assert_uint_eq(count_files(folder), 4);
    store_sync(store);
    ck_assert_uint_eq(count_files(folder), 3);
    for (unsigned i = 1; i < 4; i++)
        finish(store, i, &places[i]);
    segment_writer_close(writer);
    store_sync(store);
    store_sync(store);
    ck_assert_uint_eq(count_files("segment") + count_files("content"), 0);
    store_close(store);
    /* What nobody knows is removed at the next start. */
    struct segment_directory directory;
    uint64_t number;
    ck_assert(segment_directory_open(&directory, spool));
    fd = content_file_create(&directory, 12345, &number);
    ck_assert_int_ge(fd, 0);
    close(fd);
    segment_directory_close(&directory);
    ck_assert_uint_eq(count_files("content"), 1);
    store_close(open_store());
    ck_assert_uint_eq(count_files("content"), 0);
}

START_TEST(contents_go_with_their_messages)
{
    in_fiber(large_contents);
}
END_TEST

/* A message whose content is checked in the pool. */
struct reading {
    struct store *store;
    bool good, done;
};

static void reader(void *arg)
{
    struct reading *reading = arg;
    struct queue_record record;
    struct arena *own = arena_new(0);
    reading->good = store_read(reading->store, &places[0], own, &record);
    reading->done = true;
    arena_free(own);
}

static void close_while_reading(void *arg UNUSED)
{
    struct segment_writer *writer = open_writer_sized(64 << 20, 4 << 20);
    ck_assert_int_eq(append_message(writer, 0, 1, 12 << 20, &places[0]), 0);
    segment_writer_close(writer);
    struct reading reading = {.store = open_store()};
    fiber_start("reader", reader, &reading);
    fiber_yield(); /* it waits for the pool now, most likely */
    store_close(reading.store);
    ck_assert(reading.done && reading.good);
}

START_TEST(it_is_not_closed_under_a_reader)
{
    in_fiber(close_while_reading);
}
END_TEST

/* ---- many segments -------------------------------------------------------------------------------------------------- */

static void many_segments(void *arg UNUSED)
{
    enum { N = 700 };
    write_some(N, 100, places); /* one message each */
    struct store *store = open_store();
    ck_assert_uint_eq(seen.found, N);
    for (unsigned i = 0; i < N; i++) {
        defer(store, i, &places[i], INDEX_DEFERRED);
        ck_assert(store_mark_warned(store, &places[i]));
    }
    ck_assert_uint_le(count_files("../../proc/self/fd"), 300);
    store_sync(store);
    ck_assert_uint_le(count_files("../../proc/self/fd"), 300);
    ck_assert_uint_eq(store_drop_all(store), N);
    ck_assert_uint_eq(count_files("segment"), 0);
    ck_assert_uint_eq(index_count(store_index(store), INDEX_DEFERRED), 0);
    store_close(store);
    store = open_store();
    ck_assert_uint_eq(seen.found, 0);
    store_close(store);
}

START_TEST(open_files_are_bounded)
{
    in_fiber(many_segments);
}
END_TEST

static void drop_everything(void *arg UNUSED)
{
    struct segment_writer *writer = open_writer_sized(20000, 256 << 10);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(append_message(writer, i, 1, 1000, &places[i]), 0);
    struct store *store = open_store();
    for (unsigned i = 0; i < 99; i++) {
        if (i != 50)
            defer(store, i, &places[i], INDEX_DEFERRED);
    }
    store_sync(store);
    ck_assert_uint_eq(store_drop_all(store), 98);
    store_sync(store);
    ck_assert_uint_eq(count_files("segment"), 2); /* where 50 and 99 are */
    segment_writer_close(writer);
    store_close(store);
    store = open_store();
    ck_assert_uint_eq(seen.found, 2);
    ck_assert(was_found(50) && was_found(99));
    store_close(store);
}

START_TEST(dropping_all_spares_what_only_memory_knows)
{
    in_fiber(drop_everything);
}
END_TEST

/* ---- the cleaner ---------------------------------------------------------------------------------------------------- */

static size_t moved_count;
static struct queue_place moved_from[100], moved_to[100];
static void on_moved(void *context UNUSED, struct slice queue_id, const struct queue_place *from, const struct queue_place *to)
{
    unsigned number = number_of(queue_id);
    ck_assert_mem_eq(from, &places[number], sizeof(*from));
    moved_from[moved_count] = *from;
    moved_to[moved_count++] = *to;
    places[number] = *to;
}

/* Three survivors (one with a content of its own) of a segment of a megabyte. */
static struct store *with_survivors(void)
{
    struct segment_writer *writer = open_writer_sized(2 << 20, 30000);
    for (unsigned i = 0; i < 60; i++)
        ck_assert_int_eq(append_message(writer, i, 1, i == 20 ? 60000 : 25000, &places[i]), 0);
    segment_writer_close(writer);
    struct store *store = open_store();
    store->clean_age = 0;
    for (unsigned i = 0; i < 60; i++) {
        if (i == 10 || i == 20 || i == 30)
            defer(store, i, &places[i], INDEX_DEFERRED);
        else
            finish(store, i, &places[i]);
    }
    ck_assert(store_mark_state(store, &places[30], MESSAGE_STATE_HELD));
    store_sync(store);
    return store;
}

static void clean(void *arg UNUSED)
{
    struct store *store = with_survivors();
    uint64_t old = places[10].segment;
    store_idle_work(store, on_moved, NULL);
    ck_assert_uint_eq(moved_count, 3);
    ck_assert_uint_ne(places[10].segment, old);
    store_sync(store);
    ck_assert_ptr_null(store_segment_find(store, old));
    ck_assert_uint_eq(count_files("segment"), 1);
    ck_assert_uint_eq(count_files("content"), 1);
    for (unsigned i = 10; i <= 30; i += 10) {
        struct queue_record record;
        ck_assert(store_read(store, &places[i], arena, &record));
        ck_assert_uint_eq(record.generation, 1);
        ck_assert_int_eq(record.state, i == 30 ? MESSAGE_STATE_HELD : MESSAGE_STATE_LIVE);
        check_message(&places[i], i, 1, i == 20 ? 60000 : 25000);
    }
    store_idle_work(store, on_moved, NULL);
    ck_assert_uint_eq(moved_count, 3);
    store_close(store);
    store = open_store();
    ck_assert_uint_eq(seen.found, 0);
    for (unsigned i = 10; i <= 30; i += 10)
        finish(store, i, &places[i]);
    store_sync(store);
    ck_assert_uint_eq(count_files("segment") + count_files("content"), 0);
    store_close(store);
}

START_TEST(survivors_are_moved_and_the_segment_goes)
{
    in_fiber(clean);
}
END_TEST

/* Interrupted between the copy and all that follows: both generations are live. */
static void interrupted(bool index_lost, bool index_knows_origin)
{
    struct store *store = with_survivors();
    struct queue_place origin[3] = {places[10], places[20], places[30]};
    store_idle_work(store, on_moved, NULL);
    ck_assert_uint_eq(moved_count, 3);
    moved_count = 0;
    for (unsigned i = 0; i < 3 && index_knows_origin; i++)
        defer(store, 10 + 10 * i, &origin[i], INDEX_DEFERRED);
    store_close(store);
    if (index_lost)
        remove_index();
    for (int i = 0; i < 3; i++)
        set_state(&origin[i], MESSAGE_STATE_LIVE);
    store = open_store();
    ck_assert_uint_eq(seen.found, index_lost ? 3 : 0);
    for (size_t i = 0; i < seen.found; i++)
        ck_assert_uint_eq(seen.generations[i], 1);
    for (unsigned i = 10; i <= 30; i += 10) {
        struct index_entry entry;
        struct test_message message;
        make_message(&message, i, 1);
        ck_assert_int_eq(index_get(store_index(store), message.envelope.queue_id, arena, &entry), !index_lost);
        if (!index_lost) {
            ck_assert_mem_eq(&entry.place, &places[i], sizeof(places[i]));
            ck_assert_uint_eq(entry.attempts, 7);
        }
        finish(store, i, &places[i]);
    }
    store_sync(store);
    store_sync(store);
    ck_assert_uint_eq(count_files("segment"), 0);
    store_close(store);
}

static void interrupted_with_index(void *arg UNUSED)
{
    interrupted(false, false);
}

static void interrupted_before_index(void *arg UNUSED)
{
    interrupted(false, true);
}

static void interrupted_without_index(void *arg UNUSED)
{
    interrupted(true, false);
}

START_TEST(the_higher_generation_wins)
{
    in_fiber(interrupted_with_index);
}
END_TEST

START_TEST(the_higher_generation_wins_over_the_index)
{
    in_fiber(interrupted_before_index);
}
END_TEST

START_TEST(the_higher_generation_wins_without_index)
{
    in_fiber(interrupted_without_index);
}
END_TEST

/* A copy that was delivered while its origin's mark was lost must not come back through its origin. */
static void delivered_copy(void *arg UNUSED)
{
    struct store *store = with_survivors();
    struct queue_place origin = places[10];
    store_idle_work(store, on_moved, NULL);
    finish(store, 10, &places[10]);
    store_close(store);
    remove_index();
    set_state(&origin, MESSAGE_STATE_LIVE);
    store = open_store();
    ck_assert_uint_eq(seen.found, 2);
    ck_assert(!was_found(10));
    store_close(store);
}

START_TEST(a_delivered_copy_retires_its_origin)
{
    in_fiber(delivered_copy);
}
END_TEST

/* ---- one owner ------------------------------------------------------------------------------------------------------ */

static void locked(void *arg UNUSED)
{
    ck_assert(!store_is_locked(spool));
    struct store *store = open_store();
    ck_assert(store_is_locked(spool));
    store_close(store);
    ck_assert(!store_is_locked(spool));
}

START_TEST(the_queue_has_one_owner)
{
    in_fiber(locked);
}
END_TEST

START_TEST(offset_sets)
{
    struct offset_set set = {0};
    static bool has[5000];
    size_t count = 0;
    for (int i = 0; i < 200000; i++) {
        unsigned n = 1 + next_random() % 4999;
        bool add = next_random() % 2;
        ck_assert_int_eq(offset_set_has(&set, n * 8), has[n]);
        if (add)
            ck_assert_int_eq(offset_set_add(&set, n * 8), !has[n]);
        else
            ck_assert_int_eq(offset_set_remove(&set, n * 8), has[n]);
        count = count + (add && !has[n]) - (!add && has[n]);
        has[n] = add;
        ck_assert_uint_eq(set.count, count);
    }
    offset_set_release(&set);
}
END_TEST

TEST_MAIN("queue/store", offset_sets, each_message_is_known_once, a_restart_finds_what_only_memory_knew, an_incomplete_record_is_dropped,
          a_hole_costs_one_message, a_killed_writers_segment_is_closed, a_segment_goes_only_after_its_marks_are_on_disk,
          marks_that_were_not_on_disk_cost_a_duplicate_at_most, what_was_refused_is_not_delivered,
          a_lost_index_is_rebuilt_from_the_segments, entries_without_a_segment_are_dropped, damage_is_reported_and_neighbours_are_found,
          damage_is_found_when_a_message_is_read_again, a_damaged_index_entry_costs_nothing, contents_go_with_their_messages,
          it_is_not_closed_under_a_reader,
          open_files_are_bounded, dropping_all_spares_what_only_memory_knows, survivors_are_moved_and_the_segment_goes,
          the_higher_generation_wins, the_higher_generation_wins_over_the_index, the_higher_generation_wins_without_index,
          a_delivered_copy_retires_its_origin, the_queue_has_one_owner)
