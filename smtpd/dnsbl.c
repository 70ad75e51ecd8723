/* dnsbl.c - DNS lists of clients and domains: reject_rbl_client, reject_rhsbl_*, permit_dnswl_client (compat.md d.5) */
#include "access_private.h"

#include "address/mail_address.h"
#include "base/log.h"
#include "base/verdict.h"
#include "dns_lists.h"
#include "template.h"

struct dnsbl {
    struct slice domain;
    struct slice written; /* with the pattern: the key of rbl_reply_maps */
    bool has_pattern;
    uint8_t allowed[4][32]; /* bit per value of each octet */
};

/* ---- patterns: "127.0.0.[2;4..8]" ---- */

static bool take_number(struct slice *text, unsigned *number)
{
    size_t digits = 0;

    *number = 0;
    while (digits < text->len && digits < 4 && isdigit((unsigned char)text->data[digits]))
        *number = *number * 10 + (unsigned)(text->data[digits++] - '0');
    *text = slice_from(*text, digits);
    return digits > 0 && *number <= 255;
}

static bool take_byte(struct slice *text, char byte)
{
    if (text->len == 0 || text->data[0] != byte)
        return false;
    *text = slice_from(*text, 1);
    return true;
}

static void allow(uint8_t allowed[32], unsigned first, unsigned last)
{
    for (unsigned value = first; value <= last; value++)
        allowed[value / 8] |= (uint8_t)(1u << value % 8);
}

/* take_octet - "127" or "[n;n..m]". */
static bool take_octet(struct slice *text, uint8_t allowed[32])
{
    unsigned first, last;

    if (!take_byte(text, '[')) {
        if (!take_number(text, &first))
            return false;
        allow(allowed, first, first);
        return true;
    }
    do {
        if (!take_number(text, &first))
            return false;
        last = first;
        if (take_byte(text, '.') && (!take_byte(text, '.') || !take_number(text, &last) || last < first))
            return false;
        allow(allowed, first, last);
    } while (take_byte(text, ';'));
    return take_byte(text, ']');
}

static bool parse_pattern(struct slice text, struct dnsbl *list)
{
    for (int i = 0; i < 4; i++)
        if ((i > 0 && !take_byte(&text, '.')) || !take_octet(&text, list->allowed[i]))
            return false;
    list->has_pattern = true;
    return text.len == 0;
}

struct dnsbl *dnsbl_parse(struct slice text, struct arena *arena)
{
    struct dnsbl *list = arena_alloc(arena, sizeof(*list));
    struct slice pattern;

    bool patterned = slice_cut(text, '=', &list->domain, &pattern);
    list->domain = arena_slice(arena, list->domain);
    list->written = arena_slice(arena, text);
    if (!domain_is_valid(list->domain, NULL) || (patterned && !parse_pattern(pattern, list))) {
        log_warning("bad DNS list: \"" SLICE_FORMAT "\"", SLICE_ARGS(text));
        return NULL;
    }
    return list;
}

bool dnsbl_pattern_matches(const struct dnsbl *dnsbl, const uint8_t address[4])
{
    for (int i = 0; dnsbl->has_pattern && i < 4; i++)
        if (!(dnsbl->allowed[i][address[i] / 8] & 1u << address[i] % 8))
            return false;
    return true;
}

bool dnsbl_matches(const struct dnsbl *list, const struct dns_answer *answer)
{
    for (size_t i = 0; i < answer->count; i++) {
        const struct net_address *address = &answer->records[i].address;
        if (address->u.any.sa_family == AF_INET && dnsbl_pattern_matches(list, (const uint8_t *)&address->u.v4.sin_addr))
            return true;
    }
    return false;
}

/* ---- asking ---- */

/* What the list says. */
struct listing {
    bool listed, failed;
    struct slice text; /* TXT */
};

static struct listing ask(struct access *a, const struct dnsbl *list, struct slice query)
{
    const struct dns_list_answer *answer = dns_list_ask(a->s, query);
    bool found = answer->addresses.status == DNS_FOUND;

    return (struct listing){.listed = found && dnsbl_matches(list, &answer->addresses), .failed = answer->failed, .text = answer->text};
}

static struct slice address_query(struct access *a, const struct dnsbl *list)
{
    struct buffer name = BUFFER_INIT;
    const char *suffix = arena_printf(a->s->scratch, "." SLICE_FORMAT, SLICE_ARGS(list->domain));

    dns_reverse_name(&a->s->client.peer, suffix, suffix, &name);
    struct slice query = arena_slice(a->s->scratch, buffer_slice(&name));
    buffer_release(&name);
    return query;
}

static struct slice domain_query(struct access *a, const struct dnsbl *list, struct slice domain)
{
    return arena_format(a->s->scratch, SLICE_FORMAT "." SLICE_FORMAT, SLICE_ARGS(domain), SLICE_ARGS(list->domain));
}

/* ---- the reply ---- */

static bool find_template(struct access *a, const struct dnsbl *list, const char **template)
{
    struct buffer value = BUFFER_INIT;
    enum table_result found = table_list_is_empty(a->s->server->rbl_reply_maps)
                                  ? TABLE_NOT_FOUND
                                  : table_list_lookup(a->s->server->rbl_reply_maps, list->written, true, &value);

    *template = a->s->server->params.default_rbl_reply;
    if (found == TABLE_FOUND)
        *template = arena_string(a->s->scratch, slice_trim(buffer_slice(&value)));
    buffer_release(&value);
    return found != TABLE_TRY_AGAIN;
}

static enum access_result refuse(struct access *a, const struct dnsbl *list, const struct listing *listing, struct slice what, enum subject subject)
{
    struct buffer text = BUFFER_INIT_MAX(2048);
    struct status_code status;
    struct slice reason = {0};
    const char *template;
    char status_text[STATUS_CODE_TEXT] = "5.7.1";
    int code;

    const char *code_text = arena_printf(a->s->scratch, "%d", (int)a->s->server->params.maps_rbl_reject_code);
    const char *list_text = arena_string(a->s->scratch, listing->text);
    const struct macro macros[] = {
        {"rbl_code", code_text}, {"rbl_domain", arena_string(a->s->scratch, list->domain)}, {"rbl_txt", list_text}, {"rbl_reason", list_text},
        {"rbl_class", subject_name(subject)}, {"rbl_what", arena_string(a->s->scratch, what)},
    };
    if (!find_template(a, list, &template))
        return access_reject(a, 451, "4.3.5", TROUBLE_SOFTWARE, "Server configuration error");
    bool good = template_expand(a->s, template, macros, COUNT_OF(macros), &text);
    struct slice reply = slice_trim(arena_slice(a->s->scratch, buffer_slice(&text)));
    buffer_release(&text);
    if (!good || !smtp_reply_split(reply, &code, &status, &reason)) {
        log_warning("rbl response code configuration error: " SLICE_FORMAT, SLICE_ARGS(reply));
        return access_reject(a, 450, "4.7.1", TROUBLE_SOFTWARE, "Service unavailable");
    }
    if (status.class)
        status_code_format(status, status_text);
    return access_reject(a, code, status_text, TROUBLE_POLICY, SLICE_FORMAT, SLICE_ARGS(reason));
}

static enum access_result check_client(struct access *a, const struct dnsbl *list)
{
    const struct client *client = &a->s->client;

    if (!client->has_address)
        return ACCESS_DUNNO;
    struct listing listing = ask(a, list, address_query(a, list));
    return listing.listed ? refuse(a, list, &listing, slice_of(client->address), SUBJECT_CLIENT) : ACCESS_DUNNO;
}

enum access_result check_rbl_client(struct access *a, const struct restriction *item)
{
    return check_client(a, item->dnsbl);
}

/* check_maps_rbl - the old name, with the lists in a parameter of their own. */
enum access_result check_maps_rbl(struct access *a, const struct restriction *item UNUSED)
{
    const struct access_rules *rules = a->s->server->access;
    static bool said;

    if (!said)
        log_warning("support for restriction \"reject_maps_rbl\" will be removed from %s; use \"reject_rbl_client domain-name\" instead",
                    a->s->server->params.mail_name);
    said = true;
    enum access_result result = ACCESS_DUNNO;
    for (size_t i = 0; i < rules->maps_rbl_count && result == ACCESS_DUNNO; i++)
        result = check_client(a, rules->maps_rbl[i]);
    return result;
}

/* domain_of - what is looked up for a subject, and what replies show; false: nothing to look up. */
static bool domain_of(struct access *a, enum subject subject, struct slice *domain, struct slice *shown)
{
    const struct session *s = a->s;

    if (subject == SUBJECT_CLIENT)
        *domain = *shown = slice_of(s->client.name);
    else if (subject == SUBJECT_REVERSE_CLIENT)
        *domain = *shown = slice_of(s->client.reverse_name);
    else if (subject == SUBJECT_HELO)
        *domain = *shown = slice_of(s->helo);
    else if (subject == SUBJECT_SENDER) {
        *domain = mail_address_domain(s->mail->sender);
        *shown = s->mail->sender_shown;
    } else {
        *domain = mail_address_domain(a->recipient);
        *shown = a->recipient_shown;
    }
    return domain->len && !slice_equal(*domain, SLICE("unknown")) && !domain_is_literal(*domain) && domain_is_valid(*domain, NULL);
}

bool dnsbl_begin(struct access *a, const struct restriction *item, int64_t patience)
{
    struct slice domain, shown;
    bool by_address = item->row->check == check_rbl_client || item->row->check == check_dnswl_client;
    enum subject subject = item->row->check == check_rhsbl ? (enum subject)item->row->detail : SUBJECT_CLIENT;

    if (by_address && a->s->client.has_address)
        return dns_list_begin(a->s, address_query(a, item->dnsbl), patience);
    if (!by_address && domain_of(a, subject, &domain, &shown))
        return dns_list_begin(a->s, domain_query(a, item->dnsbl, domain), patience);
    return true;
}

enum access_result check_rhsbl(struct access *a, const struct restriction *item)
{
    enum subject subject = (enum subject)item->row->detail;
    struct slice domain, shown;

    if (!domain_of(a, subject, &domain, &shown))
        return ACCESS_DUNNO;
    struct listing listing = ask(a, item->dnsbl, domain_query(a, item->dnsbl, domain));
    return listing.listed ? refuse(a, item->dnsbl, &listing, shown, subject) : ACCESS_DUNNO;
}

/* ---- allow lists ---- */

/* allow_listed - a listing opens nothing that relaying rules close. */
static enum access_result allow_listed(struct access *a, const struct restriction *item, struct slice query)
{
    struct listing listing = ask(a, item->dnsbl, query);

    if (listing.failed)
        return access_defer_if_reject(a, 450, "4.7.0", "<" SLICE_FORMAT ">: %s rejected: " SLICE_FORMAT ": DNS list lookup failure",
                                      SLICE_ARGS(a->shown), subject_name(a->subject), SLICE_ARGS(item->dnsbl->domain));
    if (!listing.listed || (a->subject == SUBJECT_RECIPIENT && destination_is_authorized(a) != 1))
        return ACCESS_DUNNO;
    return access_permit_client(a, item);
}

enum access_result check_dnswl_client(struct access *a, const struct restriction *item)
{
    return a->s->client.has_address ? allow_listed(a, item, address_query(a, item->dnsbl)) : ACCESS_DUNNO;
}

enum access_result check_rhswl_client(struct access *a, const struct restriction *item)
{
    struct slice domain, shown;

    return domain_of(a, SUBJECT_CLIENT, &domain, &shown) ? allow_listed(a, item, domain_query(a, item->dnsbl, domain)) : ACCESS_DUNNO;
}
