/* cleanup.c - parameters and tables of cleanup */
#include "cleanup.h"

#include "base/log.h"
#include "dns/dns.h"
#include "milter/milter.h"

enum { SEGMENT_SIZE = 64 << 20, LARGE_CONTENT = 256 << 10 };

#define CONFIG_STRUCT struct cleanup_params
static const struct config_binding bindings[] = {CONFIG_BINDINGS(CLEANUP_PARAMETERS)};

static struct table_list *open_maps(const struct cleanup_params *p, const char *parameter, const char *value, struct config *config)
{
    return table_list_new(parameter, value, TABLE_FOLD | (p->smtputf8_enable ? TABLE_UTF8 : 0), config);
}

/* parse_classes - "envelope_sender, header_sender" and so on to CLASS_ bits. */
static int parse_classes(const char *parameter, const char *value)
{
    static const struct { const char *name; int bit; } names[] = {{"envelope_sender", CLASS_ENVELOPE_SENDER},
        {"envelope_recipient", CLASS_ENVELOPE_RECIPIENT}, {"header_sender", CLASS_HEADER_SENDER}, {"header_recipient", CLASS_HEADER_RECIPIENT}};
    struct slice rest = slice_of(value), element;
    int bits = 0;
    while (config_list_next(&rest, &element)) {
        int bit = 0;
        for (size_t i = 0; i < COUNT_OF(names); i++)
            bit |= slice_equal_case(element, slice_of(names[i].name)) ? names[i].bit : 0;
        if (!bit)
            log_fatal("bad string value in %s: " SLICE_FORMAT, parameter, SLICE_ARGS(element));
        bits |= bit;
    }
    return bits;
}

/* parse_bytes - a string with C escapes (\0, \ooo, \n, ...) to a set. */
static void parse_bytes(const char *text, struct byte_set *set)
{
    static const char letters[] = "abfnrtv", values[] = "\a\b\f\n\r\t\v";
    for (const char *at = text; *at; at++) {
        unsigned byte = (unsigned char)*at;
        if (*at == '\\' && at[1]) {
            at++;
            const char *letter = strchr(letters, *at);
            byte = letter ? (unsigned char)values[letter - letters] : (unsigned char)*at;
            if (*at >= '0' && *at <= '7') {
                byte = (unsigned)(*at - '0');
                for (int digits = 1; digits < 3 && at[1] >= '0' && at[1] <= '7'; digits++)
                    byte = byte * 8 + (unsigned)(*++at - '0');
            }
        }
        set->has[byte & 255] = set->any = true;
    }
}

static size_t count_elements(const char *value)
{
    struct slice rest = slice_of(value), element;
    size_t count = 0;
    while (config_list_next(&rest, &element))
        count++;
    return count;
}

static void parse_lists(struct cleanup *c)
{
    const struct cleanup_params *p = &c->params;
    struct slice rest = slice_of(p->masquerade_domains), element;
    c->masquerade = arena_alloc(c->arena, (count_elements(p->masquerade_domains) + 1) * sizeof(*c->masquerade));
    while (config_list_next(&rest, &element)) {
        struct masquerade_domain *m = &c->masquerade[c->masquerade_count++];
        m->leave = slice_starts(element, SLICE("!"));
        m->name = slice_from(element, m->leave);
    }
    rest = slice_of(p->message_drop_headers);
    c->dropped_headers = arena_alloc(c->arena, (count_elements(p->message_drop_headers) + 1) * sizeof(*c->dropped_headers));
    while (config_list_next(&rest, &element))
        c->dropped_headers[c->dropped_header_count++] = element;
    parse_bytes(p->message_reject_characters, &c->reject_bytes);
    parse_bytes(p->message_strip_characters, &c->strip_bytes);
}

static void fill_limits(struct cleanup *c)
{
    const struct cleanup_params *p = &c->params;
    c->limits = (struct message_limits){
        .header_size_limit = (size_t)p->header_size_limit, .line_length_limit = (size_t)p->line_length_limit,
        .mime_nesting_limit = (size_t)p->mime_nesting_limit, .mime_boundary_length_limit = (size_t)p->mime_boundary_length_limit,
        .mime_processing = !p->disable_mime_input_processing, .strict_8bitmime = p->strict_8bitmime,
        .strict_8bitmime_body = p->strict_8bitmime_body, .strict_7bit_headers = p->strict_7bit_headers,
        .strict_mime_encoding_domain = p->strict_mime_encoding_domain,
        .report_header_fault = strcasecmp(p->non_empty_end_of_header_action, "fix_quietly") != 0};
}

struct cleanup *cleanup_new(struct config *config, unsigned worker)
{
    struct cleanup *c = memory_zalloc(1, sizeof(*c));
    config_fill(config, bindings, COUNT_OF(bindings), &c->params);
    const struct cleanup_params *p = &c->params;
    c->arena = arena_new(0);
    c->route = route_new(config);
    c->maps = route_maps(c->route);
    c->sender_canonical = open_maps(p, "sender_canonical_maps", p->sender_canonical_maps, config);
    c->sender_bcc = open_maps(p, "sender_bcc_maps", p->sender_bcc_maps, config);
    c->recipient_bcc = open_maps(p, "recipient_bcc_maps", p->recipient_bcc_maps, config);
    c->header_checks = open_maps(p, "header_checks", p->header_checks, config);
    c->mime_header_checks = open_maps(p, "mime_header_checks", p->mime_header_checks, config);
    c->nested_header_checks = open_maps(p, "nested_header_checks", p->nested_header_checks, config);
    c->body_checks = open_maps(p, "body_checks", p->body_checks, config);
    c->milter_header_checks = open_maps(p, "milter_header_checks", p->milter_header_checks, config);
    c->non_smtpd_milters = milter_list_open(slice_of(p->non_smtpd_milters), "non_smtpd_milters", config);
    c->masquerade_exceptions = match_list_new("masquerade_exceptions", p->masquerade_exceptions, MATCH_STRING_LIST, config);
    c->canonical_classes = parse_classes("canonical_classes", p->canonical_classes);
    c->sender_canonical_classes = parse_classes("sender_canonical_classes", p->sender_canonical_classes);
    c->recipient_canonical_classes = parse_classes("recipient_canonical_classes", p->recipient_canonical_classes);
    c->masquerade_classes = parse_classes("masquerade_classes", p->masquerade_classes);
    c->propagate_canonical = config_list_has(p->propagate_unmatched_extensions, "canonical");
    c->propagate_virtual = config_list_has(p->propagate_unmatched_extensions, "virtual");
    parse_lists(c);
    fill_limits(c);
    queue_id_maker_init(&c->ids, worker, p->enable_long_queue_ids);
    return c;
}

void cleanup_free(struct cleanup *c)
{
    if (!c)
        return;
    struct table_list *lists[] = {c->sender_canonical, c->sender_bcc, c->recipient_bcc, c->header_checks, c->mime_header_checks,
                                  c->nested_header_checks, c->body_checks, c->milter_header_checks};
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        table_list_free(lists[i]);
    milter_list_close(c->non_smtpd_milters);
    match_list_free(c->masquerade_exceptions);
    route_free(c->route);
    arena_free(c->arena);
    free(c);
}

void cleanup_open(struct service_context *context)
{
    struct cleanup *c = context->state = cleanup_new(context->config, context->worker);
    if (!milter_list_is_empty(c->non_smtpd_milters)) /* one of them may be given by host name */
        dns_start(&(struct dns_options){.servers = c->params.dns_servers});
}

void cleanup_start(struct service_context *context)
{
    struct cleanup *c = context->state;
    const struct cleanup_params *p = &c->params;
    int64_t minimum = p->message_size_limit > 0 ? p->message_size_limit / 2 * 3 : 0;
    struct segment_writer_options options = {.queue_directory = context->queue_directory, .segment_size = SEGMENT_SIZE,
                                             .large_content = LARGE_CONTENT,
                                             .minimum_free = p->queue_minfree > minimum ? p->queue_minfree : minimum};
    c->writer = segment_writer_open(&options);
    if (!c->writer || !queue_id_maker_share(&c->ids, context->queue_directory))
        log_fatal("cannot open the queue in %s: %s", context->queue_directory, strerror(errno));
    c->notifier = notifier_start("public/qmgr");
}

void cleanup_end(struct service_context *context)
{
    struct cleanup *c = context->state;
    notifier_finish(c->notifier, clock_after(2 * MICROSECONDS));
    segment_writer_close(c->writer);
    queue_id_maker_release(&c->ids);
    c->writer = NULL;
}
