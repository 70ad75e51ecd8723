/* qshape.h - how old the queue is, by domain (compat.md j.8) */
#ifndef POSTERN_POSTQUEUE_QSHAPE_H
#define POSTERN_POSTQUEUE_QSHAPE_H

#include <stdio.h>

#include "base/map.h"
#include "parser.h"

enum { QSHAPE_BUCKETS_MAX = 60 };

struct qshape_options {
    bool by_sender, parents, linear;
    unsigned minimum_subdomains; /* of a parent that is shown: 5 */
    unsigned buckets;            /* 10 */
    unsigned first_bucket;       /* minutes: 5 */
    unsigned width;              /* 80 */
    const char *const *queues;   /* NULL terminated: those that count */
};

struct qshape;

struct qshape *qshape_new(const struct qshape_options *options, int64_t now) MUST_CHECK; /* now: seconds since 1970 */
void qshape_free(struct qshape *qshape);
struct queue_handler qshape_handler(struct qshape *qshape);
/* qshape_print - the table, greatest counts first. */
void qshape_print(struct qshape *qshape, FILE *out);

#endif
