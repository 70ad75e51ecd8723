/* control.h - the postfix command (compat.md j.2) */
#ifndef POSTERN_TOOLS_POSTFIX_CONTROL_H
#define POSTERN_TOOLS_POSTFIX_CONTROL_H

#include "base/arena.h"
#include "service/command.h"

struct control {
    struct config *config;
    struct arena *memory; /* of the process */
    bool debug;
    int verbose;
    bool root;                     /* false: a private instance of an ordinary user */
    const char *const *arguments;  /* after the sub-command */
    size_t argument_count;
};

/* say_* - to the log and to stderr as "postfix/postfix-script: text".  say_fatal exits with status 1. */
void say_open(struct config *config);
void say_info(const char *format, ...) PRINTF_LIKE(1, 2);
void say_warning(const char *format, ...) PRINTF_LIKE(1, 2);
void say_fatal(const char *format, ...) PRINTF_LIKE(1, 2) NO_RETURN;

/* files_check - create what is missing, warn of what is wrong (`check`); false when the system cannot start.  files_set_permissions - repair
   owners and modes (`set-permissions`). */
bool files_check(struct control *control);
void files_set_permissions(struct control *control);
/* configuration_check - warn of what is wrong or odd in main.cf and master.cf; false when a program that reads it would end.  starting: leave out
   what only matters to who looks for trouble. */
bool configuration_check(struct control *control, bool starting);
/* advise - what the administrator should know and need not do anything about: services that start nothing, what protects the workers (`check`).
   compatibility_hint - three lines when compatibility_level is low. */
void advise(struct control *control);
void compatibility_hint(struct control *control);
/* upgrade_configuration - add services to master.cf that later versions need. */
void upgrade_configuration(struct control *control);
/* print_statistics - `statistics`: a line per service and counter that is not zero. */
int print_statistics(struct control *control);
/* rotate_log - `logrotate`; gives the exit status. */
int rotate_log(struct control *control);
/* run_program - fork, exec with the words, wait; the exit status, 1 when it could not be run. */
int run_program(const char *path, const char *const *words);
/* program_path - DIRECTORY/NAME of a directory parameter; memory of the process. */
const char *program_path(struct control *control, const char *directory_parameter, const char *name);

#endif
