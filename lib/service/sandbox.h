/* sandbox.h - giving up rights: user, root directory, system calls */
#ifndef POSTERN_SERVICE_SANDBOX_H
#define POSTERN_SERVICE_SANDBOX_H

#include "conf/config.h"

enum { SANDBOX_GROUPS_MAX = 256 };

struct sandbox_owner {
    uid_t uid;
    gid_t gid;
    gid_t groups[SANDBOX_GROUPS_MAX]; /* gid among them: how an administrator lets the mail system reach the sockets of others */
    int group_count;
};

/* sandbox_owner_find - ids and groups of mail_owner.  False when there is no such user. */
bool sandbox_owner_find(struct config *config, struct sandbox_owner *owner);
/* sandbox_chroot - to the present directory (queue_directory).  sandbox_drop - become the owner for good, with his groups.
   Fatal when refused. */
void sandbox_chroot(void);
void sandbox_drop(const struct sandbox_owner *owner);
/* sandbox_no_files - from now on no thread of this process opens, makes or removes files, starts processes or traces others: seccomp
   (EPERM) and, where the kernel has it, Landlock.  Open descriptors, memory, threads, clocks and sockets go on working.  Where the kernel
   refuses, a warning says so and the process goes on.  To be called before threads exist (Landlock covers only the caller's later ones). */
void sandbox_no_files(void);
/* sandbox_features - what this kernel offers, for `postfix check`. */
bool sandbox_has_seccomp(void);
bool sandbox_has_landlock(void);

#endif
