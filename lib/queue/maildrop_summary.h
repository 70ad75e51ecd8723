/* maildrop_summary.h - what a queue listing shows of a message in maildrop/ */
#ifndef POSTERN_QUEUE_MAILDROP_SUMMARY_H
#define POSTERN_QUEUE_MAILDROP_SUMMARY_H

#include "base/arena.h"

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

#endif
