/* listing.h - the queue for people (postqueue -p) and for programs (postqueue -j); compat.md j.4 */
#ifndef POSTERN_POSTQUEUE_LISTING_H
#define POSTERN_POSTQUEUE_LISTING_H

#include <stdio.h>

#include "parser.h"

struct listing {
    FILE *out;
    bool long_ids;
    uint64_t messages, bytes;
    bool has_reason;       /* text: the last recipient had one */
    struct buffer reason;  /* of the last recipient */
    uint64_t recipients;   /* JSON: of this message */
    bool extended;         /* JSON: with what Postfix does not have */
    struct buffer rest;    /* JSON, extended: what stands behind the recipients */
};

void listing_init(struct listing *listing, FILE *out, bool long_ids);
void listing_release(struct listing *listing);
/* The handlers write to out as messages come. listing_text_end - the last line. */
struct queue_handler listing_text(struct listing *listing);
void listing_text_end(struct listing *listing);
/* listing_json - byte for byte as Postfix; extended: also original addresses, status codes, attempts, transport and next hop. */
struct queue_handler listing_json(struct listing *listing, bool extended);

#endif
