/* select.c - which messages: asks postqueue for its listing, so that it works with the system up or down */
#include <jansson.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "address/mail_address.h"
#include "base/clock.h"
#include "base/log.h"
#include "postsuper.h"

bool selection_is_empty(const struct selection *selection)
{
    return !selection->sender && !selection->recipient && !selection->domain && selection->older_than < 0 && selection->newer_than < 0 &&
           !selection->dry_run;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* same_sender - "<>" and MAILER-DAEMON are the null sender. */
static bool same_sender(const char *wanted, const char *sender)
{
    bool null_wanted = strcmp(wanted, "<>") == 0 || *wanted == '\0';
    return null_wanted ? strcasecmp(sender, "MAILER-DAEMON") == 0 : strcasecmp(wanted, sender) == 0;
}

static bool recipient_fits(const struct selection *selection, const json_t *message)
{
    size_t i;
    const json_t *recipient;
    if (!selection->recipient && !selection->domain)
        return true;
    json_array_foreach(json_object_get(message, "recipients"), i, recipient) {
        const char *address = text_of(recipient, "address");
        bool fits = !selection->recipient || strcasecmp(selection->recipient, address) == 0;
        if (selection->domain)
            fits = fits && slice_equal_case(slice_of(selection->domain), mail_address_domain(slice_of(address)));
        if (fits)
            return true;
    }
    return false;
}

static int queue_of(const char *name)
{
    static const struct { const char *name; int queue; } names[] = {
        {"maildrop", QUEUE_MAILDROP}, {"incoming", QUEUE_INCOMING}, {"active", QUEUE_ACTIVE}, {"deferred", QUEUE_DEFERRED}, {"hold", QUEUE_HOLD}};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (strcmp(names[i].name, name) == 0)
            return names[i].queue;
    }
    return 0;
}

static bool fits(const struct selection *selection, int queues, const json_t *message, int64_t now)
{
    int64_t age = now - (int64_t)json_integer_value(json_object_get(message, "arrival_time"));
    return (queues & queue_of(text_of(message, "queue_name"))) && (!selection->sender || same_sender(selection->sender, text_of(message, "sender"))) &&
           (selection->older_than < 0 || age > selection->older_than) && (selection->newer_than < 0 || age < selection->newer_than) &&
           recipient_fits(selection, message);
}

static void take_line(const struct selection *selection, int queues, const char *line, int64_t now, struct action *action)
{
    json_error_t error;
    json_t *message = json_loads(line, 0, &error);
    if (!message)
        log_warning("postqueue: %s", error.text);
    else if (fits(selection, queues, message, now))
        action_add(action, slice_of(text_of(message, "queue_id")));
    json_decref(message);
}

/* start_listing - postqueue -j; its output. */
static FILE *start_listing(struct config *config, pid_t *child)
{
    char path[PATH_MAX];
    char *const arguments[] = {(char *)"postqueue", (char *)"-j", NULL};
    posix_spawn_file_actions_t files;
    int ends[2];
    snprintf(path, sizeof(path), "%s/postqueue", config_string(config, "command_directory"));
    if (pipe(ends) < 0)
        log_fatal("pipe: %s", strerror(errno));
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, ends[1], 1);
    posix_spawn_file_actions_addclose(&files, ends[0]);
    int error = posix_spawn(child, path, &files, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    if (error)
        log_fatal("cannot run %s: %s", path, strerror(error));
    close(ends[1]);
    return fdopen(ends[0], "r");
}

void selection_ids(const struct selection *selection, struct config *config, int queues, struct action *action)
{
    pid_t child;
    int status = -1;
    char *line = NULL;
    size_t room = 0;
    int64_t now = clock_wall() / MICROSECONDS;
    FILE *listing = start_listing(config, &child);
    if (!listing)
        log_fatal("fdopen: %s", strerror(errno));
    while (getline(&line, &room, listing) >= 0)
        take_line(selection, queues, line, now, action);
    free(line);
    fclose(listing);
    if (waitpid(child, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        log_fatal("postqueue gave no listing");
}
