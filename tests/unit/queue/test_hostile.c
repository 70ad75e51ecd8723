/* test_hostile.c - index entries and headers with good checksums over bad numbers, and files that are not what their names say: refused, each at
   the cost of one message at most */
#include "queue_testing.h"

#include "base/clock.h"
#include "base/cursor.h"
#include "base/log.h"
#include "queue/crc32c.h"
#include "queue/index_entry.h"
#include "queue/queue_id.h"
#include "queue/store.h"

static void quiet(enum log_severity severity UNUSED, const char *text UNUSED, void *context UNUSED) {}

/* ---- index entries ---- */

static struct index_entry good_entry(struct index_recipient *recipient)
{
    *recipient = (struct index_recipient){.address = SLICE("b@example.test"), .index = 3, .status = SLICE("4.4.1"), .reason = SLICE("timed out")};
    return (struct index_entry){
        .queue_id = SLICE("ABCDEF0123"), .queue = INDEX_DEFERRED, .place = {.segment = 7, .offset = 64, .length = 800, .content_offset = 200},
        .arrival_time = 5, .next_attempt = 6, .sender = SLICE("a@example.test"), .destination = SLICE("smtp:example.test"),
        .recipients = recipient, .recipient_count = 1};
}

static struct slice key_of(char key[QUEUE_ID_MAX])
{
    return queue_id_sort_key(SLICE("ABCDEF0123"), key);
}

static void seal(char *bytes, size_t len)
{
    char key[QUEUE_ID_MAX];
    struct slice sort_key = key_of(key);
    uint32_t sum = crc32c(crc32c(0, sort_key.data, sort_key.len), bytes + 4, len - 4);
    for (int i = 0; i < 4; i++)
        bytes[i] = (char)(sum >> (8 * i));
}

static bool decodes(const char *bytes, size_t len)
{
    char key[QUEUE_ID_MAX];
    struct index_entry entry;
    struct arena *arena = arena_new(0);
    bool ok = index_entry_decode(slice_make(bytes, len), key_of(key), arena, &entry);
    ck_assert_uint_le(arena_size(arena), 100000); /* no memory for what a count merely claims */
    arena_free(arena);
    return ok;
}

/* Every byte of the fixed part takes every value: never a crash, and what decodes is within its ranges. */
START_TEST(entries_with_any_fixed_byte)
{
    struct index_recipient recipient;
    struct index_entry entry = good_entry(&recipient);
    struct index_entry_facts facts;
    struct buffer bytes = BUFFER_INIT;
    char key[QUEUE_ID_MAX];
    index_entry_encode(&entry, &bytes);
    for (size_t at = 4; at < bytes.len; at++) {
        char old = bytes.data[at];
        for (int value = 0; value < 256; value++) {
            bytes.data[at] = (char)value;
            seal(bytes.data, bytes.len);
            bool ok = decodes(bytes.data, bytes.len), facts_ok = index_entry_read_facts(buffer_slice(&bytes), key_of(key), &facts);
            ck_assert_msg(!ok || facts_ok, "byte %zu = %d", at, value);
            if (facts_ok)
                ck_assert(facts.segment != 0 && facts.offset <= INT64_MAX / 2 &&
                          (facts.queue == INDEX_DEFERRED || facts.queue == INDEX_HOLD || facts.queue == INDEX_INCOMING));
        }
        bytes.data[at] = old;
    }
    for (size_t len = 0; len < bytes.len; len++) {
        struct buffer cut = BUFFER_INIT;
        buffer_append(&cut, bytes.data, len);
        if (len >= 8)
            seal(cut.data, len);
        ck_assert(!decodes(cut.data ? cut.data : "", len));
        struct index_change change = {.queue = INDEX_HOLD};
        if (len < INDEX_ENTRY_FIXED_SIZE)
            ck_assert(!index_entry_patch(&cut, key_of(key), &change));
        ck_assert_uint_le(index_entry_id(buffer_slice(&cut)).len, len);
        buffer_release(&cut);
    }
    buffer_append_byte(&bytes, 0); /* something behind the end */
    seal(bytes.data, bytes.len);
    ck_assert(!decodes(bytes.data, bytes.len));
    buffer_release(&bytes);
}
END_TEST

/* Counts and lengths that claim more than there is. */
START_TEST(entries_with_bad_counts)
{
    static const uint64_t counts[] = {2, 5, 1000, UINT32_MAX, UINT64_C(1) << 40, UINT64_MAX};
    struct index_recipient recipient;
    struct index_entry entry = good_entry(&recipient);
    struct buffer bytes = BUFFER_INIT;
    entry.recipient_count = 0;
    index_entry_encode(&entry, &bytes);
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        struct buffer bad = BUFFER_INIT;
        buffer_append(&bad, bytes.data, bytes.len - 1); /* without its count of recipients */
        put_varint(&bad, counts[i]);
        seal(bad.data, bad.len);
        ck_assert(!decodes(bad.data, bad.len));
        for (int field = 0; field < 5; field++) { /* one recipient, one of whose numbers is out of range */
            struct buffer worse = BUFFER_INIT;
            buffer_append(&worse, bytes.data, bytes.len - 1);
            put_varint(&worse, 1);
            for (int k = 0; k < 5; k++)
                put_varint(&worse, k == field ? counts[i] + (k == 0 ? UINT32_MAX : 7) : 0);
            seal(worse.data, worse.len);
            ck_assert_msg(!decodes(worse.data, worse.len) || (field == 0 && counts[i] == UINT64_MAX) /* wraps to a number that fits */ ||
                          counts[i] + 7 < 8, "field %d, count %zu", field, i);
            buffer_release(&worse);
        }
        buffer_release(&bad);
    }
    buffer_release(&bytes);
}
END_TEST

/* ---- headers ---- */

static void seal_record(uint8_t *bytes, uint64_t segment, uint64_t offset)
{
    uint8_t place[16];
    for (int i = 0; i < 8; i++) {
        place[i] = (uint8_t)(segment >> (8 * i));
        place[8 + i] = (uint8_t)(offset >> (8 * i));
    }
    uint32_t sum = crc32c(crc32c(0, place, sizeof(place)), bytes + 8, RECORD_FIXED_SIZE - 8);
    for (int i = 0; i < 4; i++)
        bytes[4 + i] = (uint8_t)(sum >> (8 * i));
}

START_TEST(record_headers_with_any_byte)
{
    struct record_header header = {.segment = 9, .offset = 64, .mark = 77, .generation = 1, .recipient_count = 3, .envelope_length = 100,
                                   .content_length = 500, .arrival_time = 5, .queue_id = "ABCDEF0123", .state = MESSAGE_STATE_LIVE}, got;
    uint8_t bytes[RECORD_RECIPIENTS_OFFSET], copy[RECORD_RECIPIENTS_OFFSET];
    record_header_build(&header, bytes);
    ck_assert(record_header_parse(bytes, 9, 64, &got));
    ck_assert(!record_header_parse(bytes, 9, 72, &got) && !record_header_parse(bytes, 8, 64, &got)); /* good in its own place only */
    for (size_t at = 8; at < RECORD_FIXED_SIZE; at++) {
        for (int value = 0; value < 256; value++) {
            memcpy(copy, bytes, sizeof(copy));
            copy[at] = (uint8_t)value;
            seal_record(copy, 9, 64);
            if (!record_header_parse(copy, 9, 64, &got))
                continue;
            ck_assert(got.envelope_length <= RECORD_ENVELOPE_MAX && got.recipient_count <= RECORD_RECIPIENTS_MAX && got.length == record_size(&got) &&
                      got.content_length < INT64_MAX / 2 && memchr(got.queue_id, '\0', QUEUE_ID_MAX));
        }
    }
}
END_TEST

START_TEST(segment_headers_with_any_byte)
{
    struct segment_header header = {.number = 5, .mark = 6, .created = 7, .kind = SEGMENT_KIND_COPIES}, got;
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    segment_header_build(&header, bytes);
    ck_assert(segment_header_parse(bytes, &got) && got.number == 5 && got.kind == SEGMENT_KIND_COPIES);
    for (size_t at = 0; at < SEGMENT_HEADER_SIZE; at++) {
        for (int flip = 1; flip < 256; flip++) {
            bytes[at] ^= (uint8_t)flip;
            ck_assert_msg(!segment_header_parse(bytes, &got), "byte %zu", at);
            bytes[at] ^= (uint8_t)flip;
        }
    }
}
END_TEST

/* ---- files ---- */

static unsigned found, corrupt;

static void on_found(void *context UNUSED, const struct queue_record *record UNUSED)
{
    found++;
}

static void on_corrupt(void *context UNUSED, const struct queue_place *place UNUSED, const char *text UNUSED)
{
    corrupt++;
}

static void write_file(const char *name, const void *bytes, size_t len)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/segment/%s", spool, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
    close(fd);
}

static void strange_files(void *arg UNUSED)
{
    static const struct store_events events = {on_found, on_corrupt};
    struct queue_place place;
    char name[SEGMENT_NAME_SIZE], *why = NULL, path[200];
    static char bytes[100000];
    struct segment_writer *writer = open_writer();
    ck_assert_int_eq(append_message(writer, 1, 2, 500, &place), 0);
    segment_writer_close(writer);
    int fd = open_segment_at(place.segment, O_RDONLY);
    ssize_t size = read(fd, bytes, sizeof(bytes));
    close(fd);
    write_file(segment_file_name(place.segment + 1, name), bytes, (size_t)size); /* a copy under another number */
    write_file("0000000000000001", "", 0);
    write_file("0000000000000002", "PSTNSEG1", 8);
    memset(bytes, 0xff, sizeof(bytes));
    write_file("0000000000000003", bytes, sizeof(bytes));
    memset(bytes, 0, sizeof(bytes));
    write_file("FFFFFFFFFFFFFFFF", bytes, sizeof(bytes));
    write_file("not-a-segment", bytes, 100);
    snprintf(path, sizeof(path), "%s/segment/0000000000000004", spool);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/segment/0000000000000005", spool);
    ck_assert_int_eq(symlink("/etc/passwd", path), 0);
    snprintf(path, sizeof(path), "%s/segment/0000000000000006", spool);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    log_set_watcher(quiet, NULL);
    struct store *store = store_open(spool, &events, NULL, &why);
    ck_assert_msg(store != NULL, "%s", why);
    store_recover(store);
    for (int i = 0; i < 3; i++) {
        store_scan(store);
        store_sync(store);
        store_idle_work(store, NULL, NULL);
    }
    ck_assert_uint_eq(found, 1);
    ck_assert_uint_ge(corrupt, 1);
    store_close(store);
}

START_TEST(files_that_are_not_what_their_names_say)
{
    in_fiber(strange_files);
}
END_TEST

TEST_MAIN("queue/hostile", entries_with_any_fixed_byte, entries_with_bad_counts, record_headers_with_any_byte, segment_headers_with_any_byte,
          files_that_are_not_what_their_names_say)
