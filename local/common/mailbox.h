/* mailbox.h - appending to an mbox file, adding to a Maildir (compat.md g.2) */
#ifndef POSTERN_LOCAL_COMMON_MAILBOX_H
#define POSTERN_LOCAL_COMMON_MAILBOX_H

#include "copy.h"

struct mailbox_settings {
    const char *lock_list;       /* mailbox_delivery_lock: "fcntl, dotlock" */
    int64_t lock_attempts;       /* deliver_lock_attempts */
    int64_t lock_delay;          /* microseconds */
    int64_t stale_lock_time;     /* microseconds */
    int64_t size_limit;          /* 0: none */
    bool strict_ownership;
};

/* How a delivery to a file ended: *status gets outcome, status, reason, diagnostic (memory of the delivery's arena).  The caller has the identity with
   which files are to be written. owner: uid that a new or existing mailbox must have (for strict ownership). */

/* maildir_deliver - directory ends in "/" or not; missing cur, new, tmp (and the directory) are made with mode 0700.
   default_code: status of failures that are not known to pass (local "5.2.0", virtual "4.2.0"). */
void maildir_deliver(const struct copy *copy, const char *directory, const char *default_code, struct delivery_status *status);
/* mbox_deliver - path of the file; user is the name in messages; prefix of failure texts depends on virtual_style: "cannot update mailbox F for user U. ..."
   (local) or "delivery failed to mailbox F: ..." (virtual). */
struct mbox {
    const char *path, *user;
    uid_t owner;
    bool virtual_style;
    bool to_file;        /* "/file" of an alias: executable files are refused */
    uid_t chown_to;      /* when created by root: (uid_t)-1 none */
    gid_t chown_group;
    int64_t *appended_at; /* where the message begins in the file, when it was delivered; NULL: nobody asks */
};
void mbox_deliver(const struct copy *copy, const struct mbox *mbox, const struct mailbox_settings *settings, struct delivery_status *status);

#endif
