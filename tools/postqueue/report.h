/* report.h - counts for people: --group-by, --summary */
#ifndef POSTERN_POSTQUEUE_REPORT_H
#define POSTERN_POSTQUEUE_REPORT_H

#include <stdio.h>

#include "ipc/message.h"

struct report;

struct report *report_new(void) MUST_CHECK;
void report_free(struct report *report);
void report_add(struct report *report, const struct queue_group *group); /* copied */
/* report_groups - a table of all groups, most recipients first.  report_summary - the queues, and what is most frequent; now: microseconds since 1970. */
void report_groups(struct report *report, FILE *out);
void report_summary(struct report *report, const struct queue_answer *total, int64_t now, FILE *out);

#endif
