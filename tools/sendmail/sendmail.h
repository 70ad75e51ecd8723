/* sendmail.h - the sendmail command (compat.md j.7): options, the message, the other faces of the program */
#ifndef POSTERN_TOOLS_SENDMAIL_SENDMAIL_H
#define POSTERN_TOOLS_SENDMAIL_SENDMAIL_H

#include "base/arena.h"
#include "service/command.h"

enum mode { MODE_ENQUEUE, MODE_DAEMON, MODE_SMTP, MODE_NEWALIASES, MODE_MAILQ, MODE_FLUSH, MODE_FLUSH_SITE, MODE_FLUSH_ID, MODE_INTERVAL /* -q15m: nothing, unless there is a message */,
            MODE_NOTHING };

struct options {
    enum mode mode;
    const char *directory;      /* -C */
    const char *sender;         /* -f, -r; NULL: the login name */
    const char *full_name;      /* -F */
    const char *encoding;       /* -B: "7bit", "8bit" or NULL */
    const char *envelope_id;    /* -V */
    const char *verp;           /* -XV: two delimiters, "" for the default ones; NULL: none */
    const char *aliases;        /* -oA */
    const char *flush_argument; /* -qI, -qR */
    bool dot_is_data;           /* -i, -oi */
    bool extract;               /* -t */
    bool remote_rewrite;        /* -G */
    bool require_tls;           /* -O requiretls=yes */
    bool verify_only;           /* -bv */
    int verbose;                /* -v, counted */
    int notify;                 /* -N: NOTIFY_ bits */
    int ret;                    /* -R: 1 full, 2 headers */
    char **words;               /* what follows the options */
    int word_count;
};

/* options_parse - by name ("mailq", "newaliases") and options; fatal on what is not supported. */
void options_parse(struct options *options, int argc, char **argv);

/* enqueue - read the message from standard input and hand it to postdrop; fatal with exit status 75 when that fails. */
void enqueue(struct config *config, const struct options *options);

/* extract_recipients - what sendmail -t takes from one logical header line (its end cut off): addresses in internal form are added.
   resent: a Resent- header has been seen; then only those count and what was taken before is dropped. */
struct recipient_list {
    struct slice *addresses; /* heap array; texts in the arena */
    size_t count;
    bool resent;
};
void extract_recipients(struct slice header, struct recipient_list *list, struct arena *arena);

#endif
