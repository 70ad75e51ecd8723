/* command_xclient.c - XCLIENT and XFORWARD: what a trusted client tells about its own client (compat.md d.11) */
#include "access.h"
#include "address/mail_address.h"
#include "auth.h"
#include "base/log.h"
#include "commands.h"
#include "filters.h"
#include "history.h"
#include "smtp/xtext.h"

enum { VALUE_MAX = 255 };

/* One "NAME=value" of the command. */
struct attribute {
    struct slice name;
    const char *given; /* as written */
    const char *value; /* decoded, control characters made "?" */
    bool unavailable, temporarily;
};

/* A name that is understood; set: false when the value is no good. */
struct row {
    struct slice name;
    bool (*set)(struct session *s, const struct attribute *a);
};

static char *decode(struct session *s, struct slice value)
{
    struct buffer text = BUFFER_INIT_MAX(2048);
    char *result = NULL;

    if (xtext_decode(&text, value)) {
        result = arena_string(s->scratch, buffer_slice(&text));
        for (char *at = result; *at; at++)
            if ((unsigned char)*at < ' ' || *at == 127)
                *at = '?';
    }
    buffer_release(&text);
    return result;
}

/* take_attribute - false when the command was answered. */
static bool take_attribute(struct session *s, struct slice word, struct attribute *a)
{
    struct slice value;

    if (!slice_cut(word, '=', &a->name, &value) || value.len == 0) {
        answer_failed(s, REPLY_ATTRIBUTE_NO_VALUE);
        return false;
    }
    a->given = arena_string(s->scratch, value);
    a->value = decode(s, value);
    if (!a->value) {
        answer_failed(s, REPLY_ATTRIBUTE_BAD_VALUE, a->name, value);
        return false;
    }
    if (strlen(a->value) > VALUE_MAX) {
        answer_failed(s, REPLY_ATTRIBUTE_TOO_LONG);
        return false;
    }
    a->temporarily = strcasecmp(a->value, "[TEMPUNAVAIL]") == 0;
    a->unavailable = a->temporarily || strcasecmp(a->value, "[UNAVAILABLE]") == 0;
    return true;
}

/* take_all - every attribute through its row.  True when all were good; else the command was answered. */
static bool take_all(struct session *s, const char *command, struct slice arguments, const struct row *rows, size_t count)
{
    struct slice word;
    struct attribute a;

    while (slice_next_token(&arguments, " \t", &word)) {
        const struct row *row = rows;
        if (!take_attribute(s, word, &a))
            return false;
        while (row < rows + count && !slice_equal_case(row->name, a.name))
            row++;
        if (row == rows + count) {
            answer_failed(s, REPLY_ATTRIBUTE_UNKNOWN, slice_of(command), a.name);
            return false;
        }
        if (!row->set(s, &a)) {
            answer_failed(s, REPLY_ATTRIBUTE_BAD_VALUE, row->name, slice_of(a.given));
            return false;
        }
    }
    return true;
}

/* may_run - something said, no transaction, authority; else answered. */
static bool may_run(struct session *s, const char *command, bool authorized, struct slice arguments)
{
    if (arguments.len == 0)
        answer_failed(s, REPLY_ATTRIBUTE_SYNTAX, slice_of(command));
    else if (s->mail)
        answer_failed(s, REPLY_IN_TRANSACTION);
    else if (!authorized)
        answer_failed(s, REPLY_NOT_AUTHORIZED);
    else
        return true;
    return false;
}

/* parse_address - with the prefix IPV6: where it belongs. */
static bool parse_address(const char *text, uint16_t port, struct net_address *address)
{
    bool six = strncasecmp(text, "IPV6:", 5) == 0;

    return net_address_parse(address, slice_of(six ? text + 5 : text), port) && (address->u.any.sa_family == AF_INET6) == six;
}

static bool parse_port(const char *text, uint16_t *port)
{
    uint64_t number;

    if (!slice_to_u64(slice_of(text), &number) || number > 99999)
        return false;
    *port = (uint16_t)(number > 65535 ? 0 : number);
    return true;
}

static const char *address_text(struct session *s, const struct net_address *address)
{
    struct buffer text = BUFFER_INIT;

    net_address_text(address, &text);
    char *copy = arena_strdup(s->arena, buffer_string(&text));
    buffer_release(&text);
    return copy;
}

/* ---- XCLIENT ---- */

static bool set_names(struct session *s, const struct attribute *a, const char **name, enum name_state *state)
{
    if (!a->unavailable && !domain_is_valid(slice_of(a->value), NULL))
        return false;
    *name = a->unavailable ? "unknown" : arena_strdup(s->arena, a->value);
    *state = a->temporarily ? NAME_TRY_AGAIN : a->unavailable ? NAME_NONE : NAME_KNOWN;
    return true;
}

/* client_name - the verified name; that of the reverse lookup is the same unless REVERSE_NAME says otherwise. */
static bool client_name(struct session *s, const struct attribute *a)
{
    return set_names(s, a, &s->client.name, &s->client.name_state) && set_names(s, a, &s->client.reverse_name, &s->client.reverse_state);
}

static bool client_reverse_name(struct session *s, const struct attribute *a)
{
    return set_names(s, a, &s->client.reverse_name, &s->client.reverse_state);
}

static bool client_address(struct session *s, const struct attribute *a)
{
    struct net_address address;

    if (a->temporarily || (!a->unavailable && !parse_address(a->value, net_address_port(&s->client.peer), &address)))
        return false;
    s->client.has_address = !a->unavailable;
    if (a->unavailable) {
        s->client.address = s->client.literal = "unknown";
        s->client.peer = (struct net_address){0};
        return true;
    }
    s->client.peer = address;
    s->client.address = address_text(s, &address);
    s->client.literal = strchr(s->client.address, ':') ? arena_printf(s->arena, "IPv6:%s", s->client.address) : s->client.address;
    return true;
}

static bool client_port(struct session *s, const struct attribute *a)
{
    uint16_t port = 0;

    if (!a->unavailable && !parse_port(a->value, &port))
        return false;
    s->client.port = a->unavailable ? "" : arena_strdup(s->arena, a->value);
    net_address_set_port(&s->client.peer, port);
    return true;
}

static bool client_protocol(struct session *s, const struct attribute *a)
{
    if (strcasecmp(a->value, "SMTP") != 0 && strcasecmp(a->value, "ESMTP") != 0)
        return false;
    s->esmtp = strcasecmp(a->value, "ESMTP") == 0;
    return true;
}

static bool client_helo(struct session *s, const struct attribute *a)
{
    free(s->helo);
    s->helo = a->unavailable ? NULL : memory_string(a->value);
    return true;
}

static bool client_login(struct session *s, const struct attribute *a)
{
    auth_set_login(s, a->unavailable ? NULL : a->value, "XCLIENT");
    return true;
}

static bool server_address(struct session *s, const struct attribute *a)
{
    struct net_address address;

    if (a->unavailable)
        return true;
    if (!parse_address(a->value, 0, &address))
        return false;
    s->client.server_address = address_text(s, &address);
    s->client.local = address;
    return true;
}

static bool server_port(struct session *s, const struct attribute *a)
{
    uint16_t port;

    if (a->unavailable)
        return true;
    if (!parse_port(a->value, &port))
        return false;
    s->client.server_port = arena_strdup(s->arena, a->value);
    return true;
}

/* start_over - a new client: greeting and all (as the reference has it, HELO and PROTO stay when XCLIENT gave them). */
static void start_over(struct session *s)
{
    session_reset_mail(s);
    filters_end(s);
    deferral_free(s->client_deferral);
    deferral_free(s->helo_deferral);
    deferral_free(s->sender_deferral);
    s->client_deferral = s->helo_deferral = s->sender_deferral = NULL;
    s->refused = (struct rejection){0};
    s->early_talker = false;
    client_set_text(&s->client, s->server, s->arena);
    history_report(s);
    session_recognise(s);
    session_greet(s);
}

enum outcome command_xclient(struct session *s, struct slice arguments)
{
    static const struct row rows[] = {
        {{"NAME", 4}, client_name}, {{"REVERSE_NAME", 12}, client_reverse_name}, {{"ADDR", 4}, client_address}, {{"PORT", 4}, client_port},
        {{"PROTO", 5}, client_protocol}, {{"HELO", 4}, client_helo}, {{"LOGIN", 5}, client_login}, {{"DESTADDR", 8}, server_address},
        {{"DESTPORT", 8}, server_port},
    };

    if (!may_run(s, "XCLIENT", s->may_xclient && !(s->ehlo_hidden & EHLO_XCLIENT), arguments))
        return COMMAND_FAILED;
    (void)session_rewrite_context(s); /* stays what it was for the client that is really there */
    char *helo = s->helo;
    bool esmtp = s->esmtp;
    s->helo = NULL;
    s->esmtp = false;
    if (!take_all(s, "XCLIENT", arguments, rows, COUNT_OF(rows))) {
        free(s->helo);
        s->helo = helo;
        s->esmtp = esmtp;
        return COMMAND_FAILED;
    }
    free(helo);
    start_over(s);
    return COMMAND_UNCOUNTED;
}

/* ---- XFORWARD ---- */

static bool is_one_of(const char *value, const char *first, const char *second)
{
    return strcasecmp(value, first) == 0 || strcasecmp(value, second) == 0;
}

static const char *keep(struct session *s, const struct attribute *a)
{
    return a->unavailable ? "unknown" : arena_strdup(s->forwarded->arena, a->value);
}

static bool forward_name(struct session *s, const struct attribute *a)
{
    s->forwarded->name = keep(s, a);
    return a->unavailable || domain_is_valid(slice_of(a->value), NULL);
}

static bool forward_address(struct session *s, const struct attribute *a)
{
    struct net_address address;

    if (!a->unavailable && !parse_address(a->value, 0, &address))
        return false;
    s->forwarded->address = a->unavailable ? "unknown" : arena_strdup(s->forwarded->arena, a->value + (strncasecmp(a->value, "IPV6:", 5) ? 0 : 5));
    return true;
}

static bool forward_port(struct session *s, const struct attribute *a)
{
    uint16_t port;

    s->forwarded->port = keep(s, a);
    return a->unavailable || parse_port(a->value, &port);
}

static bool forward_helo(struct session *s, const struct attribute *a)
{
    s->forwarded->helo = a->unavailable ? NULL : keep(s, a);
    return true;
}

static bool forward_protocol(struct session *s, const struct attribute *a)
{
    s->forwarded->protocol = keep(s, a);
    return strlen(a->value) <= 64;
}

static bool forward_ident(struct session *s, const struct attribute *a)
{
    s->forwarded->ident = a->unavailable ? NULL : keep(s, a);
    return true;
}

static bool forward_source(struct session *s, const struct attribute *a)
{
    if (a->unavailable)
        return true;
    if (!is_one_of(a->value, "LOCAL", "REMOTE"))
        return false;
    s->forwarded->has_source = true;
    s->forwarded->is_local = strcasecmp(a->value, "LOCAL") == 0;
    return true;
}

enum outcome command_xforward(struct session *s, struct slice arguments)
{
    static const struct row rows[] = {
        {{"NAME", 4}, forward_name}, {{"ADDR", 4}, forward_address}, {{"PORT", 4}, forward_port}, {{"HELO", 4}, forward_helo},
        {{"PROTO", 5}, forward_protocol}, {{"IDENT", 5}, forward_ident}, {{"SOURCE", 6}, forward_source},
    };

    if (!may_run(s, "XFORWARD", s->may_xforward && !(s->ehlo_hidden & EHLO_XFORWARD), arguments))
        return COMMAND_FAILED;
    if (!s->forwarded) {
        struct arena *arena = arena_new(512);
        s->forwarded = arena_alloc(arena, sizeof(*s->forwarded));
        s->forwarded->arena = arena;
    }
    if (!take_all(s, "XFORWARD", arguments, rows, COUNT_OF(rows)))
        return COMMAND_FAILED;
    answer(s, REPLY_OK);
    return COMMAND_DONE;
}
