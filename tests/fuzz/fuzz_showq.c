/* fuzz_showq.c - the listing of the showq service: no crash, the same whatever the pieces, messages and recipients properly nested
   uses: tools/postqueue/parser.c */
#include "../../tools/postqueue/parser.h"

struct seen {
    uint64_t hash;
    bool inside;
};

static void mix(struct seen *seen, struct slice s)
{
    seen->hash = (seen->hash + s.len) * 1099511628211u;
    for (size_t i = 0; i < s.len; i++)
        seen->hash = (seen->hash ^ (uint8_t)s.data[i]) * 1099511628211u;
}

static void on_message(void *context, const struct queue_message *m)
{
    struct seen *seen = context;
    if (seen->inside || m->size < 0 || m->time < 0)
        abort();
    seen->inside = true;
    mix(seen, m->queue_name);
    mix(seen, m->queue_id);
    mix(seen, m->sender);
}

static void on_recipient(void *context, const struct queue_recipient *recipient)
{
    struct seen *seen = context;
    if (!seen->inside)
        abort();
    mix(seen, recipient->original);
    mix(seen, recipient->address);
    mix(seen, recipient->reason);
    mix(seen, recipient->status);
}

static void on_message_end(void *context)
{
    struct seen *seen = context;
    if (!seen->inside)
        abort();
    seen->inside = false;
}

static uint64_t parse(struct slice bytes, size_t piece)
{
    struct seen seen = {0};
    struct queue_handler handler = {.message = on_message, .recipient = on_recipient, .message_end = on_message_end, .context = &seen};
    struct queue_parser *parser = queue_parser_new(&handler);
    while (bytes.len && queue_parser_push(parser, slice_first(bytes, piece)))
        bytes = slice_from(bytes, piece);
    seen.hash += queue_parser_is_complete(parser);
    queue_parser_free(parser);
    return seen.hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_make(data, size);
    if (parse(bytes, 1 << 20) != parse(bytes, 7))
        abort();
    return 0;
}
