/* clock.h - time: microseconds everywhere; a monotonic clock for deadlines, a wall clock for dates */
#ifndef POSTERN_BASE_CLOCK_H
#define POSTERN_BASE_CLOCK_H

#include "base/buffer.h"

#define MICROSECONDS INT64_C(1000000) /* in one second */
/* A deadline is a value of clock_monotonic(); CLOCK_NEVER is no deadline. */
#define CLOCK_NEVER INT64_MAX

int64_t clock_monotonic(void); /* microseconds since some start */
int64_t clock_wall(void);      /* microseconds since 1970 */
/* clock_after - the deadline that many microseconds from now. */
int64_t clock_after(int64_t microseconds);
/* clock_rfc5322 - "Mon, 23 Nov 2026 18:18:51 +0000 (UTC)" in local time, day padded with a blank (compat.md e.1). */
void clock_rfc5322(struct buffer *out, int64_t wall);
/* clock_syslog - "Nov  3 18:18:51" local time. clock_asctime - "Mon Nov 23 18:18:51 2026". */
void clock_syslog(struct buffer *out, int64_t wall);
void clock_asctime(struct buffer *out, int64_t wall);

#endif
