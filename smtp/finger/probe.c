/* probe.c - one look at a server: connect, EHLO, STARTTLS, EHLO, QUIT, with all that is said shown */
#include "../starttls.h"
#include "base/log.h"
#include "finger.h"
#include "run/run.h"
#include "service/dns_reply_filter.h"
#include "smtp/reply.h"

enum { LINE_MAX_SHOWN = 2048, LINES_MAX = 500, SEEN_MAX = 32 };

struct probe {
    const struct finger *finger;
    struct client_params params;
    struct host *hosts;
    size_t host_count;
    struct destination destination;
    bool chat, chain;                /* still to be shown: the first connection only */
    struct slice seen[SEEN_MAX];     /* names in the EHLO replies of the servers met so far */
    size_t seen_count;
    /* of the present connection */
    struct stream *stream;
    const char *relay;
    struct tls_plan *plan;
    int code;                        /* of the last reply */
    struct slice text;               /* its first line, with the code */
    bool offers_starttls;
    bool resumed;
    struct slice server_name;        /* in the EHLO reply */
};

/* ---- talk ---- */

static void say(struct probe *p, const char *line)
{
    if (p->chat)
        log_info("> %s", line);
    stream_printf(p->stream, "%s\r\n", line);
    stream_flush(p->stream);
}

static void take_first(struct probe *p, struct slice line, struct slice text)
{
    struct slice word;

    p->text = arena_slice(p->finger->arena, line);
    if (slice_next_token(&text, " ", &word))
        p->server_name = arena_slice(p->finger->arena, word);
}

/* hear - one reply, shown line by line.  False (logged): the connection failed while DOING. */
static bool hear(struct probe *p, int64_t timeout, const char *doing)
{
    struct slice line, text;
    bool more = true;

    stream_set_deadline(p->stream, clock_after(timeout));
    for (int lines = 0; more && lines < LINES_MAX; lines++) {
        enum line_end end = stream_read_line(p->stream, LINE_MAX_SHOWN, &line);
        if (end == LINE_NONE) {
            log_info(stream_error(p->stream) == STREAM_TIMEOUT ? "timeout while %s" : "lost connection while %s", doing);
            return false;
        }
        if (p->chat)
            log_info("< " SLICE_FORMAT, SLICE_ARGS(line));
        if (end == LINE_TOO_LONG || !smtp_reply_parse(line, &p->code, &more, &text)) {
            more = end == LINE_TOO_LONG || lines > 0;
            p->code = 0;
            continue;
        }
        if (lines == 0)
            take_first(p, line, text);
        else if (slice_equal_case(slice_trim(text), SLICE("STARTTLS")))
            p->offers_starttls = true;
    }
    return true;
}

static bool accepted(struct probe *p, const char *complaint)
{
    if (p->code / 100 != 2)
        log_info("%s: " SLICE_FORMAT, complaint, SLICE_ARGS(p->text));
    return p->code / 100 == 2;
}

static bool hello(struct probe *p)
{
    const char *verb = p->finger->lmtp ? "LHLO" : "EHLO";
    struct arena *arena = p->finger->arena;

    p->offers_starttls = false;
    say(p, arena_printf(arena, "%s %s", verb, p->params.helo_name));
    return hear(p, p->finger->command_timeout, arena_printf(arena, "sending %s", verb)) && accepted(p, arena_printf(arena, "%s rejected", verb));
}

/* ---- TLS ---- */

static void look(void *context, SSL *ssl)
{
    struct probe *p = context;

    if (p->chain)
        show_chain(ssl, p->params.tls_params.tls_fingerprint_digest);
    p->chain = false;
}

static bool shake_hands(struct probe *p)
{
    struct tls_connect connect = p->plan->connect;
    struct tls_facts facts = {0};

    connect.policy = &p->plan->policy;
    connect.peer = p->relay;
    connect.look = look;
    connect.look_context = p;
    enum tls_connected result = tls_client_connect(p->params.tls, p->stream, &connect, p->finger->command_timeout, p->finger->arena, &facts);
    p->resumed = facts.reused;
    return result == TLS_CONNECTED || result == TLS_NOT_VERIFIED; /* it is a look, not a delivery */
}

static bool start_tls(struct probe *p)
{
    say(p, "STARTTLS");
    return hear(p, p->finger->command_timeout, "sending STARTTLS") && accepted(p, "STARTTLS rejected") && shake_hands(p);
}

static void talk(struct probe *p)
{
    bool wrapped = p->finger->wrapped;

    if (wrapped && !shake_hands(p))
        return;
    if (!hear(p, p->finger->connect_timeout, "reading server greeting") || !accepted(p, p->finger->lmtp ? "LMTP service not available" : "SMTP service not available")
        || !hello(p))
        return;
    if (!wrapped && p->offers_starttls && p->plan->policy.level > TLS_NONE && (!start_tls(p) || !hello(p)))
        return;
    say(p, "QUIT");
    hear(p, p->finger->command_timeout, "sending QUIT");
}

/* ---- finding a server ---- */

/* plan_of - as the SMTP client would plan it, but that where DANE finds nothing the certificate is still compared with names. */
static struct tls_plan *plan_of(struct probe *p, const struct host *host)
{
    struct failure failure = {0};
    struct tls_plan *plan = starttls_plan(&p->params, host, p->finger->arena, &failure);
    bool dane = p->finger->level == TLS_DANE || p->finger->level == TLS_DANE_ONLY;

    if (!plan && dane) {
        log_info("%s: " SLICE_FORMAT, arena_string(p->finger->arena, host->name), SLICE_ARGS(failure.reason));
        plan = arena_alloc(p->finger->arena, sizeof(*plan));
        plan->connect.host = arena_string(p->finger->arena, host->name);
        plan->connect.next_hop = arena_string(p->finger->arena, p->destination.host);
        plan->connect.policy = &plan->policy;
    }
    if (!plan) {
        log_info("Failed to establish session to %s via " SLICE_FORMAT ": " SLICE_FORMAT, p->finger->target, SLICE_ARGS(host->name), SLICE_ARGS(failure.reason));
        return NULL;
    }
    if (dane && plan->connect.anchor_count == 0)
        plan->policy.level = TLS_SECURE;
    if (dane && plan->connect.anchor_count > 0)
        log_info("using DANE RR%s: _%u._tcp.%s IN TLSA (%zu)", plan->connect.anchor_count > 1 ? "s" : "", net_address_port(&host->address),
                 plan->connect.anchor_domain, plan->connect.anchor_count);
    return plan;
}

static bool open_host(struct probe *p, const struct host *host)
{
    bool is_unix = host->address.u.any.sa_family == AF_UNIX;

    p->relay = host_relay(host, p->finger->arena);
    int fd = net_connect(&host->address, NULL, clock_after(p->finger->connect_timeout));
    if (fd < 0) {
        const char *via = is_unix ? "" : arena_printf(p->finger->arena, " via " SLICE_FORMAT, SLICE_ARGS(host->name));
        log_info("Failed to establish session to %s%s: connect to %s: %s", p->finger->target, via, p->relay, strerror(errno));
        return false;
    }
    if (p->chat)
        log_info("Connected to %s", p->relay);
    p->stream = stream_new_fd(fd);
    return true;
}

/* once - the first host that can be connected to; false: none. */
static bool once(struct probe *p)
{
    for (size_t i = 0; i < p->host_count; i++) {
        p->plan = plan_of(p, &p->hosts[i]);
        if (!p->plan || !open_host(p, &p->hosts[i]))
            continue;
        talk(p);
        stream_free(p->stream);
        return true;
    }
    return false;
}

/* is_new - no server of that name was met before. */
static bool is_new(struct probe *p)
{
    for (size_t i = 0; i < p->seen_count; i++)
        if (slice_equal_case(p->seen[i], p->server_name))
            return false;
    if (p->seen_count < SEEN_MAX)
        p->seen[p->seen_count++] = p->server_name;
    return true;
}

/* again - is the session remembered by the server?  One that shares its work among machines gets a few tries. */
static void again(struct probe *p)
{
    p->chat = false;
    p->params.tls_params.log = TLS_LOG_SUMMARY;
    is_new(p);
    for (long i = 0; i < p->finger->reconnect_count; i++) {
        log_info("Reconnecting after %" PRId64 " seconds", p->finger->reconnect_delay / MICROSECONDS);
        fiber_sleep(p->finger->reconnect_delay);
        p->resumed = false;
        if (!once(p))
            return;
        log_info("%s: %s", p->relay, p->resumed ? "Reusing old session" : "the session was not resumed");
        if (!is_new(p)) {
            log_info("Found a previously used server.  Done reconnecting.");
            return;
        }
    }
}

void probe_run(const struct finger *finger)
{
    struct probe *p = arena_alloc(finger->arena, sizeof(*p));
    struct host_failure why;

    p->finger = finger;
    p->chat = !finger->quiet_chat;
    p->chain = finger->show_chain;
    client_params_load(finger->options, finger->lmtp, &p->params);
    starttls_open(finger->options, &p->params);
    if (!destination_parse(&p->params, slice_of(finger->target), finger->arena, &p->destination))
        log_fatal("bad destination: %s", finger->target);
    p->host_count = hosts_find(&p->params, &p->destination, finger->arena, &p->hosts, &why);
    if (p->host_count == 0)
        log_info("Destination address lookup failed: " SLICE_FORMAT, SLICE_ARGS(why.reason));
    else if (once(p) && finger->reconnect_delay > 0)
        again(p);
    starttls_close(&p->params);
    client_params_release(&p->params);
}
