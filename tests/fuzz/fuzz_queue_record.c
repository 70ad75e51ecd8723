/* fuzz_queue_record.c - records read from a segment that holds any bytes: first as they are, then with good checksums, so that what lies
   behind them is reached too */
#include <sys/mman.h>

#include "queue/crc32c.h"
#include "queue/segment_file.h"

enum { SEGMENT = 7, SIZE_MAX_TRIED = 1 << 16 };

static void put_number(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_number(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

/* repair - make the first record of the file believable: sizes that fit, good checksums. */
static void repair(uint8_t *file, size_t size)
{
    uint8_t *record = file + SEGMENT_HEADER_SIZE, place[16];
    size_t room = size - SEGMENT_HEADER_SIZE;
    uint64_t recipients = get_number(record + 32, 4) % 64, states = (recipients + 7) / 8 * 8;
    if (room < RECORD_RECIPIENTS_OFFSET + states)
        return;
    uint64_t envelope = get_number(record + 36, 4) % (room - RECORD_RECIPIENTS_OFFSET - states + 1);
    uint64_t rest = room - RECORD_RECIPIENTS_OFFSET - states - envelope;
    uint64_t content = rest > 8 ? get_number(record + 48, 8) % (rest - 7) : 0;
    bool own_file = get_number(record + 56, 8) != 0;
    memcpy(record, "PREC", 4);
    put_number(record + 16, RECORD_VERSION, 2);
    put_number(record + 18, RECORD_FIXED_SIZE, 2);
    put_number(record + 24, (RECORD_RECIPIENTS_OFFSET + states + envelope + (own_file ? 0 : content) + 7) / 8 * 8, 8);
    put_number(record + 32, recipients, 4);
    put_number(record + 36, envelope, 4);
    put_number(record + 40, crc32c(0, record + RECORD_RECIPIENTS_OFFSET + states, envelope), 4);
    put_number(record + 44, crc32c(0, record + RECORD_RECIPIENTS_OFFSET + states + envelope, content), 4);
    put_number(record + 48, content, 8);
    put_number(place, SEGMENT, 8);
    put_number(place + 8, SEGMENT_HEADER_SIZE, 8);
    put_number(record + 4, crc32c(crc32c(0, place, 16), record + 8, RECORD_FIXED_SIZE - 8), 4);
}

static void read_all(int fd, size_t size)
{
    struct arena *arena = arena_new(0);
    struct queue_record record;
    uint64_t offset = SEGMENT_HEADER_SIZE, next;
    for (;;) {
        arena_reset(arena);
        enum record_result result = record_read(fd, SEGMENT, offset, arena, &record, &next);
        if (result == RECORD_OK) {
            if (next <= offset || next > size || record.envelope.recipients_count > size)
                abort();
            record_check_content(fd, &record);
        }
        if ((result != RECORD_OK && result != RECORD_CORRUPT) || next == 0)
            break;
        if (next <= offset)
            abort();
        offset = next;
    }
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static uint8_t file[SIZE_MAX_TRIED];
    if (fd < 0)
        fd = memfd_create("segment", MFD_CLOEXEC);
    if (fd < 0 || size > sizeof(file) || size < SEGMENT_HEADER_SIZE + RECORD_RECIPIENTS_OFFSET)
        return 0;
    memcpy(file, data, size);
    for (int round = 0; round < 2; round++) {
        if (round)
            repair(file, size);
        if (ftruncate(fd, 0) < 0 || !segment_file_write(fd, file, size, 0))
            return 0;
        read_all(fd, size);
    }
    return 0;
}
