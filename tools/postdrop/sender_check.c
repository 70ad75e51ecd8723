/* sender_check.c - which sender addresses a login may use */
#include "address/mail_address.h"
#include "base/log.h"
#include "run/run.h"
#include "sender_check.h"
#include "service/command.h"
#include "table/table.h"

bool sender_matches(struct slice patterns, struct slice sender, const char *null_key)
{
    struct slice pattern;
    if (sender.len == 0)
        sender = slice_of(null_key);
    struct slice domain = mail_address_domain(sender);
    while (config_list_next(&patterns, &pattern)) {
        if (slice_equal(pattern, SLICE("*")) || slice_equal_case(pattern, sender))
            return true;
        if (pattern.len > 1 && pattern.data[0] == '@' && domain.len && slice_equal_case(slice_from(pattern, 1), domain))
            return true;
    }
    return false;
}

struct question {
    struct config *config;
    const char *user;
    enum table_result result;
    struct buffer patterns;
};

static void look_up(void *arg)
{
    struct question *question = arg;
    struct table_list *list = table_list_new("local_login_sender_maps", config_string(question->config, "local_login_sender_maps"), TABLE_FOLD,
                                             question->config);
    question->result = table_list_lookup(list, slice_of(question->user), false, &question->patterns);
    table_list_free(list);
}

void sender_check(struct config *config, struct filter *filter)
{
    const char *maps = config_string(config, "local_login_sender_maps");
    if (!*maps || strcmp(maps, "static:*") == 0)
        return;
    struct question question = {.config = config, .user = command_user_name(getuid())};
    run_main(look_up, &question);
    const char *null_key = config_string(config, "empty_address_local_login_sender_maps_lookup_key");
    bool allowed = question.result == TABLE_FOUND
                   && sender_matches(buffer_slice(&question.patterns), buffer_slice(&filter->sender), null_key);
    buffer_release(&question.patterns);
    if (allowed)
        return;
    filter->status |= FILTER_DENIED;
    if (question.result == TABLE_TRY_AGAIN) {
        buffer_append_string(&filter->reason, "sender address lookup error");
        return;
    }
    buffer_printf(&filter->reason, "not authorized to use sender='%s'", buffer_string(&filter->sender));
}
