/* say.c - messages in the name of Postfix's scripts, as log readers know them */
#include <unistd.h>

#include "base/log.h"
#include "control.h"
#include "service/log_target.h"

static char *tag;
static bool to_log;

void say_open(struct config *config, const char *script)
{
    struct log_target target;
    struct buffer text = BUFFER_INIT;
    const char *prefix = getenv("MAIL_LOGTAG");
    buffer_printf(&text, "%s/%s", prefix && *prefix ? prefix : config_string(config, "syslog_name"), script);
    free(tag);
    tag = buffer_steal(&text);
    /* Standard output as the log is that of start-fg's master; our own words are on stderr anyway. */
    to_log = log_target_open(config, &target) && strcmp(config_string(config, "maillog_file"), "/dev/stdout") != 0;
    if (to_log)
        log_target_use(config, &target, script, true);
}

static char *format_text(const char *label, const char *format, va_list args) PRINTF_LIKE(2, 0);
static char *format_text(const char *label, const char *format, va_list args)
{
    struct buffer text = BUFFER_INIT;
    buffer_vprintf(&text, format, args);
    fprintf(stderr, "%s: %s%s\n", tag, label, buffer_string(&text));
    return buffer_steal(&text);
}

void say_progress(const char *format, ...)
{
    struct buffer text = BUFFER_INIT;
    va_list args;
    va_start(args, format);
    buffer_vprintf(&text, format, args);
    va_end(args);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "%s: %s\n", tag, buffer_string(&text));
    if (to_log)
        log_info("%s", buffer_string(&text));
    buffer_release(&text);
}

void say_info(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = format_text("", format, args);
    va_end(args);
    if (to_log)
        log_info("%s", text);
    free(text);
}

void say_warning(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = format_text("warning: ", format, args);
    va_end(args);
    if (to_log)
        log_warning("%s", text);
    free(text);
}

void say_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = format_text("error: ", format, args);
    va_end(args);
    if (to_log)
        log_error("%s", text);
    free(text);
}

void say_fatal(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = format_text("fatal: ", format, args);
    va_end(args);
    if (to_log)
        log_fatal("%s", text);
    exit(1);
}
