/* writing and reading segments: what is acknowledged, what is left behind when something fails */
#include "queue_testing.h"

#include <sys/resource.h>

#include "queue/crc32c.h"

START_TEST(checksums_agree)
{
    ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283);
    ck_assert_uint_eq(crc32c_by_table(0, "123456789", 9), 0xe3069283);
    char *data = make_content(1, 1000);
    for (size_t len = 0; len < 1000; len += 13) {
        ck_assert_uint_eq(crc32c(0, data + 3, len), crc32c_by_table(0, data + 3, len));
        ck_assert_uint_eq(crc32c(crc32c(0, data, len), data + len, 1000 - len), crc32c(0, data, 1000));
    }
    free(data);
}
END_TEST

static void append_some(void *arg UNUSED)
{
    struct segment_writer *writer = open_writer();
    struct queue_place places[20];
    for (unsigned i = 0; i < 20; i++)
        ck_assert_int_eq(append_message(writer, i, 1 + i % 8, 100 + i * 777, &places[i]), 0);
    for (unsigned i = 0; i < 20; i++)
        check_message(&places[i], i, 1 + i % 8, 100 + i * 777);
    ck_assert_uint_eq(places[0].offset, SEGMENT_HEADER_SIZE);
    int fd = open_segment_at(places[0].segment, O_RDWR);
    ck_assert(!segment_file_is_closed(fd));
    segment_writer_close(writer);
    ck_assert(segment_file_is_closed(fd));
    struct stat status;
    fstat(fd, &status);
    ck_assert_uint_eq((uint64_t)status.st_size, places[19].offset + places[19].length);
    ck_assert_msg((uint64_t)status.st_blocks * 512 < (uint64_t)status.st_size + 8192, "reserved blocks were given back");
    close(fd);
}

START_TEST(what_was_written_is_read)
{
    in_fiber(append_some);
}
END_TEST

static void append_large(void *arg UNUSED)
{
    struct segment_writer *writer = open_writer_sized(1 << 20, 64 << 10);
    struct queue_place place, small;
    ck_assert_int_eq(append_message(writer, 1, 2, 3000000, &place), 0);
    ck_assert_uint_ne(place.content_file, 0);
    ck_assert_uint_eq(place.content_offset, 0);
    check_message(&place, 1, 2, 3000000);
    ck_assert_int_eq(append_message(writer, 2, 2, 64 << 10, &small), 0);
    ck_assert_uint_eq(small.content_file, 0);
    check_message(&small, 2, 2, 64 << 10);
    /* A sink that begins in one segment and ends in the next. */
    struct test_message message;
    make_message(&message, 3, 1);
    struct content_sink *sink = content_sink_new(writer);
    char *content = make_content(3, 200000);
    ck_assert(content_sink_write(sink, slice_make(content, 150000)));
    for (unsigned i = 0; i < 20; i++)
        ck_assert_int_eq(append_message(writer, 10 + i, 2, 60 << 10, &small), 0);
    ck_assert_uint_ne(small.segment, place.segment);
    ck_assert(content_sink_write(sink, slice_make(content + 150000, 50000)));
    ck_assert_int_eq(segment_append(writer, &message.envelope, sink, &place), 0);
    content_sink_free(sink);
    ck_assert_uint_eq(place.segment, small.segment);
    check_message(&place, 3, 1, 200000);
    free(content);
    /* A cancelled one leaves no file. */
    sink = content_sink_new(writer);
    content = make_content(3, 200000);
    ck_assert(content_sink_write(sink, slice_make(content, 200000)));
    content_sink_free(sink);
    free(content);
    segment_writer_close(writer);
}

START_TEST(large_contents_have_their_own_files)
{
    in_fiber(append_large);
}
END_TEST

static void append_empty(void *arg UNUSED)
{
    struct segment_writer *writer = open_writer();
    struct queue_place place;
    ck_assert_int_eq(append_message(writer, 1, 0, 0, &place), 0);
    check_message(&place, 1, 0, 0);
    segment_writer_close(writer);
}

START_TEST(no_recipients_and_no_content)
{
    in_fiber(append_empty);
}
END_TEST

static void rotate(void *arg UNUSED)
{
    struct segment_writer *writer = open_writer_sized(20000, 256 << 10);
    struct queue_place first, last;
    ck_assert_int_eq(append_message(writer, 0, 1, 5000, &first), 0);
    for (unsigned i = 1; i < 10; i++) {
        ck_assert_int_eq(append_message(writer, i, 1, 5000, &last), 0);
        check_message(&last, i, 1, 5000);
    }
    ck_assert_uint_gt(last.segment, first.segment);
    int fd = open_segment_at(first.segment, O_RDWR);
    ck_assert_msg(segment_file_is_closed(fd), "the full segment is closed");
    close(fd);
    segment_writer_close(writer);
}

START_TEST(a_full_segment_is_followed_by_a_new_one)
{
    in_fiber(rotate);
}
END_TEST

static void many_sinks(void *arg UNUSED)
{
    enum { SINKS = 100 };
    struct content_sink *sinks[SINKS];
    struct test_message message;
    struct queue_place place;
    struct segment_writer *writer = open_writer();
    char *content = make_content(5, 60000);
    writer->buffered_max = 1 << 20;
    for (int i = 0; i < SINKS; i++)
        sinks[i] = content_sink_new(writer);
    for (size_t at = 0; at < 60000; at += 10000) {
        for (int i = 0; i < SINKS; i++)
            ck_assert(content_sink_write(sinks[i], slice_make(content + at, 10000)));
    }
    ck_assert_msg(writer->buffered < 5 << 20, "%zu bytes are held in memory", writer->buffered);
    make_message(&message, 5, 1);
    unsigned own = 0;
    for (int i = 0; i < SINKS; i++) {
        ck_assert_int_eq(segment_append(writer, &message.envelope, sinks[i], &place), 0);
        check_message(&place, 5, 1, 60000);
        own += place.content_file != 0;
        content_sink_free(sinks[i]);
    }
    ck_assert_uint_gt(own, 50);
    ck_assert_uint_eq(writer->buffered, 0);
    free(content);
    segment_writer_close(writer);
}

START_TEST(many_contents_at_once_do_not_fill_the_memory)
{
    in_fiber(many_sinks);
}
END_TEST

static void idle_segment(void *arg UNUSED)
{
    struct segment_writer *writer = open_writer();
    struct queue_place first, second;
    writer->idle_time = MICROSECONDS / 50;
    ck_assert_int_eq(append_message(writer, 1, 1, 100, &first), 0);
    ck_assert_int_eq(append_message(writer, 2, 1, 100, &second), 0);
    ck_assert_uint_eq(first.segment, second.segment);
    fiber_sleep(MICROSECONDS / 10);
    int fd = open_segment_at(first.segment, O_RDWR);
    ck_assert(segment_file_is_closed(fd));
    close(fd);
    ck_assert_int_eq(append_message(writer, 3, 1, 100, &second), 0);
    ck_assert_uint_ne(first.segment, second.segment);
    segment_writer_close(writer);
}

START_TEST(a_segment_is_closed_when_no_mail_comes)
{
    in_fiber(idle_segment);
}
END_TEST

/* ---- group commit ------------------------------------------------------------------------------------------------- */

enum { APPENDERS = 64, EACH = 50 };

static struct segment_writer *shared;
static size_t running, failures, successes;
static struct condition all_done;
static struct queue_place shared_places[APPENDERS * EACH];

static void appender(void *arg)
{
    unsigned number = (unsigned)(uintptr_t)arg;
    for (unsigned i = 0; i < EACH; i++) {
        if (append_message(shared, number * EACH + i, 1, 2000, &shared_places[number * EACH + i]) == 0)
            successes++;
        else
            failures++;
    }
    if (--running == 0)
        condition_broadcast(&all_done);
}

static void start_appenders(void)
{
    condition_init(&all_done);
    failures = successes = 0;
    running = APPENDERS;
    for (unsigned i = 0; i < APPENDERS; i++)
        fiber_start("appender", appender, (void *)(uintptr_t)i);
    while (running > 0)
        condition_wait(&all_done, CLOCK_NEVER);
}

static void commit_in_groups(void *arg UNUSED)
{
    shared = open_writer_sized(1 << 20, 256 << 10);
    start_appenders();
    ck_assert_uint_eq(successes, APPENDERS * EACH);
    uint64_t syncs = segment_writer_counters(shared)->syncs;
    ck_assert_msg(syncs < APPENDERS * EACH / 8, "%d messages took %d syncs", APPENDERS * EACH, (int)syncs);
    segment_writer_close(shared);
    for (unsigned i = 0; i < APPENDERS * EACH; i++)
        check_message(&shared_places[i], i, 1, 2000);
}

START_TEST(one_sync_covers_many)
{
    in_fiber(commit_in_groups);
}
END_TEST

static int syncs_until_failure;

static int failing_datasync(int fd)
{
    if (syncs_until_failure-- == 0) {
        errno = EIO;
        return -1;
    }
    return fdatasync(fd);
}

static void fail_commit(void *arg UNUSED)
{
    struct queue_place before, after;
    struct segment_writer *writer = shared = open_writer();
    ck_assert_int_eq(append_message(writer, 100000, 1, 100, &before), 0);
    syncs_until_failure = 3;
    segment_file_datasync = failing_datasync;
    start_appenders();
    segment_file_datasync = fdatasync;
    ck_assert_uint_gt(failures, 0);
    ck_assert_uint_gt(successes, 0);
    ck_assert_int_eq(append_message(writer, 100001, 1, 100, &after), 0);
    ck_assert_msg(after.segment != before.segment, "a file whose sync failed is never trusted again");
    segment_writer_close(writer);
    /* Every record of the bad segment is there and those that failed are dead. */
    int fd = open_segment_at(before.segment, O_RDONLY);
    size_t dead = 0, live = 0;
    struct arena *arena = arena_new(0);
    struct queue_record record;
    uint64_t next = SEGMENT_HEADER_SIZE;
    while (record_read(fd, before.segment, next, arena, &record, &next) == RECORD_OK) {
        ck_assert(record.state == MESSAGE_STATE_DEAD || record.state == MESSAGE_STATE_LIVE);
        dead += record.state == MESSAGE_STATE_DEAD;
        live += record.state == MESSAGE_STATE_LIVE;
    }
    ck_assert_uint_eq(dead, failures);
    ck_assert_uint_gt(live, 0);
    arena_free(arena);
    close(fd);
}

START_TEST(a_failed_sync_fails_its_waiters_and_retires_the_segment)
{
    in_fiber(fail_commit);
}
END_TEST

/* ---- no room ------------------------------------------------------------------------------------------------------ */

static void full_disk(void *arg UNUSED)
{
    struct segment_writer *writer = open_writer();
    struct queue_place place, last = {0};
    struct rlimit limit = {100000, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &limit);
    unsigned accepted = 0;
    while (append_message(writer, accepted, 1, 3000, &place) == 0) {
        accepted++;
        last = place;
    }
    ck_assert_int_eq(errno, EFBIG);
    ck_assert_uint_gt(accepted, 20);
    ck_assert_int_eq(append_message(writer, accepted, 1, 3000, &place), -1);
    ck_assert_msg(append_message(writer, accepted, 1, 1 << 20, &place) == -1, "nor a large one");
    /* Smaller ones still fit, and so do all when there is room again. */
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    ck_assert_int_eq(append_message(writer, accepted, 1, 3000, &place), 0);
    ck_assert_uint_eq(place.segment, last.segment);
    ck_assert_uint_eq(place.offset, last.offset + last.length);
    check_message(&place, accepted, 1, 3000);
    segment_writer_close(writer);
}

START_TEST(a_full_disk_refuses_and_recovers)
{
    in_fiber(full_disk);
}
END_TEST

static void too_little_free(void *arg UNUSED)
{
    struct segment_writer_options options = {
        .queue_directory = spool, .segment_size = 1 << 20, .large_content = 256 << 10, .minimum_free = INT64_MAX / 4};
    struct segment_writer *writer = segment_writer_open(&options);
    struct queue_place place;
    ck_assert_int_eq(append_message(writer, 1, 1, 3000, &place), -1);
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_int_ge(segment_free_space(writer), 0);
    segment_writer_close(writer);
}

START_TEST(minimum_free_is_kept)
{
    in_fiber(too_little_free);
}
END_TEST

/* ---- damage ------------------------------------------------------------------------------------------------------- */

static size_t count_in(const char *folder)
{
    char command[200];
    snprintf(command, sizeof(command), "find %s/%s -mindepth 1 -type f | wc -l", spool, folder);
    FILE *pipe = popen(command, "r");
    size_t count = 99;
    ck_assert_int_eq(fscanf(pipe, "%zu", &count), 1);
    pclose(pipe);
    return count;
}

static void close_unused(void *arg UNUSED)
{
    struct segment_writer *writer = open_writer_sized(1 << 20, 1000);
    struct content_sink *sink = content_sink_new(writer);
    char *content = make_content(1, 5000);
    ck_assert(content_sink_write(sink, slice_make(content, 5000)));
    content_sink_free(sink);
    free(content);
    ck_assert_uint_eq(count_in("segment"), 1);
    segment_writer_close(writer);
    ck_assert_uint_eq(count_in("segment"), 0);
    ck_assert_uint_eq(count_in("content"), 0);
}

START_TEST(an_unused_segment_leaves_nothing)
{
    in_fiber(close_unused);
}
END_TEST

static void cut_tail(void *arg UNUSED)
{
    struct segment_writer *writer = open_writer();
    struct queue_place first, second;
    ck_assert_int_eq(append_message(writer, 1, 1, 3000, &first), 0);
    ck_assert_int_eq(append_message(writer, 2, 1, 3000, &second), 0);
    segment_writer_close(writer);
    int fd = open_segment_at(first.segment, O_RDWR);
    struct arena *arena = arena_new(0);
    struct queue_record record;
    uint64_t next;
    ck_assert_int_eq(record_read(fd, first.segment, second.offset + second.length, arena, &record, &next), RECORD_END);
    for (uint64_t cut = second.offset + second.length - 1; cut > second.offset; cut--) {
        ck_assert_int_eq(ftruncate(fd, (off_t)cut), 0);
        ck_assert_int_eq(record_read(fd, first.segment, second.offset, arena, &record, &next), RECORD_INCOMPLETE);
        arena_reset(arena);
    }
    check_message(&first, 1, 1, 3000);
    close(fd);
    arena_free(arena);
}

START_TEST(a_torn_tail_is_incomplete_at_every_length)
{
    in_fiber(cut_tail);
}
END_TEST

static unsigned random_state = 12345;
static unsigned next_random(void)
{
    random_state = random_state * 1103515245 + 12345;
    return random_state >> 8;
}

/* Read the damaged file front to back: count the messages that are whole. */
static size_t read_all(int fd, uint64_t segment, bool *seen)
{
    struct arena *arena = arena_new(0);
    struct queue_record record;
    uint64_t offset = SEGMENT_HEADER_SIZE, next;
    size_t whole = 0;
    for (;;) {
        arena_reset(arena);
        enum record_result result = record_read(fd, segment, offset, arena, &record, &next);
        if (result == RECORD_OK && record_check_content(fd, &record)) {
            uint64_t number;
            ck_assert(slice_to_u64_hex(slice_from(record.envelope.queue_id, 5), &number));
            ck_assert_uint_lt(number, 20);
            seen[number] = true;
            whole++;
        }
        if (result == RECORD_END || result == RECORD_INCOMPLETE || !next)
            break;
        ck_assert_uint_gt(next, offset);
        offset = next;
    }
    arena_free(arena);
    return whole;
}

/* Overwrite random bytes: nothing crashes, and every message that was not touched is found. */
static void overwrite(void *arg UNUSED)
{
    struct segment_writer *writer = open_writer();
    struct queue_place places[20];
    for (unsigned i = 0; i < 20; i++)
        ck_assert_int_eq(append_message(writer, i, 1 + i % 8, 200 + i * 300, &places[i]), 0);
    segment_writer_close(writer);
    int fd = open_segment_at(places[0].segment, O_RDWR);
    size_t size = (size_t)(places[19].offset + places[19].length);
    char *good = memory_alloc(size), *bad = memory_alloc(size);
    ck_assert_int_eq(pread(fd, good, size, 0), size);
    for (int round = 0; round < 400; round++) {
        memcpy(bad, good, size);
        size_t at = next_random() % size, len = 1 + next_random() % (round % 3 == 0 ? 1 : round % 3 == 1 ? 64 : 5000);
        if (len > size - at)
            len = size - at;
        for (size_t i = 0; i < len; i++)
            bad[at + i] = (char)next_random();
        ck_assert_int_eq(pwrite(fd, bad, size, 0), size);
        bool seen[20] = {false};
        read_all(fd, places[0].segment, seen);
        for (unsigned i = 0; i < 20; i++) {
            bool touched = at < places[i].offset + places[i].length && at + len > places[i].offset;
            ck_assert_msg(touched || seen[i], "round %d: message %u was not touched but not found", round, i);
        }
    }
    free(good);
    free(bad);
    close(fd);
}

START_TEST(neighbours_of_damage_survive)
{
    in_fiber(overwrite);
}
END_TEST

START_TEST(a_flipped_bit_is_found)
{
    make_spool();
    struct record_header header = {.segment = 7, .offset = 64, .mark = 99, .envelope_length = 100, .recipient_count = 1,
                                   .content_length = 1000, .queue_id = "ABCDEF0123", .state = MESSAGE_STATE_LIVE}, parsed;
    uint8_t bytes[RECORD_RECIPIENTS_OFFSET];
    record_header_build(&header, bytes);
    ck_assert(record_header_parse(bytes, 7, 64, &parsed));
    ck_assert(!record_header_parse(bytes, 8, 64, &parsed));
    ck_assert(!record_header_parse(bytes, 7, 72, &parsed));
    for (size_t bit = 0; bit < RECORD_FIXED_SIZE * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_msg(!record_header_parse(bytes, 7, 64, &parsed), "bit %zu", bit);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    static const char states[] = {MESSAGE_STATE_LIVE, MESSAGE_STATE_HELD, MESSAGE_STATE_DONE, MESSAGE_STATE_DEAD};
    static const char recipient_states[] = {RECIPIENT_STATE_PENDING, RECIPIENT_STATE_DONE, RECIPIENT_STATE_FAILED,
                                            RECIPIENT_STATE_DELIVERED_NOTICE_OWED};
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < i; j++) {
            ck_assert_int_ge(__builtin_popcount((unsigned)(states[i] ^ states[j])), 2);
            ck_assert_int_ge(__builtin_popcount((unsigned)(recipient_states[i] ^ recipient_states[j])), 2);
        }
    }
    remove_spool();
}
END_TEST

/* A content that holds the bytes of a record is never taken for one. */
static void forge(void *arg UNUSED)
{
    struct segment_writer *writer = open_writer();
    struct queue_place first, second;
    ck_assert_int_eq(append_message(writer, 1, 1, 100, &first), 0);
    struct record_header header = {.segment = first.segment, .mark = 1234, .state = MESSAGE_STATE_LIVE, .queue_id = "FFFFFFFFFF"};
    struct test_message message;
    make_message(&message, 2, 1);
    struct content_sink *sink = content_sink_new(writer);
    char *content = memory_zalloc(1, 4000);
    header.offset = first.offset + first.length + 400; /* an aligned place within the content */
    ck_assert(content_sink_write(sink, slice_make(content, 4000)));
    ck_assert_int_eq(segment_append(writer, &message.envelope, sink, &second), 0);
    content_sink_free(sink);
    free(content);
    ck_assert_uint_gt(header.offset, second.content_offset);
    uint8_t bytes[RECORD_RECIPIENTS_OFFSET], garbage[8] = {0};
    record_header_build(&header, bytes);
    int fd = open_segment_at(first.segment, O_RDWR);
    ck_assert(segment_file_write(fd, bytes, sizeof(bytes), header.offset));
    ck_assert(segment_file_write(fd, garbage, sizeof(garbage), second.offset));
    ck_assert_uint_eq(record_find(fd, first.segment, second.offset), 0);
    close(fd);
    segment_writer_close(writer);
}

START_TEST(content_cannot_pretend_to_be_a_record)
{
    in_fiber(forge);
}
END_TEST

TEST_MAIN("queue/segment", checksums_agree, what_was_written_is_read, large_contents_have_their_own_files, no_recipients_and_no_content,
          a_full_segment_is_followed_by_a_new_one, one_sync_covers_many, a_failed_sync_fails_its_waiters_and_retires_the_segment,
          a_full_disk_refuses_and_recovers, minimum_free_is_kept, an_unused_segment_leaves_nothing, many_contents_at_once_do_not_fill_the_memory,
          a_segment_is_closed_when_no_mail_comes,
          a_torn_tail_is_incomplete_at_every_length, neighbours_of_damage_survive, a_flipped_bit_is_found,
          content_cannot_pretend_to_be_a_record)
