/* main.c - postlog: a log line from a script (compat.md j.8) */
#include <getopt.h>

#include "base/log.h"
#include "service/command.h"
#include "service/log_target.h"

struct options {
    const char *directory, *tag;
    enum log_severity severity;
    bool with_pid; /* -i: lines carry it in any case */
};

static void parse_severity(struct options *options, const char *name)
{
    static const struct {
        const char *name;
        enum log_severity severity;
    } names[] = {{"info", LOG_SEVERITY_INFO},   {"warn", LOG_SEVERITY_WARNING}, {"warning", LOG_SEVERITY_WARNING},
                 {"error", LOG_SEVERITY_ERROR}, {"fatal", LOG_SEVERITY_FATAL},  {"panic", LOG_SEVERITY_PANIC}};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (strcasecmp(name, names[i].name) == 0) {
            options->severity = names[i].severity;
            return;
        }
    }
    log_fatal("invalid priority: \"%s\"", name);
}

static void parse_options(struct options *options, int argc, char **argv)
{
    int letter;
    opterr = 0;
    while ((letter = getopt(argc, argv, "c:ip:t:v")) > 0) {
        switch (letter) {
        case 'c': options->directory = optarg; break;
        case 'i': options->with_pid = true; break;
        case 'p': parse_severity(options, optarg); break;
        case 't': options->tag = optarg; break;
        case 'v': log_verbose++; break;
        default: log_fatal("usage: postlog [-c config_dir] [-i] [-p priority] [-t tag] [-v] [text]");
        }
    }
}

/* log_text - one line.  fatal and panic lines do not end us: they are somebody else's. */
static void log_text(enum log_severity severity, const char *text)
{
    switch (severity) {
    case LOG_SEVERITY_INFO: log_info("%s", text); return;
    case LOG_SEVERITY_WARNING: log_warning("%s", text); return;
    case LOG_SEVERITY_ERROR: log_error("%s", text); return;
    case LOG_SEVERITY_FATAL: log_info("fatal: %s", text); break;
    case LOG_SEVERITY_PANIC: log_info("panic: %s", text); break;
    }
    sleep(1);
}

static void log_arguments(enum log_severity severity, char **words)
{
    struct buffer text = BUFFER_INIT_MAX(64 * 1024);
    for (; *words; words++) {
        if (text.len)
            buffer_append_byte(&text, ' ');
        buffer_append_string(&text, *words);
    }
    log_text(severity, buffer_string(&text));
    buffer_release(&text);
}

/* log_input - first: the byte of standard input that was read already. */
static void log_input(enum log_severity severity, int first)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    ungetc(first, stdin);
    while ((n = getline(&line, &room, stdin)) >= 0) {
        if (n && line[n - 1] == '\n')
            line[n - 1] = '\0';
        log_text(severity, line);
    }
    free(line);
}

/* open_target - only the tag and the log, nothing of the command's own. */
static void open_target(struct config *config, const char *tag)
{
    struct log_target target;
    const char *chosen = tag ? tag : getenv("MAIL_LOGTAG");
    if (!log_target_open(config, &target))
        log_fatal("cannot open the log: %s", strerror(errno));
    log_set_facility(config_string(config, "syslog_facility"));
    char own[256];
    snprintf(own, sizeof(own), "%s/postlog", config_string(config, "syslog_name"));
    log_open(chosen && *chosen ? chosen : own, target.sink, target.fd);
    log_add_stderr(isatty(STDERR_FILENO));
}

static const char help[] =
    "Usage: postlog [option ...] [text ...]\n"
    "Logs the text, or each line of standard input.\n"
    "  -c config_dir  the directory of main.cf\n"
    "  -i  accepted, without effect\n"
    "  -p priority  info warn error fatal panic\n"
    "  -t tag  what lines begin with\n"
    "  -v  more messages\n"
    "See postlog(1).\n";

int main(int argc, char **argv)
{
    struct options options = {.severity = LOG_SEVERITY_INFO};
    command_start("postlog");
    command_help(argc, argv, help);
    parse_options(&options, argc, argv);
    struct config *config = command_config(options.directory, false);
    int first = optind < argc ? 0 : getc(stdin);
    if (first == EOF) { /* nothing to say: whoever may not write the log does not fail either */
        config_free(config);
        return 0;
    }
    open_target(config, options.tag);
    if (optind < argc)
        log_arguments(options.severity, argv + optind);
    else
        log_input(options.severity, first);
    log_flush();
    config_free(config);
    return 0;
}
