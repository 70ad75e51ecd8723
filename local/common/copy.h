/* copy.h - a message as files and commands get it: own headers in front, LF line ends */
#ifndef POSTERN_LOCAL_COMMON_COPY_H
#define POSTERN_LOCAL_COMMON_COPY_H

#include "service/agent.h"

enum { COPY_FROM_LINE = 1,      /* "From sender  date" first */
       COPY_RETURN_PATH = 2, COPY_ORIGINAL_TO = 4, COPY_DELIVERED_TO = 8,
       COPY_QUOTE_FROM = 16,    /* ">" before body lines that begin with "From " */
       COPY_DOT_STUFF = 32,
       COPY_EMPTY_LINE = 64     /* an empty line at the end */ };

struct copy {
    struct delivery *delivery;
    int flags;
    bool last;                 /* nothing else is done for this delivery: what waits for the disk only may say so (delivery_written) */
    struct slice sender;       /* empty: the null sender */
    struct slice original_to;  /* empty: no X-Original-To */
    struct slice delivered_to;
    struct slice end_of_line;  /* "\n" usually */
};

/* copy_message - give the message in pieces to write(), which returns 0 or an errno.  Returns 0, or the first errno (EIO when the queue file cannot
   be read). */
int copy_message(const struct copy *copy, int (*write)(void *context, struct slice data), void *context);
/* copy_to_fd - the same to a descriptor, every write checked. */
int copy_to_fd(const struct copy *copy, int fd);

#endif
