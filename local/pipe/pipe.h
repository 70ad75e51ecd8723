/* pipe.h - inside pipe(8): what its line in master.cf says, and how its words are expanded */
#ifndef POSTERN_LOCAL_PIPE_PIPE_H
#define POSTERN_LOCAL_PIPE_PIPE_H

#include "service/agent.h"

enum { FLAG_EMPTY_LINE = 1, FLAG_DELIVERED_TO = 2, FLAG_FROM = 4, FLAG_ORIGINAL_TO = 8, FLAG_RETURN_PATH = 16, FLAG_FINAL = 32, FLAG_FOLD_HOST = 64,
       FLAG_FOLD_USER = 128, FLAG_QUOTE = 256, FLAG_DOT = 512, FLAG_QUOTE_FROM = 1024 };

/* The arguments of the service, parsed once. */
struct pipe_arguments {
    int flags;
    uid_t uid;
    gid_t gid;
    const char *const *argv; /* NULL terminated, in the service's arguments */
    const char *directory, *root, *null_sender;
    struct slice end_of_line;
    int64_t size_limit, time_limit;
    const char *export_environment;
    char delimiter[16];
    bool owner_request_special;
};

/* arguments_parse - "flags=... user=... argv=word word"; what is wrong is fatal.  The texts must stay. */
void arguments_parse(struct pipe_arguments *pipe, const char *const *arguments, size_t count);
/* words_expand - argv for this delivery, NULL terminated, in its arena: a word that names something of a recipient is repeated for each.  NULL (a warning
   was logged): a macro is unknown. */
const char *const *words_expand(const struct pipe_arguments *pipe, struct delivery *delivery);

#endif
