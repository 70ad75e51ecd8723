/* extract.c - recipients from message headers: sendmail -t */
#include "address/mail_address.h"
#include "sendmail.h"

enum { ADDRESSES_MAX = 10240 /* header_address_token_limit */ };

static bool is_one_of(struct slice name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_equal_case(name, slice_of(names[i])))
            return true;
    }
    return false;
}

void extract_recipients(struct slice header, struct recipient_list *list, struct arena *arena)
{
    static const char *const plain[] = {"To", "Cc", "Bcc"};
    static const char *const resent[] = {"Resent-To", "Resent-Cc", "Resent-Bcc"};
    struct slice name, value, *found;
    if (!slice_cut(header, ':', &name, &value))
        return;
    name = slice_trim_right(name);
    bool is_resent = is_one_of(name, resent, COUNT_OF(resent));
    if (is_resent && !list->resent) {
        list->resent = true;
        list->count = 0;
    }
    if (!is_resent && (list->resent || !is_one_of(name, plain, COUNT_OF(plain))))
        return;
    size_t count = address_list_addresses(value, ADDRESSES_MAX, arena, &found);
    if (count == 0)
        return;
    list->addresses = memory_resize(list->addresses, (list->count + count) * sizeof(*list->addresses));
    for (size_t i = 0; i < count; i++)
        list->addresses[list->count++] = arena_slice(arena, mail_address_internal(found[i], arena)); /* not a view of the header */
}
