/* retry.c - the retry transport: what goes there is deferred with its next hop as the reason (compat.md g.5)

   It is scheduled like any other transport, so that a dead destination with a million messages takes its turns; but no agent is asked.  The log lines are
   the agent's, down to the name, because people look for that. */
#include "qmgr.h"

#include "base/log.h"
#include "base/verdict.h"
#include "service/agent.h"
#include "service/statistics.h"

enum { BATCH = 50 /* deliveries between two looks at the rest of the world */ };

static bool running;

bool retry_is(const struct transport *transport)
{
    return slice_equal(transport->name, SLICE(RETRY_TRANSPORT));
}

/* status_of - the code the reason begins with, 4.0.0 when it has none or one that says something else; *text: the rest. */
static void status_of(struct slice reason, char status[STATUS_CODE_TEXT], struct slice *text)
{
    struct status_code code = {.class = 4};
    *text = reason;
    bool given = status_code_parse(reason, &code, text);
    status_code_format(code, status);
    if (!given || code.class == 4)
        return;
    log_warning("defer_append: ignoring dsn code \"%s\"", status);
    status_code_format((struct status_code){.class = 4}, status);
}

static void defer_slot(struct qmgr *q, struct message *m, struct slot *slot, const char *status, struct slice text)
{
    int64_t now = clock_wall();
    bool probe = message_is_probe(m);
    struct delivery_status shown = {.outcome = probe ? OUTCOME_UNDELIVERABLE : OUTCOME_DEFERRED, .status = status, .relay = "none", .reason = text};
    struct delivery_times times = {.arrival = m->envelope.arrival_time, .active = m->active_time, .agent = now, .done = now};
    struct delivery_result result = {.index = slot->index, .outcome = OUTCOME_DEFERRED, .status = slice_of(status), .reason = slice_trim_right(text),
                                     .relay = SLICE("none"), .action = probe ? SLICE("undeliverable") : SLICE("delayed")};
    delivery_log(m->envelope.queue_id, message_recipient(m, slot), &times, 1, &shown);
    if (!probe)
        statistics_add(STATISTIC_recipients_deferred, 1);
    finish_slot(q, m, slot, &result);
}

static void defer_claim(struct qmgr *q, const struct claim *claim)
{
    struct message *m = claim->message;
    char status[STATUS_CODE_TEXT];
    struct slice text;
    m->in_flight++;
    log_speak_for("error"); /* as the program of the retry service is called */
    status_of(claim->destination->next_hop, status, &text);
    for (uint32_t i = 0; i < claim->count && !m->deleted; i++) {
        m->slots[claim->slots[i]].state = SLOT_IN_FLIGHT;
        defer_slot(q, m, &m->slots[claim->slots[i]], status, text);
    }
    log_speak_for(NULL);
    scheduler_done(claim, CLAIM_DELIVERED, NULL, clock_monotonic());
    m->in_flight--;
    finish_part(q, m);
}

static void retry_fiber(void *arg)
{
    struct qmgr *q = arg;
    struct transport *transport = scheduler_transport(q->scheduler, SLICE(RETRY_TRANSPORT));
    struct claim claim;
    for (unsigned n = 1; !q->stopping && scheduler_next(transport, NULL, clock_monotonic(), &claim); n++) {
        defer_claim(q, &claim);
        if (n % BATCH == 0)
            fiber_yield();
    }
    running = false;
}

void retry_ready(struct qmgr *q)
{
    if (running || q->stopping)
        return;
    running = true;
    fiber_start("retry", retry_fiber, q);
}
