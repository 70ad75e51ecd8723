/* dns_filter.c - records that the administrator does not want to see (smtp_dns_reply_filter) */
#include "dns/dns_filter.h"

#include <ctype.h>

#include "base/log.h"

static void append_value(const struct dns_record *record, struct buffer *out)
{
    switch (record->type) {
    case DNS_A:
    case DNS_AAAA:
        net_address_text(&record->address, out);
        break;
    case DNS_MX:
        buffer_printf(out, "%u " SLICE_FORMAT ".", record->preference, SLICE_ARGS(record->name));
        break;
    case DNS_SRV:
        buffer_printf(out, "%u %u %u " SLICE_FORMAT ".", record->preference, record->weight, record->port, SLICE_ARGS(record->name));
        break;
    case DNS_TXT:
        buffer_append_slice(out, record->text);
        break;
    case DNS_TLSA:
        buffer_printf(out, "%u %u %u ", record->usage, record->selector, record->matching);
        for (size_t i = 0; i < record->data.len; i++)
            buffer_printf(out, "%02X", (unsigned char)record->data.data[i]);
        break;
    default:
        buffer_printf(out, SLICE_FORMAT ".", SLICE_ARGS(record->name));
    }
}

void dns_record_text(const struct dns_record *record, struct buffer *out)
{
    buffer_printf(out, SLICE_FORMAT ". %u IN %s ", SLICE_ARGS(record->owner), record->ttl, dns_type_name(record->type));
    append_value(record, out);
}

void dns_filter_answer(dns_filter_function *keeps, void *context, struct dns_answer *answer)
{
    struct buffer text = BUFFER_INIT;
    size_t kept = 0, count = answer->count;

    if (!keeps || answer->status != DNS_FOUND)
        return;
    for (size_t i = 0; i < count && answer->status == DNS_FOUND; i++) {
        buffer_clear(&text);
        dns_record_text(&answer->records[i], &text);
        switch (keeps(context, buffer_slice(&text))) {
        case DNS_FILTER_KEEP:
            answer->records[kept++] = answer->records[i];
            break;
        case DNS_FILTER_DROP:
            log_info("ignoring DNS RR: %s", buffer_string(&text));
            break;
        case DNS_FILTER_FAILED:
            answer->status = DNS_FILTER_FAULT;
            break;
        }
    }
    if (answer->status == DNS_FOUND && kept == 0 && count > 0)
        answer->status = DNS_FILTERED;
    answer->count = answer->status == DNS_FOUND ? kept : 0;
    buffer_release(&text);
}
