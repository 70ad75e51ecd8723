/* requeue.c - through cleanup once more, so that addresses are mapped again (postsuper -r)

   postsuper gets its answer when the wish is in the index; the work is done here, many messages at once, so that they share commits. */
#include "qmgr.h"

#include "base/log.h"

enum { PIECE = 256 * 1024, AT_ONCE = 50 };

static struct semaphore places;

static bool submit_content_of(struct qmgr *q, const struct message *m, struct submission *s)
{
    int fd;
    uint64_t key, at = 0;
    if (!store_content(q->store, &m->place, &fd, &key))
        return false;
    char *piece = memory_alloc(PIECE);
    while (at < m->place.content_length) {
        uint64_t left = m->place.content_length - at;
        ssize_t n = pread(fd, piece, left < PIECE ? left : PIECE, (off_t)(m->place.content_offset + at));
        if (n <= 0)
            break;
        submit_content(s, slice_make(piece, (size_t)n));
        at += (uint64_t)n;
        fiber_yield();
    }
    free(piece);
    return at == m->place.content_length;
}

static void fill_envelope(const struct message *m, struct slice queue_id, struct envelope *envelope, struct arena *arena)
{
    *envelope = m->envelope;
    envelope->queue_id = queue_id;
    envelope->hold = false;
    if (m->attempts > 0) /* the first one told of them */
        envelope->expanded_count = 0;
    envelope->recipients = arena_alloc(arena, (m->slot_count + 1) * sizeof(*envelope->recipients));
    envelope->recipients_count = 0;
    for (uint32_t i = 0; i < m->slot_count; i++) {
        if (m->slots[i].state != SLOT_SENT && m->slots[i].state != SLOT_FAILED)
            envelope->recipients[envelope->recipients_count++] = *message_recipient(m, &m->slots[i]);
    }
}

/* submit_again - a SUBMIT_STATUS_ value. */
static int submit_again(struct qmgr *q, const struct message *m, struct arena *arena)
{
    struct submit_outcome outcome;
    struct envelope envelope;
    int64_t deadline = clock_after(q->params.daemon_timeout);
    struct submission *s = submit_open(q->cleanup, clock_after(q->params.qmgr_ipc_timeout));
    if (!s) {
        log_warning("connect to the %s service: %s", q->params.cleanup_service_name, strerror(errno));
        return SUBMIT_STATUS_TEMPORARY;
    }
    fill_envelope(m, arena_slice(arena, submit_queue_id(s)), &envelope, arena);
    submit_envelope(s, &envelope, SUBMIT_NO_MILTERS);
    if (!submit_content_of(q, m, s)) {
        submit_cancel(s);
        return SUBMIT_STATUS_TEMPORARY;
    }
    submit_finish(s, m->envelope.message_size, arena, &outcome, deadline);
    if (outcome.status == SUBMIT_STATUS_ACCEPTED)
        log_info(SLICE_FORMAT ": requeued as " SLICE_FORMAT, SLICE_ARGS(m->envelope.queue_id), SLICE_ARGS(envelope.queue_id));
    else
        log_warning(SLICE_FORMAT ": not requeued: " SLICE_FORMAT, SLICE_ARGS(m->envelope.queue_id), SLICE_ARGS(outcome.reply));
    return outcome.status;
}

static bool has_waiting(const struct message *m)
{
    for (uint32_t i = 0; i < m->slot_count; i++) {
        if (m->slots[i].state == SLOT_WAITING)
            return true;
    }
    return false;
}

/* settle - after the attempt. */
static void settle(struct qmgr *q, struct message *m, int status)
{
    if (q->closed)
        return; /* the next start sees to it */
    if (status == SUBMIT_STATUS_ACCEPTED || m->deleted) {
        finish_delete(q, m);
    } else if (m->hold_wanted) {
        finish_part(q, m);
    } else if (status == SUBMIT_STATUS_TEMPORARY) {
        m->requeue = REQUEUE_LATER;
        finish_part(q, m);
    } else { /* then as it is */
        m->requeue = REQUEUE_NOT;
        message_activate(q, m, false);
    }
}

void requeue_message(struct qmgr *q, struct message *m)
{
    if (!has_waiting(m)) { /* only notices are owed */
        m->requeue = REQUEUE_NOT;
        message_activate(q, m, false);
        return;
    }
    struct arena *arena = arena_new(0);
    m->in_flight++;
    int status = submit_again(q, m, arena);
    m->in_flight--;
    arena_free(arena);
    settle(q, m, status);
}

/* ---- entries of the index ----------------------------------------------------------------------------------------- */

struct requeue {
    struct qmgr *q;
    char id[QUEUE_ID_MAX];
};

static void requeue_fiber(void *arg)
{
    struct requeue *requeue = arg;
    pull_id(requeue->q, slice_of(requeue->id));
    semaphore_give(&places);
    free(requeue);
}

void requeue_init(void)
{
    semaphore_init(&places, AT_ONCE);
}

void requeue_start(struct qmgr *q, struct slice queue_id)
{
    semaphore_take(&places, CLOCK_NEVER);
    struct requeue *requeue = memory_alloc(sizeof(*requeue));
    requeue->q = q;
    snprintf(requeue->id, sizeof(requeue->id), SLICE_FORMAT, SLICE_ARGS(queue_id));
    fiber_start("requeue", requeue_fiber, requeue);
}
