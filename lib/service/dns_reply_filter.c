/* dns_reply_filter.c - smtp_dns_reply_filter, smtpd_dns_reply_filter: a table says which records are not to be seen */
#include "service/dns_reply_filter.h"

#include "base/log.h"

struct dns_reply_filter {
    const char *parameter;
    struct table_list *tables;
};

static enum dns_filter_result keeps(void *context, struct slice record)
{
    const struct dns_reply_filter *filter = context;
    struct buffer value = BUFFER_INIT;
    enum dns_filter_result result = DNS_FILTER_KEEP;

    enum table_result found = table_list_lookup(filter->tables, record, true, &value);
    struct slice action = slice_trim(buffer_slice(&value));
    if (found == TABLE_FOUND && slice_equal_case(action, SLICE("IGNORE"))) {
        result = DNS_FILTER_DROP;
    } else if (found != TABLE_NOT_FOUND) {
        if (found == TABLE_FOUND)
            log_warning("%s: unknown DNS filter action: \"" SLICE_FORMAT "\"", filter->parameter, SLICE_ARGS(action));
        result = DNS_FILTER_FAILED;
    }
    buffer_release(&value);
    return result;
}

void dns_reply_filter_open(struct config *config, const char *parameter, struct dns_options *options)
{
    const char *value = config_string(config, parameter);

    if (slice_trim(slice_of(value)).len == 0)
        return;
    struct dns_reply_filter *filter = memory_zalloc(1, sizeof(*filter)); /* as long as the process */
    filter->parameter = parameter;
    filter->tables = table_list_new(parameter, value, TABLE_FOLD, config);
    options->filter = keeps;
    options->filter_context = filter;
}
