/* local.h - inside local(8): what the parts of one delivery share */
#ifndef POSTERN_LOCAL_LOCAL_LOCAL_H
#define POSTERN_LOCAL_LOCAL_LOCAL_H

#include <pwd.h>

#include "../common/command.h"
#include "../common/mailbox.h"
#include "base/map.h"
#include "ipc/submit.h"
#include "route/route.h"

#define LOCAL_PARAMETERS(X) \
    X(STRING, alias_maps) X(STRING, recipient_delimiter) X(STRING, allow_mail_to_commands) X(STRING, allow_mail_to_files) \
    X(RAW, forward_path) X(STRING, home_mailbox) X(STRING, mail_spool_directory) X(RAW, mailbox_command) X(STRING, mailbox_command_maps) \
    X(STRING, mailbox_transport) X(STRING, mailbox_transport_maps) X(STRING, fallback_transport) X(STRING, fallback_transport_maps) \
    X(RAW, luser_relay) X(STRING, mailbox_delivery_lock) X(STRING, default_privs) X(STRING, local_command_shell) \
    X(STRING, prepend_delivered_header) X(STRING, propagate_unmatched_extensions) X(STRING, export_environment) \
    X(STRING, command_expansion_filter) X(STRING, forward_expansion_filter) X(STRING, execution_directory_expansion_filter) X(RAW, command_execution_directory) \
    X(STRING, myhostname) X(STRING, mail_name) X(STRING, myorigin) X(BOOL, owner_request_special) X(BOOL, expand_owner_alias) \
    X(BOOL, require_home_directory) X(BOOL, biff) X(BOOL, strict_mailbox_ownership) X(BOOL, reset_owner_alias) X(BOOL, enable_original_recipient) \
    X(BOOL, frozen_delivered_to) \
    X(INT, deliver_lock_attempts) X(INT, mailbox_size_limit) X(INT, message_size_limit) X(INT, duplicate_filter_limit) \
    X(TIME, deliver_lock_delay) X(TIME, stale_lock_time) X(TIME, command_time_limit)

struct local_params {
    CONFIG_MEMBERS(LOCAL_PARAMETERS)
    uid_t default_uid;
    gid_t default_gid;
};

/* What an address came out of; decides what it may do and whether it is sent on as a message of its own. */
enum origin { ORIGIN_REQUEST, ORIGIN_ALIAS, ORIGIN_INCLUDE, ORIGIN_FORWARD };

/* The account whose rights are used, and whose .forward is being expanded. */
struct account { const char *name, *home, *shell; uid_t uid; gid_t gid; bool exists; };

/* One address on its way through aliases and .forward files. */
struct target {
    struct slice address;    /* external form */
    struct slice local;      /* internal local part, lower case */
    struct slice user;       /* local without extension */
    struct slice extension;  /* without delimiter; empty: none */
    enum origin origin;
    bool no_aliases;         /* "\name": straight to the mailbox */
    bool no_forward;
    const struct account *owner; /* the .forward file's user; NULL: none */
    bool resubmit;           /* members of an alias with an owner- */
    struct account rights;   /* for files and commands */
    struct slice own_alias;  /* the alias being expanded: its own name is not expanded again */
    int level;
};

/* A new message to be sent on: all addresses with one sender. */
struct forward { struct slice sender; struct slice *addresses; size_t count; struct slice report_address; };

/* One recipient of a delivery request. */
struct job {
    const struct local_params *params;
    struct route *route;
    struct delivery *delivery;
    size_t recipient;         /* place in the delivery */
    struct arena *arena;
    struct slice delivered;   /* Delivered-To */
    struct slice sender;      /* may become owner-name */
    struct slice *delivered_headers; /* Delivered-To headers of the message */
    size_t delivered_count;
    struct map *done;         /* duplicates */
    struct forward forwards[16];
    size_t forward_count;
    struct account account;   /* found last */
    bool probe;               /* only find out */
    bool address_probe;       /* ... whether there is such an address: what it expands to does not matter */
    bool deferred;            /* some result was */
    bool expanded;            /* the sender's wish to hear of success ended with an alias or a .forward file (RFC 3461 5.2.7) */
};

extern struct table_list *local_alias_maps, *local_mailbox_transport_maps, *local_fallback_transport_maps, *local_mailbox_command_maps;
extern struct submit_pool *local_cleanup;

/* target.c - one address: aliases, .forward, mailbox, or nobody. */
void target_deliver(struct job *job, struct target *target);
/* target_init - split an address (external form) for delivery. */
void target_init(struct job *job, struct target *target, struct slice address);
/* alias.c - true when there is an alias (then everything about it is done). */
bool alias_deliver(struct job *job, struct target *target);
/* dotforward.c - the same for ~/.forward. */
bool dotforward_deliver(struct job *job, struct target *target, const struct account *account);
/* members.c - deliver to the items of an alias, an include file or a .forward file; in_file: newlines separate too. */
size_t members_deliver(struct job *job, const struct target *parent, struct slice text, bool in_file);
/* last.c - files, commands, mailboxes. */
void last_file(struct job *job, const struct target *target, const char *path);
void last_command(struct job *job, const struct target *target, const char *text, bool mailbox_command, const struct account *account);
void last_mailbox(struct job *job, struct target *target);
void last_unknown(struct job *job, struct target *target);
/* pass.c - hand the recipient to another transport ("transport:nexthop"). */
void pass_on(struct job *job, const struct target *target, struct slice transport_and_next_hop);
/* forward.c - collect and send on; due: behind the outermost of nested aliases and .forward files, so that one message goes to all, and where
   Delivered-To is about to change. */
void forward_add(struct job *job, struct slice address);
bool forward_is_due(const struct job *job, const struct target *target);
void forward_flush(struct job *job);
/* owner.c - a failure within a list with an owner: tells the owner, logs it, and settles the recipient; false: not such a list, or the owner could not be told.
   Waits. */
bool owner_hears(struct job *job, struct slice address, const struct delivery_status *status);
/* report.c - results; address: the final one. */
void report(struct job *job, struct slice address, const struct delivery_status *status);
void report_format(struct job *job, struct slice address, int outcome, const char *code, const char *format, ...) PRINTF_LIKE(5, 6);
/* report_expansion_begin - the recipient turns out to be several: whoever wanted to hear of success hears of that, not of the members; true when this
   is where it happens.  report_expansion_end - when all members were tried; action: "expanded" or, of a list with an owner, "delivered". */
bool report_expansion_begin(struct job *job);
void report_expansion_end(struct job *job, struct slice address, const char *action);
/* seen - true when this was delivered to already within the request (and notes it). */
bool seen(struct job *job, const char *kind, struct slice what, uid_t uid);
/* account_find - 1 found, 0 no such user, -1 cannot tell now. */
int account_find(struct job *job, struct slice user, struct account *account);
/* macro_expand - $user $home $shell $recipient $extension $domain $local $recipient_delimiter in raw parameters; bytes outside filter become "_".
   NULL when a macro in it is unknown; *undefined tells that a macro without value was used. */
char *macro_expand(struct job *job, const struct target *target, const struct account *account, const char *text, const char *filter, bool *undefined);

#endif
