/* dialogue.h - a whole session without a network: the client is a script, cleanup is a buffer (unit test and fuzz target)

   Included by one source file of a program: it defines the functions of ipc/submit.h in their place in the library. */
#ifndef POSTERN_TEST_DIALOGUE_H
#define POSTERN_TEST_DIALOGUE_H

#include "base/log.h"
#include "ipc/submit.h"
#include "../../../smtpd/server.h"
#include "../../../smtpd/session.h"

/* ---- cleanup ---- */

struct submission {
    char queue_id[16];
};

static struct {
    struct buffer content;  /* of all accepted messages, one after the other */
    struct buffer pending;  /* of the one under way */
    char sender[256], recipients[1024], redirect[256], filter[256];
    int options;
    unsigned opened, finished, cancelled, envelopes;
    struct submit_end late; /* decided at the end of the last one */
    int refuse_code;        /* not 0: cleanup says no */
    const char *refuse_text;
} cleanup;

struct submit_pool *submit_pool_new(const char *path UNUSED) { return (struct submit_pool *)&cleanup; }
void submit_pool_free(struct submit_pool *pool UNUSED) {}

struct submission *submit_open(struct submit_pool *pool UNUSED, int64_t deadline UNUSED)
{
    struct submission *s = memory_zalloc(1, sizeof(*s));

    snprintf(s->queue_id, sizeof(s->queue_id), "ABC%05u", ++cleanup.opened);
    return s;
}

struct slice submit_queue_id(const struct submission *s) { return slice_of(s->queue_id); }

void submit_envelope(struct submission *s UNUSED, const struct envelope *envelope, int options)
{
    struct buffer list = BUFFER_INIT;

    cleanup.envelopes++;
    cleanup.options = options;
    snprintf(cleanup.sender, sizeof(cleanup.sender), SLICE_FORMAT, SLICE_ARGS(envelope->sender));
    snprintf(cleanup.redirect, sizeof(cleanup.redirect), SLICE_FORMAT, SLICE_ARGS(envelope->redirect));
    snprintf(cleanup.filter, sizeof(cleanup.filter), SLICE_FORMAT, SLICE_ARGS(envelope->content_filter));
    for (size_t i = 0; i < envelope->recipients_count; i++)
        buffer_printf(&list, "%s" SLICE_FORMAT, i ? " " : "", SLICE_ARGS(envelope->recipients[i].address));
    snprintf(cleanup.recipients, sizeof(cleanup.recipients), "%s", buffer_string(&list));
    buffer_release(&list);
}

void submit_milter(struct submission *s UNUSED, const struct submit_milter *milter UNUSED, int fd UNUSED) {}

void submit_content(struct submission *s UNUSED, struct slice data)
{
    if (cleanup.envelopes == 0)
        log_panic("content before the envelope");
    buffer_append_slice(&cleanup.pending, data);
}

void submit_decide(struct submission *s UNUSED, const struct submit_end *decisions) { cleanup.late = *decisions; }

void submit_finish(struct submission *s, int64_t size UNUSED, struct arena *arena UNUSED, struct submit_outcome *outcome, int64_t deadline UNUSED)
{
    cleanup.finished++;
    *outcome = (struct submit_outcome){.status = SUBMIT_STATUS_ACCEPTED};
    if (cleanup.refuse_code)
        *outcome = (struct submit_outcome){SUBMIT_STATUS_REFUSED, cleanup.refuse_code, slice_of(cleanup.refuse_text)};
    else
        buffer_append_slice(&cleanup.content, buffer_slice(&cleanup.pending));
    buffer_clear(&cleanup.pending);
    free(s);
}

void submit_cancel(struct submission *s)
{
    if (!s)
        return;
    cleanup.cancelled++;
    buffer_clear(&cleanup.pending);
    free(s);
}

static inline void cleanup_forget(void)
{
    buffer_release(&cleanup.content);
    buffer_release(&cleanup.pending);
    memset(&cleanup, 0, sizeof(cleanup));
}

/* ---- the client ---- */

struct script {
    struct slice input;
    size_t piece;         /* greatest number of bytes that come at once */
    bool steps;           /* a line at a time: the client waits for replies */
    bool silent_at_end;   /* a timeout instead of the end of the connection */
    struct buffer output; /* what the server said */
};

static ssize_t script_read(void *context, void *data, size_t len, int64_t deadline UNUSED, enum stream_error *error)
{
    struct script *script = context;
    size_t n = script->input.len;

    if (n == 0 && script->silent_at_end) {
        *error = STREAM_TIMEOUT;
        return -1;
    }
    if (script->steps && slice_find(script->input, '\n') < n)
        n = slice_find(script->input, '\n') + 1;
    if (n > len)
        n = len;
    if (script->piece && n > script->piece)
        n = script->piece;
    memcpy(data, script->input.data, n);
    script->input = slice_from(script->input, n);
    return (ssize_t)n;
}

static ssize_t script_write(void *context, const void *data, size_t len, int64_t deadline UNUSED, enum stream_error *error UNUSED)
{
    struct script *script = context;

    buffer_append(&script->output, data, len);
    return (ssize_t)len;
}

static void script_close(void *context UNUSED) {}
static bool script_pending(void *context UNUSED) { return false; }

static const struct stream_transport script_transport = {script_read, script_write, script_close, script_pending};

/* ---- the server ---- */

/* dialogue_server - with main.cf text. */
static inline struct server *dialogue_server(const char *main_cf)
{
    static struct service_context here, *context = &here;
    static const char base[] = "myhostname = mail.lab.test\nmydomain = lab.test\nmydestination = lab.test, localhost\nmynetworks = 127.0.0.0/8\n"
                               "inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\ncompatibility_level = 3.6\nalias_maps =\n"
                               "local_recipient_maps = inline:{ alice=x, bob=x }\nsmtpd_peername_lookup = no\nsmtpd_error_sleep_time = 0\n"
                               "smtpd_client_connection_count_limit = 0\nrecipient_delimiter = +\n";

    context->config = config_empty();
    if (!config_parse(context->config, slice_of(base), "base") || !config_parse(context->config, slice_of(main_cf), "test"))
        log_panic("bad configuration");
    context->service_name = "smtp";
    context->service_type = "inet";
    return server_new(context);
}

static inline void dialogue_server_free(struct server *server)
{
    struct config *config = server->config;

    server_free(server);
    config_free(config);
}

/* dialogue_run - hold a session with the script from that address. */
static inline void dialogue_run(struct server *server, struct script *script, const char *from)
{
    struct net_address peer, local;
    struct stream *stream = stream_new(&script_transport, script);
    struct session *s = session_new(server, stream);

    if (!net_address_parse(&peer, slice_of(from), 40000) || !net_address_parse(&local, SLICE("127.0.0.1"), 25))
        log_panic("bad address");
    client_init(&s->client, server, &peer, &local, s->arena);
    client_look_up(&s->client, server, s->arena);
    session_run(s);
    session_free(s);
    stream_free(stream);
}

/* ---- what holds whatever the client says (fuzz targets) ---- */

/* dialogue_check_log - for log_set_watcher. */
static inline void dialogue_check_log(enum log_severity severity UNUSED, const char *text, void *context UNUSED)
{
    if (slice_find_any(slice_of(text), "\r\n") < strlen(text))
        log_panic("line end in a log line");
}

/* dialogue_next_reply - a line of the server's output: code, separator, CRLF, no control characters, not too long. */
static inline bool dialogue_next_reply(struct slice *output, int *code, struct slice *text)
{
    struct slice line;
    bool more;

    if (!slice_next_line(output, &line))
        return false;
    if (!slice_ends(line, SLICE("\r")) || line.len > SMTP_REPLY_LINE_MAX + 1)
        log_panic("reply line end");
    line.len--;
    if (slice_has_control(line) || !smtp_reply_parse(line, code, &more, text))
        log_panic("malformed reply: " SLICE_FORMAT, SLICE_ARGS(line));
    return true;
}

/* dialogue_check - the replies, and what cleanup got. */
static inline void dialogue_check(const struct script *script)
{
    struct slice output = buffer_slice(&script->output), content = buffer_slice(&cleanup.content), text;
    int code;

    while (dialogue_next_reply(&output, &code, &text))
        ;
    for (size_t i = 0; i < content.len; i++)
        if (content.data[i] == '\n' && (i == 0 || content.data[i - 1] != '\r'))
            log_panic("bare LF in what is queued");
    if (content.len && !slice_ends(content, SLICE("\r\n")))
        log_panic("unfinished line in what is queued");
    if (cleanup.opened != cleanup.finished + cleanup.cancelled)
        log_panic("a submission was left open");
}

#endif
