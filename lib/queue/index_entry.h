/* index_entry.h - an index entry as bytes (documented in docs/formats.md); used by every engine behind index.h

   Little-endian:  0 checksum of what follows, seeded with the queue id's sort key   4 version  5 queue  6 flags (1 expired by hand,
     2 delay notice sent, 4 to be requeued)  7 zero
     8 segment  16 offset  24 length  32 content file  40 content offset  48 content length
    56 arrival  64 next attempt  72 last attempt  80 message size  88 hash of destination  96 hash of sender  104 attempts
   108 counted strings: queue id, sender, destination; number of recipients; per recipient: index, address, original, status, reason -
       each of these strings as its length + 1 and bytes, or 0: the same as that of the recipient before. */
#ifndef POSTERN_QUEUE_INDEX_ENTRY_H
#define POSTERN_QUEUE_INDEX_ENTRY_H

#include "queue/index.h"

enum { INDEX_ENTRY_VERSION = 1, INDEX_ENTRY_QUEUE_OFFSET = 5, INDEX_ENTRY_FIXED_SIZE = 108 };

/* What the keys of an entry are made of. */
struct index_entry_facts {
    enum index_queue queue;
    uint64_t segment, offset;
    int64_t next_attempt;
    uint64_t destination_hash;
};

void index_entry_encode(const struct index_entry *entry, struct buffer *out);
/* index_entry_decode - sort_key: under which the bytes were found.  Slices point into bytes.  False: damaged. */
bool index_entry_decode(struct slice bytes, struct slice sort_key, struct arena *arena, struct index_entry *entry) MUST_CHECK;
/* index_entry_read_facts - the fixed part only, checksum verified. */
bool index_entry_read_facts(struct slice bytes, struct slice sort_key, struct index_entry_facts *facts) MUST_CHECK;
/* index_entry_patch - apply a change to the bytes of an entry, in place.  False: damaged, untouched.  index_entry_id, index_entry_place - from the bytes
   of an intact entry. */
bool index_entry_patch(struct buffer *bytes, struct slice sort_key, const struct index_change *change) MUST_CHECK;
struct slice index_entry_id(struct slice bytes);
struct queue_place index_entry_place(struct slice bytes);
/* index_entry_hash - of a destination or sender; the same in every process. */
uint64_t index_entry_hash(struct slice text);

#endif
