/* gate.c - the gate: who comes in at once, who is tested, what becomes of the outcome */
#include "gate_private.h"

#include "base/log.h"
#include "proxy_header.h"
#include "session.h"
#include "text.h"

static const int64_t farewell_time = 2 * MICROSECONDS;
enum { SHOWN_MAX = 100 };

/* ---- the log ---- */

static void log_line(bool warning, const char *format, va_list args) PRINTF_LIKE(2, 0);
static void log_line(bool warning, const char *format, va_list args)
{
    struct buffer text = BUFFER_INIT_MAX(2048);

    buffer_vprintf(&text, format, args);
    log_speak_for("postscreen");
    if (warning)
        log_warning("%s", buffer_string(&text));
    else
        log_info("%s", buffer_string(&text));
    log_speak_for(NULL);
    buffer_release(&text);
}

void gate_log(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_line(false, format, args);
    va_end(args);
}

void gate_warn(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_line(true, format, args);
    va_end(args);
}

static const char *respectful(const struct gate *gate, const char *word, const char *old)
{
    return gate->params.respectful_logging ? word : old;
}

/* ---- who is here ---- */

/* count_address - connections of the same address; the number of them now. */
static intptr_t count_address(struct gate_client *c, int change)
{
    struct slice key = slice_of(c->address);
    intptr_t count = (intptr_t)map_get(c->gate->counts, key) + change;

    if (count > 0)
        map_set(c->gate->counts, key, (void *)count);
    else
        map_remove(c->gate->counts, key);
    return count;
}

struct gate_client *gate_client_new(struct gate *gate, struct service_client *connection)
{
    struct gate_client *c = memory_zalloc(1, sizeof(*c));
    struct buffer text = BUFFER_INIT_MAX(sizeof(c->address) - 1);

    c->gate = gate;
    c->connection = connection;
    connection->state = c;
    list_init(&c->link);
    net_address_text(&connection->peer, &text);
    snprintf(c->address, sizeof(c->address), "%s", buffer_string(&text));
    snprintf(c->peer, sizeof(c->peer), "[%s]:%u", c->address, net_address_port(&connection->peer));
    buffer_release(&text);
    c->list_seconds = -1;
    return c;
}

void gate_forget(struct gate_client *c)
{
    gate_asking_end(c->asking);
    if (c->counted) {
        count_address(c, -1);
        gate_count_testing(c->gate, -1);
    }
    c->connection->state = NULL;
    c->connection->interruptible = INTERRUPTIBLE_NEVER;
    free(c->refusal_memory);
    free(c);
}

void gate_turn_away(struct gate_client *c, int code, const char *status, const char *text)
{
    struct stream *stream = c->connection->stream;

    stream_set_deadline(stream, clock_after(farewell_time));
    if (text)
        gate_answer(c, code, status, slice_of(text));
    else
        gate_refuse(c, code);
    stream_flush(stream);
    gate_log("DISCONNECT %s", c->peer);
    gate_forget(c);
}

/* ---- outcomes ---- */

enum gate_action gate_fail(struct gate_client *c, enum gate_test test, const char *text)
{
    enum gate_action action = c->gate->actions[test];

    if (action == GATE_IGNORE) {
        c->ignored |= 1U << test;
        return action;
    }
    c->failed |= 1U << test;
    c->refusal = text;
    return action;
}

/* deep_tests - are tests due that need a dialogue? */
static bool deep_tests(const struct gate_client *c)
{
    return (c->todo & GATE_DEEP) != 0;
}

/* note_passed - with the time until which that holds. */
static void note_passed(struct gate_client *c, enum gate_test test, int64_t now)
{
    const struct gate_params *p = &c->gate->params;
    int64_t ttl = c->gate->ttl[test];

    if (test == GATE_DNSBL) {
        int64_t told = c->list_seconds < 0 ? 0 : c->list_seconds * MICROSECONDS;
        ttl = told < p->postscreen_dnsbl_min_ttl ? p->postscreen_dnsbl_min_ttl : told < ttl ? told : ttl;
    }
    c->memory.until[test] = now + ttl / MICROSECONDS;
}

/* remember - what it passed goes into the cache. */
static void remember(struct gate_client *c)
{
    struct buffer text = BUFFER_INIT;
    int64_t now = clock_wall() / MICROSECONDS;

    if (!c->passed)
        return;
    for (int test = 0; test < GATE_TESTS; test++) {
        if (c->passed & 1U << test)
            note_passed(c, (enum gate_test)test, now);
        else if (c->memory.until[test] == GATE_NEVER_PASSED && !(c->gate->enabled & 1U << test))
            c->memory.until[test] = GATE_NOT_TESTED;
    }
    gate_memory_text(&c->memory, &text);
    int64_t lifetime = (gate_memory_last(&c->memory) - now) * MICROSECONDS + c->gate->params.postscreen_cache_retention_time;
    (void)store_put(c->gate->server->store, "postscreen", slice_of(c->address), buffer_slice(&text), lifetime);
    buffer_release(&text);
}

/* allow_by_lists - the lists say so much good of the client that all other tests count as passed. */
static void allow_by_lists(struct gate_client *c)
{
    c->todo = 0;
    for (int test = 0; test < GATE_TESTS; test++)
        if (test != GATE_DNSBL)
            c->memory.until[test] = clock_wall() / MICROSECONDS + c->gate->ttl[GATE_DNSBL] / MICROSECONDS;
    c->passed |= 1U << GATE_DNSBL;
}

/* blame_list - the reply that names the list, or what postscreen_dnsbl_reply_map has in its place. */
static void blame_list(struct gate_client *c, struct slice domain)
{
    struct buffer shown = BUFFER_INIT, text = BUFFER_INIT;

    buffer_append_slice(&shown, domain);
    if (!table_list_is_empty(c->gate->reply_map) && table_list_lookup(c->gate->reply_map, domain, true, &shown) != TABLE_FOUND) {
        buffer_clear(&shown);
        buffer_append_slice(&shown, domain);
    }
    buffer_printf(&text, "5.7.1 Service unavailable; client [%s] blocked using %s", c->address, buffer_string(&shown));
    free(c->refusal_memory);
    c->refusal = c->refusal_memory = buffer_steal(&text);
    buffer_release(&shown);
}

/* judge_lists - what the answers, as far as they came, say. */
static enum gate_action judge_lists(struct gate_client *c)
{
    const struct gate_params *p = &c->gate->params;
    const struct gate_score *score = gate_asking_score(c->asking);
    enum gate_action action = GATE_IGNORE;

    c->list_seconds = gate_asking_is_complete(c->asking) ? score->seconds : 0;
    if (score->rank >= p->postscreen_dnsbl_threshold) {
        gate_log("DNSBL rank %lld for %s", (long long)score->rank, c->peer);
        action = gate_fail(c, GATE_DNSBL, c->refusal);
        if (action != GATE_IGNORE)
            blame_list(c, score->listed_by);
    } else {
        c->passed |= 1U << GATE_DNSBL;
        if (p->postscreen_dnsbl_allowlist_threshold < 0 && score->rank <= p->postscreen_dnsbl_allowlist_threshold && !c->failed)
            allow_by_lists(c);
    }
    gate_asking_end(c->asking);
    c->asking = NULL;
    return action;
}

static bool is_dropped(const struct gate_client *c)
{
    for (int test = 0; test < GATE_TESTS; test++)
        if ((c->failed & 1U << test) && c->gate->actions[test] == GATE_DROP)
            return true;
    return false;
}

void gate_judge(struct service_context *context UNUSED, struct service_client *connection)
{
    struct gate_client *c = connection->state;

    connection->interruptible = INTERRUPTIBLE_NEVER;
    if (c->asking)
        judge_lists(c);
    unsigned greeted = c->todo & 1U << GATE_GREET & ~(c->failed | c->ignored);
    c->passed |= greeted;
    if (is_dropped(c)) {
        gate_turn_away(c, 521, NULL, NULL);
    } else if (c->failed || c->denied || c->vetoed || deep_tests(c)) {
        bool passed = gate_dialogue(c, !(c->failed & 1U << GATE_GREET));
        gate_log("DISCONNECT %s", c->peer);
        if (passed)
            remember(c);
        gate_forget(c);
    } else {
        if (c->passed && !c->ignored)
            gate_log("PASS %s %s", c->is_new ? "NEW" : "OLD", c->peer);
        remember(c);
        gate_admit(c);
    }
}

/* ---- arrival ---- */

/* receive_header - postscreen_upstream_proxy_protocol: the client is not who connected. */
static bool receive_header(struct gate *gate, struct service_client *connection)
{
    struct stream *stream = connection->stream;
    struct buffer text = BUFFER_INIT;
    size_t used = 0;
    int result = 0;

    if (gate->params.postscreen_upstream_proxy_protocol[0] == '\0')
        return true;
    connection->interruptible = INTERRUPTIBLE_AT_STOP;
    stream_set_deadline(stream, clock_after(gate->params.postscreen_upstream_proxy_timeout));
    while (result == 0 && stream_await(stream, stream_buffered(stream) + 1))
        result = proxy_header_parse(stream_peek(stream), &connection->peer, &connection->local, &used);
    connection->interruptible = INTERRUPTIBLE_NEVER;
    if (result == 1) {
        stream_read_some(stream, used);
        return true;
    }
    if (result < 0)
        text_escape(&text, stream_peek(stream), SHOWN_MAX);
    gate_warn("haproxy read: %s%s", result < 0 ? "malformed protocol header: " : stream_error(stream) == STREAM_TIMEOUT ? "time limit exceeded"
              : "lost connection", buffer_string(&text));
    buffer_release(&text);
    stream_clear_timeout(stream);
    stream_set_deadline(stream, clock_after(farewell_time));
    stream_printf(stream, "421 4.3.2 No system resources\r\n");
    stream_flush(stream);
    return false;
}

/* recall - what is known of the client.  False: it has passed all that is wanted. */
static bool recall(struct gate_client *c)
{
    struct arena *arena = arena_new(256);
    struct slice text;

    c->is_new = store_get(c->gate->server->store, "postscreen", slice_of(c->address), arena, &text, NULL) != STORE_OUTCOME_FOUND ||
                !gate_memory_parse(text, &c->memory);
    if (c->is_new)
        memset(&c->memory, 0, sizeof(c->memory));
    for (int test = 0; test < GATE_TESTS; test++)
        c->is_new |= (c->gate->enabled & 1U << test) && c->memory.until[test] == GATE_NEVER_PASSED;
    c->todo = gate_memory_due(&c->memory, c->gate->enabled, clock_wall() / MICROSECONDS);
    arena_free(arena);
    return c->todo != 0;
}

/* has_place - false when the client was turned away for what others do. */
static bool has_place(struct gate_client *c)
{
    const struct gate_params *p = &c->gate->params;

    c->counted = true;
    intptr_t connections = count_address(c, 1);
    gate_count_testing(c->gate, 1);
    if (p->postscreen_client_connection_count_limit > 0 && connections > p->postscreen_client_connection_count_limit) {
        gate_log("NOQUEUE: reject: CONNECT from %s: too many connections", c->peer);
        gate_turn_away(c, 421, "4.7.0", "Error: too many connections");
        return false;
    }
    if (gate_is_full_behind(c->gate)) {
        gate_log("NOQUEUE: reject: CONNECT from %s: all server ports busy", c->peer);
        gate_turn_away(c, 421, "4.3.2", "All server ports are busy");
        return false;
    }
    return true;
}

/* decide_by_list - postscreen_access_list; true when that was all. */
static bool decide_by_list(struct gate_client *c)
{
    const struct gate *gate = c->gate;

    switch (gate_access_decide(gate->access, &c->connection->peer)) {
    case GATE_PERMIT:
        gate_log("%s %s", respectful(gate, "ALLOWLISTED", "WHITELISTED"), c->peer);
        gate_admit(c);
        return true;
    case GATE_REJECT:
        gate_log("%s %s", respectful(gate, "DENYLISTED", "BLACKLISTED"), c->peer);
        if (gate->deny_action == GATE_DROP) {
            gate_turn_away(c, 521, "5.3.2", "Service currently unavailable");
            return true;
        }
        c->denied = gate->deny_action == GATE_ENFORCE;
        if (c->denied)
            c->refusal = "5.3.2 Service currently unavailable";
        return false;
    default:
        return false;
    }
}

static void begin_tests(struct gate_client *c)
{
    struct gate *gate = c->gate;

    c->vetoed = match_host(gate->allow_interfaces, (struct slice){0}, &c->connection->local) != MATCH_YES;
    if (c->vetoed)
        gate_log("%s VETO %s", respectful(gate, "ALLOWLIST", "WHITELIST"), c->peer);
    if (gate_is_full_before(gate)) {
        gate_log("reject: connect from %s: all screening ports busy", c->peer);
        gate_turn_away(c, 421, "4.3.2", "All screening ports are busy");
        return;
    }
    if (c->todo & GATE_EARLY)
        gate_wait(c);
    else
        gate_judge(NULL, c->connection);
}

void gate_serve(struct gate *gate, struct service_client *connection)
{
    if (!receive_header(gate, connection))
        return;
    struct gate_client *c = gate_client_new(gate, connection);
    struct buffer local = BUFFER_INIT;
    net_address_text(&connection->local, &local);
    gate_log("CONNECT from %s to [%s]:%u", c->peer, buffer_string(&local), net_address_port(&connection->local));
    buffer_release(&local);
    if (!has_place(c) || decide_by_list(c))
        return;
    bool known = !recall(c);
    if (c->denied) { /* what it passed before does not help it */
        c->todo = gate->enabled;
    } else if (known) {
        if (gate->enabled)
            gate_log("PASS OLD %s", c->peer);
        gate_admit(c);
        return;
    }
    begin_tests(c);
}
