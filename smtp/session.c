/* session.c - connecting to a server, its greeting and EHLO, its replies */
#include "session.h"

#include <netinet/tcp.h>

#include "base/log.h"
#include "run/run.h"

#define REPLY_LINE_MAX 2048   /* what we keep of a line */
#define REPLY_LINES_MAX 500   /* a server that talks longer is broken */
#define REPLY_TEXT_MAX 8192

/* ---- replies ---- */

static bool parse_code(struct slice line, int *code, bool *more)
{
    if (line.len < 3 || !isdigit((unsigned char)line.data[0]) || !isdigit((unsigned char)line.data[1]) ||
        !isdigit((unsigned char)line.data[2]))
        return false;
    *code = (line.data[0] - '0') * 100 + (line.data[1] - '0') * 10 + (line.data[2] - '0');
    *more = line.len > 3 && line.data[3] == '-';
    return line.data[0] >= '2' && line.data[0] <= '5' && (line.len == 3 || line.data[3] == ' ' || line.data[3] == '-');
}

/* read_reply_line - one line, cut at REPLY_LINE_MAX; what is longer is read and dropped. */
static bool read_reply_line(struct stream *stream, struct buffer *line)
{
    struct slice piece;
    enum line_end end;

    buffer_clear(line);
    while ((end = stream_read_line(stream, REPLY_LINE_MAX, &piece)) == LINE_TOO_LONG)
        if (line->len == 0)
            buffer_append_slice(line, piece);
    if (end == LINE_NONE)
        return false;
    if (line->len == 0)
        buffer_append_slice(line, piece);
    return true;
}

static void set_reply_status(struct slice line, struct reply *reply)
{
    struct status_code code;
    uint8_t class = (uint8_t)(reply->code / 100);

    reply->status = (struct status_code){class, 0, 0};
    if (status_code_parse(slice_trim_left(slice_from(line, 4)), &code, NULL) && code.class == class)
        reply->status = code;
}

bool session_reply(struct session *session, int64_t timeout, struct reply *reply)
{
    struct buffer line = BUFFER_INIT_MAX(REPLY_LINE_MAX + 1);
    bool more = true, good = true;

    memset(reply, 0, sizeof(*reply));
    buffer_clear(&session->reply_text);
    stream_set_deadline(session->stream, clock_after(timeout));
    for (int lines = 0; more && good; lines++) {
        good = lines < REPLY_LINES_MAX && read_reply_line(session->stream, &line);
        if (!good)
            break;
        if (!parse_code(buffer_slice(&line), &reply->code, &more)) {
            /* A line without a code: not SMTP.  Postfix's users know it as a protocol error; the connection cannot be trusted further. */
            log_warning("malformed reply from %s[%s]: %s", session->host, session->address, buffer_string(&line));
            reply->code = 0;
            good = false;
            break;
        }
        if (session->reply_text.len > 0)
            buffer_append_byte(&session->reply_text, ' ');
        buffer_append_slice(&session->reply_text, buffer_slice(&line));
        set_reply_status(buffer_slice(&line), reply);
    }
    buffer_release(&line);
    if (!good || reply->code == 421)
        session->unusable = true;
    reply->text = buffer_slice(&session->reply_text);
    if (!good)
        reply->code = 0;
    return good;
}

void session_lost(struct session *session, const char *phase, struct arena *arena, struct failure *failure)
{
    bool timed_out = stream_error(session->stream) == STREAM_TIMEOUT;

    session->unusable = true;
    failure->temporary = true;
    failure->status = "4.4.2";
    failure->remote_mta = arena_strdup(arena, session->host);
    failure->diagnostic = (struct slice){0};
    failure->reason = timed_out ? arena_format(arena, "conversation with %s[%s] timed out while %s", session->host, session->address, phase)
                                : arena_format(arena, "lost connection with %s[%s] while %s", session->host, session->address, phase);
}

static const char *status_in(struct arena *arena, struct status_code status)
{
    char text[STATUS_CODE_TEXT];

    return arena_strdup(arena, status_code_format(status, text));
}

void session_said(struct session *session, const struct reply *reply, const char *command, struct arena *arena, struct failure *failure)
{
    failure->temporary = reply->code / 100 != 5;
    failure->status = status_in(arena, reply->status);
    failure->remote_mta = arena_strdup(arena, session->host);
    failure->diagnostic = arena_slice(arena, reply->text);
    failure->reason = arena_format(arena, "host %s[%s] said: " SLICE_FORMAT " (in reply to %s)", session->host, session->address,
                                   SLICE_ARGS(reply->text), command);
}

static void refused_to_talk(struct session *session, const struct reply *reply, bool temporary, struct arena *arena, struct failure *failure)
{
    session_said(session, reply, "", arena, failure);
    failure->temporary = failure->temporary || temporary;
    if (temporary && failure->status[0] == '5')
        failure->status = arena_format(arena, "4%s", failure->status + 1).data;
    failure->reason = arena_format(arena, "host %s[%s] refused to talk to me: " SLICE_FORMAT, session->host, session->address,
                                   SLICE_ARGS(reply->text));
}

/* ---- connecting ---- */

static int connect_to(const struct client_params *params, const struct host *host)
{
    struct net_address source, *from = NULL;
    const char *bind_address = host->address.u.any.sa_family == AF_INET6 ? params->bind_address6 : params->bind_address;

    if (host->address.u.any.sa_family != AF_UNIX && bind_address[0] != '\0' && net_address_parse(&source, slice_of(bind_address), 0))
        from = &source;
    return net_connect(&host->address, from, clock_after(params->connect_timeout > 0 ? params->connect_timeout : 300 * MICROSECONDS));
}

static void connect_failure(const struct host *host, const char *address, int error, struct arena *arena, struct failure *failure)
{
    failure->temporary = true;
    failure->handshake = true;
    failure->status = "4.4.1";
    if (host->address.u.any.sa_family == AF_UNIX)
        failure->reason = arena_format(arena, "connect to " SLICE_FORMAT "[%s]: %s", SLICE_ARGS(host->name), address, strerror(error));
    else
        failure->reason = arena_format(arena, "connect to " SLICE_FORMAT "[%s]:%u: %s", SLICE_ARGS(host->name), address,
                                       net_address_port(&host->address), strerror(error));
    log_info(SLICE_FORMAT, SLICE_ARGS(failure->reason));
}

static struct session *session_new(const struct client_params *params, const struct host *host, const char *address, struct slice next_hop, int fd)
{
    struct arena *arena = arena_new(512);
    struct session *session = arena_alloc(arena, sizeof(*session));
    int on = 1;

    session->arena = arena;
    session->stream = stream_new_fd(fd);
    session->host = arena_string(arena, host->name);
    session->address = arena_strdup(arena, address);
    session->port = net_address_port(&host->address);
    session->next_hop = arena_string(arena, next_hop);
    session->lmtp = params->lmtp;
    session->opened = clock_monotonic();
    if (host->address.u.any.sa_family == AF_UNIX) {
        session->relay = arena_printf(arena, "%s[%s]", session->host, address);
    } else {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* what fails here only costs time */
        session->relay = arena_printf(arena, "%s[%s]:%u", session->host, address, session->port);
    }
    buffer_init(&session->reply_text, REPLY_TEXT_MAX);
    return session;
}

static void session_free(struct session *session)
{
    stream_free(session->stream);
    buffer_release(&session->reply_text);
    arena_free(session->arena);
}

/* ---- greeting and EHLO ---- */

static const struct { const char *word; int feature; } keywords[] = {
    {"PIPELINING", FEATURE_PIPELINING}, {"SIZE", FEATURE_SIZE}, {"8BITMIME", FEATURE_8BITMIME}, {"DSN", FEATURE_DSN},
    {"SMTPUTF8", FEATURE_SMTPUTF8}, {"STARTTLS", FEATURE_STARTTLS}, {"ENHANCEDSTATUSCODES", FEATURE_ENHANCED_CODES},
    {"CHUNKING", FEATURE_CHUNKING}, {"AUTH", FEATURE_AUTH},
};

static void take_keyword(struct session *session, struct slice line)
{
    struct slice rest = slice_from(line, 4), word, argument;
    uint64_t limit;

    if (!slice_next_token(&rest, " \t", &word))
        return;
    for (size_t i = 0; i < COUNT_OF(keywords); i++)
        if (slice_equal_case(word, slice_of(keywords[i].word)))
            session->features |= keywords[i].feature;
    if (slice_equal_case(word, SLICE("SIZE")) && slice_next_token(&rest, " \t", &argument) && slice_to_u64(argument, &limit) && limit < INT64_MAX)
        session->size_limit = (int64_t)limit;
}

/* take_ehlo_reply - the keywords.  The joined text has each line's code in front: "250-host 250-SIZE 100 250 DSN". */
static void take_ehlo_reply(struct session *session, struct slice text, int code)
{
    char mark[2][6];
    size_t at = 0;

    snprintf(mark[0], sizeof(mark[0]), " %03d-", code);
    snprintf(mark[1], sizeof(mark[1]), " %03d ", code);
    while (at < text.len) {
        struct slice rest = slice_from(text, at + 1);
        size_t dash = slice_search(rest, slice_of(mark[0])), blank = slice_search(rest, slice_of(mark[1]));
        size_t end = dash < blank ? dash : blank;
        if (at > 0)
            take_keyword(session, slice_first(slice_from(text, at + 1), end));
        at += 1 + end;
    }
}

/* discard_keywords - smtp_discard_ehlo_keywords: the administrator says that the server lies. */
static void discard_keywords(const struct client_params *params, struct session *session)
{
    struct slice rest = slice_of(params->discard_ehlo_keywords), word;

    while (config_list_next(&rest, &word))
        for (size_t i = 0; i < COUNT_OF(keywords); i++)
            if (slice_equal_case(word, slice_of(keywords[i].word)))
                session->features &= ~keywords[i].feature;
}

static bool hello(const struct client_params *params, struct session *session, const char *verb, struct reply *reply)
{
    stream_printf(session->stream, "%s %s\r\n", verb, params->helo_name);
    stream_flush(session->stream);
    return session_reply(session, params->helo_timeout, reply);
}

static bool greeted_by_myself(const struct client_params *params, const struct reply *reply)
{
    struct slice rest = slice_from(reply->text, 4), word;

    return slice_next_token(&rest, " ", &word) && slice_equal_case(word, slice_of(params->myhostname));
}

static bool say_hello(const struct client_params *params, struct session *session, bool detect_loops, struct arena *arena, struct failure *failure)
{
    const char *verb = params->lmtp ? "LHLO" : params->never_send_ehlo ? "HELO" : "EHLO";
    struct reply reply;

    bool answered = hello(params, session, verb, &reply);
    if (answered && reply.code / 100 == 5 && strcmp(verb, "EHLO") == 0 && reply.code != 521) {
        verb = "HELO";
        answered = hello(params, session, verb, &reply);
    } else if (answered && reply.code / 100 == 2 && verb[0] != 'H') {
        take_ehlo_reply(session, reply.text, reply.code);
        discard_keywords(params, session);
    }
    if (!answered) {
        session_lost(session, arena_printf(arena, "performing the %s handshake", verb), arena, failure);
        return false;
    }
    if (reply.code / 100 != 2) {
        refused_to_talk(session, &reply, false, arena, failure);
        return false;
    }
    if (detect_loops && greeted_by_myself(params, &reply)) {
        *failure = (struct failure){.status = "5.4.6", .loop = true};
        failure->reason = arena_format(arena, "mail for %s loops back to myself", session->next_hop);
        return false;
    }
    return true;
}

static bool read_greeting(const struct client_params *params, struct session *session, struct arena *arena, struct failure *failure)
{
    struct reply reply;

    if (!session_reply(session, params->helo_timeout, &reply)) {
        session_lost(session, "receiving the initial server greeting", arena, failure);
        return false;
    }
    if (reply.code / 100 != 2) {
        refused_to_talk(session, &reply, params->skip_5xx_greeting, arena, failure);
        return false;
    }
    return true;
}

struct session *session_open(const struct client_params *params, const struct host *host, struct slice next_hop, bool detect_loops,
                             struct arena *arena, bool *connected, struct failure *failure)
{
    struct buffer address = BUFFER_INIT;

    memset(failure, 0, sizeof(*failure));
    net_address_text(&host->address, &address);
    int fd = connect_to(params, host);
    *connected = fd >= 0;
    if (fd < 0) {
        connect_failure(host, buffer_string(&address), errno, arena, failure);
        buffer_release(&address);
        return NULL;
    }
    struct session *session = session_new(params, host, buffer_string(&address), next_hop, fd);
    buffer_release(&address);
    if (!read_greeting(params, session, arena, failure) || !say_hello(params, session, detect_loops, arena, failure)) {
        failure->handshake = true;
        session_close(params, session);
        return NULL;
    }
    if (params->tls_required) {
        /* not yet: TLS; what may not go in the clear stays */
        *failure = (struct failure){.temporary = true, .handshake = true, .status = "4.7.5",
                                    .reason = SLICE("TLS is required, but our TLS engine is unavailable")};
        session_close(params, session);
        return NULL;
    }
    return session;
}

bool session_is_alive(struct session *session)
{
    return !session->unusable && stream_error(session->stream) == STREAM_OK && !stream_pending(session->stream);
}

void session_close(const struct client_params *params, struct session *session)
{
    struct reply reply;

    if (session == NULL)
        return;
    if (!session->unusable && stream_error(session->stream) == STREAM_OK) {
        stream_set_deadline(session->stream, clock_after(params->quit_timeout));
        if (!session->quit_sent)
            stream_write_slice(session->stream, SLICE("QUIT\r\n"));
        if (stream_flush(session->stream) && !params->skip_quit_response)
            session_reply(session, params->quit_timeout, &reply);
    }
    session_free(session);
}
