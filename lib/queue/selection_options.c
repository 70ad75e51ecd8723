/* selection_options.c - the conditions of a selection on a command line */
#include "base/clock.h"
#include "base/log.h"
#include "queue/selection.h"

/* scaled - a number with a unit letter; units: letters and factors. */
static int64_t scaled(const char *what, const char *text, const char *letters, const int64_t *factors)
{
    struct slice number = slice_of(text);
    int64_t factor = 1, value;
    const char *unit = number.len ? strchr(letters, number.data[number.len - 1]) : NULL;
    if (unit && *unit) {
        factor = factors[unit - letters];
        number.len--;
    }
    if (!slice_to_i64(number, &value) || value < 0 || value > INT64_MAX / MICROSECONDS / factor)
        log_fatal("bad %s value or unit: %s", what, text);
    return value * factor;
}

static int64_t time_ago(const char *text)
{
    static const int64_t factors[] = {1, 60, 3600, 86400, 604800};
    int64_t then = clock_wall() - scaled("time", text, "smhdw", factors) * MICROSECONDS;
    return then > 0 ? then : 1;
}

static void take_size(struct queue_selection *request, const char *text)
{
    static const int64_t factors[] = {1024, 1024 * 1024, 1024 * 1024 * 1024, 1024, 1024 * 1024, 1024 * 1024 * 1024};
    bool most = *text == '-';
    int64_t size = scaled("size", *text == '-' || *text == '+' ? text + 1 : text, "kmgKMG", factors);
    *(most ? &request->size_most : &request->size_least) = size > 0 ? size : 1;
}

static void add_queue(struct queue_selection *request, const char *name)
{
    static struct buffer names; /* of the command line: lives as long as the process */
    buffer_printf(&names, "%s%s", names.len ? " " : "", name);
    request->queues = buffer_slice(&names);
}

bool selection_option(struct queue_selection *request, int letter, const char *argument)
{
    static const int64_t one[] = {1};
    switch (letter - SELECTION_OPTION_FIRST) {
    case 0: request->sender = *argument ? slice_of(argument) : SLICE("<>"); return true;
    case 1: request->recipient = slice_of(argument); return true;
    case 2: request->domain = slice_of(argument); return true;
    case 3: request->arrived_before = time_ago(argument); return true;
    case 4: request->arrived_after = time_ago(argument); return true;
    case 5: request->reason = slice_of(argument); return true;
    case 6: take_size(request, argument); return true;
    case 7: add_queue(request, argument); return true;
    case 8: request->limit = scaled("limit", argument, "", one); return true;
    case 9: request->sasl_user = slice_of(argument); return true;
    default: return false;
    }
}

int selection_group_kind(const char *name)
{
    static const struct { const char *name; int kind; } kinds[] = {
        {"domain", QUEUE_GROUP_DOMAIN}, {"sender", QUEUE_GROUP_SENDER}, {"sender-domain", QUEUE_GROUP_SENDER_DOMAIN},
        {"reason", QUEUE_GROUP_REASON}, {"nexthop", QUEUE_GROUP_NEXT_HOP}, {"queue", QUEUE_GROUP_QUEUE}};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (strcmp(kinds[i].name, name) == 0)
            return kinds[i].kind;
    }
    return 0;
}
