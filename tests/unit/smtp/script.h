/* script.h - a server that says what is written down, and a delivery to it, for the client's tests: no network, no fibers */
#ifndef POSTERN_TEST_SMTP_SCRIPT_H
#define POSTERN_TEST_SMTP_SCRIPT_H

#include <sys/mman.h>
#include <unistd.h>

#include "../../../smtp/auth.h"
#include "../../../smtp/outgoing.h"
#include "../../../smtp/transfer.h"
#include "base/clock.h"
#include "base/log.h"

struct script {
    const char *text; /* all that the server says */
    size_t length, at;
    size_t step;      /* bytes that come at once */
    struct buffer said; /* what the client said */
};

static ssize_t script_read(void *context, void *data, size_t len, int64_t deadline UNUSED, enum stream_error *error UNUSED)
{
    struct script *script = context;
    size_t take = script->length - script->at < script->step ? script->length - script->at : script->step;

    take = take < len ? take : len;
    memcpy(data, script->text + script->at, take);
    script->at += take;
    return (ssize_t)take;
}

static ssize_t script_write(void *context, const void *data, size_t len, int64_t deadline UNUSED, enum stream_error *error UNUSED)
{
    buffer_append(&((struct script *)context)->said, data, len);
    return (ssize_t)len;
}

static void script_close(void *context UNUSED)
{
}

static bool script_pending(void *context)
{
    struct script *script = context;

    return script->at < script->length;
}

static const struct stream_transport script_transport = {script_read, script_write, script_close, script_pending};

static void script_quiet(enum log_severity severity UNUSED, const char *text UNUSED, void *context UNUSED)
{
}

/* A delivery in memory: two recipients, a short message. */
struct dialogue {
    struct script script;
    struct arena *arena;
    struct delivery_request request;
    struct recipient recipients[2];
    struct delivery delivery;
    struct session *session;
    struct failure failure;
};

/* script_params - of a configuration in main.cf syntax. */
UNUSED static void script_params(struct config *config, const char *text, bool lmtp, struct client_params *params)
{
    config_parse(config, SLICE("myhostname = client.test\nsmtp_tcp_port = 25\nlmtp_tcp_port = 24\n"), "base");
    config_parse(config, slice_of(text), "test");
    client_params_load(config, lmtp, params);
    params->outgoing = outgoing_open(config, params);
    params->auth = auth_open(config, params);
}

UNUSED static void script_params_release(struct config *config, struct client_params *params)
{
    outgoing_close(params->outgoing);
    auth_close(params->auth);
    client_params_release(params);
    config_free(config);
}

static struct session *script_session(struct script *script, const struct client_params *params)
{
    struct arena *arena = arena_new(512);
    struct session *session = arena_alloc(arena, sizeof(*session));

    *session = (struct session){.arena = arena, .stream = stream_new(&script_transport, script), .host = "mx.test", .address = "192.0.2.1",
                                .relay = "mx.test[192.0.2.1]:25", .next_hop = "remote.test", .lmtp = params->lmtp,
                                .reply_filter = params->reply_filters};
    buffer_init(&session->reply_text, 8192);
    return session;
}

UNUSED static void dialogue_start(struct dialogue *d, const struct client_params *params, const void *text, size_t length, size_t step, const char *content)
{
    struct arena *arena = arena_new(0);
    size_t content_length = strlen(content);

    *d = (struct dialogue){.script = {.text = text, .length = length, .step = step}, .arena = arena};
    d->recipients[0] = (struct recipient){.address = SLICE("b@remote.test"), .orcpt = SLICE("rfc822;b+b@remote.test"), .notify = 2, .index = 0};
    d->recipients[1] = (struct recipient){.address = SLICE("c@remote.test"), .index = 1};
    d->request = (struct delivery_request){.transport = SLICE("smtp"), .next_hop = SLICE("remote.test")};
    d->request.envelope = (struct envelope){.queue_id = SLICE("ABC123"), .sender = SLICE("a@here.test"), .message_size = (int64_t)content_length,
                                            .rewrite_context = SLICE("local"), .log_client_name = SLICE("unknown"),
                                            .log_client_address = SLICE("2001:db8::1"), .log_helo_name = SLICE("a b"), .recipients = d->recipients,
                                            .recipients_count = 2};
    d->delivery = (struct delivery){.request = &d->request, .recipients = d->recipients, .recipient_count = 2, .arena = arena,
                                    .content_fd = memfd_create("content", MFD_CLOEXEC), .content_length = (int64_t)content_length,
                                    .connection_use = 1};
    if (write(d->delivery.content_fd, content, content_length) != (ssize_t)content_length)
        log_fatal("memfd: %s", strerror(errno));
    d->delivery.settled = arena_alloc(arena, 2 * sizeof(bool));
    d->delivery.reply.results = arena_alloc(arena, 2 * sizeof(struct delivery_result));
    d->session = script_session(&d->script, params);
}

/* dialogue_run - greeting and transaction, as the only server there is.  False: the conversation failed (d->failure). */
UNUSED static bool dialogue_run(struct dialogue *d, const struct client_params *params)
{
    struct transfer transfer = {params, d->session, &d->delivery, true, false};

    return session_greet(params, d->session, &d->delivery, true, &d->failure) && transfer_run(&transfer, &d->failure);
}

UNUSED static void dialogue_end(struct dialogue *d, const struct client_params *params)
{
    session_close(params, d->session);
    close(d->delivery.content_fd);
    buffer_release(&d->script.said);
    arena_free(d->arena);
}

#endif
