/* last.c - the end of the way: files, commands, mailboxes, and users nobody knows */
#include "local.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "address/mail_address.h"
#include "base/log.h"

enum { BIFF_PORT = 512 };

/* original_address - what X-Original-To and ORIGINAL_RECIPIENT say; nothing when a list's owner is the sender now. */
static struct slice original_address(const struct job *job)
{
    const struct recipient *recipient = &job->delivery->recipients[job->recipient];

    if (!slice_equal(job->sender, job->delivery->request->envelope.sender))
        return (struct slice){0};
    return recipient_original(recipient);
}

static void copy_init(const struct job *job, const char *kind, int flags, struct copy *copy)
{
    *copy = (struct copy){.delivery = job->delivery, .flags = flags | COPY_RETURN_PATH, .sender = job->sender, .end_of_line = SLICE("\n")};
    if (config_list_has(job->params->prepend_delivered_header, kind)) {
        copy->flags |= COPY_DELIVERED_TO;
        copy->delivered_to = job->delivered;
    }
    if (job->params->enable_original_recipient) {
        copy->flags |= COPY_ORIGINAL_TO;
        copy->original_to = original_address(job);
    }
}

static struct mailbox_settings settings(const struct job *job)
{
    const struct local_params *p = job->params;

    return (struct mailbox_settings){p->mailbox_delivery_lock, p->deliver_lock_attempts, p->deliver_lock_delay, p->stale_lock_time, p->mailbox_size_limit,
                                     p->strict_mailbox_ownership};
}

static bool is_maildir(const char *path)
{
    return path[0] != '\0' && path[strlen(path) - 1] == '/';
}

/* become_or_defer - take on an identity for writing files. */
static bool become_or_defer(struct job *job, struct slice address, uid_t uid, gid_t gid)
{
    if (service_become(uid, gid) == 0)
        return true;
    report_format(job, address, OUTCOME_DEFERRED, "4.3.0", "cannot switch to user id %ld", (long)uid);
    return false;
}

/* ---- /file ---- */

void last_file(struct job *job, const struct target *target, const char *path)
{
    struct delivery_status status = {0};
    struct copy copy;
    uid_t uid = target->rights.uid != 0 ? target->rights.uid : job->params->default_uid;
    gid_t gid = target->rights.uid != 0 ? target->rights.gid : job->params->default_gid;

    if (seen(job, "file", slice_of(path), uid))
        return;
    if (job->probe) {
        report_format(job, target->address, OUTCOME_SENT, "2.0.0", "delivers to file: %s", path);
        return;
    }
    copy_init(job, "file", is_maildir(path) ? 0 : COPY_FROM_LINE | COPY_QUOTE_FROM | COPY_EMPTY_LINE, &copy);
    if (!become_or_defer(job, target->address, uid, gid))
        return;
    struct mailbox_settings how = settings(job);
    if (is_maildir(path)) {
        maildir_deliver(&copy, path, "5.2.0", &status);
    } else {
        struct mbox mbox = {.path = path, .user = "", .owner = uid, .to_file = true, .chown_to = (uid_t)-1};
        mbox_deliver(&copy, &mbox, &how, &status);
    }
    service_become_root();
    report(job, target->address, &status);
}

/* ---- |command ---- */

static void command_environment(struct job *job, const struct target *target, const struct account *account, struct environment *environment)
{
    const struct account *who = account != NULL && account->name != NULL ? account : NULL;
    struct slice name = who != NULL ? slice_of(who->name) : target->user;

    environment_init(environment, job->arena, job->params->command_expansion_filter);
    environment_add_standard(environment, job->delivery, job->params->export_environment, job->sender, target->address,
                             original_address(job));
    environment_set(environment, "LOCAL", target->local);
    environment_set(environment, "EXTENSION", target->extension);
    environment_set(environment, "USER", name);
    environment_set(environment, "LOGNAME", name);
    if (who != NULL) {
        environment_set(environment, "HOME", slice_of(who->home));
        environment_set(environment, "SHELL", slice_of(who->shell));
    }
}

void last_command(struct job *job, const struct target *target, const char *text, bool mailbox_command, const struct account *account)
{
    struct delivery_status status = {0};
    struct environment environment;
    struct target shown = *target;
    struct copy copy;
    uid_t uid = target->rights.uid != 0 ? target->rights.uid : job->params->default_uid;
    gid_t gid = target->rights.uid != 0 ? target->rights.gid : job->params->default_gid;

    if (seen(job, "command", slice_of(text), uid))
        return;
    if (job->probe) {
        report_format(job, target->address, OUTCOME_SENT, "2.0.0", "delivers to command: %s", text);
        return;
    }
    if (!mailbox_command)
        target_init(job, &shown, target->address);
    copy_init(job, "command", COPY_FROM_LINE, &copy);
    command_environment(job, &shown, account, &environment);
    struct command command = {.text = text, .shell = job->params->local_command_shell, .environment = environment_list(&environment), .uid = uid,
                              .gid = gid, .time_limit = job->params->command_time_limit, .running_as_root = job->delivery->context->running_as_root};
    if (job->params->command_execution_directory[0] != '\0') {
        bool undefined = false; /* an alias has no $home: the queue directory */
        command.directory = macro_expand(job, &shown, account, job->params->command_execution_directory, job->params->execution_directory_expansion_filter, &undefined);
        if (undefined || command.directory == NULL || command.directory[0] == '\0')
            command.directory = NULL;
    }
    command_run(&copy, &command, arena_format(job->arena, "delivered to command: %s", text), NULL, &status);
    report(job, target->address, &status);
}

/* ---- mailboxes ---- */

static void to_maildir(struct job *job, const struct target *target, const char *path, const struct account *account, struct delivery_status *status)
{
    struct copy copy;

    copy_init(job, "file", 0, &copy);
    copy.last = target->origin == ORIGIN_REQUEST && target->level == 0;
    if (!become_or_defer(job, target->address, account->uid, account->gid))
        return;
    maildir_deliver(&copy, path, "5.2.0", status);
    service_become_root();
}

/* spool_identity - who writes to the mail spool: the recipient where the directory is world writable, the recipient with the directory's group where that
   may write, else root, who gives the file away. */
static __attribute__((noinline)) void spool_identity(const char *path, const struct account *account, struct mbox *mbox, uid_t *uid, gid_t *gid)
{
    char directory[PATH_MAX];
    struct stat info;

    snprintf(directory, sizeof(directory), "%s", path);
    char *slash = strrchr(directory, '/');
    if (slash != NULL)
        *slash = '\0';
    *uid = account->uid;
    *gid = account->gid;
    if (stat(directory, &info) < 0 || (info.st_mode & S_IWOTH))
        return;
    *gid = info.st_gid;
    if (info.st_mode & S_IWGRP)
        return;
    *uid = 0;
    mbox->chown_to = account->uid;
    mbox->chown_group = account->gid;
}

/* notify_biff - tell comsat, which tells the user's terminals, that mail is there: "user@offset" (biff).  Nobody minds when nobody listens. */
static void notify_biff(const char *user, int64_t offset)
{
    struct sockaddr_in comsat = {.sin_family = AF_INET, .sin_port = htons(BIFF_PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char text[256];
    int length = snprintf(text, sizeof(text), "%s@%lld", user, (long long)offset);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || length >= (int)sizeof(text) ||
        (sendto(fd, text, (size_t)length + 1, 0, (struct sockaddr *)&comsat, sizeof(comsat)) < 0 && errno != ECONNREFUSED))
        log_debug("biff: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
}

static void to_mbox(struct job *job, const struct target *target, const char *path, bool in_home, const struct account *account,
                    struct delivery_status *status)
{
    int64_t offset = 0;
    struct mbox mbox = {.path = path, .user = account->name, .owner = account->uid, .chown_to = (uid_t)-1, .appended_at = &offset};
    struct mailbox_settings how = settings(job);
    struct copy copy;
    uid_t uid = account->uid;
    gid_t gid = account->gid;

    if (!in_home)
        spool_identity(path, account, &mbox, &uid, &gid);
    copy_init(job, "file", COPY_FROM_LINE | COPY_QUOTE_FROM | COPY_EMPTY_LINE, &copy);
    if (uid != 0 && !become_or_defer(job, target->address, uid, gid))
        return;
    mbox_deliver(&copy, &mbox, &how, status);
    service_become_root();
    if (job->params->biff && status->outcome == OUTCOME_SENT)
        notify_biff(account->name, offset);
}

static void to_mailbox(struct job *job, struct target *target, const struct account *account)
{
    const char *home_mailbox = job->params->home_mailbox;
    struct delivery_status status = {0};
    const char *path;

    if (home_mailbox[0] != '\0')
        path = arena_printf(job->arena, "%s/%s", account->home, home_mailbox);
    else
        path = arena_printf(job->arena, "%s/%s", job->params->mail_spool_directory, account->name);
    if (home_mailbox[0] == '\0' && is_maildir(job->params->mail_spool_directory))
        path = arena_printf(job->arena, "%s%s/", job->params->mail_spool_directory, account->name);
    if (job->probe)
        status = (struct delivery_status){.outcome = OUTCOME_SENT, .status = "2.0.0",
                                          .reason = is_maildir(path) ? SLICE("delivers to maildir") : SLICE("delivers to mailbox")};
    else if (is_maildir(path))
        to_maildir(job, target, path, account, &status);
    else
        to_mbox(job, target, path, home_mailbox[0] != '\0', account, &status);
    if (status.outcome != 0) /* 0: reported already */
        report(job, target->address, &status);
}

/* special_command - mailbox_command_maps, then mailbox_command. */
static const char *special_command(struct job *job, const struct target *target, bool *failed)
{
    struct buffer value = BUFFER_INIT;
    enum table_result result = table_list_lookup(local_mailbox_command_maps, target->user, true, &value);
    const char *text = job->params->mailbox_command;

    if (result == TABLE_FOUND)
        text = arena_string(job->arena, buffer_slice(&value));
    *failed = result == TABLE_TRY_AGAIN;
    buffer_release(&value);
    return text;
}

static void to_account(struct job *job, struct target *target, const struct account *account)
{
    bool failed = false;
    const char *text = special_command(job, target, &failed);

    if (failed) {
        report_format(job, target->address, OUTCOME_DEFERRED, "4.3.0", "table lookup failure");
    } else if (text[0] != '\0') {
        target->rights = *account;
        last_command(job, target, text, true, account); /* $NAME is the shell's: nothing is substituted here */
    } else {
        to_mailbox(job, target, account);
    }
}

/* passed_by_map - X_transport_maps (key: the bare user), then X_transport.  True when the recipient was handed over. */
static bool passed(struct job *job, struct target *target, struct table_list *maps, const char *transport)
{
    struct buffer value = BUFFER_INIT;
    enum table_result result = table_list_lookup(maps, target->user, true, &value);
    struct slice to = result == TABLE_FOUND ? arena_slice(job->arena, buffer_slice(&value)) : slice_of(transport);

    buffer_release(&value);
    if (result == TABLE_TRY_AGAIN) {
        report_format(job, target->address, OUTCOME_DEFERRED, "4.3.0", "table lookup failure");
        return true;
    }
    if (to.len == 0)
        return false;
    pass_on(job, target, to);
    return true;
}

void last_mailbox(struct job *job, struct target *target)
{
    struct account account;

    if (seen(job, "mailbox", target->user, 0))
        return;
    if (passed(job, target, local_mailbox_transport_maps, job->params->mailbox_transport))
        return;
    int found = account_find(job, target->user, &account);
    if (found < 0)
        report_format(job, target->address, OUTCOME_DEFERRED, "4.0.0", "user lookup error");
    else if (found == 0)
        last_unknown(job, target);
    else
        to_account(job, target, &account);
}

/* ---- nobody ---- */

static void to_luser(struct job *job, struct target *target)
{
    char *relay = macro_expand(job, target, NULL, job->params->luser_relay, NULL, NULL);
    struct target member = {.origin = ORIGIN_REQUEST, .level = target->level + 1, .address = target->address};

    if (relay == NULL || relay[0] == '|' || relay[0] == '/') {
        report_format(job, target->address, OUTCOME_DEFERRED, "4.3.5", "mail system configuration error");
        return;
    }
    members_deliver(job, &member, slice_of(relay), false);
    forward_flush(job);
}

void last_unknown(struct job *job, struct target *target)
{
    if (passed(job, target, local_fallback_transport_maps, job->params->fallback_transport))
        return;
    if (job->params->luser_relay[0] != '\0') {
        to_luser(job, target);
    } else if (slice_equal(target->user, SLICE("postmaster")) || slice_equal(target->user, SLICE("mailer-daemon"))) {
        log_warning("required alias not found: " SLICE_FORMAT, SLICE_ARGS(target->user));
        report_format(job, target->address, OUTCOME_SENT, "2.0.0", "discarded");
    } else {
        report_format(job, target->address, OUTCOME_BOUNCED, "5.1.1", "unknown user: \"" SLICE_FORMAT "\"", SLICE_ARGS(target->user));
    }
}
