/* record.c - building, parsing and verifying segment headers and message records */
#include "queue/record.h"

#include <sys/stat.h>

#include "base/cursor.h"
#include "queue/crc32c.h"
#include "queue/segment_file.h"

#define SEGMENT_MAGIC "PSTNSEG1"
#define RECORD_MAGIC UINT32_C(0x43455250) /* "PREC" */

enum { ALIGNMENT = 8, READ_AHEAD = 4096, FIND_CHUNK = 256 * 1024, SMALL_CONTENT = 64 * 1024 };

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

static void store_number(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t number_at(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static uint64_t aligned(uint64_t n)
{
    return (n + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
}

/* ---- file header -------------------------------------------------------------------------------------------------- */

void segment_header_build(const struct segment_header *header, uint8_t bytes[SEGMENT_HEADER_SIZE])
{
    memset(bytes, 0, SEGMENT_HEADER_SIZE);
    memcpy(bytes, SEGMENT_MAGIC, sizeof(SEGMENT_MAGIC) - 1);
    store_number(bytes + 12, SEGMENT_VERSION, 4);
    store_number(bytes + 16, header->number, 8);
    store_number(bytes + 24, header->mark, 8);
    store_number(bytes + 32, (uint64_t)header->created, 8);
    store_number(bytes + 40, header->kind, 4);
    store_number(bytes + 8, crc32c(0, bytes + 12, SEGMENT_HEADER_SIZE - 12), 4);
}

bool segment_header_parse(const uint8_t bytes[SEGMENT_HEADER_SIZE], struct segment_header *header)
{
    if (memcmp(bytes, SEGMENT_MAGIC, 8) != 0 || number_at(bytes + 12, 4) != SEGMENT_VERSION ||
        number_at(bytes + 8, 4) != crc32c(0, bytes + 12, SEGMENT_HEADER_SIZE - 12))
        return false;
    header->number = number_at(bytes + 16, 8);
    header->mark = number_at(bytes + 24, 8);
    header->created = (int64_t)number_at(bytes + 32, 8);
    header->kind = (uint32_t)number_at(bytes + 40, 4);
    return true;
}

/* ---- record header ------------------------------------------------------------------------------------------------ */

uint64_t record_envelope_offset(const struct record_header *header)
{
    return RECORD_RECIPIENTS_OFFSET + aligned(header->recipient_count);
}

uint64_t record_content_offset(const struct record_header *header)
{
    return record_envelope_offset(header) + header->envelope_length;
}

uint64_t record_size(const struct record_header *header)
{
    return aligned(record_content_offset(header) + (header->content_file ? 0 : header->content_length));
}

/* checksum - of the fixed part; that segment and offset go in makes a record valid in its own place only. */
static uint32_t checksum(const uint8_t *bytes, uint64_t segment, uint64_t offset)
{
    uint8_t place[16];
    store_number(place, segment, 8);
    store_number(place + 8, offset, 8);
    return crc32c(crc32c(0, place, sizeof(place)), bytes + 8, RECORD_FIXED_SIZE - 8);
}

void record_header_build(const struct record_header *header, uint8_t bytes[RECORD_RECIPIENTS_OFFSET])
{
    memset(bytes, 0, RECORD_RECIPIENTS_OFFSET);
    store_number(bytes, RECORD_MAGIC, 4);
    store_number(bytes + 8, header->mark, 8);
    store_number(bytes + 16, RECORD_VERSION, 2);
    store_number(bytes + 18, RECORD_FIXED_SIZE, 2);
    store_number(bytes + 20, header->generation, 4);
    store_number(bytes + 24, record_size(header), 8);
    store_number(bytes + 32, header->recipient_count, 4);
    store_number(bytes + 36, header->envelope_length, 4);
    store_number(bytes + 40, header->envelope_checksum, 4);
    store_number(bytes + 44, header->content_checksum, 4);
    store_number(bytes + 48, header->content_length, 8);
    store_number(bytes + 56, header->content_file, 8);
    store_number(bytes + 64, header->origin_segment, 8);
    store_number(bytes + 72, header->origin_offset, 8);
    store_number(bytes + 80, (uint64_t)header->arrival_time, 8);
    memcpy(bytes + 88, header->queue_id, QUEUE_ID_MAX);
    store_number(bytes + 4, checksum(bytes, header->segment, header->offset), 4);
    bytes[RECORD_STATE_OFFSET] = (uint8_t)header->state;
    bytes[RECORD_WARNED_OFFSET] = header->warned ? 'W' : 0;
    bytes[RECORD_EXPIRED_OFFSET] = header->expired ? 'E' : 0;
}

static bool state_is_known(char state)
{
    return state == MESSAGE_STATE_LIVE || state == MESSAGE_STATE_HELD || state == MESSAGE_STATE_DONE || state == MESSAGE_STATE_DEAD;
}

bool record_header_parse(const uint8_t bytes[RECORD_RECIPIENTS_OFFSET], uint64_t segment, uint64_t offset, struct record_header *header)
{
    if (number_at(bytes, 4) != RECORD_MAGIC || number_at(bytes + 4, 4) != checksum(bytes, segment, offset) ||
        number_at(bytes + 16, 2) != RECORD_VERSION || number_at(bytes + 18, 2) != RECORD_FIXED_SIZE)
        return false;
    *header = (struct record_header){
        .segment = segment,
        .offset = offset,
        .mark = number_at(bytes + 8, 8),
        .generation = (uint32_t)number_at(bytes + 20, 4),
        .length = number_at(bytes + 24, 8),
        .recipient_count = (uint32_t)number_at(bytes + 32, 4),
        .envelope_length = (uint32_t)number_at(bytes + 36, 4),
        .envelope_checksum = (uint32_t)number_at(bytes + 40, 4),
        .content_checksum = (uint32_t)number_at(bytes + 44, 4),
        .content_length = number_at(bytes + 48, 8),
        .content_file = number_at(bytes + 56, 8),
        .origin_segment = number_at(bytes + 64, 8),
        .origin_offset = number_at(bytes + 72, 8),
        .arrival_time = (int64_t)number_at(bytes + 80, 8),
        .state = (char)bytes[RECORD_STATE_OFFSET],
        .warned = bytes[RECORD_WARNED_OFFSET] != 0,
        .expired = bytes[RECORD_EXPIRED_OFFSET] != 0,
    };
    memcpy(header->queue_id, bytes + 88, QUEUE_ID_MAX);
    /* A writer with a defect of its own may have made a good checksum over bad numbers. */
    return header->envelope_length <= RECORD_ENVELOPE_MAX && header->content_length < INT64_MAX / 2 && offset < INT64_MAX / 2 &&
           header->length == record_size(header) && !header->queue_id[QUEUE_ID_MAX - 1] &&
           header->recipient_count <= RECORD_RECIPIENTS_MAX;
}

bool record_header_read(int fd, uint64_t segment, uint64_t offset, struct record_header *header)
{
    uint8_t bytes[RECORD_RECIPIENTS_OFFSET];
    return segment_file_read(fd, bytes, sizeof(bytes), offset) == (ssize_t)sizeof(bytes) &&
           record_header_parse(bytes, segment, offset, header);
}

struct queue_place record_place(const struct record_header *header)
{
    return (struct queue_place){
        .segment = header->segment,
        .offset = header->offset,
        .length = header->length,
        .content_file = header->content_file,
        .content_offset = header->content_file ? 0 : header->offset + record_content_offset(header),
        .content_length = header->content_length,
    };
}

/* ---- the whole record --------------------------------------------------------------------------------------------- */

static bool recipient_states_are_known(const char *states, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (states[i] != RECIPIENT_STATE_PENDING && states[i] != RECIPIENT_STATE_DONE && states[i] != RECIPIENT_STATE_FAILED &&
            states[i] != RECIPIENT_STATE_DELIVERED_NOTICE_OWED)
            return false;
    }
    return true;
}

bool record_parse(const struct record_header *header, struct slice bytes, struct arena *arena, struct queue_record *record)
{
    *record = (struct queue_record){
        .place = record_place(header),
        .generation = header->generation,
        .state = header->state,
        .warned = header->warned,
        .expired = header->expired,
        .content_checksum = header->content_checksum,
    };
    if (bytes.len < record_content_offset(header) || !state_is_known(header->state))
        return false;
    struct slice envelope = slice_make(bytes.data + record_envelope_offset(header), header->envelope_length);
    if (crc32c(0, envelope.data, envelope.len) != header->envelope_checksum ||
        !MESSAGE_DECODE(envelope, envelope, arena, &record->envelope))
        return false;
    for (size_t i = 0; i < record->envelope.recipients_count; i++)
        record->envelope.recipients[i].index = (int64_t)i;
    record->recipient_states = arena_copy(arena, bytes.data + RECORD_RECIPIENTS_OFFSET, header->recipient_count);
    return record->envelope.recipients_count == header->recipient_count &&
           slice_equal(record->envelope.queue_id, slice_of(header->queue_id)) &&
           recipient_states_are_known(record->recipient_states, header->recipient_count);
}

static enum record_result corrupt(int fd, uint64_t segment, uint64_t offset, uint64_t next, uint64_t file_size,
                                  struct queue_record *record, uint64_t *next_out)
{
    *next_out = next ? next : record_find(fd, segment, offset + ALIGNMENT);
    uint64_t end = *next_out ? *next_out : file_size;
    record->place = (struct queue_place){.segment = segment, .offset = offset, .length = end > offset ? end - offset : 0};
    return RECORD_CORRUPT;
}

enum record_result record_read(int fd, uint64_t segment, uint64_t offset, struct arena *arena, struct queue_record *record, uint64_t *next)
{
    *next = 0;
    *record = (struct queue_record){.place = {.segment = segment, .offset = offset}};
    struct stat status;
    uint64_t size = fstat(fd, &status) == 0 ? (uint64_t)status.st_size : 0;
    if (offset >= size)
        return RECORD_END;
    uint8_t *head = arena_alloc(arena, READ_AHEAD);
    ssize_t got = segment_file_read(fd, head, READ_AHEAD, offset);
    if (got >= 0 && got < RECORD_RECIPIENTS_OFFSET)
        return RECORD_INCOMPLETE;
    struct record_header header;
    if (got < 0 || !record_header_parse(head, segment, offset, &header))
        return corrupt(fd, segment, offset, 0, size, record, next);
    uint64_t end = offset + header.length;
    if (end > size)
        return RECORD_INCOMPLETE;
    uint64_t need = record_content_offset(&header);
    if (need > (uint64_t)got) {
        head = arena_alloc(arena, need);
        if (segment_file_read(fd, head, need, offset) != (ssize_t)need)
            return corrupt(fd, segment, offset, end, size, record, next);
    }
    if (!record_parse(&header, slice_make(head, need), arena, record))
        return corrupt(fd, segment, offset, end, size, record, next);
    *next = end;
    return RECORD_OK;
}

struct content_check {
    int fd;
    uint64_t offset, length;
    uint32_t checksum;
    bool ok;
};

/* check_content - runs in the offload pool too: uses its argument only. */
static void check_content(void *arg)
{
    struct content_check *check = arg;
    char *chunk = malloc(FIND_CHUNK);
    uint32_t sum = 0;
    check->ok = chunk != NULL;
    while (check->ok && check->length > 0) {
        size_t n = check->length < FIND_CHUNK ? (size_t)check->length : FIND_CHUNK;
        check->ok = segment_file_read_now(check->fd, chunk, n, check->offset) == (ssize_t)n;
        sum = crc32c(sum, chunk, check->ok ? n : 0);
        check->offset += n;
        check->length -= n;
    }
    free(chunk);
    check->ok = check->ok && sum == check->checksum;
}

bool record_check_content(int content_fd, const struct queue_record *record)
{
    struct content_check check = {
        .fd = content_fd,
        .offset = record->place.content_offset,
        .length = record->place.content_length,
        .checksum = record->content_checksum,
    };
    if (check.length > SMALL_CONTENT) {
        segment_file_work(check_content, &check);
        return check.ok;
    }
    /* Most likely in memory: not worth a way to the pool. */
    char *content = memory_alloc((size_t)check.length + 1);
    check.ok = segment_file_read(content_fd, content, (size_t)check.length, check.offset) == (ssize_t)check.length &&
               crc32c(0, content, (size_t)check.length) == check.checksum;
    free(content);
    return check.ok;
}

/* ---- finding the next record behind damage ------------------------------------------------------------------------ */

struct find {
    int fd;
    uint64_t segment, offset, end, found;
    uint64_t mark;
    bool mark_known;
};

static bool is_record(const struct find *find, const uint8_t *bytes, uint64_t offset)
{
    struct record_header header;
    return number_at(bytes, 4) == RECORD_MAGIC && record_header_parse(bytes, find->segment, offset, &header) &&
           (!find->mark_known || header.mark == find->mark);
}

/* look_through - the chunk that was read at find->offset: offset of a record in it, or 0. */
static uint64_t look_through(const struct find *find, const uint8_t *chunk, size_t len)
{
    for (size_t at = 0; at + RECORD_RECIPIENTS_OFFSET <= len; at += ALIGNMENT) {
        if (is_record(find, chunk + at, find->offset + at))
            return find->offset + at;
    }
    return 0;
}

static void find_in_file(void *arg)
{
    struct find *find = arg;
    uint8_t *chunk = malloc(FIND_CHUNK);
    while (chunk && !find->found && find->offset + RECORD_RECIPIENTS_OFFSET <= find->end) {
        ssize_t got = segment_file_read_now(find->fd, chunk, FIND_CHUNK, find->offset);
        if (got >= RECORD_RECIPIENTS_OFFSET)
            find->found = look_through(find, chunk, (size_t)got);
        /* Chunks overlap by one header; an unreadable block is stepped over. */
        find->offset += got < 0 ? READ_AHEAD : FIND_CHUNK - (uint64_t)aligned(RECORD_RECIPIENTS_OFFSET);
    }
    free(chunk);
}

uint64_t record_find(int fd, uint64_t segment, uint64_t offset)
{
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    struct segment_header header;
    struct stat status;
    struct find find = {.fd = fd, .segment = segment, .offset = aligned(offset)};
    if (find.offset < SEGMENT_HEADER_SIZE)
        find.offset = SEGMENT_HEADER_SIZE;
    if (fstat(fd, &status) == 0)
        find.end = (uint64_t)status.st_size;
    if (segment_file_read(fd, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes) && segment_header_parse(bytes, &header)) {
        find.mark = header.mark;
        find.mark_known = true;
    }
    segment_file_work(find_in_file, &find);
    return find.found;
}
