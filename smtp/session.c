/* session.c - connecting to a server, its greeting and EHLO, its replies */
#include "session.h"

#include <netinet/tcp.h>

#include "auth.h"
#include "base/log.h"
#include "forward.h"
#include "requiretls.h"
#include "run/run.h"
#include "service/transcript.h"
#include "table/match.h"

#define REPLY_TEXT_MAX 8192 /* what we keep of a reply */

static void refused_to_talk(struct session *session, const struct reply *reply, bool temporary, struct arena *arena, struct failure *failure)
{
    session_said(session, reply, "", arena, failure);
    temporary = temporary && reply->code / 100 == 5;
    failure->temporary = failure->temporary || temporary;
    if (temporary)
        failure->status = arena_format(arena, "4%s", failure->status + 1).data;
    failure->reason = arena_format(arena, "host %s[%s] refused to talk to me: " SLICE_FORMAT, session->host, session->address,
                                   SLICE_ARGS(reply->text));
}

/* ---- connecting ---- */

/* source_address - smtp_bind_address or smtp_bind_address6, for the family of the host; false: none. */
static bool source_address(const struct client_params *params, const struct host *host, struct net_address *source)
{
    const char *text = host->address.u.any.sa_family == AF_INET6 ? params->bind_address6 : params->bind_address;

    if (host->address.u.any.sa_family == AF_UNIX || text[0] == '\0')
        return false;
    return net_address_parse(source, slice_of(text), 0);
}

/* connect_to - an own address that cannot be bound is told of, and done without unless smtp_bind_address_enforce is set. */
static int connect_to(const struct client_params *params, const struct host *host)
{
    int64_t deadline = clock_after(params->connect_timeout > 0 ? params->connect_timeout : 300 * MICROSECONDS);
    struct net_address source;
    bool bound = source_address(params, host, &source);
    int fd = net_connect(&host->address, bound ? &source : NULL, deadline);

    if (fd >= 0 || !bound || errno != EADDRNOTAVAIL)
        return fd;
    const char *text = host->address.u.any.sa_family == AF_INET6 ? params->bind_address6 : params->bind_address;
    log_warning("smtp_connect_addr: bind %s: %s", text, strerror(errno));
    if (!params->bind_address_enforce)
        return net_connect(&host->address, NULL, deadline);
    errno = EADDRNOTAVAIL;
    return -1;
}

static void connect_failure(const struct host *host, int error, bool enforced, struct arena *arena, struct failure *failure)
{
    failure->temporary = true;
    failure->handshake = true;
    failure->status = "4.4.1";
    if (error == EADDRNOTAVAIL && enforced) {
        failure->status = "4.4.0";
        failure->reason = SLICE("server configuration error");
    } else
        failure->reason = arena_format(arena, "connect to %s: %s", host_relay(host, arena), strerror(error));
    log_info(SLICE_FORMAT, SLICE_ARGS(failure->reason));
}

static struct session *session_new(const struct client_params *params, const struct host *host, struct slice next_hop, int fd)
{
    struct buffer address = BUFFER_INIT;
    struct arena *arena = arena_new(512);
    struct session *session = arena_alloc(arena, sizeof(*session));
    int on = 1;

    session->arena = arena;
    session->stream = stream_new_fd(fd);
    session->host = arena_string(arena, host->name);
    net_address_text(&host->address, &address);
    session->address = arena_string(arena, buffer_slice(&address));
    buffer_release(&address);
    session->port = net_address_port(&host->address);
    session->next_hop = arena_string(arena, next_hop);
    session->lmtp = params->lmtp;
    session->reply_filter = params->reply_filters;
    session->opened = clock_monotonic();
    session->relay = host_relay(host, arena);
    if (host->address.u.any.sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* what fails here only costs time */
    bool echo = log_verbose > 0 || (params->debug_peers && match_host(params->debug_peers, slice_of(session->host), &host->address) == MATCH_YES);
    session->transcript = params->cleanup || echo ? transcript_new() : NULL;
    if (echo)
        transcript_echo(session->transcript, session->relay);
    buffer_init(&session->reply_text, REPLY_TEXT_MAX);
    return session;
}

static void session_free(struct session *session)
{
    transcript_free(session->transcript);
    stream_free(session->stream);
    buffer_release(&session->reply_text);
    arena_free(session->arena);
}

/* ---- greeting and EHLO ---- */

static void take_size(struct session *session, struct slice line)
{
    struct slice argument;
    uint64_t limit;

    if (!slice_next_token(&line, " \t=", &argument))
        return;
    size_t digits = 0;
    while (digits < argument.len && isdigit((unsigned char)argument.data[digits]))
        digits++;
    if (slice_to_u64(argument, &limit) && limit < INT64_MAX)
        session->size_limit = (int64_t)limit;
    else if (digits < argument.len) /* else: more than any message has */
        log_warning("bad EHLO SIZE limit \"" SLICE_FORMAT "\" from %s", SLICE_ARGS(argument), session->relay);
}

/* take_keyword - one line of an EHLO reply after the first, without its code. */
static void take_keyword(struct session *session, struct slice line)
{
    struct slice word;

    if (!slice_next_token(&line, " \t=", &word)) /* "AUTH=LOGIN", as old servers say it */
        return;
    int keyword = smtp_ehlo_keyword(word);
    session->features |= keyword;
    if (keyword == EHLO_XFORWARD)
        session->forward_attributes |= forward_attributes(line);
    if (keyword == EHLO_SIZE)
        take_size(session, line);
    if (keyword == EHLO_AUTH)
        auth_take_mechanisms(session, line);
}

/* by_address - the value for this server in a table of addresses; false: there is none. */
static bool by_address(struct table_list *maps, const char *what, const struct session *session, struct buffer *value)
{
    enum table_result found = maps ? table_list_lookup(maps, slice_of(session->address), true, value) : TABLE_NOT_FOUND;

    if (found == TABLE_TRY_AGAIN)
        log_warning("%s lookup error for \"%s\"", what, session->address);
    return found == TABLE_FOUND;
}

/* discard_keywords - smtp_discard_ehlo_keywords and the table of it by address: the administrator says that the server lies. */
static void discard_keywords(const struct client_params *params, struct session *session)
{
    static const char name[] = "smtp_discard_ehlo_keyword_address_maps";
    struct buffer value = BUFFER_INIT;
    int discarded = params->discarded_keywords;

    if (by_address(params->discarded_keyword_maps, name, session, &value))
        discarded = smtp_ehlo_keywords(buffer_slice(&value), name);
    smtp_ehlo_log_discarded(discarded);
    session->features &= ~discarded;
    if (discarded & EHLO_SIZE)
        session->size_limit = 0;
    buffer_release(&value);
}

/* work_around_pix - a greeting of nothing but "2", "0", "*" and blanks comes from a PIX firewall that breaks SMTP behind it. */
static void work_around_pix(const struct client_params *params, struct session *session, const struct delivery *delivery, struct slice greeting)
{
    struct buffer value = BUFFER_INIT;

    for (size_t i = 0; i < greeting.len; i++)
        if (!memchr("20* ", greeting.data[i], 4))
            return;
    bool listed = by_address(params->pix_maps, "smtp_pix_workaround_maps", session, &value);
    session->pix = client_params_pix(params, listed ? buffer_slice(&value) : slice_of(params->pix_workarounds));
    if (clock_wall() - delivery->request->envelope.arrival_time < params->pix_workaround_threshold_time)
        session->pix &= ~PIX_DELAY_DOTCRLF;
    if (session->pix)
        log_info(SLICE_FORMAT ": enabling PIX workarounds:%s%s for %s", SLICE_ARGS(delivery->request->envelope.queue_id),
                 session->pix & PIX_DISABLE_ESMTP ? " disable_esmtp" : "", session->pix & PIX_DELAY_DOTCRLF ? " delay_dotcrlf" : "", session->relay);
    buffer_release(&value);
}

/* hello - say it, and take the keywords of what is answered. */
static bool hello(const struct client_params *params, struct session *session, const char *verb, struct reply *reply)
{
    session->take_line = verb[0] != 'H' ? take_keyword : NULL;
    session->features = session->forward_attributes = 0;
    auth_forget_mechanisms(session);
    session->size_limit = 0;
    session_say(session, slice_of(arena_printf(session->arena, "%s %s\r\n", verb, params->helo_name)));
    stream_flush(session->stream);
    bool answered = session_reply(session, params->helo_timeout, reply);
    session->take_line = NULL;
    if (answered && reply->code / 100 == 2 && verb[0] != 'H')
        discard_keywords(params, session);
    return answered;
}

static const char *hello_verb(const struct client_params *params, const struct session *session)
{
    if (params->lmtp)
        return "LHLO";
    bool modern = params->always_send_ehlo || session->esmtp_greeting;
    return modern && !params->never_send_ehlo && !(session->pix & PIX_DISABLE_ESMTP) ? "EHLO" : "HELO";
}

static bool greeted_by_myself(const struct client_params *params, const struct reply *reply)
{
    struct slice rest = slice_from(reply->text, 4), word;

    return slice_next_token(&rest, " ", &word) && slice_equal_case(word, slice_of(params->myhostname));
}

static bool say_hello(const struct client_params *params, struct session *session, bool detect_loops, struct arena *arena, struct failure *failure)
{
    const char *verb = hello_verb(params, session);
    struct reply reply;

    bool answered = hello(params, session, verb, &reply);
    if (answered && reply.code / 100 != 2 && reply.code != 421 && strcmp(verb, "EHLO") == 0) {
        verb = "HELO";
        answered = hello(params, session, verb, &reply);
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

static bool has_esmtp(struct slice greeting)
{
    struct slice word;

    while (slice_next_token(&greeting, " ", &word))
        if (slice_equal_case(word, SLICE("ESMTP")))
            return true;
    return false;
}

static bool read_greeting(const struct client_params *params, struct session *session, const struct delivery *delivery, struct failure *failure)
{
    struct reply reply;

    if (!session_reply(session, params->helo_timeout, &reply)) {
        session_lost(session, "receiving the initial server greeting", delivery->arena, failure);
        return false;
    }
    if (reply.code / 100 != 2) {
        refused_to_talk(session, &reply, params->skip_5xx_greeting, delivery->arena, failure);
        return false;
    }
    session->esmtp_greeting = has_esmtp(reply.text);
    work_around_pix(params, session, delivery, slice_from(reply.text, 3));
    return true;
}

bool session_greet(const struct client_params *params, struct session *session, const struct delivery *delivery, bool detect_loops,
                   struct failure *failure)
{
    struct arena *arena = delivery->arena;

    if (starttls_wrap(params, session, arena, failure) && read_greeting(params, session, delivery, failure)
        && say_hello(params, session, detect_loops, arena, failure)) {
        bool wrapped = session->tls != NULL;
        if (starttls_begin(params, session, arena, failure) && (wrapped || !session->tls || say_hello(params, session, detect_loops, arena, failure))
            && auth_begin(params, session, delivery, failure)) {
            session->greeted = true;
            return true;
        }
    }
    failure->handshake = true;
    failure->relay = arena_strdup(delivery->arena, session->relay);
    return false;
}

/* is_relaxed - who comes after such a message may want more of the connection. */
static bool is_relaxed(const struct delivery *delivery)
{
    return (delivery->request->envelope.send_options & SEND_TLS_NOT_REQUIRED) != 0;
}

/* open_once - connect and talk until the session is ready; in_the_clear: a handshake failed before and the message may do without. */
static struct session *open_once(const struct client_params *params, const struct host *host, struct tls_plan *plan, const struct delivery *delivery,
                                 bool detect_loops, bool *connected, bool *in_the_clear, struct failure *failure)
{
    int fd = connect_to(params, host);
    *connected |= fd >= 0;
    if (fd < 0) {
        connect_failure(host, errno, params->bind_address_enforce, delivery->arena, failure);
        return NULL;
    }
    struct session *session = session_new(params, host, delivery->request->next_hop, fd);
    session->plan = plan;
    session->destination = host->destination ? arena_string(session->arena, host->destination->text) : NULL;
    if (session_greet(params, session, delivery, detect_loops, failure) && requiretls_check(session, plan, delivery, failure)) {
        session->keeps = (session->tls == NULL ? !is_relaxed(delivery) : plan->keep) && auth_may_keep(params);
        session->plan = NULL; /* memory of the delivery, which ends before a kept session */
        return session;
    }
    *in_the_clear = starttls_may_do_without(params, session, delivery);
    requiretls_explain(plan, delivery, failure);
    session_close(params, session);
    return NULL;
}

struct session *session_open(const struct client_params *params, const struct host *host, const struct delivery *delivery, bool detect_loops,
                             bool *connected, struct failure *failure)
{
    bool in_the_clear = false;

    memset(failure, 0, sizeof(*failure));
    *connected = false;
    struct tls_plan *plan = requiretls_plan(params, host, delivery, starttls_plan(params, host, delivery->arena, failure), failure);
    if (!plan)
        return NULL;
    plan->results.silent = slice_equal_case(delivery->request->envelope.sender, slice_of(params->smtp_tls_reports_sender));
    struct session *session = open_once(params, host, plan, delivery, detect_loops, connected, &in_the_clear, failure);
    if (!session && in_the_clear) {
        log_info(SLICE_FORMAT ": " SLICE_FORMAT, SLICE_ARGS(delivery->request->envelope.queue_id), SLICE_ARGS(failure->reason));
        plan->policy.level = TLS_NONE;
        memset(failure, 0, sizeof(*failure));
        session = open_once(params, host, plan, delivery, detect_loops, connected, &in_the_clear, failure);
    }
    return session;
}

bool session_is_alive(struct session *session)
{
    return !session->unusable && !session->says_goodbye && stream_error(session->stream) == STREAM_OK && !stream_pending(session->stream);
}

/* report - tell the postmaster that the server and we do not understand each other. */
static void report(const struct client_params *params, struct session *session)
{
    const char *address = params->error_notice_recipient;
    bool complete = strchr(address, '@') != NULL;
    struct transcript_notice notice = {
        .cleanup = params->cleanup, .mail_name = params->mail_name, .myhostname = params->myhostname, .double_bounce_sender = params->double_bounce_sender,
        .recipient = slice_of(address), .program = params->lmtp ? "LMTP client" : "SMTP client", .peer = session->relay,
        .filtered = config_list_has(params->internal_mail_filter_classes, "notify"),
        .recipient_shown = arena_format(session->arena, "%s%s%s", address, complete ? "" : "@", complete ? "" : params->myorigin),
        .introduction = arena_printf(session->arena, "Unexpected response from %s.", session->relay)};

    transcript_send(session->transcript, &notice);
}

void session_close(const struct client_params *params, struct session *session)
{
    struct reply reply;

    if (session == NULL)
        return;
    if (!session->unusable && stream_error(session->stream) == STREAM_OK) {
        stream_set_deadline(session->stream, clock_after(params->quit_timeout));
        if (!session->quit_sent)
            session_say(session, SLICE("QUIT\r\n"));
        if (stream_flush(session->stream) && !params->skip_quit_response)
            session_reply(session, params->quit_timeout, &reply);
    }
    if (params->cleanup && session->protocol_trouble)
        report(params, session);
    session_free(session);
}
