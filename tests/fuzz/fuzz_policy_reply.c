/* fuzz_policy_reply.c - answers of policy servers, in pieces */
#include "base/log.h"
#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct server {
    struct slice rest;
    size_t piece;
};

static ssize_t read_piece(void *context, void *data, size_t len, int64_t deadline UNUSED, enum stream_error *error UNUSED)
{
    struct server *server = context;
    struct slice now = slice_first(server->rest, len < server->piece ? len : server->piece);

    memcpy(data, now.data, now.len);
    server->rest = slice_from(server->rest, now.len);
    return (ssize_t)now.len;
}

static ssize_t write_nowhere(void *context UNUSED, const void *data UNUSED, size_t len, int64_t deadline UNUSED, enum stream_error *error UNUSED) { return (ssize_t)len; }
static void close_nothing(void *context UNUSED) {}
static bool nothing_pending(void *context UNUSED) { return false; }
static const struct stream_transport transport = {read_piece, write_nowhere, close_nothing, nothing_pending};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer action = BUFFER_INIT_MAX(16 * 1024);

    if (size == 0)
        return 0;
    struct server server = {.rest = slice_make(data + 1, size - 1), .piece = data[0] ? data[0] : SIZE_MAX};
    struct stream *stream = stream_new(&transport, &server);
    if (policy_read_reply(stream, &action) == 0 && slice_find(buffer_slice(&action), '\n') < action.len)
        log_panic("an action of two lines");
    stream_free(stream);
    buffer_release(&action);
    return 0;
}
