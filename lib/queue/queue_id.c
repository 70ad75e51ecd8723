/* queue_id.c - making, checking and ordering queue ids */
#include "queue/queue_id.h"

#include "base/clock.h"
#include "base/log.h"

/* 2025-01-01 00:00:00 UTC: keeps the short form short. */
#define EPOCH INT64_C(1735689600)
enum { MICROSECOND_DIGITS = 5, LONG_SECOND_DIGITS = 6, LONG_MICROSECOND_DIGITS = 4, SHORTEST = 6 };

static const char base52[] = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
static const char hexadecimal[] = "0123456789ABCDEF";

void queue_id_maker_init(struct queue_id_maker *maker, unsigned worker, bool long_form)
{
    if (worker >= QUEUE_ID_WORKERS)
        log_panic("queue_id_maker_init: worker %u", worker);
    *maker = (struct queue_id_maker){.worker = worker, .long_form = long_form};
}

/* put_number - in that base with at least so many digits; returns the end. */
static char *put_number(char *at, uint64_t value, const char *digits, unsigned base, int least)
{
    char reversed[20];
    int n = 0;
    for (; value || n < least; value /= base)
        reversed[n++] = digits[value % base];
    while (n)
        *at++ = reversed[--n];
    return at;
}

struct slice queue_id_make(struct queue_id_maker *maker, char text[QUEUE_ID_MAX])
{
    int64_t now = clock_wall();
    /* A clock that stands still or was set back must not repeat an id. */
    if (now <= maker->last)
        now = maker->last + 1;
    maker->last = now;
    uint64_t seconds = (uint64_t)(now / MICROSECONDS), microseconds = (uint64_t)(now % MICROSECONDS);
    char *end = text;
    if (maker->long_form) {
        end = put_number(end, seconds, base52, 52, LONG_SECOND_DIGITS);
        end = put_number(end, microseconds, base52, 52, LONG_MICROSECOND_DIGITS);
        *end++ = 'z';
        end = put_number(end, maker->worker, base52, 51, 1);
    } else {
        uint64_t since = seconds > (uint64_t)EPOCH ? seconds - (uint64_t)EPOCH : 0;
        end = put_number(end, microseconds, hexadecimal, 16, MICROSECOND_DIGITS);
        end = put_number(end, since * QUEUE_ID_WORKERS + maker->worker, hexadecimal, 16, 1);
    }
    *end = '\0';
    return slice_make(text, (size_t)(end - text));
}

bool queue_id_is_valid(struct slice text)
{
    if (text.len < SHORTEST || text.len >= QUEUE_ID_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')))
            return false;
    }
    return true;
}

static bool is_short_form(struct slice id)
{
    for (size_t i = 0; i < id.len; i++) {
        if (!((id.data[i] >= '0' && id.data[i] <= '9') || (id.data[i] >= 'A' && id.data[i] <= 'F')))
            return false;
    }
    return id.len >= SHORTEST;
}

/* number_in - value of digits in a base, or -1. */
static int64_t number_in(struct slice digits, const char *alphabet, unsigned base)
{
    int64_t value = 0;
    for (size_t i = 0; i < digits.len; i++) {
        const char *digit = digits.data[i] ? strchr(alphabet, digits.data[i]) : NULL;
        if (!digit || (size_t)(digit - alphabet) >= base || value > INT64_MAX / 2 / base)
            return -1;
        value = value * base + (digit - alphabet);
    }
    return digits.len ? value : -1;
}

int64_t queue_id_time(struct slice id)
{
    int64_t seconds, microseconds;
    size_t mark = slice_find_last(id, 'z');
    if (is_short_form(id)) {
        microseconds = number_in(slice_first(id, MICROSECOND_DIGITS), hexadecimal, 16);
        seconds = EPOCH + number_in(slice_from(id, MICROSECOND_DIGITS), hexadecimal, 16) / QUEUE_ID_WORKERS;
    } else if (mark < id.len && mark >= LONG_SECOND_DIGITS + LONG_MICROSECOND_DIGITS) {
        seconds = number_in(slice_first(id, mark - LONG_MICROSECOND_DIGITS), base52, 52);
        microseconds = number_in(slice_from(slice_first(id, mark), mark - LONG_MICROSECOND_DIGITS), base52, 52);
    } else {
        return 0;
    }
    bool sane = seconds >= 0 && seconds < INT64_MAX / MICROSECONDS && microseconds >= 0 && microseconds < MICROSECONDS;
    return sane ? seconds * MICROSECONDS + microseconds : 0;
}

/* The short form begins with the microsecond; turned round it sorts by time, as the long form does by itself.  The
   mapping is one to one: only the short form has nothing but hexadecimal digits. */
struct slice queue_id_sort_key(struct slice id, char key[QUEUE_ID_MAX])
{
    id = slice_first(id, QUEUE_ID_MAX - 1);
    size_t turned = is_short_form(id) ? MICROSECOND_DIGITS : 0;
    if (id.len > 0) {
        memcpy(key, id.data + turned, id.len - turned);
        memcpy(key + id.len - turned, id.data, turned);
    }
    key[id.len] = '\0';
    return slice_make(key, id.len);
}
