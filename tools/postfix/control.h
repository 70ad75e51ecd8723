/* control.h - the postfix command (compat.md j.2) */
#ifndef POSTERN_TOOLS_POSTFIX_CONTROL_H
#define POSTERN_TOOLS_POSTFIX_CONTROL_H

#include "base/arena.h"
#include "conf/check.h"
#include "service/command.h"

struct control {
    struct config *config;
    struct arena *memory; /* of the process */
    bool debug;
    int verbose;
    bool root;                     /* false: a private instance of an ordinary user */
    const char *const *arguments;  /* after the sub-command */
    size_t argument_count;
    bool broken;                   /* main.cf has lines that cannot be understood */
    bool to_check;                 /* the sub-command is check: say why and how as well */
    bool json, look_at_dns, look_at_rows; /* check --json, --dns, --tables */
    struct findings *findings;
};

/* say_* - to the log and to stderr as "postfix/SCRIPT: text", in the name of the script that would say it in Postfix ("postfix-script").  say_fatal exits
   with status 1. */
void say_open(struct config *config, const char *script);
void say_progress(const char *format, ...) PRINTF_LIKE(1, 2); /* what is being done: on a terminal, and in the log */
void say_info(const char *format, ...) PRINTF_LIKE(1, 2);
void say_error(const char *format, ...) PRINTF_LIKE(1, 2);
void say_warning(const char *format, ...) PRINTF_LIKE(1, 2);
void say_fatal(const char *format, ...) PRINTF_LIKE(1, 2) NO_RETURN;

/* found - a finding: said (and logged) at once, or kept for --json.  found_text - as found, for what config_check and config_load give, which is complete
   already.  Its text begins with FILE, line N. */
void found(struct control *control, enum finding_kind kind, enum finding_weight weight, const char *file, int line, const char *subject,
           const char *format, ...) PRINTF_LIKE(7, 8);
void found_text(struct control *control, const struct finding *finding);
void findings_start(struct control *control);
size_t findings_count(const struct control *control, enum finding_weight weight);
/* findings_print - --json: all of them on standard output. */
void findings_print(struct control *control);
/* load_configuration - main.cf, even when lines of it are broken: these are told by configuration_check; NULL when there is none. */
struct config *load_configuration(struct control *control, const char *directory);

/* files_check - create what is missing, warn of what is wrong (`check`); false when the system cannot start.  files_set_permissions - repair
   owners and modes (`set-permissions`). */
bool files_check(struct control *control);
void files_set_permissions(struct control *control);
/* files_create_missing - the directories only (`create-missing`); false after telling why not. */
bool files_create_missing(struct control *control);
/* check_old_queue - messages in the directories of Postfix's queue. */
void check_old_queue(struct control *control);
/* configuration_check - tell what is wrong or odd in main.cf and master.cf; false when it would break the mail system: start and reload refuse.
   Unless the sub-command is check, what only matters to who looks for trouble is left out. */
bool configuration_check(struct control *control);
/* advise - what the administrator should know and need not do anything about: services that start nothing, what protects the workers (`check`).
   compatibility_hint - three lines when compatibility_level is low. */
void advise(struct control *control);
void compatibility_hint(struct control *control);
/* upgrade_configuration - add services to master.cf that later versions need. */
void upgrade_configuration(struct control *control);
/* print_statistics - `statistics`: a line per service and counter that is not zero. */
int print_statistics(struct control *control);
/* do_explain - `explain`; status 1: rejected, or a table failed. */
int do_explain(struct control *control);
/* do_tls - `tls`: keys, certificates, and the settings for them; gives the exit status. */
int do_tls(struct control *control);
/* rotate_log - `logrotate`; gives the exit status. */
int rotate_log(struct control *control);
/* run_program - fork, exec with the words, wait; the exit status, 1 when it could not be run. */
int run_program(const char *path, const char *const *words);
/* program_path - DIRECTORY/NAME of a directory parameter; memory of the process. */
const char *program_path(struct control *control, const char *directory_parameter, const char *name);

#endif
