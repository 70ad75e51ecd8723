/* commands.c - see commands.h */
#include "commands.h"

#include "smtp/ehlo_keywords.h"
#include "smtp/xtext.h"

void command_mail(const struct envelope *envelope, struct slice sender, int features, struct buffer *out)
{
    buffer_append_string(out, "MAIL FROM:<");
    buffer_append_slice(out, sender);
    buffer_append_byte(out, '>');
    if (features & EHLO_SIZE)
        buffer_printf(out, " SIZE=%lld", (long long)envelope->message_size);
    if ((features & EHLO_8BITMIME) && slice_equal_case(envelope->encoding, SLICE("8bit")))
        buffer_append_string(out, " BODY=8BITMIME");
    else if ((features & EHLO_8BITMIME) && slice_equal_case(envelope->encoding, SLICE("7bit")))
        buffer_append_string(out, " BODY=7BIT");
    if ((features & EHLO_SMTPUTF8) && envelope->smtputf8)
        buffer_append_string(out, " SMTPUTF8");
    if ((features & EHLO_REQUIRETLS) && (envelope->send_options & SEND_REQUIRE_TLS))
        buffer_append_string(out, " REQUIRETLS");
    if ((features & EHLO_DSN) && envelope->envelope_id.len > 0) {
        buffer_append_string(out, " ENVID=");
        xtext_encode(out, envelope->envelope_id);
    }
    if ((features & EHLO_DSN) && envelope->ret != 0)
        buffer_printf(out, " RET=%s", envelope->ret == 1 ? "FULL" : "HDRS");
    if (features & EHLO_AUTH)
        buffer_append_string(out, " AUTH=<>");
    buffer_append_string(out, "\r\n");
}

static void append_notify(struct buffer *out, int64_t notify)
{
    static const struct { int bit; const char *word; } words[] = {
        {NOTIFY_NEVER, "NEVER"}, {NOTIFY_SUCCESS, "SUCCESS"}, {NOTIFY_FAILURE, "FAILURE"}, {NOTIFY_DELAY, "DELAY"}};
    const char *separator = " NOTIFY=";

    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (notify & words[i].bit) {
            buffer_printf(out, "%s%s", separator, words[i].word);
            separator = ",";
        }
    }
}

static void append_orcpt(struct buffer *out, struct slice orcpt)
{
    size_t semicolon = slice_find(orcpt, ';');

    if (semicolon == 0 || semicolon >= orcpt.len || slice_has_control(orcpt) || slice_find(slice_first(orcpt, semicolon), ' ') < semicolon)
        return;
    buffer_append_string(out, " ORCPT=");
    buffer_append_slice(out, slice_first(orcpt, semicolon + 1));
    xtext_encode(out, slice_from(orcpt, semicolon + 1));
}

/* append_original - ORCPT= as it was given, or the address that the message was first sent to. */
static void append_original(struct buffer *out, const struct recipient *recipient)
{
    struct slice original = recipient_original(recipient);

    if (recipient->orcpt.len > 0) {
        append_orcpt(out, recipient->orcpt);
    } else if (slice_is_ascii(original)) {
        buffer_append_string(out, " ORCPT=rfc822;");
        xtext_encode(out, original);
    }
}

void command_rcpt(const struct recipient *recipient, struct slice address, int features, struct buffer *out)
{
    buffer_append_string(out, "RCPT TO:<");
    buffer_append_slice(out, address);
    buffer_append_byte(out, '>');
    if (features & EHLO_DSN) {
        append_original(out, recipient);
        append_notify(out, recipient->notify);
    }
    buffer_append_string(out, "\r\n");
}
