/* status_filter.c - see status_filter.h */
#include "service/status_filter.h"

#include "base/log.h"
#include "table/table.h"

static const char *const names[] = {"smtp_delivery_status_filter", "lmtp_delivery_status_filter", "local_delivery_status_filter",
                                    "pipe_delivery_status_filter", "virtual_delivery_status_filter"};

static const char *filter_name;
static struct table_list *filter; /* NULL: none */

void status_filter_open(const char *program, struct config *config)
{
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct slice suffix = SLICE("_delivery_status_filter");
        if (!slice_equal(slice_first(slice_of(names[i]), strlen(names[i]) - suffix.len), slice_of(program)))
            continue;
        filter_name = names[i];
        filter = table_list_new(filter_name, config_string(config, filter_name), 0, config);
        if (table_list_is_empty(filter)) {
            table_list_free(filter);
            filter = NULL;
        }
    }
}

/* take_result - false: it is no status and text that may stand here. */
static bool take_result(struct slice result, struct arena *arena, struct delivery_status *status)
{
    struct status_code code;
    struct slice text;
    char coded[STATUS_CODE_TEXT];

    if (!status_code_parse(result, &code, &text) || text.len == 0 || (status->status[0] == '2') != (code.class == 2))
        return false;
    if (code.class != 2 && code.class != (unsigned)(status->status[0] - '0')) {
        status->outcome = code.class == 5 ? OUTCOME_BOUNCED : OUTCOME_DEFERRED;
        status->action = NULL;
    }
    status->status = arena_strdup(arena, status_code_format(code, coded));
    status->reason = arena_slice(arena, text);
    return true;
}

void status_filter_apply(struct arena *arena, struct delivery_status *status)
{
    struct buffer result = BUFFER_INIT;

    if (!filter)
        return;
    struct slice key = arena_format(arena, "%s " SLICE_FORMAT, status->status, SLICE_ARGS(status->reason));
    enum table_result found = table_list_lookup(filter, key, true, &result);
    if (found == TABLE_TRY_AGAIN)
        log_warning("%s lookup error for \"" SLICE_FORMAT "\"", filter_name, SLICE_ARGS(key));
    else if (found == TABLE_FOUND && !take_result(buffer_slice(&result), arena, status))
        log_warning("%s: bad status code: %s", filter_name, buffer_string(&result));
    buffer_release(&result);
}
