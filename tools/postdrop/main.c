/* main.c - postdrop: the set-gid program that puts a message into maildrop/ (compat.md j.8)

   Standard input: records of a maildrop file.  Standard output: first the queue id, at the end status and reason, as pairs of NUL ended
   strings, each group ended by an empty one.  Nothing that the caller sends is trusted: types, attributes and characters are checked, and
   only what passed is written. */
#include <getopt.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/log.h"
#include "drop_file.h"
#include "filter.h"
#include "sender_check.h"
#include "service/command.h"
#include "service/trigger.h"

enum { TEMPORARY_FAILURE = 75 };

static const char *parse_options(int argc, char **argv)
{
    const char *directory = NULL;
    int letter;
    while ((letter = getopt(argc, argv, "c:rv")) > 0) {
        switch (letter) {
        case 'c': directory = optarg; break;
        case 'r': break;
        case 'v':
            if (getuid() == 0)
                log_verbose++;
            break;
        default: log_set_fatal_exit(1); log_fatal("usage: postdrop [-c config_dir] [-v]");
        }
    }
    return directory;
}

static void put_pair(struct buffer *out, const char *name, const char *value)
{
    buffer_append(out, name, strlen(name) + 1);
    buffer_append(out, value, strlen(value) + 1);
}

static void answer(struct buffer *out)
{
    buffer_append_byte(out, '\0');
    if (write(STDOUT_FILENO, out->data, out->len) != (ssize_t)out->len && errno != EPIPE)
        log_warning("the caller does not read: %s", strerror(errno));
    buffer_clear(out);
}

/* finish - the reply, after the file was made visible or dropped. */
static int finish(struct drop_file *file, const struct filter *filter, const char *pickup)
{
    struct buffer out = BUFFER_INIT;
    int status = filter->status;
    const char *reason = filter_reason(filter);
    if (status == FILTER_SIZE)
        log_warning("uid=%ld: %s", (long)getuid(), strerror(EFBIG));
    if (status == FILTER_OK && !drop_file_complete(file)) {
        log_warning("uid=%ld: %s: %s", (long)getuid(), drop_file_id(file), strerror(errno));
        status = FILTER_WRITE;
        reason = "queue file write error";
    }
    char number[16];
    snprintf(number, sizeof(number), "%d", status);
    put_pair(&out, "status", number);
    put_pair(&out, "reason", reason);
    if (status == FILTER_OK)
        trigger_send("public", pickup, SLICE("W")); /* when the system is down pickup finds the file later */
    else
        drop_file_cancel(file);
    answer(&out);
    buffer_release(&out);
    return status == FILTER_OK ? 0 : TEMPORARY_FAILURE;
}

static const char help[] =
    "Usage: postdrop [-rv] [-c config_dir]\n"
    "Takes a message as records on standard input; sendmail(1) is for people.\n"
    "  -c config_dir  the directory of main.cf\n"
    "  -r  accepted, without effect\n"
    "  -v  more messages\n"
    "See postdrop(1).\n";

int main(int argc, char **argv)
{
    command_start("postdrop");
    command_help(argc, argv, help);
    log_set_fatal_exit(TEMPORARY_FAILURE);
    umask(077);
    struct config *config = command_config(parse_options(argc, argv), true);
    if (!command_user_allowed(config, "authorized_submit_users", getuid()))
        log_fatal("User %s(%ld) is not allowed to submit mail", command_user_name(getuid()), (long)getuid());
    command_queue_directory(config);
    signal(SIGPIPE, SIG_IGN);
    struct drop_file *file = drop_file_create();
    struct buffer out = BUFFER_INIT;
    put_pair(&out, "queue_id", drop_file_id(file));
    answer(&out);
    buffer_release(&out);
    struct filter filter;
    filter_init(&filter, config_int(config, "message_size_limit"));
    struct maildrop_reader reader;
    maildrop_reader_open(&reader, STDIN_FILENO);
    filter_copy(&filter, &reader, file);
    if (filter.status == FILTER_OK)
        sender_check(config, &filter);
    maildrop_reader_release(&reader);
    int status = finish(file, &filter, config_string(config, "pickup_service_name"));
    filter_release(&filter);
    config_free(config);
    return status;
}
