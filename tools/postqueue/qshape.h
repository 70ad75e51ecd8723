/* qshape.h - how old the queue is, by domain (compat.md j.8) */
#ifndef POSTERN_POSTQUEUE_QSHAPE_H
#define POSTERN_POSTQUEUE_QSHAPE_H

#include <stdio.h>

#include "base/map.h"
#include "ipc/message.h"

enum { QSHAPE_BUCKETS_MAX = 60 };

struct qshape_options {
    bool by_sender, parents, linear;
    unsigned minimum_subdomains; /* of a parent that is shown: 5 */
    unsigned buckets;            /* 10 */
    unsigned first_bucket;       /* minutes: 5 */
    unsigned width;              /* 80 */
};

struct qshape;

struct qshape *qshape_new(const struct qshape_options *options) MUST_CHECK;
void qshape_free(struct qshape *qshape);
/* qshape_add - the counts of a domain (lower case, or MAILER-DAEMON), with as many ages as there are buckets. */
void qshape_add(struct qshape *qshape, const struct queue_group *group);
/* qshape_query - what to ask for. */
struct queue_query qshape_query(const struct qshape_options *options);
/* qshape_print - the table, greatest counts first. */
void qshape_print(struct qshape *qshape, FILE *out);

#endif
