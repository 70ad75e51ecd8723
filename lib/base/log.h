/* log.h - log lines: five severities with fixed meaning, sanitised, buffered per turn of the event loop

   info     normal operation (the line shapes of compat.md section i)
   warning  something is odd, work goes on
   error    something failed for one message or request
   fatal    this process cannot go on: exit status 1 after a flush, master may start another
   panic    a programming error: abort

   Control characters (and bytes that are not UTF-8) become '?'; a line is cut at 2000 bytes. */
#ifndef POSTERN_BASE_LOG_H
#define POSTERN_BASE_LOG_H

#include "base/slice.h"

enum log_severity { LOG_SEVERITY_INFO, LOG_SEVERITY_WARNING, LOG_SEVERITY_ERROR, LOG_SEVERITY_FATAL, LOG_SEVERITY_PANIC };

/* Where lines go. */
enum log_sink {
    LOG_TO_STDERR, /* "program: severity: text": commands and tests */
    LOG_TO_FILE,   /* descriptor of maillog_file or /dev/stdout: "Mon DD HH:MM:SS host tag[pid]: text" */
    LOG_TO_SYSLOG  /* descriptor of a datagram socket connected to /dev/log, "<pri>Mon DD HH:MM:SS tag[pid]: text" */
};

/* log_open - set the program's tag ("postfix/smtpd"; kept by copy) and where lines go; fd is used by _FILE and _SYSLOG
   (not closed here).  Lines that no log daemon takes wait, up to 64 KB, until it listens again or there is another fd.  May be called again.  Before the first call lines go to stderr.  For LOG_TO_STDERR the tag's last
   path element is the program name. */
void log_open(const char *tag, enum log_sink sink, int fd);
/* log_rename - another own tag from now on; lines go where they went. */
void log_rename(const char *tag);
/* log_speak_for - the tag of following lines ends in that program's name instead of the own; NULL: the own again.  For what one program does in
   another's place, where readers of the log look for the other. */
void log_speak_for(const char *program);
/* log_add_stderr - copy every line to stderr as well ("program: severity: text"): commands that also log, -V. */
void log_add_stderr(bool on);
/* log_set_buffered - true: lines are kept until log_flush (the event loop calls it once a turn); false: at once. */
void log_set_buffered(bool on);
void log_flush(void);
/* log_set_facility - syslog facility name ("mail"). */
void log_set_facility(const char *name);
/* log_verbose - level set by -v; LOG_DEBUG lines are info lines shown when it is > 0. */
extern int log_verbose;

void log_info(const char *format, ...) PRINTF_LIKE(1, 2);
void log_warning(const char *format, ...) PRINTF_LIKE(1, 2);
void log_error(const char *format, ...) PRINTF_LIKE(1, 2);
void log_fatal(const char *format, ...) PRINTF_LIKE(1, 2) NO_RETURN;
void log_panic(const char *format, ...) PRINTF_LIKE(1, 2) NO_RETURN;
#define log_debug(...) do { if (log_verbose > 0) log_info(__VA_ARGS__); } while (0)

/* log_pass_on - a finished line of another process of this program, as its watcher got it (severity, text), under this one's tag; what was the end of that
   process is an error here. */
void log_pass_on(unsigned severity, struct slice text);
/* log_set_watcher - tests, and processes whose lines another one logs (log_pass_on): gets each finished line (severity, text without tag) in place of the sink; NULL ends it. */
void log_set_watcher(void (*watcher)(enum log_severity severity, const char *text, void *context), void *context);
/* log_set_fatal_exit - exit status that log_fatal uses (default 1; sendmail uses 75, postqueue 69). */
void log_set_fatal_exit(int status);

#endif
