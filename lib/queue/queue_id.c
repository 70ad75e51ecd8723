/* queue_id.c - making, checking and ordering queue ids */
#include "queue/queue_id.h"

#include <fcntl.h>
#include <sys/file.h>

#include "base/clock.h"
#include "base/log.h"

/* 2025-01-01 00:00:00 UTC */
#define EPOCH INT64_C(1735689600)
#define BLOCK_SECONDS 32
#define BLOCK_TIME (600 * MICROSECONDS) /* a block is not used longer */
#define IMPLAUSIBLE (UINT64_C(1) << 20) /* so many blocks ahead of the time (a year): the file is damaged */
enum {
    SHORT_DIGITS = 10,
    COUNT_BITS = 16,
    BLOCK_BITS = 24,
    LONG_SECOND_DIGITS = 6,
    LONG_MICROSECOND_DIGITS = 4,
    POSTFIX_MICROSECOND_DIGITS = 5,
    SHORTEST = 6
};

static const char base52[] = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
static const char hexadecimal[] = "0123456789ABCDEF";

/* ---- blocks of numbers -------------------------------------------------------------------------------------------- */

void queue_id_maker_init(struct queue_id_maker *maker, unsigned worker, bool long_form)
{
    if (worker >= QUEUE_ID_WORKERS)
        log_panic("queue_id_maker_init: worker %u", worker);
    *maker = (struct queue_id_maker){.worker = worker, .long_form = long_form, .fd = -1};
}

bool queue_id_maker_share(struct queue_id_maker *maker, const char *queue_directory)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/segment/.ids", queue_directory);
    errno = ENAMETOOLONG;
    if (n > 0 && n < (int)sizeof(path))
        maker->fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    return maker->fd >= 0;
}

void queue_id_maker_release(struct queue_id_maker *maker)
{
    if (maker->fd >= 0)
        close(maker->fd);
    maker->fd = -1;
}

static uint64_t block_of_time(int64_t now)
{
    int64_t seconds = now / MICROSECONDS - EPOCH;
    return seconds > 0 ? (uint64_t)seconds / BLOCK_SECONDS : 0;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* stored_block - the next free one as the file says, 0: it does not say. */
static uint64_t stored_block(int fd, uint64_t time_block)
{
    char text[SHORT_DIGITS + 1];
    uint64_t block;
    if (pread(fd, text, sizeof(text), 0) != (ssize_t)sizeof(text) || !slice_to_u64_hex(slice_make(text, SHORT_DIGITS), &block) ||
        block > time_block + IMPLAUSIBLE)
        return 0;
    return block;
}

/* take_shared - a block nobody else has. */
static uint64_t take_shared(int fd, uint64_t time_block)
{
    char text[SHORT_DIGITS + 2];
    while (flock(fd, LOCK_EX) < 0 && errno == EINTR)
        continue;
    uint64_t block = later(stored_block(fd, time_block), time_block);
    snprintf(text, sizeof(text), "%0*llX\n", SHORT_DIGITS, (unsigned long long)block + 1);
    bool written = pwrite(fd, text, SHORT_DIGITS + 1, 0) == SHORT_DIGITS + 1;
    /* Ahead of the time only the file keeps a block from being given out again after a power cut. */
    if (!written || (block > time_block && fdatasync(fd) < 0))
        log_warning("cannot write the queue's next block of ids: %s", strerror(errno));
    flock(fd, LOCK_UN);
    return block;
}

static void take_block(struct queue_id_maker *maker, int64_t now)
{
    static uint64_t next_own;
    uint64_t time_block = block_of_time(now);
    if (maker->fd >= 0) {
        maker->block = take_shared(maker->fd, time_block);
    } else {
        maker->block = later(next_own, time_block);
        next_own = maker->block + 1;
    }
    maker->used = 0;
    maker->block_until = now + BLOCK_TIME;
}

/* ---- making ------------------------------------------------------------------------------------------------------- */

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

static char *put_long(struct queue_id_maker *maker, int64_t now, char *end)
{
    /* A clock that stands still or was set back must not repeat an id. */
    if (now <= maker->last)
        now = maker->last + 1;
    maker->last = now;
    end = put_number(end, (uint64_t)(now / MICROSECONDS), base52, 52, LONG_SECOND_DIGITS);
    end = put_number(end, (uint64_t)(now % MICROSECONDS), base52, 52, LONG_MICROSECOND_DIGITS);
    *end++ = 'z';
    return put_number(end, maker->worker, base52, 51, 1);
}

static char *put_short(struct queue_id_maker *maker, int64_t now, char *end)
{
    if (maker->block_until <= now || maker->used == 1u << COUNT_BITS)
        take_block(maker, now);
    uint64_t block = maker->block & ((UINT64_C(1) << BLOCK_BITS) - 1);
    return put_number(end, block << COUNT_BITS | maker->used++, hexadecimal, 16, SHORT_DIGITS);
}

struct slice queue_id_make(struct queue_id_maker *maker, char text[QUEUE_ID_MAX])
{
    int64_t now = clock_wall();
    char *end = maker->long_form ? put_long(maker, now, text) : put_short(maker, now, text);
    *end = '\0';
    return slice_make(text, (size_t)(end - text));
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

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

static bool is_hexadecimal(struct slice id)
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
    int64_t seconds, microseconds = 0;
    size_t mark = slice_find_last(id, 'z');
    if (is_hexadecimal(id) && id.len == SHORT_DIGITS) {
        seconds = EPOCH + (number_in(id, hexadecimal, 16) >> COUNT_BITS) * BLOCK_SECONDS;
    } else if (mark < id.len && mark >= LONG_SECOND_DIGITS + LONG_MICROSECOND_DIGITS) {
        seconds = number_in(slice_first(id, mark - LONG_MICROSECOND_DIGITS), base52, 52);
        microseconds = number_in(slice_from(slice_first(id, mark), mark - LONG_MICROSECOND_DIGITS), base52, 52);
    } else {
        return 0;
    }
    bool sane = seconds >= 0 && seconds < INT64_MAX / MICROSECONDS && microseconds >= 0 && microseconds < MICROSECONDS;
    return sane ? seconds * MICROSECONDS + microseconds : 0;
}

/* Postfix's short form begins with the microsecond and ends with an inode number: turned round, ids that were made one after the other
   lie together.  Ours, and the long form, sort as they are.  The mapping is one to one: the lengths differ. */
struct slice queue_id_sort_key(struct slice id, char key[QUEUE_ID_MAX])
{
    id = slice_first(id, QUEUE_ID_MAX - 1);
    size_t turned = is_hexadecimal(id) && id.len != SHORT_DIGITS ? POSTFIX_MICROSECOND_DIGITS : 0;
    if (id.len > 0) {
        memcpy(key, id.data + turned, id.len - turned);
        memcpy(key + id.len - turned, id.data, turned);
    }
    key[id.len] = '\0';
    return slice_make(key, id.len);
}
