/* submit.c - the client side of the way into the queue

   On a fresh lane, and after an abort:   submit_open      -> submit_opened (queue id of the next transaction)
   Each transaction:                      submit_milter..., submit_envelope, submit_content..., submit_end -> submit_reply (outcome, next queue id)
   or at any point of it:                 submit_abort     (no reply; cleanup drops what it has)

   A queue id that was shown to a caller is never given to another transaction. */
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "ipc/submit.h"

enum {
    IDLE_LANES_MAX = 64,
    QUEUE_ID_MAX = 64,
    CONTENT_FRAME = 32 * 1024 /* smaller pieces of content are collected up to this size */
};

/* A submission owns its lane; between transactions both lie in the pool. */
struct submission {
    struct list link;
    struct submit_pool *pool;
    struct lane *lane;
    char queue_id[QUEUE_ID_MAX]; /* empty: none reserved */
    struct buffer content;       /* collected, not sent yet */
    struct submit_end end;       /* what is known of it already */
};

struct submit_pool {
    char *path;
    struct list idle; /* the last used first */
    size_t idle_count;
};

struct submit_pool *submit_pool_new(const char *path)
{
    struct submit_pool *pool = memory_zalloc(1, sizeof(*pool));
    pool->path = memory_string(path);
    list_init(&pool->idle);
    return pool;
}

static void submission_free(struct submission *s)
{
    lane_free(s->lane);
    buffer_release(&s->content);
    free(s);
}

void submit_pool_free(struct submit_pool *pool)
{
    if (!pool)
        return;
    LIST_EACH(&pool->idle, link)
        submission_free(LIST_ENTRY(link, struct submission, link));
    free(pool->path);
    free(pool);
}

/* ---- opening -------------------------------------------------------------------------------------------------------- */

static bool keep_queue_id(struct submission *s, struct slice id)
{
    if (id.len >= QUEUE_ID_MAX)
        return false;
    snprintf(s->queue_id, sizeof(s->queue_id), SLICE_FORMAT, SLICE_ARGS(id));
    return id.len > 0;
}

/* reserve - ask for a queue id when the lane has none in stock. */
static bool reserve(struct submission *s, int64_t deadline)
{
    if (s->queue_id[0])
        return true;
    struct arena *arena = arena_new(256);
    struct submit_open open = {0};
    struct submit_opened *opened = lane_call(s->lane, MESSAGE_submit_open, &open, -1, MESSAGE_submit_opened, arena, deadline);
    bool ok = opened && keep_queue_id(s, opened->queue_id);
    arena_free(arena);
    if (!ok)
        errno = EPIPE;
    return ok;
}

/* from_pool - an idle lane that is still good, or NULL. */
static struct submission *from_pool(struct submit_pool *pool)
{
    while (!list_is_empty(&pool->idle)) {
        struct submission *s = LIST_ENTRY(pool->idle.next, struct submission, link);
        list_remove(&s->link);
        pool->idle_count--;
        if (!lane_is_idle_broken(s->lane))
            return s;
        submission_free(s);
    }
    return NULL;
}

static struct submission *connect_new(struct submit_pool *pool, int64_t deadline)
{
    struct lane *lane = lane_connect(pool->path, deadline);
    if (!lane)
        return NULL;
    struct submission *s = memory_zalloc(1, sizeof(*s));
    list_init(&s->link);
    s->pool = pool;
    s->lane = lane;
    return s;
}

struct submission *submit_open(struct submit_pool *pool, int64_t deadline)
{
    struct submission *s;
    /* An idle lane may break between the look and the use, when cleanup ends; a fresh one deserves no second try. */
    while ((s = from_pool(pool))) {
        if (reserve(s, deadline))
            return s;
        submission_free(s);
    }
    s = connect_new(pool, deadline);
    if (!s || reserve(s, deadline))
        return s;
    int saved = errno;
    submission_free(s);
    errno = saved;
    return NULL;
}

struct slice submit_queue_id(const struct submission *s)
{
    return slice_of(s->queue_id);
}

/* ---- the transaction ------------------------------------------------------------------------------------------------ */

void submit_envelope(struct submission *s, const struct envelope *envelope, int options)
{
    struct submit_envelope message = {.options = options, .envelope = *envelope};
    lane_send(s->lane, MESSAGE_submit_envelope, &message, -1);
}

void submit_milter(struct submission *s, const struct submit_milter *milter, int fd)
{
    lane_send(s->lane, MESSAGE_submit_milter, milter, fd);
}

static void send_content(struct submission *s, struct slice data)
{
    struct submit_content message = {.data = data};
    if (data.len)
        lane_send(s->lane, MESSAGE_submit_content, &message, -1);
}

static void send_collected(struct submission *s)
{
    send_content(s, buffer_slice(&s->content));
    buffer_clear(&s->content);
}

void submit_content(struct submission *s, struct slice data)
{
    if (lane_is_broken(s->lane))
        return;
    if (s->content.len + data.len >= CONTENT_FRAME)
        send_collected(s);
    while (data.len >= CONTENT_FRAME) {
        send_content(s, slice_first(data, 2 * CONTENT_FRAME));
        data = slice_from(data, 2 * CONTENT_FRAME);
    }
    buffer_append_slice(&s->content, data);
}

/* give_back - the lane to the pool, unless it broke or the pool is full. */
static void give_back(struct submission *s)
{
    if (lane_is_broken(s->lane) || s->pool->idle_count >= IDLE_LANES_MAX) {
        submission_free(s);
        return;
    }
    buffer_release(&s->content);
    list_prepend(&s->pool->idle, &s->link);
    s->pool->idle_count++;
}

void submit_decide(struct submission *s, const struct submit_end *decisions)
{
    s->end = *decisions;
}

void submit_finish(struct submission *s, int64_t message_size, struct arena *arena, struct submit_outcome *outcome, int64_t deadline)
{
    struct submit_end end = s->end;
    end.message_size = message_size;
    s->end = (struct submit_end){0};
    send_collected(s);
    s->queue_id[0] = '\0';
    struct submit_reply *reply = lane_call(s->lane, MESSAGE_submit_end, &end, -1, MESSAGE_submit_reply, arena, deadline);
    if (reply) {
        *outcome = (struct submit_outcome){.status = (int)reply->status, .reply_code = (int)reply->reply_code, .reply = reply->reply};
        keep_queue_id(s, reply->next_queue_id);
    } else {
        log_warning("cleanup did not answer about the message: it is not accepted");
        *outcome = (struct submit_outcome){SUBMIT_STATUS_TEMPORARY, 451, SLICE("4.3.0 Error: queue file write error"), .lost = true};
    }
    give_back(s);
}

void submit_cancel(struct submission *s)
{
    if (!s)
        return;
    struct submit_abort message = {0};
    s->queue_id[0] = '\0';
    s->end = (struct submit_end){0};
    /* At once: cleanup holds the beginning of the message until it hears of this. */
    lane_send(s->lane, MESSAGE_submit_abort, &message, -1);
    lane_flush(s->lane, clock_after(MICROSECONDS));
    give_back(s);
}
