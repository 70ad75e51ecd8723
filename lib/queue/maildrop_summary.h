/* maildrop_summary.h - what a queue listing shows of a message in maildrop/ */
#ifndef POSTERN_QUEUE_MAILDROP_SUMMARY_H
#define POSTERN_QUEUE_MAILDROP_SUMMARY_H

#include "queue/index.h"

struct maildrop_summary {
    struct slice queue_id, sender;
    int64_t time; /* seconds since 1970 */
    int64_t size; /* of the file */
    struct slice *recipients;
    size_t recipient_count;
};

/* maildrop_summary_read - of one file of an open directory, in the arena; false: not (yet) a message, or malformed.  Blocks; fit for
   run_offload. */
bool maildrop_summary_read(int directory, const char *name, struct arena *arena, struct maildrop_summary *summary) MUST_CHECK;
/* maildrop_summary_entry - the same as an index entry (without a place), for selections and listings. */
void maildrop_summary_entry(const struct maildrop_summary *summary, struct arena *arena, struct index_entry *entry);

#endif
