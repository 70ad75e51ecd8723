/* main.c - virtual(8): mailboxes of virtual_mailbox_domains, owned by numeric ids from tables (compat.md g.3) */
#include "base/log.h"
#include "virtual.h"

#define CONFIG_STRUCT struct virtual_params
static const struct config_binding bindings[] = {CONFIG_BINDINGS(VIRTUAL_PARAMETERS)};
static struct virtual virtual;

static void open_service(struct service_context *context)
{
    int paranoid = TABLE_NO_SUBSTITUTION | TABLE_PARANOID;

    config_fill(context->config, bindings, COUNT_OF(bindings), &virtual.params);
    if (virtual.params.virtual_mailbox_limit > 0 && virtual.params.message_size_limit > virtual.params.virtual_mailbox_limit)
        log_fatal("main.cf configuration error: virtual_mailbox_limit is smaller than message_size_limit");
    virtual.mailbox_maps = table_list_new("virtual_mailbox_maps", virtual.params.virtual_mailbox_maps, paranoid, context->config);
    virtual.uid_maps = table_list_new("virtual_uid_maps", virtual.params.virtual_uid_maps, paranoid, context->config);
    virtual.gid_maps = table_list_new("virtual_gid_maps", virtual.params.virtual_gid_maps, paranoid, context->config);
    virtual.keys = (struct address_keys){.delimiters = slice_of(virtual.params.recipient_delimiter), .owner_request_special = virtual.params.owner_request_special};
}

static void deliver(struct delivery *delivery)
{
    delivery->connected_time = delivery->agent_time;
    for (size_t i = 0; i < delivery->recipient_count; i++)
        virtual_deliver(&virtual, delivery, i);
}

int main(int argc, char **argv)
{
    static const struct agent agent = {.service = {.name = "virtual", .flags = SERVICE_PRIVILEGED, .open = open_service}, .deliver = deliver};

    return agent_main(argc, argv, &agent);
}
