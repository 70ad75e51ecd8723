/* fuzz_milter_reply.c - packets of mail filters: the first byte chooses between a reply and the answer to the option negotiation */
#include "base/log.h"
#include "milter/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what)
{
    if (!condition)
        log_panic("%s", what);
}

static bool is_within(struct slice part, struct slice whole)
{
    return part.len == 0 || (part.data >= whole.data && part.data + part.len <= whole.data + whole.len);
}

static void try_text(struct slice reply)
{
    struct buffer text = BUFFER_INIT_MAX(4096);
    char status[12];
    int code = 0;

    if (milter_reply_text(reply, &code, status, &text)) {
        require(code >= 400 && code <= 599, "a code that is no refusal");
        require(status[0] == '\0' || status[0] == code / 100 + '0', "status and code disagree");
        for (size_t i = 0; i < text.len; i++)
            require(text.data[i] == '\n' || ((unsigned char)text.data[i] >= ' ' && text.data[i] != 127), "a control character");
    }
    buffer_release(&text);
}

static void try_reply(struct slice packet)
{
    struct slice payload = slice_from(packet, 1);
    struct milter_reply reply;

    milter_parse_reply(packet.data[0], payload, &reply);
    require(is_within(reply.name, payload) && is_within(reply.value, payload) && is_within(reply.parameters, payload), "a value from nowhere");
    if (reply.kind == REPLY_IS_CODE)
        try_text(reply.value);
    if (reply.kind != REPLY_IS_BODY)
        require(!memchr(reply.value.data ? reply.value.data : "", '\0', reply.value.len), "NUL in a value");
}

static void try_options(struct slice payload)
{
    struct milter_options options;

    if (!milter_parse_options(payload, &options))
        return;
    for (size_t i = 0; i < MILTER_STAGES; i++)
        require(is_within(options.macros[i], payload), "a list from nowhere");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice packet = slice_make(data, size);

    if (packet.len == 0)
        return 0;
    if (packet.data[0] == 'O')
        try_options(slice_from(packet, 1));
    else
        try_reply(packet);
    return 0;
}
