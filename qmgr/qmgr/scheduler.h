/* scheduler.h - who is delivered next: transports, destinations, jobs (compat.md f.3; design.md section 4)

   A job is what one message wants from one destination.  A destination (a next hop of a transport) has a concurrency window that follows
   what the site can take.  A transport has a number of lanes; they go first to destinations that have none at work, then round robin to the
   others, and an eighth of them is kept for destinations that have none: a slow site can fill its own window, never the transport.
   Within a destination messages take turns, one delivery each.

   Nothing here waits, looks at a clock, or knows what a message is: times are values of clock_monotonic given by the caller. */
#ifndef POSTERN_QMGR_SCHEDULER_H
#define POSTERN_QMGR_SCHEDULER_H

#include "base/list.h"
#include "base/map.h"
#include "feedback.h"
#include "wake.h"

struct message;

struct transport_limits {
    int64_t initial_concurrency;
    int64_t concurrency_limit; /* of a destination; 0: none */
    int64_t recipient_limit;   /* of a delivery; 0: none */
    int64_t destination_rate_delay, transport_rate_delay; /* microseconds */
    int64_t failed_cohort_limit; /* 0: a destination never dies */
    struct feedback positive, negative;
    int64_t retry_time; /* how long a transport that cannot be reached is left alone */
    int64_t dead_time;  /* how long a dead destination is */
    unsigned lane_limit;
    bool deferred;      /* in defer_transports */
    bool debug;         /* log every feedback */
    bool is_sink;       /* error, retry: what fails goes there, and nowhere else from there */
};

struct scheduler;

struct transport {
    struct scheduler *scheduler;
    struct slice name;
    struct transport_limits limits;
    struct map *destinations;  /* key -> struct destination */
    struct list all;           /* of destinations */
    struct list fresh, busy;   /* ready destinations: without and with deliveries under way */
    unsigned in_flight;
    int64_t not_before;        /* transport_rate_delay */
    int64_t throttled_until;   /* 0: not */
    char *throttle_reason;     /* "4.3.0 mail transport unavailable" */
    struct wake wake;
    void *lanes;               /* of lanes.c */
};

enum readiness { NOT_READY, READY_FRESH, READY_BUSY };

struct destination {
    struct transport *transport;
    struct slice key, next_hop;
    struct list link;         /* transport->all */
    struct list ready_link;   /* transport->fresh or ->busy */
    enum readiness readiness;
    struct list jobs;         /* struct job */
    size_t job_count;
    unsigned in_flight;
    unsigned syncing;         /* deliveries that only wait for the disk: no longer in in_flight */
    unsigned window;
    double success, failure, cohorts;
    int64_t not_before;       /* destination_rate_delay */
    int64_t dead_until;       /* 0: alive */
    char *dead_reason;        /* "4.4.1 delivery temporarily suspended: ..." */
    int64_t last_done;        /* 0: nothing yet */
    struct wake wake;
    struct list idle_lanes;   /* of lanes.c: idle lanes that last served it */
    bool spilled;             /* more mail for it may wait in the index */
    bool fetching;            /* of pull.c */
    uint32_t scratch;         /* for whoever walks over destinations without a wait */
};

/* What one message wants from one destination.  Memory belongs to the message. */
struct job {
    struct list link; /* destination->jobs */
    struct list message_link;
    struct message *message;
    struct destination *destination;
    const uint32_t *slots; /* recipients, as the message numbers them */
    uint32_t count, taken;
    bool one_by_one; /* VERP: each recipient is a delivery of its own */
};

/* One delivery. */
struct claim {
    struct destination *destination;
    struct message *message;
    const uint32_t *slots;
    uint32_t count;
    bool more_follows; /* to this destination, for sure or nearly: its connection is worth keeping */
    bool syncing;     /* see scheduler_syncing */
    struct list link; /* for the owner's use */
};

struct scheduler_hooks {
    void (*limits)(void *context, struct slice transport, struct transport_limits *limits);
    /* ready - something for the destination can start now. */
    void (*ready)(void *context, struct destination *destination);
    /* suspend - the destination is dead or its transport throttled: the job was taken out, its recipients have to go elsewhere.
       reason begins with a status code. */
    void (*suspend)(void *context, struct job *job, const char *reason);
    /* drained - few jobs are left and the destination is spilled. */
    void (*drained)(void *context, struct destination *destination);
};

struct scheduler *scheduler_new(const struct scheduler_hooks *hooks, void *context) MUST_CHECK;
void scheduler_free(struct scheduler *scheduler);

/* scheduler_transport - by name; made when new.  scheduler_destination - by key; made when new. */
struct transport *scheduler_transport(struct scheduler *scheduler, struct slice name);
struct destination *scheduler_destination(struct transport *transport, struct slice key, struct slice next_hop);
struct destination *scheduler_find(struct scheduler *scheduler, struct slice transport, struct slice key); /* NULL: not there */
/* scheduler_suspended - why nothing can go there now ("4.4.1 delivery ..."), NULL when it can. */
const char *scheduler_suspended(const struct destination *destination);

/* scheduler_add - a job at the end of its destination's queue (front: at the head); the caller filled message, destination, slots, count.
   scheduler_withdraw - take a waiting job out. */
void scheduler_add(struct job *job, bool front, int64_t now);
void scheduler_withdraw(struct job *job, int64_t now);

/* scheduler_peek - the destination that is to be served next, NULL: none can be.  scheduler_next - claim a delivery; preferred (may be NULL)
   is served when that takes nothing from others. */
struct destination *scheduler_peek(struct transport *transport, int64_t now);
bool scheduler_next(struct transport *transport, struct destination *preferred, int64_t now, struct claim *claim);

/* scheduler_syncing - the agent has written the message and only waits for the disk: it no longer counts against the destination's concurrency, which
   is there for what runs or holds locks.  Few of a destination may be in that state at a time; the claim still ends with scheduler_done. */
void scheduler_syncing(struct claim *claim, int64_t now);

/* How a claim ended.  RELEASED: nothing was learned about the site. */
enum claim_end { CLAIM_DELIVERED, CLAIM_SITE_FAILED, CLAIM_RELEASED };
/* scheduler_done - reason (CLAIM_SITE_FAILED): status code, blank, text. */
void scheduler_done(const struct claim *claim, enum claim_end end, const char *reason, int64_t now);

/* scheduler_throttle - the transport cannot be reached: suspend everything for a while.  scheduler_forget - no destination is dead any more, no
   transport throttled.  scheduler_revive - one destination. */
void scheduler_throttle(struct transport *transport, const char *reason, int64_t now);
void scheduler_forget(struct scheduler *scheduler, int64_t now);
void scheduler_revive(struct destination *destination, int64_t now);

/* scheduler_run_timers - do what is due.  scheduler_next_timer - when there will be something (CLOCK_NEVER: not). */
void scheduler_run_timers(struct scheduler *scheduler, int64_t now);
int64_t scheduler_next_timer(const struct scheduler *scheduler);
/* scheduler_reload - ask for all limits again. */
void scheduler_reload(struct scheduler *scheduler, int64_t now);
/* scheduler_next_transport - walk; *position starts at 0. NULL at the end. */
struct transport *scheduler_next_transport(struct scheduler *scheduler, size_t *position);
size_t scheduler_destination_count(const struct scheduler *scheduler);

#endif
