/* target.c - one address on its way: loop check, aliases, .forward, mailbox (compat.md g.2) */
#include "local.h"

#include "address/mail_address.h"
#include "base/log.h"
#include "table/address_lookup.h"

#define LEVEL_MAX 100

void target_init(struct job *job, struct target *target, struct slice address)
{
    struct mail_address parts;
    struct slice user, extension;

    mail_address_split(address, job->arena, &parts);
    target->address = address;
    target->local = arena_lower(job->arena, parts.local_part); /* mailboxes, aliases and .forward+Ext know no case */
    address_split_extension(target->local, slice_of(job->params->recipient_delimiter), job->params->owner_request_special, &user, &extension);
    target->user = user;
    target->extension = slice_from(extension, 1);
    if (slice_find(target->extension, '/') < target->extension.len) {
        log_warning(SLICE_FORMAT ": address with illegal extension: " SLICE_FORMAT, SLICE_ARGS(job->delivery->request->envelope.queue_id),
                    SLICE_ARGS(target->local));
        target->extension = (struct slice){0};
        target->local = target->user;
    }
}

static bool loops(const struct job *job, struct slice address)
{
    for (size_t i = 0; i < job->delivered_count; i++)
        if (slice_equal_case(job->delivered_headers[i], address))
            return true;
    return false;
}

/* belongs_elsewhere - what a .forward file, an include file or a list with an owner names is sent on as a message of its own, so that the other user's
   files are used with that user's rights and trouble goes to the owner. */
static bool belongs_elsewhere(const struct target *target)
{
    if (target->origin == ORIGIN_REQUEST)
        return false;
    if (target->resubmit || target->origin == ORIGIN_INCLUDE)
        return true;
    return target->owner != NULL && !slice_equal(slice_of(target->owner->name), target->user);
}

static void deliver_to_user(struct job *job, struct target *target)
{
    struct account account;
    int found = account_find(job, target->user, &account);

    if (found < 0) {
        report_format(job, target->address, OUTCOME_DEFERRED, "4.0.0", "user lookup error");
        return;
    }
    if (found > 0 && job->params->require_home_directory && access(account.home, F_OK) < 0) {
        report_format(job, target->address, OUTCOME_DEFERRED, "4.3.0", "cannot access home directory %s: %s", account.home, strerror(errno));
        return;
    }
    if (found > 0 && !target->no_forward && dotforward_deliver(job, target, &account))
        return;
    last_mailbox(job, target);
}

void target_deliver(struct job *job, struct target *target)
{
    if (target->level > LEVEL_MAX) {
        log_warning("alias database loop for " SLICE_FORMAT, SLICE_ARGS(target->local));
        report_format(job, target->address, OUTCOME_BOUNCED, "5.4.6", "alias database loop for " SLICE_FORMAT, SLICE_ARGS(target->local));
        return;
    }
    if (loops(job, target->address)) {
        report_format(job, target->address, OUTCOME_BOUNCED, "5.4.6", "mail forwarding loop for " SLICE_FORMAT, SLICE_ARGS(target->address));
        return;
    }
    if (target->user.len == 0) {
        report_format(job, target->address, OUTCOME_BOUNCED, "5.1.3", "null username in \"" SLICE_FORMAT "\"", SLICE_ARGS(target->address));
        return;
    }
    if (!target->no_aliases && alias_deliver(job, target))
        return;
    if (belongs_elsewhere(target)) {
        forward_add(job, target->address);
        return;
    }
    deliver_to_user(job, target);
}
