/* main.c - virtual(8): mailboxes of virtual_mailbox_domains, owned by numeric ids from tables (compat.md g.3) */
#include "../common/mailbox.h"

#include "address/mail_address.h"
#include "base/log.h"
#include "table/address_lookup.h"

#define VIRTUAL_PARAMETERS(X) \
    X(STRING, virtual_mailbox_maps) X(STRING, virtual_uid_maps) X(STRING, virtual_gid_maps) X(STRING, virtual_mailbox_base) \
    X(STRING, virtual_mailbox_lock) X(STRING, recipient_delimiter) X(STRING, prepend_delivered_header) X(BOOL, strict_mailbox_ownership) \
    X(BOOL, owner_request_special) X(BOOL, enable_original_recipient) X(INT, virtual_mailbox_limit) X(INT, virtual_minimum_uid) \
    X(INT, deliver_lock_attempts) X(INT, message_size_limit) X(TIME, deliver_lock_delay) X(TIME, stale_lock_time)

struct virtual_params { CONFIG_MEMBERS(VIRTUAL_PARAMETERS) };

#define CONFIG_STRUCT struct virtual_params
static const struct config_binding bindings[] = {CONFIG_BINDINGS(VIRTUAL_PARAMETERS)};
static struct virtual_params params;
static struct table_list *mailbox_maps, *uid_maps, *gid_maps;
static struct address_keys keys;

static void open_service(struct service_context *context)
{
    int paranoid = TABLE_NO_SUBSTITUTION | TABLE_PARANOID;

    config_fill(context->config, bindings, COUNT_OF(bindings), &params);
    if (params.virtual_mailbox_limit > 0 && params.message_size_limit > params.virtual_mailbox_limit)
        log_fatal("main.cf configuration error: virtual_mailbox_limit is smaller than message_size_limit");
    mailbox_maps = table_list_new("virtual_mailbox_maps", params.virtual_mailbox_maps, paranoid, context->config);
    uid_maps = table_list_new("virtual_uid_maps", params.virtual_uid_maps, paranoid, context->config);
    gid_maps = table_list_new("virtual_gid_maps", params.virtual_gid_maps, paranoid, context->config);
    keys = (struct address_keys){.delimiters = slice_of(params.recipient_delimiter), .owner_request_special = params.owner_request_special};
}

static void misconfigured(struct delivery *delivery, size_t recipient)
{
    delivery_result_format(delivery, recipient, OUTCOME_DEFERRED, "4.3.5", "virtual", "mail system configuration error");
}

/* find_id - a uid or gid for the recipient; false (recipient settled) when there is none that may be used. */
static bool find_id(struct delivery *delivery, size_t recipient, struct table_list *maps, const char *name, const char *parameter, int64_t minimum, int64_t *id)
{
    struct slice address = delivery->recipients[recipient].address;
    struct buffer value = BUFFER_INIT;
    enum table_result result = address_lookup(maps, &keys, address, ADDRESS_KEY_ALL & ~ADDRESS_KEY_LOCAL, &value, NULL, NULL);
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

static void prepare_copy(struct delivery *delivery, size_t recipient, bool maildir, struct copy *copy)
{
    const struct recipient *to = &delivery->recipients[recipient];

    *copy = (struct copy){.delivery = delivery, .flags = COPY_RETURN_PATH | COPY_DELIVERED_TO, .sender = delivery->request->envelope.sender,
                          .delivered_to = to->address, .end_of_line = SLICE("\n")};
    if (params.enable_original_recipient) {
        copy->flags |= COPY_ORIGINAL_TO;
        copy->original_to = to->original.len > 0 ? to->original : to->address;
    }
    if (!maildir)
        copy->flags |= COPY_FROM_LINE | COPY_QUOTE_FROM | COPY_EMPTY_LINE;
}

static void deliver_to(struct delivery *delivery, size_t recipient, const char *path, uid_t uid, gid_t gid)
{
    struct mailbox_settings settings = {params.virtual_mailbox_lock, params.deliver_lock_attempts, params.deliver_lock_delay, params.stale_lock_time,
                                        params.virtual_mailbox_limit, params.strict_mailbox_ownership};
    struct delivery_status status = {0};
    bool maildir = path[strlen(path) - 1] == '/';
    struct copy copy;

    if (delivery->request->flags & DELIVERY_PROBE) {
        delivery_result_format(delivery, recipient, OUTCOME_SENT, "2.0.0", "virtual", "delivers to %s", maildir ? "maildir" : "mailbox");
        return;
    }
    prepare_copy(delivery, recipient, maildir, &copy);
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

static void deliver_recipient(struct delivery *delivery, size_t recipient)
{
    struct slice address = delivery->recipients[recipient].address;
    struct buffer value = BUFFER_INIT;
    int64_t uid = 0, gid = 0;
    enum table_result result = address_lookup(mailbox_maps, &keys, address, ADDRESS_KEY_ALL & ~ADDRESS_KEY_LOCAL, &value, NULL, NULL);

    if (result == TABLE_TRY_AGAIN) {
        log_warning("table %s: lookup error for " SLICE_FORMAT, params.virtual_mailbox_maps, SLICE_ARGS(address));
        misconfigured(delivery, recipient);
    } else if (result == TABLE_NOT_FOUND) {
        delivery_result_format(delivery, recipient, OUTCOME_BOUNCED, "5.1.1", "virtual", "unknown user: \"" SLICE_FORMAT "\"",
                               SLICE_ARGS(mail_address_internal(address, delivery->arena)));
    } else if (params.virtual_mailbox_base[0] == '\0') {
        log_warning("virtual_mailbox_base is empty: do not specify mailboxes without a base directory");
        misconfigured(delivery, recipient);
    } else if (find_id(delivery, recipient, uid_maps, "uid", "virtual_uid_maps", params.virtual_minimum_uid, &uid) &&
               find_id(delivery, recipient, gid_maps, "gid", "virtual_gid_maps", 1, &gid)) {
        const char *path = arena_printf(delivery->arena, "%s/%s", params.virtual_mailbox_base, buffer_string(&value));
        deliver_to(delivery, recipient, path, (uid_t)uid, (gid_t)gid);
    }
    buffer_release(&value);
}

static void deliver(struct delivery *delivery)
{
    delivery->connected_time = delivery->agent_time;
    for (size_t i = 0; i < delivery->recipient_count; i++)
        deliver_recipient(delivery, i);
}

int main(int argc, char **argv)
{
    static const struct agent agent = {.service = {.name = "virtual", .flags = SERVICE_PRIVILEGED, .open = open_service}, .deliver = deliver};

    return agent_main(argc, argv, &agent);
}
