/* greylist.c - see greylist.h */
#include "greylist.h"

#include "base/clock.h"
#include "service/store.h"
#include "text.h"

enum { KEY_LONG = STORE_KEY_MAX - 64, HASH_BYTES = 32 };

/* put_sender - "Bounce-123456+x@Example.com" becomes "bounce-#@example.com". */
static void put_sender(struct slice sender, struct buffer *out)
{
    size_t at = slice_find_last(sender, '@');
    struct slice local = slice_first(sender, at), domain = slice_from(sender, at);
    size_t plus = slice_find(local, '+');

    if (plus > 0)
        local = slice_first(local, plus);
    for (size_t i = 0; i < local.len; i++) {
        if (!isdigit((unsigned char)local.data[i]))
            buffer_append_lower(out, slice_make(local.data + i, 1));
        else if (i == 0 || !isdigit((unsigned char)local.data[i - 1]))
            buffer_append_byte(out, '#');
    }
    buffer_append_lower(out, domain);
}

void greylist_key(struct slice network, struct slice sender, struct slice recipient, struct buffer *out)
{
    struct buffer text = BUFFER_INIT;

    buffer_append_slice(&text, network);
    buffer_append_byte(&text, ' ');
    put_sender(sender, &text);
    buffer_append_byte(&text, ' ');
    buffer_append_lower(&text, recipient);
    buffer_append_string(out, "t:");
    if (text.len <= KEY_LONG && slice_find(buffer_slice(&text), '\0') == text.len)
        buffer_append_slice(out, buffer_slice(&text));
    else
        text_hash(out, buffer_slice(&text), HASH_BYTES);
    buffer_release(&text);
}

/* two_numbers - "1795613590851577 1". */
static bool two_numbers(struct slice text, int64_t *first, int64_t *second)
{
    struct slice one, other;

    return slice_cut(text, ' ', &one, &other) && slice_to_i64(one, first) && slice_to_i64(other, second);
}

bool greylist_parse(struct slice text, struct greylist_entry *entry)
{
    int64_t passed;

    *entry = (struct greylist_entry){0};
    if (!two_numbers(text, &entry->first, &passed) || entry->first <= 0) {
        *entry = (struct greylist_entry){0};
        return false;
    }
    entry->passed = passed > 0;
    return true;
}

void greylist_format(const struct greylist_entry *entry, struct buffer *out)
{
    buffer_printf(out, "%lld %d", (long long)entry->first, entry->passed);
}

bool greylist_client_parse(struct slice text, struct greylist_client *client)
{
    if (two_numbers(text, &client->count, &client->last))
        return true;
    *client = (struct greylist_client){0};
    return false;
}

void greylist_client_format(const struct greylist_client *client, struct buffer *out)
{
    buffer_printf(out, "%lld %lld", (long long)client->count, (long long)client->last);
}

void greylist_reply(const char *text, int64_t left, struct buffer *out)
{
    for (const char *at = text; *at; at++) {
        if (at[0] == '%' && at[1] == 's')
            buffer_printf(out, "%lld", (long long)((left + MICROSECONDS - 1) / MICROSECONDS));
        else
            buffer_append_byte(out, *at);
        at += at[0] == '%' && (at[1] == 's' || at[1] == '%');
    }
}
