/* record.h - the bytes of a segment file (documented in docs/formats.md): header of the file, header of a record

   Little-endian.  A segment is a 64-byte header and records one after the other, each a multiple of 8 bytes:

     file header   0 magic "PSTNSEG1"   8 checksum of 12..63   12 version   16 number   24 mark   32 created   40 kind
     record        0 magic "PREC"       4 checksum of 8..111, seeded with segment number and offset
                   8 mark (that of the file: random, so that no content can pretend to hold a record)
                  16 version  18 size of the fixed part  20 generation  24 length of the record  32 recipients
                  36 length, 40 checksum of the envelope   44 checksum, 48 length of the content   56 content file (0: inline)
                  64 origin segment, 72 origin offset (copies made by the cleaner)   80 arrival time   88 queue id, NUL padded
                 112 state  113 warned  114 expired  (these and the recipient states are the mutable bytes: no checksum)
                 120 one state per recipient, zero padded to 8; then the envelope; then the content; zero padded to 8

   Whoever changes this changes docs/formats.md and RECORD_VERSION. */
#ifndef POSTERN_QUEUE_RECORD_H
#define POSTERN_QUEUE_RECORD_H

#include "queue/queue_id.h"
#include "queue/segment.h"

enum {
    SEGMENT_HEADER_SIZE = 64,
    SEGMENT_VERSION = 1,
    RECORD_VERSION = 1,
    RECORD_FIXED_SIZE = 112,      /* what the header checksum covers, but for its first 8 bytes */
    RECORD_STATE_OFFSET = 112,    /* mutable bytes, from the start of the record */
    RECORD_WARNED_OFFSET = 113,
    RECORD_EXPIRED_OFFSET = 114,
    RECORD_RECIPIENTS_OFFSET = 120,
    RECORD_ENVELOPE_MAX = 64 << 20,
    RECORD_RECIPIENTS_MAX = 1000 * 1000 /* what the envelope's decoder takes */
};

/* Kind of a segment: who wrote it. */
enum { SEGMENT_KIND_ARRIVALS = 0, SEGMENT_KIND_COPIES = 1 /* by the cleaner: its records name their origin */ };

struct segment_header {
    uint64_t number, mark;
    int64_t created; /* microseconds since 1970 */
    uint32_t kind;
};

void segment_header_build(const struct segment_header *header, uint8_t bytes[SEGMENT_HEADER_SIZE]);
bool segment_header_parse(const uint8_t bytes[SEGMENT_HEADER_SIZE], struct segment_header *header) MUST_CHECK;

struct record_header {
    uint64_t segment, offset; /* where it lies; not stored, but in the checksum */
    uint64_t mark;
    uint32_t generation;
    uint64_t length;
    uint32_t recipient_count;
    uint32_t envelope_length, envelope_checksum;
    uint64_t content_length;
    uint32_t content_checksum;
    uint64_t content_file;
    uint64_t origin_segment, origin_offset; /* 0: not a copy */
    int64_t arrival_time;
    char queue_id[QUEUE_ID_MAX];
    char state;
    bool warned, expired;
};

/* record_size - length of a record with these parts; record_envelope_offset, _content_offset - from its start. */
uint64_t record_size(const struct record_header *header);
uint64_t record_envelope_offset(const struct record_header *header);
uint64_t record_content_offset(const struct record_header *header);
/* record_header_build - the first RECORD_RECIPIENTS_OFFSET bytes.  record_header_parse - from as many bytes, which were read at
   that offset of that segment; false: not a record, or damaged. */
void record_header_build(const struct record_header *header, uint8_t bytes[RECORD_RECIPIENTS_OFFSET]);
bool record_header_parse(const uint8_t bytes[RECORD_RECIPIENTS_OFFSET], uint64_t segment, uint64_t offset,
                         struct record_header *header) MUST_CHECK;
/* record_header_read - read and parse the header only; false: damaged, or not there.  Waits (from a fiber, when it is not in memory). */
bool record_header_read(int fd, uint64_t segment, uint64_t offset, struct record_header *header) MUST_CHECK;
/* record_place - where a record with that header is. */
struct queue_place record_place(const struct record_header *header);
/* record_parse - everything but the content, from the bytes of the record up to it; slices point into the bytes. */
bool record_parse(const struct record_header *header, struct slice bytes, struct arena *arena, struct queue_record *record) MUST_CHECK;
/* record_find - offset of the first intact record header at or after an offset, 0 when there is none: how reading goes on
   behind damage.  Waits (from a fiber). */
uint64_t record_find(int fd, uint64_t segment, uint64_t offset);

#endif
