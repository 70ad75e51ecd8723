/* proxy_filter.c - see proxy_filter.h (compat.md d.11) */
#include "proxy_filter.h"

#include "base/log.h"
#include "dns/dns.h"
#include "net/stream.h"
#include "smtp/xtext.h"

enum {
    REPLY_LINE_MAX = 2048, REPLY_LINES_MAX = 200, REPLY_MAX = 16 * 1024,
    PUT_OFF_MAX = 1 << 20 /* content that waits for its end (speed_adjust); a larger message is passed on while it comes in */
};

struct proxy_filter {
    struct session *session;
    struct stream *stream; /* NULL: not connected yet, or no more */
    /* smtpd_proxy_options = speed_adjust: the filter is not kept busy by a client that takes its time */
    bool put_off;
    struct buffer commands; /* said to us so far, LF after each */
    struct buffer content;
    bool failed;            /* what was put off came to nothing: */
    struct submit_outcome refusal;
    char *endpoint;      /* as configured, without "inet:" */
    int64_t timeout;
    bool in_content;     /* between DATA and the dot */
    bool at_line_start;  /* of the content */
    bool held_cr;        /* the last byte of content: LF may be next */
    struct buffer reply; /* the last: all lines, CRLF between them */
    int code;
    bool takes_xforward;
    struct buffer xforward; /* what the EHLO reply has after XFORWARD, in blanks */
};

/* ---- replies ---- */

static void note_keyword(struct proxy_filter *p, struct slice text)
{
    struct slice word;

    if (!slice_next_token(&text, " \t", &word) || !slice_equal_case(word, SLICE("XFORWARD")))
        return;
    p->takes_xforward = true;
    buffer_clear(&p->xforward);
    buffer_printf(&p->xforward, " " SLICE_FORMAT " ", SLICE_ARGS(text));
}

static bool lost(struct proxy_filter *p)
{
    log_warning(stream_error(p->stream) == STREAM_TIMEOUT ? "timeout talking to proxy %s" : "lost connection with proxy %s", p->endpoint);
    p->code = 0;
    return false;
}

/* read_reply - false: there is none; the connection is of no more use. */
static bool read_reply(struct proxy_filter *p)
{
    struct slice line, text;
    bool more = true;

    buffer_clear(&p->reply);
    for (int lines = 0; more; lines++) {
        enum line_end end = stream_read_line(p->stream, REPLY_LINE_MAX, &line);
        if ((end != LINE_CRLF && end != LINE_LF) || lines == REPLY_LINES_MAX || !smtp_reply_parse(line, &p->code, &more, &text))
            return lost(p);
        buffer_append_string(&p->reply, lines ? "\r\n" : "");
        buffer_append_slice(&p->reply, line);
        note_keyword(p, text);
    }
    return true;
}

/* converse - say it (an empty command: only listen); false: refused, or no reply. */
static bool converse(struct proxy_filter *p, struct slice command, const char *name, int wanted)
{
    stream_set_deadline(p->stream, clock_after(p->timeout));
    if (command.len) {
        stream_write_slice(p->stream, command);
        stream_write_slice(p->stream, SLICE("\r\n"));
    }
    if (!stream_flush(p->stream))
        return lost(p);
    if (!read_reply(p))
        return false;
    if (p->code / 100 == wanted)
        return true;
    log_warning("proxy %s rejected \"%s\": \"%s\"", p->endpoint, name, buffer_string(&p->reply));
    return false;
}

static const struct submit_outcome unavailable = {SUBMIT_STATUS_TEMPORARY, 451, {"4.3.0 Error: queue file write error", 35}};

/* take_refusal - the filter's words, if it had any. */
static void take_refusal(struct proxy_filter *p, struct arena *arena, struct submit_outcome *refusal)
{
    *refusal = unavailable;
    if (p->code >= 400 && p->code <= 599)
        *refusal = (struct submit_outcome){p->code >= 500 ? SUBMIT_STATUS_REFUSED : SUBMIT_STATUS_TEMPORARY, p->code,
                                           arena_slice(arena, buffer_slice(&p->reply))};
}

static void put_off_command(struct proxy_filter *p, struct slice command)
{
    buffer_append_slice(&p->commands, command);
    buffer_append_byte(&p->commands, '\n');
}

bool proxy_filter_say(struct proxy_filter *p, struct slice command, int wanted, struct arena *arena, struct submit_outcome *refusal)
{
    if (p->put_off) {
        put_off_command(p, command);
        return true;
    }
    bool good = converse(p, command, arena_string(arena, command), wanted);

    if (!good)
        take_refusal(p, arena, refusal);
    p->in_content = good && wanted == 3;
    p->at_line_start = true;
    return good;
}

/* ---- connecting ---- */

/* connect_inet - "host:port", ":port" or "port" (on this host); -1 with errno. */
static int connect_inet(struct slice place, int64_t deadline)
{
    struct net_address address;
    size_t colon = slice_find_last(place, ':');
    struct slice host = colon < place.len ? slice_first(place, colon) : (struct slice){0};
    uint16_t port = net_service_port(colon < place.len ? slice_from(place, colon + 1) : place);

    if (slice_starts(host, SLICE("[")) && slice_ends(host, SLICE("]")))
        host = slice_make(host.data + 1, host.len - 2);
    if (host.len == 0 || slice_equal_case(host, SLICE("localhost")))
        host = SLICE("127.0.0.1");
    errno = EADDRNOTAVAIL;
    if (port == 0)
        return -1;
    return net_address_parse(&address, host, port) ? net_connect(&address, NULL, deadline) : dns_connect(host, port, deadline);
}

static int connect_unix(struct slice path, int64_t deadline)
{
    struct net_address address;

    errno = EADDRNOTAVAIL;
    return net_address_unix(&address, path) ? net_connect(&address, NULL, deadline) : -1;
}

static struct stream *connect_now(struct proxy_filter *p)
{
    struct slice endpoint = slice_of(p->endpoint);
    int64_t deadline = clock_after(p->timeout);
    int fd = slice_starts(endpoint, SLICE("unix:")) ? connect_unix(slice_from(endpoint, 5), deadline) : connect_inet(endpoint, deadline);

    if (fd < 0)
        log_warning("connect to proxy filter %s: %s", p->endpoint, strerror(errno));
    return fd < 0 ? NULL : stream_new_fd(fd);
}

/* ---- XFORWARD ---- */

static void append_attribute(struct proxy_filter *p, struct buffer *out, const char *name, const char *prefix, const char *value)
{
    char wanted[20];

    snprintf(wanted, sizeof(wanted), " %s ", name);
    if (slice_search(buffer_slice(&p->xforward), slice_of(wanted)) == p->xforward.len)
        return;
    buffer_printf(out, " %s=", name);
    if (!value || !*value || strcmp(value, "unknown") == 0) {
        buffer_append_string(out, "[UNAVAILABLE]");
        return;
    }
    buffer_append_string(out, prefix);
    xtext_encode(out, slice_of(value));
}

/* tell_client - who sent the message: the client, or what it told of its own client. */
static bool tell_client(struct session *s, struct proxy_filter *p)
{
    const struct forwarded *f = s->forwarded;
    const char *address = f && f->address ? f->address : s->client.address;
    struct buffer command = BUFFER_INIT_MAX(4096);

    buffer_append_string(&command, "XFORWARD");
    append_attribute(p, &command, "NAME", "", f && f->name ? f->name : s->client.name);
    append_attribute(p, &command, "ADDR", address && strchr(address, ':') ? "IPV6:" : "", address);
    append_attribute(p, &command, "PORT", "", f && f->port ? f->port : s->client.port);
    append_attribute(p, &command, "HELO", "", f && f->helo ? f->helo : s->helo);
    append_attribute(p, &command, "IDENT", "", f ? f->ident : NULL);
    append_attribute(p, &command, "PROTO", "", f && f->protocol ? f->protocol : session_protocol(s));
    append_attribute(p, &command, "SOURCE", "", strcmp(session_rewrite_context(s), "local") == 0 ? "LOCAL" : "REMOTE");
    bool good = command.len == strlen("XFORWARD") || converse(p, buffer_slice(&command), buffer_string(&command), 2);
    buffer_release(&command);
    return good;
}

/* start - connect, and everything up to MAIL. */
static bool start(struct proxy_filter *p, struct arena *arena, struct submit_outcome *refusal)
{
    struct session *s = p->session;
    struct slice hello = arena_format(arena, "EHLO %s", s->server->params.smtpd_proxy_ehlo);

    *refusal = unavailable;
    return (p->stream = connect_now(p)) != NULL && converse(p, (struct slice){0}, "connection request", 2) && converse(p, hello, hello.data, 2) &&
           (!p->takes_xforward || tell_client(s, p)) && proxy_filter_say(p, s->mail->command, 2, arena, refusal);
}

/* catch_up - what was put off is done now. */
static void catch_up(struct proxy_filter *p)
{
    struct arena *arena = p->session->mail->arena;
    struct slice rest = buffer_slice(&p->commands), command;

    p->put_off = false;
    bool good = start(p, arena, &p->refusal);
    while (good && slice_next_line(&rest, &command))
        good = proxy_filter_say(p, command, slice_equal(command, SLICE("DATA")) ? 3 : 2, arena, &p->refusal);
    p->failed = !good;
    if (good)
        proxy_filter_content(p, buffer_slice(&p->content));
    buffer_release(&p->content);
}

struct proxy_filter *proxy_filter_open(struct session *s, struct submit_outcome *refusal)
{
    const struct smtpd_params *params = &s->server->params;
    struct proxy_filter *p = memory_zalloc(1, sizeof(*p));
    const char *endpoint = params->smtpd_proxy_filter;

    p->endpoint = memory_string(strncmp(endpoint, "inet:", 5) == 0 ? endpoint + 5 : endpoint);
    p->timeout = params->smtpd_proxy_timeout;
    buffer_init(&p->reply, REPLY_MAX);
    buffer_init(&p->xforward, REPLY_LINE_MAX + 2);
    buffer_init(&p->content, PUT_OFF_MAX * 2);
    p->session = s;
    p->put_off = config_list_has(params->smtpd_proxy_options, "speed_adjust");
    if (p->put_off || start(p, s->scratch, refusal))
        return p;
    proxy_filter_close(p);
    return NULL;
}

/* ---- content ---- */

/* write_part - of a line, its LF included.  A stray CR becomes a blank: a filter that takes it for a line end must not find the end of data in here. */
static void write_part(struct proxy_filter *p, struct slice part)
{
    bool ends = part.data[part.len - 1] == '\n';

    if (p->at_line_start && part.data[0] == '.')
        stream_write_slice(p->stream, SLICE("."));
    p->at_line_start = ends;
    while (part.len) {
        if (p->held_cr)
            stream_write_slice(p->stream, part.data[0] == '\n' ? SLICE("\r") : SLICE(" "));
        size_t cr = slice_find(part, '\r');
        p->held_cr = cr < part.len;
        stream_write_slice(p->stream, slice_first(part, cr));
        part = slice_from(part, cr + 1);
    }
}

void proxy_filter_content(struct proxy_filter *p, struct slice data)
{
    if (p->put_off && p->content.len + data.len > PUT_OFF_MAX)
        catch_up(p);
    if (p->failed)
        return;
    if (p->put_off) {
        buffer_append_slice(&p->content, data);
        return;
    }
    stream_set_deadline(p->stream, clock_after(p->timeout));
    while (data.len) {
        size_t end = slice_find(data, '\n');
        write_part(p, slice_first(data, end + 1));
        data = slice_from(data, end + 1);
    }
}

void proxy_filter_end(struct proxy_filter *p, struct arena *arena, struct submit_outcome *outcome)
{
    if (p->put_off)
        catch_up(p);
    if (p->failed) {
        *outcome = p->refusal;
        return;
    }
    stream_set_deadline(p->stream, clock_after(p->timeout));
    if (p->held_cr)
        stream_write_slice(p->stream, SLICE(" "));
    stream_write_slice(p->stream, p->at_line_start ? SLICE(".\r\n") : SLICE("\r\n.\r\n"));
    bool answered = stream_flush(p->stream) ? read_reply(p) : lost(p);
    p->in_content = !answered;
    take_refusal(p, arena, outcome);
    if (answered && p->code / 100 == 2)
        *outcome = (struct submit_outcome){SUBMIT_STATUS_ACCEPTED, p->code, arena_slice(arena, buffer_slice(&p->reply))};
}

void proxy_filter_close(struct proxy_filter *p)
{
    if (!p)
        return;
    if (p->stream && !p->in_content && stream_error(p->stream) == STREAM_OK) {
        stream_set_deadline(p->stream, clock_after(MICROSECONDS));
        stream_write_slice(p->stream, SLICE("QUIT\r\n"));
        stream_flush(p->stream);
    }
    stream_free(p->stream);
    buffer_release(&p->reply);
    buffer_release(&p->xforward);
    buffer_release(&p->commands);
    buffer_release(&p->content);
    free(p->endpoint);
    free(p);
}
