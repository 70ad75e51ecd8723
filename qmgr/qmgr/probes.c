/* probes.c - what came of address probes: into the store, where smtpd looks for it */
#include "probes.h"

#include "service/address_verify.h"
#include "service/store.h" /* its struct shared_store is not the queue's, of the same name: none of q->store in this file */

static struct address_verify_params params;
static struct shared_store *cache;

void probes_configure(struct config *config)
{
    address_verify_params_load(config, &params);
    if (!cache)
        cache = store_new("private/anvil");
}

bool probes_are(const struct message *m)
{
    return (m->envelope.trace & TRACE_PROBE) != 0;
}

bool probes_too_many(const struct qmgr *q)
{
    return q->probe_count > (uint64_t)q->params.address_verify_pending_request_limit;
}

static enum address_status status_of(int64_t outcome)
{
    switch (outcome) {
    case OUTCOME_SENT:
    case OUTCOME_DELIVERABLE:
        return ADDRESS_DELIVERABLE;
    case OUTCOME_DEFERRED:
        return ADDRESS_DEFERRED;
    default:
        return ADDRESS_UNDELIVERABLE;
    }
}

static void record(struct slice address, enum address_status status, struct slice text)
{
    struct arena *arena = arena_new(0);
    struct address_entry old, entry = {.status = status, .text = slice_first(text, STORE_VALUE_MAX / 2)};
    struct slice value;
    bool known = store_get(cache, ADDRESS_VERIFY_CACHE, address, arena, &value, NULL) == STORE_OUTCOME_FOUND && address_entry_parse(value, &old);
    int64_t now = clock_wall();
    entry.updated = now / MICROSECONDS;
    if (address_entry_kept(&params, known ? &old : NULL, status, now))
        store_put(cache, ADDRESS_VERIFY_CACHE, address, address_entry_format(&entry, arena), address_entry_lifetime(&params, &entry, now));
    arena_free(arena);
}

/* An address that one of several agrees to is good. */
static bool is_better(enum address_status a, enum address_status b)
{
    return a < b;
}

void probes_record(const struct message *m)
{
    for (uint32_t i = 0; i < m->slot_count; i++) {
        const struct slot_result *best = m->slots[i].results;
        const struct recipient *recipient = message_recipient(m, &m->slots[i]);
        if (!best)
            continue;
        for (const struct slot_result *at = best->next; at; at = at->next) {
            if (is_better(status_of(at->result.outcome), status_of(best->result.outcome)))
                best = at;
        }
        enum address_status status = status_of(best->result.outcome);
        record(recipient_original(recipient), status, best->result.reason);
        if (recipient->original.len && !slice_equal(recipient->original, recipient->address))
            record(recipient->address, status, best->result.reason);
    }
}
