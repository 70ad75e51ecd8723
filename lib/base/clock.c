/* clock.c - time, and dates in the shapes that mail and logs use (always English, whatever the locale) */
#include "base/clock.h"

static const char *const weekdays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static int64_t read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * MICROSECONDS + now.tv_nsec / 1000;
}

int64_t clock_monotonic(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t clock_after(int64_t microseconds)
{
    int64_t deadline;
    return __builtin_add_overflow(clock_monotonic(), microseconds, &deadline) ? CLOCK_NEVER : deadline;
}

static struct tm local_time(int64_t wall)
{
    time_t seconds = (time_t)(wall / MICROSECONDS - (wall % MICROSECONDS < 0));
    struct tm tm = {0};
    localtime_r(&seconds, &tm);
    return tm;
}

void clock_rfc5322(struct buffer *out, int64_t wall)
{
    struct tm tm = local_time(wall);
    long minutes = tm.tm_gmtoff / 60;
    long size = labs(minutes);
    buffer_printf(out, "%s, %2d %s %d %02d:%02d:%02d %c%02ld%02ld (%s)", weekdays[tm.tm_wday], tm.tm_mday,
                  months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec, minutes < 0 ? '-' : '+',
                  size / 60, size % 60, tm.tm_zone ? tm.tm_zone : "UTC");
}

void clock_syslog(struct buffer *out, int64_t wall)
{
    struct tm tm = local_time(wall);
    buffer_printf(out, "%s %2d %02d:%02d:%02d", months[tm.tm_mon], tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void clock_asctime(struct buffer *out, int64_t wall)
{
    struct tm tm = local_time(wall);
    buffer_printf(out, "%s %s %2d %02d:%02d:%02d %d", weekdays[tm.tm_wday], months[tm.tm_mon], tm.tm_mday, tm.tm_hour,
                  tm.tm_min, tm.tm_sec, tm.tm_year + 1900);
}
