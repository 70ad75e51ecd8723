/* deliver.c - one recipient of virtual(8): its mailbox, whose it is, and into it (compat.md g.3) */
#include "../common/mailbox.h"

#include "address/mail_address.h"
#include "base/log.h"
#include "virtual.h"

static void misconfigured(struct delivery *delivery, size_t recipient)
{
    delivery_result_format(delivery, recipient, OUTCOME_DEFERRED, "4.3.5", "virtual", "mail system configuration error");
}

/* find_id - a uid or gid for the recipient; false (recipient settled) when there is none that may be used. */
static bool find_id(const struct virtual *v, struct delivery *delivery, size_t recipient, struct table_list *maps, const char *name, const char *parameter, int64_t minimum, int64_t *id)
{
    struct slice address = delivery->recipients[recipient].address;
    struct buffer value = BUFFER_INIT;
    enum table_result result = address_lookup(maps, &v->keys, address, ADDRESS_KEY_ALL & ~ADDRESS_KEY_LOCAL, &value, NULL, NULL);
    bool good = false;

    if (result == TABLE_TRY_AGAIN)
        log_warning("recipient " SLICE_FORMAT ": %s lookup error", SLICE_ARGS(address), parameter);
    else if (result == TABLE_NOT_FOUND)
        log_warning("recipient " SLICE_FORMAT ": not found in %s", SLICE_ARGS(address), parameter);
    else if (!slice_to_i64(slice_trim(buffer_slice(&value)), id) || *id < minimum || *id > UINT32_MAX - 1)
        log_warning("recipient " SLICE_FORMAT ": bad %s %s in %s", SLICE_ARGS(address), name, buffer_string(&value), parameter);
    else
        good = true;
    buffer_release(&value);
    if (!good)
        misconfigured(delivery, recipient);
    return good;
}

static void prepare_copy(const struct virtual *v, struct delivery *delivery, size_t recipient, bool maildir, struct copy *copy)
{
    const struct recipient *to = &delivery->recipients[recipient];

    *copy = (struct copy){.delivery = delivery, .flags = COPY_RETURN_PATH | COPY_DELIVERED_TO, .sender = delivery->request->envelope.sender,
                          .delivered_to = to->address, .end_of_line = SLICE("\n")};
    if (v->params.enable_original_recipient) {
        copy->flags |= COPY_ORIGINAL_TO;
        copy->original_to = recipient_original(to);
    }
    if (!maildir)
        copy->flags |= COPY_FROM_LINE | COPY_QUOTE_FROM | COPY_EMPTY_LINE;
}

static void deliver_to(const struct virtual *v, struct delivery *delivery, size_t recipient, const char *path, uid_t uid, gid_t gid)
{
    struct mailbox_settings settings = {v->params.virtual_mailbox_lock, v->params.deliver_lock_attempts, v->params.deliver_lock_delay, v->params.stale_lock_time,
                                        v->params.virtual_mailbox_limit, v->params.strict_mailbox_ownership};
    struct delivery_status status = {0};
    bool maildir = path[strlen(path) - 1] == '/';
    struct copy copy;

    if (delivery->request->flags & DELIVERY_PROBE) {
        delivery_result_format(delivery, recipient, OUTCOME_SENT, "2.0.0", "virtual", "delivers to %s", maildir ? "maildir" : "mailbox");
        return;
    }
    prepare_copy(v, delivery, recipient, maildir, &copy);
    if (service_become(uid, gid) < 0) {
        log_warning("cannot switch to uid %ld gid %ld", (long)uid, (long)gid);
        misconfigured(delivery, recipient);
        return;
    }
    if (maildir) {
        copy.last = true;
        maildir_deliver(&copy, path, "4.2.0", &status);
    } else {
        struct mbox mbox = {.path = path, .user = "", .owner = uid, .virtual_style = true, .chown_to = (uid_t)-1};
        mbox_deliver(&copy, &mbox, &settings, &status);
    }
    service_become_root();
    status.relay = "virtual";
    status.action = status.outcome == OUTCOME_SENT ? "delivered" : NULL;
    delivery_result(delivery, recipient, &status);
}

void virtual_deliver(const struct virtual *v, struct delivery *delivery, size_t recipient)
{
    struct slice address = delivery->recipients[recipient].address;
    struct buffer value = BUFFER_INIT;
    int64_t uid = 0, gid = 0;
    enum table_result result = address_lookup(v->mailbox_maps, &v->keys, address, ADDRESS_KEY_ALL & ~ADDRESS_KEY_LOCAL, &value, NULL, NULL);

    if (result == TABLE_TRY_AGAIN) {
        log_warning("table %s: lookup error for " SLICE_FORMAT, v->params.virtual_mailbox_maps, SLICE_ARGS(address));
        misconfigured(delivery, recipient);
    } else if (result == TABLE_NOT_FOUND) {
        delivery_result_format(delivery, recipient, OUTCOME_BOUNCED, "5.1.1", "virtual", "unknown user: \"" SLICE_FORMAT "\"",
                               SLICE_ARGS(mail_address_internal(address, delivery->arena)));
    } else if (v->params.virtual_mailbox_base[0] == '\0') {
        log_warning("virtual_mailbox_base is empty: do not specify mailboxes without a base directory");
        misconfigured(delivery, recipient);
    } else if (find_id(v, delivery, recipient, v->uid_maps, "uid", "virtual_uid_maps", v->params.virtual_minimum_uid, &uid) &&
               find_id(v, delivery, recipient, v->gid_maps, "gid", "virtual_gid_maps", 1, &gid)) {
        const char *path = arena_printf(delivery->arena, "%s/%s", v->params.virtual_mailbox_base, buffer_string(&value));
        deliver_to(v, delivery, recipient, path, (uid_t)uid, (gid_t)gid);
    }
    buffer_release(&value);
}
