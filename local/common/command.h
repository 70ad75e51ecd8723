/* command.h - running external commands for delivery: aliases, .forward, mailbox_command, pipe (compat.md g.2) */
#ifndef POSTERN_LOCAL_COMMON_COMMAND_H
#define POSTERN_LOCAL_COMMON_COMMAND_H

#include "copy.h"

struct command {
    const char *text;          /* as written, for messages; run by the shell when it needs one */
    const char *const *argv;   /* pipe: run these words, never a shell; NULL: text */
    const char *shell;         /* local_command_shell: words before the text; NULL or empty */
    const char *const *environment; /* NULL terminated "NAME=value" */
    const char *directory;     /* working directory; NULL: leave */
    const char *root;          /* chroot; NULL: none */
    uid_t uid;
    gid_t gid;
    int64_t time_limit;        /* microseconds */
    bool running_as_root;      /* the identity can be switched */
};

/* command_run - run it with the message on its standard input; *status gets the outcome by the exit status (sysexits) and its output.  success is the
   reason text when it ends well ("delivered to command: ..."). output (may be NULL) gets what it printed.  Blocks: for one-client services. */
void command_run(const struct copy *copy, const struct command *command, struct slice success, struct buffer *output, struct delivery_status *status);

/* An environment being built.  Values are cleaned: bytes outside filter become "_"; empty values are left out. */
struct environment { struct arena *arena; const char **entries; size_t count, capacity; const char *filter; };
void environment_init(struct environment *environment, struct arena *arena, const char *filter);
void environment_set(struct environment *environment, const char *name, struct slice value);
/* environment_add_exported - export_environment and PATH.  environment_add_standard - these, and what the envelope says (SENDER, RECIPIENT, CLIENT_..., SASL_..., ENVID). */
void environment_add_exported(struct environment *environment, const char *export_environment);
void environment_add_standard(struct environment *environment, const struct delivery *delivery, const char *export_environment, struct slice sender,
                              struct slice recipient, struct slice original);
const char *const *environment_list(struct environment *environment);

#endif
