/* verp.c - variable envelope return paths */
#include "verp.h"

#include "address/mail_address.h"

struct slice verp_sender(struct slice delimiters, struct slice sender, struct slice recipient, struct arena *arena)
{
    struct mail_address from, to;
    if (delimiters.len != 2 || sender.len == 0)
        return sender;
    mail_address_split(sender, arena, &from);
    mail_address_split(recipient, arena, &to);
    struct slice local = arena_format(arena, SLICE_FORMAT "%c" SLICE_FORMAT, SLICE_ARGS(from.local_part), delimiters.data[0], SLICE_ARGS(to.local_part));
    if (to.domain.len)
        local = arena_format(arena, SLICE_FORMAT "%c" SLICE_FORMAT, SLICE_ARGS(local), delimiters.data[1], SLICE_ARGS(to.domain));
    return mail_address_join(local, from.domain, arena);
}
