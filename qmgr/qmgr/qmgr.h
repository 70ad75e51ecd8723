/* qmgr.h - the queue manager: messages at work, and what its files do with them

   A message is in memory while it is at work ("active"); what waits longer is in the index: deferred, on hold, or spilled (INDEX_INCOMING)
   because its destination has enough to do.  A message in memory may have an index entry besides (it was deferred before): the entry
   stays until the message is done, so that nothing is lost when this process is killed.

   life of a message      arrive.c (new), pull.c (from the index) -> activate.c (resolve, make jobs) -> scheduler.c -> lanes.c (deliver)
                          -> finish.c (marks, notices, deferral) */
#ifndef POSTERN_QMGR_QMGR_H
#define POSTERN_QMGR_QMGR_H

#include "ipc/lane.h"
#include "ipc/submit.h"
#include "params.h"
#include "queue/queue_id.h"
#include "queue/store.h"
#include "route/route.h"
#include "run/run.h"
#include "service/service.h"

/* The routing tables in use; a reload makes new ones while a resolution may still wait in the old. */
struct routing {
    struct route *route;
    unsigned users;
};

enum slot_state {
    SLOT_WAITING,   /* not yet attempted, this time */
    SLOT_IN_FLIGHT, /* with an agent */
    SLOT_SENT,      /* delivered, or (probes) found out */
    SLOT_DEFERRED,
    SLOT_FAILED     /* permanent failure */
};

/* What the last attempt said of a recipient; several when the agent expanded it (aliases): then it is deferred if one of them is. */
struct slot_result {
    struct slot_result *next;
    struct delivery_result result;
    bool told; /* its notice is queued */
};

/* Whether a message goes through cleanup once more instead of to its destinations; LATER: that has just failed. */
enum requeue_wish { REQUEUE_NOT, REQUEUE_NOW, REQUEUE_LATER };

/* A recipient that is not done. */
struct slot {
    uint32_t index; /* in the record and in envelope.recipients */
    enum slot_state state;
    bool marked;    /* the record says so */
    struct slice transport, key; /* where it goes; empty before it was resolved */
    struct slot_result *results; /* of the last attempt that somebody needs: notices, listings */
};

struct message {
    struct list link;    /* qmgr.active */
    struct list found_link; /* of arrive.c */
    struct arena *arena; /* this struct too */
    struct envelope envelope;
    struct queue_place place;
    struct slot *slots;
    uint32_t slot_count;
    uint32_t counted;    /* in qmgr.recipient_count */
    struct list jobs;    /* struct job, waiting at destinations */
    unsigned in_flight;  /* deliveries, and one while it is being resolved */
    uint32_t unmarked;   /* slots that are SENT, which the record does not say yet */
    unsigned broken_lanes;
    int64_t active_time;
    uint32_t attempts;
    bool indexed;        /* has an index entry */
    bool warned;         /* the delay notice was sent */
    bool forced_expire;
    bool flushed;        /* somebody asked for an attempt now: defer_transports does not hold it */
    bool deleted, hold_wanted; /* by postsuper while it was at work */
    enum requeue_wish requeue;
    bool finishing;
};

struct qmgr {
    struct qmgr_params params;
    struct routing *routing;
    struct store *store;
    struct index *index;
    struct scheduler *scheduler;
    struct map *messages; /* queue id -> struct message: those in memory */
    struct list active;
    size_t active_count, recipient_count; /* messages in memory, and their slots */
    size_t probe_count;   /* address probes in memory */
    struct submit_pool *cleanup;
    struct notices *notices;
    struct pull *pull;
    uid_t owner;          /* mail_owner */
    uint64_t drops;       /* how often the whole index was dropped: what was read from it before is void */
    bool stopping;        /* nothing is started any more */
    bool closed;          /* the store is closed: hands off */
};

/* ---- message.c ---------------------------------------------------------------------------------------------------- */

/* message_of_envelope - a message with all recipients waiting; everything is copied.  message_of_record - from the queue, with what the index
   knows (entry may be NULL).  NULL when it is in memory already. */
struct message *message_of_envelope(struct qmgr *q, const struct envelope *envelope, const struct queue_place *place) MUST_CHECK;
struct message *message_of_record(struct qmgr *q, const struct queue_record *record, const struct index_entry *entry) MUST_CHECK;
void message_free(struct qmgr *q, struct message *m);
struct message *message_find(const struct qmgr *q, struct slice queue_id);
struct recipient *message_recipient(const struct message *m, const struct slot *slot);
/* message_add_result - keep a result (copied) with its recipient.  message_reason - why it waits: the result to show, NULL when there is none. */
void message_add_result(struct message *m, struct slot *slot, const struct delivery_result *result);
const struct delivery_result *message_reason(const struct slot *slot);
bool message_is_probe(const struct message *m); /* sendmail -bv, address probes: nothing is delivered */
/* message_index - put into the index with what waits (those of slots that are not SENT), due at next_attempt.  False: could not be written. */
bool message_index(struct qmgr *q, const struct message *m, enum index_queue queue, int64_t next_attempt);

/* ---- activate.c --------------------------------------------------------------------------------------------------- */

/* message_activate - resolve the waiting recipients and queue them for delivery; may spill the message (then it is gone).  Waits (tables). */
void message_activate(struct qmgr *q, struct message *m, bool may_spill);
/* message_suspended - scheduler hook: the recipients of a job go to the retry transport. */
void message_suspended(void *context, struct job *job, const char *reason);
/* message_divert - recipients that were in flight go to the retry transport. */
void message_divert(struct qmgr *q, struct message *m, const uint32_t *slots, uint32_t count, const char *reason);
/* message_wait - recipients that were in flight are not any more, and belong to no job.  message_requeue - recipients that were in flight wait again, before all others. */
void message_wait(struct message *m, const uint32_t *slots, uint32_t count);
void message_requeue(struct message *m, struct destination *destination, const uint32_t *slots, uint32_t count);
/* message_withdraw - take all its jobs out. */
void message_withdraw(struct message *m);

/* ---- lanes.c ------------------------------------------------------------------------------------------------------ */

void lanes_ready(void *context, struct destination *destination); /* scheduler hook */
/* lanes_stop - start nothing any more.  lanes_busy - deliveries under way. */
void lanes_stop(struct qmgr *q);
unsigned lanes_busy(const struct qmgr *q);

/* ---- finish.c ----------------------------------------------------------------------------------------------------- */

/* finish_slot - what became of a recipient (once per result).  finish_slot_text - the same for what qmgr decides itself, with the log line;
   reason begins with a status code. */
void finish_slot(struct qmgr *q, struct message *m, struct slot *slot, const struct delivery_result *result);
void finish_slot_text(struct qmgr *q, struct message *m, struct slot *slot, int outcome, const char *reason);
/* finish_delete - it is done, whatever is still under way; nothing more is said about it.  The message may be gone afterwards. */
void finish_delete(struct qmgr *q, struct message *m);
/* finish_part - after results came in: mark what is done, and end the message when nothing is waiting or in flight. */
void finish_part(struct qmgr *q, struct message *m);

/* ---- notices.c ---------------------------------------------------------------------------------------------------- */

struct notices *notices_new(void) MUST_CHECK;
/* notices_send - a notice about some recipients; false: the service cannot take it now.  Waits. */
bool notices_send(struct qmgr *q, int kind, const struct message *m, struct bounce_recipient *recipients, size_t count);

/* ---- pull.c ------------------------------------------------------------------------------------------------------- */

struct pull *pull_new(void) MUST_CHECK;
void pull_start(struct qmgr *q);
/* pull_flush - everything deferred is due now, once.  pull_flush_site - what has a recipient in that domain.  pull_id - one message: 1 done, 0 not there,
   Wait (pull_id). */
void pull_flush(struct qmgr *q);
void pull_flush_site(struct qmgr *q, struct slice site);
int pull_id(struct qmgr *q, struct slice queue_id);
/* pull_id_with_room - one of many: it waits until there is room for it.  False: not deferred any more.  Waits. */
bool pull_id_with_room(struct qmgr *q, struct slice queue_id);
void pull_drained(void *context, struct destination *destination); /* scheduler hook */
/* pull_has_room - a new message can stay in memory whatever its destination; pull_is_full - not even when its destination has little to do. */
bool pull_has_room(const struct qmgr *q);
bool pull_is_full(const struct qmgr *q);
/* pull_pause - while many entries change their queue nothing is taken from them: so it is over soonest. */
void pull_pause(struct qmgr *q, bool pause);
/* pull_soon - an entry was put into the index that is due at that time. */
void pull_soon(struct qmgr *q, int64_t next_attempt);

/* ---- retry.c ------------------------------------------------------------------------------------------------------ */

/* retry_is - it is the transport that qmgr serves itself.  retry_ready - there is something for it. */
bool retry_is(const struct transport *transport);
void retry_ready(struct qmgr *q);

/* ---- requeue.c ---------------------------------------------------------------------------------------------------- */

/* requeue_message - that was just read and has no jobs; it is gone afterwards, or parked until later.  requeue_start - an entry of the index, in a fiber of its own.
   Both Wait. */
void requeue_init(void);
void requeue_message(struct qmgr *q, struct message *m);
void requeue_start(struct qmgr *q, struct slice queue_id);

/* ---- clients.c, control.c, showq.c (arrive.h: new mail) ------------------------------------------------------------------------- */

/* clients_serve - one connection to public/qmgr, showq or flush. */
void clients_serve(struct qmgr *q, struct service_client *client);
void control_serve(struct qmgr *q, struct lane *lane, const struct queue_control *control, struct arena *arena);
void showq_serve(struct qmgr *q, struct stream *stream);

#endif
