/* check_verify.c - reject_unverified_sender, reject_unverified_recipient: is there somebody behind an address? (compat.md d.5)

   What is known lies in the store; what is not is asked by a probe: a message that qmgr schedules like any other, and of which the delivery agent
   only says whether it could be delivered.  qmgr puts the answer into the store, where it is found here. */
#include "access_private.h"

#include "base/log.h"
#include "ipc/submit.h"
#include "run/run.h"
#include "service/address_verify.h"
#include "service/store.h"

enum { OPEN_PATIENCE = 10, COMMIT_PATIENCE = 60 /* seconds */ };
static const int64_t first_look = MICROSECONDS / 50;

/* ---- probes ---- */

static bool submit_probe(struct session *s, struct slice address)
{
    struct server *server = s->server;
    struct submission *submission = submit_open(server->cleanup, clock_after(OPEN_PATIENCE * MICROSECONDS));
    struct submit_outcome outcome;

    if (!submission) {
        log_warning("cannot submit an address probe: %s: %s", server->params.cleanup_service_name, strerror(errno));
        return false;
    }
    int64_t now = clock_wall();
    struct slice sender = address_verify_sender(&server->verify_params, slice_of(server->probe_sender), now, s->scratch);
    struct recipient recipient = {.address = address, .notify = NOTIFY_NEVER};
    struct envelope envelope = {.queue_id = submit_queue_id(submission), .arrival_time = now, .recipients = &recipient, .recipients_count = 1,
                                .sender = sender, .trace = TRACE_PROBE, .source = SOURCE_BOUNCE, .rewrite_context = SLICE("local"),
                                .smtputf8 = server->params.smtputf8_enable && !slice_is_ascii(address), .log_message_origin = SLICE("local")};
    submit_envelope(submission, &envelope, SUBMIT_NO_HEADER_BODY_CHECKS | SUBMIT_NO_MILTERS | SUBMIT_NO_BCC);
    submit_content(submission, SLICE("Subject: address verification probe\r\n\r\n"));
    submit_finish(submission, 0, s->scratch, &outcome, clock_after(COMMIT_PATIENCE * MICROSECONDS));
    return outcome.status == SUBMIT_STATUS_ACCEPTED;
}

/* note_probe - before it goes, so that others who ask meanwhile send none of their own. */
static bool note_probe(struct server *server, struct slice address, struct address_entry *entry, struct arena *arena)
{
    const struct address_verify_params *p = &server->verify_params;
    int64_t now = clock_wall();

    entry->probed = now / MICROSECONDS;
    if (entry->status != ADDRESS_DELIVERABLE && !p->address_verify_negative_cache)
        return true;
    return store_put(server->store, ADDRESS_VERIFY_CACHE, address, address_entry_format(entry, arena),
                     address_entry_lifetime(p, entry, now));
}

/* ---- what is known ---- */

/* look_up - what is known now, in the scratch arena; "pending" when nothing is.  False: the store is away. */
static bool look_up(struct session *s, struct slice address, struct address_entry *entry)
{
    struct slice value;
    enum store_outcome outcome = store_get(s->server->store, ADDRESS_VERIFY_CACHE, address, s->scratch, &value, NULL);

    if (outcome != STORE_OUTCOME_FOUND || !address_entry_parse(value, entry) ||
        address_entry_expired(&s->server->verify_params, entry, clock_wall()))
        *entry = (struct address_entry){.status = ADDRESS_PENDING, .text = SLICE("Address verification in progress")};
    return outcome != STORE_OUTCOME_FAILED;
}

/* ask - look it up, and have it probed when that is due. */
static bool ask(struct session *s, struct slice address, struct address_entry *entry)
{
    struct server *server = s->server;

    if (!look_up(s, address, entry))
        return false;
    if (!address_entry_due(&server->verify_params, entry, clock_wall()) || map_get(server->probing, address))
        return true;
    struct slice key = arena_slice(s->scratch, address);
    map_set(server->probing, key, server);
    bool noted = note_probe(server, key, entry, s->scratch);
    if (noted && !submit_probe(s, key) && entry->status == ADDRESS_PENDING)
        store_delete(server->store, ADDRESS_VERIFY_CACHE, key); /* the next one may try again */
    map_remove(server->probing, key);
    return noted;
}

/* find_out - what is known of an address, after a while if need be: address_verify_poll_count looks with address_verify_poll_delay between them
   is how long a client is kept waiting; the answer is looked for sooner. */
static bool find_out(struct session *s, struct slice address, struct address_entry *entry)
{
    const struct smtpd_params *p = &s->server->params;
    int64_t until = clock_after((p->address_verify_poll_count - 1) * p->address_verify_poll_delay), pause = first_look;
    bool known = ask(s, address, entry);

    while (known && entry->status == ADDRESS_PENDING && clock_monotonic() < until) {
        int64_t left = until - clock_monotonic();
        fiber_sleep(pause < left ? pause : left);
        pause = 2 * pause < p->address_verify_poll_delay ? 2 * pause : p->address_verify_poll_delay;
        known = look_up(s, address, entry);
    }
    return known;
}

/* ---- the restrictions ---- */

/* What the parameters of one of the two say. */
struct unverified {
    enum subject subject;
    struct slice shown;
    const char *status; /* "4.1.7" */
    int64_t defer_code, reject_code;
    const char *reason, *tempfail_action;
};

static enum access_result judge(struct access *a, const struct unverified *u, const struct address_entry *entry)
{
    bool refused = entry->status == ADDRESS_UNDELIVERABLE;
    int code = (int)(refused ? u->reject_code : u->defer_code);
    struct slice reason = u->reason[0] ? slice_of(u->reason) : entry->text;
    const char *kind = code / 100 == 5 ? "undeliverable" : "unverified";

    if (entry->status == ADDRESS_DELIVERABLE || code / 100 == 2)
        return ACCESS_DUNNO;
    if (refused)
        return access_reject(a, code, u->status, TROUBLE_POLICY, "<" SLICE_FORMAT ">: %s rejected: %s address: " SLICE_FORMAT,
                             SLICE_ARGS(u->shown), subject_name(u->subject), kind, SLICE_ARGS(reason));
    return access_tempfail(a, u->tempfail_action, code, u->status, "<" SLICE_FORMAT ">: %s rejected: %s address: " SLICE_FORMAT,
                           SLICE_ARGS(u->shown), subject_name(u->subject), kind, SLICE_ARGS(reason));
}

static enum access_result check_unverified(struct access *a, const struct route_result *route, const struct unverified *u)
{
    struct address_entry entry;

    if (!a->s->server->store || !find_out(a->s, route->recipient, &entry))
        return access_tempfail(a, u->tempfail_action, 450, u->status, "<" SLICE_FORMAT ">: %s rejected: address verification problem",
                               SLICE_ARGS(u->shown), subject_name(u->subject));
    return judge(a, u, &entry);
}

enum access_result check_unverified_sender(struct access *a, const struct restriction *item UNUSED)
{
    const struct smtpd_params *p = &a->s->server->params;
    struct unverified u = {SUBJECT_SENDER, a->s->mail->sender_shown, "4.1.7", p->unverified_sender_defer_code, p->unverified_sender_reject_code,
                           p->unverified_sender_reject_reason, p->unverified_sender_tempfail_action};

    return check_unverified(a, access_sender_route(a), &u);
}

enum access_result check_unverified_recipient(struct access *a, const struct restriction *item UNUSED)
{
    const struct smtpd_params *p = &a->s->server->params;
    struct unverified u = {SUBJECT_RECIPIENT, a->recipient_shown, "4.1.1", p->unverified_recipient_defer_code, p->unverified_recipient_reject_code,
                           p->unverified_recipient_reject_reason, p->unverified_recipient_tempfail_action};

    if (slice_equal_case(access_recipient_route(a)->recipient, slice_of(a->s->server->probe_sender)))
        return ACCESS_DUNNO; /* it takes mail: others verify us as a sender */
    return check_unverified(a, access_recipient_route(a), &u);
}
