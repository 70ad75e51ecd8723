/* filter.c - one filter: its connection, the negotiation, commands and their answers, what happens when it fails */
#include "milter/private.h"

#include "dns/dns.h"

enum {
    PROGRESS_MAX = 10000,     /* "still working" in answer to one command */
    STAGE_PACKET_MAX = 65536 /* of a reply that carries no edits */
};

struct milter *milter_new(struct milters *all, const char *name)
{
    struct milter *f = memory_zalloc(1, sizeof(*f));

    f->all = all;
    f->name = memory_string(name);
    return f;
}

void milter_free(struct milter *f)
{
    stream_free(f->stream);
    for (size_t i = 0; i < STAGE_COUNT; i++)
        free(f->macros[i]);
    buffer_release(&f->header_macros);
    buffer_release(&f->message_macros);
    buffer_release(&f->body);
    free(f->settled);
    free(f->default_action);
    free(f->name);
    free(f);
}

/* ---- leaving and failing ---- */

void milter_leave(struct milter *f, const struct milter_outcome *settle)
{
    if (f->stream && !f->endpoint) /* smtpd, which has a descriptor of its own, shall see it too */
        shutdown(stream_fd(f->stream), SHUT_RDWR);
    stream_free(f->stream);
    f->stream = NULL;
    f->state = MILTER_HAS_LEFT;
    free(f->settled);
    f->settled = settle && settle->verdict != MILTER_CONTINUE ? memory_copy(settle, sizeof(*settle)) : NULL;
}

void milter_set_refusal(struct milter_outcome *outcome, int code, const char *status, const char *text)
{
    outcome->verdict = MILTER_REJECT;
    outcome->code = code;
    snprintf(outcome->status, sizeof(outcome->status), "%s", status);
    snprintf(outcome->text, sizeof(outcome->text), "%s", text);
}

/* let_pass - when milter_default_action is one of those that do: true; else the caller refuses. */
static bool let_pass(struct milter *f, struct milter_outcome *outcome)
{
    bool hold = strcasecmp(f->default_action, "quarantine") == 0;

    outcome->verdict = hold ? MILTER_HOLD : MILTER_CONTINUE;
    outcome->text[0] = '\0';
    return hold || strcasecmp(f->default_action, "accept") == 0;
}

void milter_fail_configuration(struct milter *f, struct milter_outcome *outcome)
{
    bool shutdown = strcasecmp(f->default_action, "shutdown") == 0;

    if (!let_pass(f, outcome))
        milter_set_refusal(outcome, shutdown ? 421 : 451, "4.3.5", "Server configuration problem - try again later");
    milter_leave(f, outcome);
}

void milter_fail(struct milter *f, struct milter_outcome *outcome)
{
    const char *action = f->default_action, *later = "Service unavailable - try again later";

    if (let_pass(f, outcome)) {
        milter_leave(f, outcome);
    } else if (strcasecmp(action, "reject") == 0) {
        milter_set_refusal(outcome, 550, "5.5.0", "Service unavailable");
        milter_leave(f, outcome);
    } else if (strcasecmp(action, "tempfail") == 0 || strcasecmp(action, "shutdown") == 0) {
        milter_set_refusal(outcome, strcasecmp(action, "shutdown") == 0 ? 421 : 451, "4.7.1", later);
        milter_leave(f, outcome);
    } else {
        log_warning("milter %s: unrecognized default action: %s", f->name, action);
        milter_fail_configuration(f, outcome);
    }
}

static const char *error_text(const struct milter *f)
{
    switch (stream_error(f->stream)) {
    case STREAM_TIMEOUT: return strerror(ETIMEDOUT);
    case STREAM_LOST: return strerror(stream_errno(f->stream));
    case STREAM_CANCELLED: return strerror(ECANCELED);
    default: return "Application error"; /* Postfix's words for an end that came too soon */
    }
}

/* ---- packets ---- */

/* output - where the next packet is put; NULL: the connection is lost. */
static struct buffer *output(struct milter *f)
{
    if (f->stream && stream_unsent(f->stream) > MILTER_CHUNK) {
        stream_set_deadline(f->stream, clock_after(f->content_timeout));
        stream_flush(f->stream);
    }
    return f->stream ? stream_output(f->stream) : NULL;
}

void milter_send_macros(struct milter *f, char command, const struct buffer *macros)
{
    struct buffer *out = output(f);

    if (!out)
        return;
    size_t place = milter_begin(out, 'D');
    buffer_append_byte(out, command);
    buffer_append_slice(out, buffer_slice(macros));
    milter_finish(out, place);
}

void milter_send(struct milter *f, char command, const struct buffer *macros, struct slice data)
{
    if (macros)
        milter_send_macros(f, command, macros);
    struct buffer *out = output(f);
    if (!out)
        return;
    size_t place = milter_begin(out, command);
    buffer_append_slice(out, data);
    milter_finish(out, place);
}

static bool lost(struct milter *f, char command, const char *what)
{
    log_warning("milter %s: can't read %s reply packet %s: %s", f->name, milter_command_name(command), what, error_text(f));
    return false;
}

bool milter_receive(struct milter *f, char command, int64_t timeout, struct buffer *packet, char *code)
{
    unsigned char head[5];
    uint32_t most = command == 'E' ? MILTER_PACKET_MAX : STAGE_PACKET_MAX;

    stream_set_deadline(f->stream, clock_after(timeout));
    stream_flush(f->stream);
    if (!stream_read(f->stream, head, sizeof(head)))
        return lost(f, command, "header");
    uint32_t len = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
    if (len == 0 || len > most) {
        log_warning("milter %s: unreasonable packet length: %u > %u", f->name, len, most);
        return false;
    }
    *code = (char)head[4];
    buffer_clear(packet);
    for (len--; len > 0;) {
        struct slice part = stream_read_some(f->stream, len);
        if (part.len == 0)
            return lost(f, command, "data");
        buffer_append_slice(packet, part);
        len -= (uint32_t)part.len;
    }
    return true;
}

/* ---- connecting ---- */

static bool connect_now(struct milter *f)
{
    const struct milter_endpoint *e = f->endpoint;
    int64_t deadline = clock_after(e->connect_timeout);
    int fd = e->address.len > 0 ? net_connect(&e->address, NULL, deadline) : -1;

    if (fd < 0 && e->name.len > 0)
        fd = dns_connect(e->name, e->port, deadline);
    if (fd < 0) {
        log_warning("connect to Milter service %s: %s", f->name, strerror(errno));
        return false;
    }
    f->stream = stream_new_fd(fd);
    return true;
}

/* protocol_version - of milter_protocol, which may have further words ("no_header_reply" and the like); 0: unknown. */
static int protocol_version(const struct milter *f)
{
    struct slice rest = slice_of(f->endpoint->protocol), word;
    uint64_t version = 0, known = 0;

    while (config_list_next(&rest, &word)) {
        if (slice_to_u64(word, &version) && (version == 2 || version == 3 || version == 4 || version == 6)) {
            known = version;
        } else {
            log_warning("milter %s: bad protocol information: %s", f->name, f->endpoint->protocol);
            return 0;
        }
    }
    return (int)known;
}

static bool options_are_good(const struct milter *f, const struct milter_options *o, uint32_t version)
{
    uint32_t actions = milter_actions_of((int)version), steps = milter_steps_of((int)version);

    if (o->version > version || o->version < 2)
        log_warning("milter %s: protocol version %u conflict with MTA protocol version %u", f->name, o->version, version);
    else if (o->actions & ~actions)
        log_warning("milter %s: request mask 0x%x conflict with MTA request mask 0x%x", f->name, o->actions, actions);
    else if (o->steps & ~steps)
        log_warning("milter %s: protocol mask 0x%x conflict with MTA protocol mask 0x%x", f->name, o->steps, steps);
    else
        return true;
    return false;
}

static void take_options(struct milter *f, const struct milter_options *o)
{
    f->version = o->version;
    f->steps = o->steps;
    for (size_t i = 0; i < MILTER_STAGES; i++) {
        if (!o->macros[i].data || !(o->actions & ACTION_SET_MACROS))
            continue;
        free(f->macros[i]);
        f->macros[i] = slice_string(o->macros[i]);
    }
    f->state = MILTER_IS_OPEN;
}

static void negotiate(struct milter *f, uint32_t version, struct milter_outcome *outcome)
{
    struct buffer packet = BUFFER_INIT_MAX(MILTER_PACKET_MAX);
    struct milter_options options;
    char code;

    milter_put_u32(&packet, version);
    milter_put_u32(&packet, milter_actions_of((int)version));
    milter_put_u32(&packet, milter_steps_of((int)version));
    milter_send(f, 'O', NULL, buffer_slice(&packet));
    if (!milter_receive(f, 'O', f->endpoint->connect_timeout, &packet, &code)) {
        milter_fail(f, outcome);
    } else if (code != 'O' || !milter_parse_options(buffer_slice(&packet), &options)) {
        log_warning("milter %s: malformed reply to the option negotiation", f->name);
        milter_fail(f, outcome);
    } else if (!options_are_good(f, &options, version)) {
        milter_fail(f, outcome);
    } else {
        take_options(f, &options);
    }
    buffer_release(&packet);
}

void milter_open(struct milter *f, struct milter_outcome *outcome)
{
    outcome->verdict = MILTER_CONTINUE;
    if (f->endpoint->broken) {
        milter_fail_configuration(f, outcome);
        return;
    }
    int version = protocol_version(f);
    if (version == 0)
        milter_fail_configuration(f, outcome);
    else if (!connect_now(f))
        milter_fail(f, outcome);
    else
        negotiate(f, (uint32_t)version, outcome);
}

/* ---- answers ---- */

/* decide - the filter has said its last word: about the session, or about the message. */
static void decide(struct milter *f, bool for_session, const struct milter_outcome *outcome)
{
    if (for_session)
        milter_leave(f, outcome);
    else if (f->state == MILTER_IS_OPEN)
        f->state = MILTER_HAS_DECIDED;
}

static void take_code(struct milter *f, struct slice reply, bool for_session, struct milter_outcome *outcome)
{
    struct buffer text = BUFFER_INIT_MAX(MILTER_TEXT_MAX);
    char status[12];
    int code;

    if (milter_reply_text(reply, &code, status, &text)) {
        milter_set_refusal(outcome, code, status, buffer_string(&text));
        if (for_session)
            milter_leave(f, outcome);
    } else {
        log_warning("milter %s: malformed reply: %.100s", f->name, reply.data);
        milter_fail_configuration(f, outcome);
    }
    buffer_release(&text);
}

static void unexpected(struct milter *f, struct milter_outcome *outcome)
{
    log_warning("milter %s: unexpected or malformed reply packet", f->name);
    milter_fail(f, outcome);
}

bool milter_obey(struct milter *f, const struct milter_reply *reply, bool for_session, bool *skip, struct milter_outcome *outcome)
{
    switch (reply->kind) {
    case REPLY_IS_PROGRESS:
        return false;
    case REPLY_IS_CONTINUE:
        break;
    case REPLY_IS_SKIP:
        *skip = true;
        break;
    case REPLY_IS_ACCEPT:
        decide(f, for_session, NULL);
        break;
    case REPLY_IS_REJECT:
        milter_set_refusal(outcome, 550, "5.7.1", "Command rejected");
        if (for_session)
            milter_leave(f, outcome);
        break;
    case REPLY_IS_TEMPFAIL:
        milter_set_refusal(outcome, 451, "4.7.1", "Service unavailable - try again later");
        if (for_session)
            milter_leave(f, outcome);
        break;
    case REPLY_IS_SHUTDOWN:
        milter_set_refusal(outcome, 421, "4.7.0", "Server closing connection");
        milter_leave(f, outcome);
        break;
    case REPLY_IS_DISCARD:
        if (for_session) {
            log_warning("milter %s: DISCARD action is not allowed for connect or helo", f->name);
            break;
        }
        outcome->verdict = MILTER_DISCARD;
        decide(f, false, outcome);
        break;
    case REPLY_IS_CODE:
        take_code(f, reply->value, for_session, outcome);
        break;
    case REPLY_IS_CONNECTION_FAILURE:
        milter_fail(f, outcome);
        break;
    default:
        unexpected(f, outcome);
        break;
    }
    return true;
}

void milter_await(struct milter *f, char command, int64_t timeout, bool for_session, bool *skip, struct milter_outcome *outcome)
{
    struct buffer packet = BUFFER_INIT_MAX(MILTER_PACKET_MAX);
    struct milter_reply reply;
    char code;

    outcome->verdict = MILTER_CONTINUE;
    for (int i = 0; i < PROGRESS_MAX; i++) {
        if (!milter_receive(f, command, timeout, &packet, &code)) {
            milter_fail(f, outcome);
            break;
        }
        milter_parse_reply(code, buffer_slice(&packet), &reply);
        if (milter_obey(f, &reply, for_session, skip, outcome))
            break;
        if (i + 1 == PROGRESS_MAX)
            milter_fail(f, outcome);
    }
    buffer_release(&packet);
    if (f->stream)
        stream_trim(f->stream);
}
