/* filter.h - what a user may put into a maildrop file */
#ifndef POSTERN_TOOLS_POSTDROP_FILTER_H
#define POSTERN_TOOLS_POSTDROP_FILTER_H

#include "drop_file.h"
#include "queue/maildrop.h"

/* Status bits of the reply. */
enum { FILTER_OK = 0, FILTER_BAD = 1, FILTER_WRITE = 2, FILTER_SIZE = 4, FILTER_DENIED = 8 };

struct filter {
    int status;
    enum maildrop_phase phase;
    bool has_sender;
    unsigned recipients;
    struct buffer sender;
    struct buffer reason; /* of FILTER_DENIED */
    int64_t size_limit;   /* 0: none */
    int64_t size;
};

void filter_init(struct filter *filter, int64_t size_limit);
void filter_release(struct filter *filter);
/* filter_copy - read records until E, write those that pass; filter->status tells the result.  Lines with line breaks or NUL in the envelope
   are fatal (the program ends): nobody sends them by mistake. */
void filter_copy(struct filter *filter, struct maildrop_reader *reader, struct drop_file *file);
/* filter_record - one record: true when it is to be written (test and fuzz seam). */
bool filter_record(struct filter *filter, char type, struct slice data);
const char *filter_reason(const struct filter *filter);

#endif
