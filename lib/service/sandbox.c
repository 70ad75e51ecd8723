/* sandbox.c - giving up rights: user, root directory, system calls */
#include <grp.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "service/sandbox.h"
#include "service/service.h"

bool sandbox_owner_find(struct config *config, struct sandbox_owner *owner)
{
    const struct passwd *entry = getpwnam(config_string(config, "mail_owner"));
    if (!entry)
        return false;
    owner->uid = entry->pw_uid;
    owner->gid = entry->pw_gid;
    owner->group_count = COUNT_OF(owner->groups);
    if (getgrouplist(entry->pw_name, entry->pw_gid, owner->groups, &owner->group_count) < 0) {
        log_warning("user %s is in more than %d groups: the first of them count", entry->pw_name, SANDBOX_GROUPS_MAX);
        owner->group_count = COUNT_OF(owner->groups);
    }
    return true;
}

void sandbox_chroot(void)
{
    tzset(); /* the zone's file is out of reach afterwards */
    if (chroot(".") < 0 || chdir("/") < 0)
        log_fatal("chroot: %s", strerror(errno));
}

void sandbox_drop(const struct sandbox_owner *owner)
{
    if (setgroups((size_t)owner->group_count, owner->groups) < 0 || setresgid(owner->gid, owner->gid, owner->gid) < 0
        || setresuid(owner->uid, owner->uid, owner->uid) < 0)
        log_fatal("cannot become user %u: %s", (unsigned)owner->uid, strerror(errno));
    if (owner->uid != 0 && seteuid(0) == 0)
        log_fatal("root rights were not given up");
}

/* ---- switching users in one-client services ----------------------------------------------------------------------- */

int service_become(uid_t uid, gid_t gid)
{
    if (getuid() != 0)
        return 0;
    if (seteuid(0) < 0 || setgroups(1, &gid) < 0 || setegid(gid) < 0 || seteuid(uid) < 0)
        return -1;
    return 0;
}

void service_become_root(void)
{
    gid_t root = 0;
    if (getuid() != 0)
        return;
    if (seteuid(0) < 0 || setegid(0) < 0 || setgroups(1, &root) < 0)
        log_fatal("cannot become root again: %s", strerror(errno));
}

/* ---- Landlock ----------------------------------------------------------------------------------------------------- */

bool sandbox_has_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

/* no_paths - a ruleset without rules: what it handles is refused everywhere.  Only rights of the first version, known to every kernel
   that has Landlock; seccomp refuses the rest. */
static bool no_paths(void)
{
    struct landlock_ruleset_attr attributes = {.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
    int fd = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
    if (fd < 0)
        return errno == ENOSYS || errno == EOPNOTSUPP;
    bool ok = syscall(SYS_landlock_restrict_self, fd, 0) == 0;
    close(fd);
    return ok;
}

/* ---- seccomp ------------------------------------------------------------------------------------------------------ */

static const char *const denied_calls[] = {
    "open", "openat", "openat2", "creat", "open_by_handle_at", "name_to_handle_at", "execve", "execveat", "fork", "vfork", "ptrace",
    "process_vm_readv", "process_vm_writev", "pidfd_getfd", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat",
    "symlink", "symlinkat", "mkdir", "mkdirat", "rmdir", "mknod", "mknodat", "chmod", "fchmodat", "chown", "lchown", "fchownat", "truncate",
    "mount", "umount2", "move_mount", "open_tree", "fsopen", "fsmount", "pivot_root", "chroot", "setns", "unshare", "bpf", "userfaultfd",
    "perf_event_open", "keyctl", "add_key", "request_key", "io_uring_setup", "io_uring_enter", "io_uring_register", "init_module",
    "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "setuid", "setgid", "setresuid",
    "setresgid", "setreuid", "setregid", "setgroups", "memfd_create",
};

bool sandbox_has_seccomp(void)
{
    return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
}

/* no_calls - threads may still be made: clone is refused only without CLONE_THREAD, and clone3, whose flags cannot be looked at, is
   said not to exist, so that the C library takes clone. */
static bool no_calls(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter)
        return false;
    bool ok = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) == 0;
    for (size_t i = 0; i < COUNT_OF(denied_calls); i++) {
        int number = seccomp_syscall_resolve_name(denied_calls[i]);
        if (number != __NR_SCMP_ERROR)
            ok &= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), number, 0) == 0;
    }
    ok &= seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
    ok &= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                           SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0)) == 0;
    ok &= seccomp_load(filter) == 0;
    seccomp_release(filter);
    return ok;
}

#if defined(__SANITIZE_ADDRESS__)
/* The sanitizers' reports start a symbolizer and trace the process. */
enum { SANDBOX_POSSIBLE = false };
#else
enum { SANDBOX_POSSIBLE = true };
#endif

void sandbox_no_files(void)
{
    if (!SANDBOX_POSSIBLE)
        return;
    tzset();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        log_warning("no_new_privs: %s", strerror(errno));
    if (!no_paths())
        log_warning("Landlock is not active: %s", strerror(errno));
    if (!no_calls())
        log_warning("seccomp is not active: %s", strerror(errno));
}
