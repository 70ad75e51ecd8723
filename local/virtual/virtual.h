/* virtual.h - inside virtual(8) */
#ifndef POSTERN_LOCAL_VIRTUAL_VIRTUAL_H
#define POSTERN_LOCAL_VIRTUAL_VIRTUAL_H

#include "service/agent.h"
#include "table/address_lookup.h"

#define VIRTUAL_PARAMETERS(X) \
    X(STRING, virtual_mailbox_maps) X(STRING, virtual_uid_maps) X(STRING, virtual_gid_maps) X(STRING, virtual_mailbox_base) \
    X(STRING, virtual_mailbox_lock) X(STRING, recipient_delimiter) X(STRING, prepend_delivered_header) X(BOOL, strict_mailbox_ownership) \
    X(BOOL, owner_request_special) X(BOOL, enable_original_recipient) X(INT, virtual_mailbox_limit) X(INT, virtual_minimum_uid) \
    X(INT, deliver_lock_attempts) X(INT, message_size_limit) X(TIME, deliver_lock_delay) X(TIME, stale_lock_time)

struct virtual_params { CONFIG_MEMBERS(VIRTUAL_PARAMETERS) };

/* What virtual(8) works with. */
struct virtual {
    struct virtual_params params;
    struct table_list *mailbox_maps, *uid_maps, *gid_maps;
    struct address_keys keys;
};

/* virtual_deliver - one recipient: settled afterwards. */
void virtual_deliver(const struct virtual *v, struct delivery *delivery, size_t recipient);

#endif
