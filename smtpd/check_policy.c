/* check_policy.c - check_policy_service: what a policy server is told, and doing what it says (compat.md h.1) */
#include <unistd.h>

#include "access_private.h"
#include "auth.h"
#include "policy/policy.h"
#include "smtp/xtext.h"
#include "tls/facts.h"

static struct slice text_of(const char *text)
{
    return text ? slice_of(text) : (struct slice){0};
}

static void put_client(struct buffer *request, const struct session *s)
{
    const struct client *client = &s->client;

    policy_put(request, "client_address", slice_of(client->address));
    policy_put(request, "client_name", slice_of(client->name));
    policy_put(request, "client_port", slice_of(client->port));
    policy_put(request, "reverse_client_name", slice_of(client->reverse_name));
    policy_put(request, "server_address", text_of(client->server_address));
    policy_put(request, "server_port", text_of(client->server_port));
    policy_put(request, "helo_name", text_of(s->helo));
}

/* put_instance - the same for all requests about one message, another for each message. */
static void put_instance(struct buffer *request, const struct session *s)
{
    char instance[80] = "";

    if (s->mail && s->mail->accepted) /* not yet at MAIL */
        snprintf(instance, sizeof(instance), "%x.%llx.%llx.%llx", (unsigned)getpid(), (unsigned long long)(s->mail->arrival / MICROSECONDS),
                 (unsigned long long)(s->mail->arrival % MICROSECONDS), (unsigned long long)s->mail->number);
    policy_put(request, "instance", slice_of(instance));
}

static void put_message(struct buffer *request, const struct access *a)
{
    const struct transaction *t = a->s->mail;

    policy_put(request, "sender", t ? t->sender_shown : (struct slice){0});
    policy_put(request, "recipient", a->has_recipient ? a->recipient_shown : (struct slice){0});
    bool complete = a->list == SUBJECT_DATA || a->list == SUBJECT_END_OF_DATA;
    policy_put_number(request, "recipient_count", t && complete ? (int64_t)t->recipient_count : 0);
    policy_put(request, "queue_id", text_of(t ? t->queue_id : NULL));
    put_instance(request, a->s);
    policy_put_number(request, "size", !t ? 0 : t->content_size ? t->content_size : t->parameters.size);
    policy_put(request, "etrn_domain", a->etrn_domain);
    policy_put(request, "stress", text_of(config_string(a->s->server->config, "stress")));
}

static void put_login(struct buffer *request, struct session *s)
{
    policy_put(request, "sasl_method", text_of(s->login ? s->login->method : NULL));
    policy_put(request, "sasl_username", text_of(s->login ? s->login->user : NULL));
    policy_put(request, "sasl_sender", s->mail ? auth_sender(s) : (struct slice){0});
}

static void put_name(struct buffer *request, const char *attribute, const char *name)
{
    struct buffer text = BUFFER_INIT;

    xtext_encode(&text, text_of(name));
    policy_put(request, attribute, buffer_slice(&text));
    buffer_release(&text);
}

static void put_tls(struct buffer *request, const struct session *s)
{
    const struct tls_facts *tls = s->tls;
    bool verified = tls && tls->trusted;

    put_name(request, "ccert_subject", verified ? tls->subject : NULL);
    put_name(request, "ccert_issuer", verified ? tls->issuer : NULL);
    policy_put(request, "ccert_fingerprint", text_of(tls ? tls->fingerprint : NULL));
    policy_put(request, "ccert_pubkey_fingerprint", text_of(tls ? tls->key_fingerprint : NULL));
    policy_put(request, "encryption_protocol", text_of(tls ? tls->protocol : NULL));
    policy_put(request, "encryption_cipher", text_of(tls ? tls->cipher : NULL));
    policy_put_number(request, "encryption_keysize", tls ? tls->used_bits : 0);
}

static void make_request(struct buffer *request, const struct access *a, const struct policy *policy)
{
    const char *where = strcmp(a->s->where, "BDAT") == 0 ? "DATA" : a->s->where;

    policy_put(request, "request", SLICE("smtpd_access_policy"));
    policy_put(request, "protocol_state", slice_of(where));
    policy_put(request, "protocol_name", slice_of(session_protocol(a->s)));
    put_client(request, a->s);
    put_message(request, a);
    put_login(request, a->s);
    put_tls(request, a->s);
    policy_put(request, "policy_context", policy_context(policy));
}

enum access_result check_policy_service(struct access *a, const struct restriction *item)
{
    struct buffer request = BUFFER_INIT, action = BUFFER_INIT_MAX(16 * 1024);

    make_request(&request, a, item->policy);
    struct slice value = policy_ask(item->policy, buffer_slice(&request), &action) ? buffer_slice(&action) : policy_default_action(item->policy);
    enum access_result result = access_obey(a, item, value, a->subject, a->shown);
    buffer_release(&request);
    buffer_release(&action);
    return result;
}
