/* select.c - --dry-run: which messages it would be; postqueue knows, with the system up or down */
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "postsuper.h"

enum { ARGUMENTS_MAX = 64 };

struct command {
    const char *words[ARGUMENTS_MAX];
    size_t count;
};

static void add(struct command *command, const char *word)
{
    if (command->count + 1 >= ARGUMENTS_MAX)
        log_fatal("too many options");
    command->words[command->count++] = word;
}

static void add_text(struct command *command, const char *option, struct slice value)
{
    if (!value.len)
        return;
    add(command, option);
    add(command, slice_string(value));
}

static void add_number(struct command *command, const char *option, const char *sign, int64_t value)
{
    struct buffer text = BUFFER_INIT;
    if (value <= 0)
        return;
    buffer_printf(&text, "%s%lld", sign, (long long)value);
    add(command, option);
    add(command, buffer_steal(&text));
}

static void add_queues(struct command *command, int queues)
{
    static const struct { int queue; const char *name; } names[] = {
        {QUEUE_MAILDROP, "maildrop"}, {QUEUE_INCOMING, "incoming"}, {QUEUE_ACTIVE, "active"}, {QUEUE_DEFERRED, "deferred"}, {QUEUE_HOLD, "hold"}};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (queues & names[i].queue) {
            add(command, "--queue");
            add(command, names[i].name);
        }
    }
}

void selection_show(struct config *config, const struct queue_selection *want, int queues, const char *form, const char *group)
{
    struct command command = {.count = 0};
    struct buffer file = BUFFER_INIT;
    buffer_printf(&file, "%s/postqueue", config_string(config, "command_directory"));
    const char *path = buffer_string(&file);
    int64_t now = clock_wall();
    add(&command, path);
    add(&command, "-c");
    add(&command, config_directory(config));
    add(&command, form);
    if (group)
        add(&command, group);
    add_text(&command, "--sender", want->sender);
    add_text(&command, "--recipient", want->recipient);
    add_text(&command, "--domain", want->domain);
    add_text(&command, "--reason", want->reason);
    add_text(&command, "--sasl-user", want->sasl_user);
    add_number(&command, "--older-than", "", want->arrived_before ? (now - want->arrived_before) / MICROSECONDS : 0);
    add_number(&command, "--newer-than", "", want->arrived_after ? (now - want->arrived_after) / MICROSECONDS : 0);
    add_number(&command, "--size", "+", want->size_least);
    add_number(&command, "--size", "-", want->size_most);
    add_number(&command, "--limit", "", want->limit);
    add_queues(&command, queues);
    fflush(stdout);
    execv(path, (char *const *)command.words);
    log_fatal("cannot run %s: %s", path, strerror(errno));
}
