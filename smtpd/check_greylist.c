/* check_greylist.c - check_greylist: who has not been heard of is asked to come again, which software that only sends spam does not do

   The network of the client, the sender and the recipient make a triplet.  The first attempt is put off; one after greylist_delay passes, and the triplet is known from
   then on.  A network from which greylist_client_allow_count messages passed is not asked any more.  All of it lies in the store's cache "greylist". */
#include "access_private.h"

#include "auth.h"
#include "base/log.h"
#include "greylist.h"
#include "network.h"
#include "service/store.h"

#define CACHE "greylist"
enum { COMPLAINT_INTERVAL = 60 /* seconds */ };

static void complain(const struct session *s)
{
    static int64_t next;

    if (clock_monotonic() < next)
        return;
    next = clock_after(COMPLAINT_INTERVAL * MICROSECONDS);
    log_warning("check_greylist: cache " CACHE " does not answer: %s and others pass", s->client.text);
}

static void put(struct session *s, struct slice key, struct buffer *value, int64_t lifetime)
{
    if (!store_put(s->server->store, CACHE, key, buffer_slice(value), lifetime))
        complain(s);
    buffer_release(value);
}

static struct slice network_of(const struct session *s)
{
    const struct smtpd_params *p = &s->server->params;
    struct buffer text = BUFFER_INIT;

    network_text(&s->client.peer, p->greylist_ipv4_prefix_length, p->greylist_ipv6_prefix_length, &text);
    struct slice copy = arena_slice(s->scratch, buffer_slice(&text));
    buffer_release(&text);
    return copy;
}

/* needs_renewal - an entry that is in use lives on; not every use is written down. */
static bool needs_renewal(int64_t expires, int64_t lifetime)
{
    return expires - clock_wall() < lifetime / 4 * 3;
}

/* ---- networks ---- */

/* client_is_known - enough of this network has passed; *client: what is known of it. */
static bool client_is_known(struct session *s, struct slice key, struct greylist_client *client)
{
    const struct smtpd_params *p = &s->server->params;
    struct buffer text = BUFFER_INIT;
    struct slice value;
    int64_t expires;

    if (p->greylist_client_allow_count <= 0 || store_get(s->server->store, CACHE, key, s->scratch, &value, &expires) != STORE_OUTCOME_FOUND ||
        !greylist_client_parse(value, client) || client->count < p->greylist_client_allow_count)
        return false;
    if (needs_renewal(expires, p->greylist_lifetime)) {
        greylist_client_format(client, &text);
        put(s, key, &text, p->greylist_lifetime);
    }
    return true;
}

static void count_client(struct session *s, struct slice key, struct greylist_client *client)
{
    const struct smtpd_params *p = &s->server->params;
    struct buffer text = BUFFER_INIT;

    if (p->greylist_client_allow_count <= 0 || client->last == s->mail->arrival)
        return;
    client->count++;
    client->last = s->mail->arrival;
    greylist_client_format(client, &text);
    put(s, key, &text, p->greylist_lifetime);
}

/* ---- triplets ---- */

static struct slice key_of(const struct access *a, struct slice network)
{
    struct buffer text = BUFFER_INIT;

    greylist_key(network, a->s->mail->sender_shown, a->recipient_shown, &text);
    struct slice copy = arena_slice(a->s->scratch, buffer_slice(&text));
    buffer_release(&text);
    return copy;
}

static void remember(struct session *s, struct slice key, const struct greylist_entry *entry, int64_t lifetime)
{
    struct buffer text = BUFFER_INIT;

    greylist_format(entry, &text);
    put(s, key, &text, lifetime);
}

static enum access_result put_off(struct access *a, int64_t left)
{
    struct buffer text = BUFFER_INIT;

    greylist_reply(a->s->server->params.greylist_reply_text, left, &text);
    enum access_result result = access_defer_if_permit(a, 450, "4.2.0", "<" SLICE_FORMAT ">: %s rejected: %s", SLICE_ARGS(a->recipient_shown),
                                                       subject_name(SUBJECT_RECIPIENT), buffer_string(&text));
    buffer_release(&text);
    return result;
}

/* judge - what is remembered, against the time. */
static enum access_result judge(struct access *a, struct slice key, struct greylist_entry *entry, int64_t expires, struct slice client_key,
                                struct greylist_client *client)
{
    const struct smtpd_params *p = &a->s->server->params;
    int64_t now = clock_wall();

    if (entry->passed) {
        if (needs_renewal(expires, p->greylist_lifetime))
            remember(a->s, key, entry, p->greylist_lifetime);
        return ACCESS_DUNNO;
    }
    if (entry->first == 0 || entry->first > now) { /* the clock was set back: once more */
        *entry = (struct greylist_entry){.first = now};
        remember(a->s, key, entry, p->greylist_retry_window);
    }
    if (now - entry->first < p->greylist_delay)
        return put_off(a, p->greylist_delay - (now - entry->first));
    log_action(a->s, "greylist", a->recipient, "passed after %lld seconds", (long long)((now - entry->first) / MICROSECONDS));
    entry->passed = true;
    remember(a->s, key, entry, p->greylist_lifetime);
    count_client(a->s, client_key, client);
    return ACCESS_DUNNO;
}

enum access_result check_greylist(struct access *a, const struct restriction *item UNUSED)
{
    struct session *s = a->s;
    struct greylist_client client = {0};
    struct greylist_entry entry;
    struct slice value;
    int64_t expires;

    if (!s->mail || !s->client.has_address || auth_is_user(s))
        return ACCESS_DUNNO;
    struct slice network = network_of(s), client_key = arena_format(s->scratch, "c:" SLICE_FORMAT, SLICE_ARGS(network));
    if (client_is_known(s, client_key, &client))
        return ACCESS_DUNNO;
    struct slice key = key_of(a, network);
    enum store_outcome outcome = store_get(s->server->store, CACHE, key, s->scratch, &value, &expires);
    if (outcome == STORE_OUTCOME_FAILED) {
        complain(s);
        return ACCESS_DUNNO;
    }
    greylist_parse(value, &entry);
    return judge(a, key, &entry, expires, client_key, &client);
}
