/* main.c - spawn(8): an external command with its standard input and output on the connection (compat.md h.7) */
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/wait.h>

#include "../common/command.h"
#include "base/log.h"
#include "service/service.h"

static struct { uid_t uid; gid_t gid; const char *const *argv; int64_t time_limit; } settings;

static void parse_user(const char *text)
{
    char *user = memory_string(text), *group = strchr(user, ':');

    if (group != NULL)
        *group++ = '\0';
    struct passwd *entry = getpwnam(user);
    if (entry == NULL)
        log_fatal("unknown user: %s", user);
    settings.uid = entry->pw_uid;
    settings.gid = entry->pw_gid;
    if (group != NULL) {
        struct group *found = getgrnam(group);
        if (found == NULL)
            log_fatal("unknown group: %s", group);
        settings.gid = found->gr_gid;
    }
    free(user);
}

static void open_service(struct service_context *context)
{
    settings.uid = (uid_t)-1;
    for (size_t i = 0; i < context->argument_count; i++) {
        const char *argument = context->arguments[i];
        if (strncmp(argument, "user=", 5) == 0) {
            parse_user(argument + 5);
        } else if (strncmp(argument, "argv=", 5) == 0) {
            const char **words = memory_zalloc(context->argument_count + 2, sizeof(*words));
            words[0] = argument + 5;
            for (size_t k = i + 1; k < context->argument_count; k++)
                words[k - i] = context->arguments[k];
            settings.argv = words;
            break;
        } else {
            log_fatal("unknown attribute: %s", argument);
        }
    }
    if (settings.argv == NULL || settings.uid == (uid_t)-1)
        log_fatal("missing %s= command-line attribute", settings.argv == NULL ? "argv" : "user");
    if (context->running_as_root && settings.uid == 0)
        log_fatal("user= command-line attribute specifies root privileges");
    settings.time_limit = config_transport_time(context->config, context->transport, "time_limit");
}

static NO_RETURN void child(struct service_context *context, int fd)
{
    signal(SIGPIPE, SIG_DFL);
    setsid();
    if (dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
        _exit(75);
    close_range(3, ~0u, 0);
    if (context->running_as_root && (setgroups(1, &settings.gid) < 0 || setresgid(settings.gid, settings.gid, settings.gid) < 0 ||
                                     setresuid(settings.uid, settings.uid, settings.uid) < 0))
        _exit(75);
    struct environment environment;
    environment_init(&environment, arena_new(0), NULL);
    environment_add_exported(&environment, config_string(context->config, "export_environment"));
    execvpe(settings.argv[0], (char *const *)settings.argv, (char *const *)environment_list(&environment));
    _exit(75);
}

/* serve - one connection, one command; the process serves one client at a time, so it may block. */
static void serve(struct service_context *context, struct service_client *client)
{
    int fd = stream_fd(client->stream), status = 0;
    int64_t deadline = clock_after(settings.time_limit);
    pid_t pid = fork();

    if (pid == 0)
        child(context, fd);
    if (pid < 0) {
        log_warning("cannot run %s: %s", settings.argv[0], strerror(errno));
        return;
    }
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (clock_monotonic() > deadline) {
            log_warning("process id %d: command time limit exceeded", (int)pid);
            kill(-pid, SIGKILL);
            waitpid(pid, &status, 0);
            break;
        }
        usleep(20000);
    }
    if (WIFSIGNALED(status))
        log_warning("command %s killed by signal %d", settings.argv[0], WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        log_warning("command %s exit status %d", settings.argv[0], WEXITSTATUS(status));
}

int main(int argc, char **argv)
{
    static const struct service service = {.name = "spawn", .flags = SERVICE_PRIVILEGED, .open = open_service, .serve = serve};

    return service_main(argc, argv, &service);
}
