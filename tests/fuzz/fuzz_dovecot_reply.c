/* fuzz_dovecot_reply.c - lines of Dovecot's authentication service */
#include "base/log.h"
#include "sasl/dovecot_reply.h"
#include "base/buffer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what)
{
    if (!condition)
        log_panic("%s", what);
}

/* require_round_trip - a value that we escape is read back as it was, and adds no field. */
static void require_round_trip(struct slice value, struct arena *arena)
{
    struct buffer line = BUFFER_INIT;
    struct dovecot_reply reply;

    buffer_append_string(&line, "OK\t1\tuser=");
    dovecot_escape(&line, value);
    require(slice_find(buffer_slice(&line), '\n') == line.len, "a line end in a value");
    require(dovecot_reply_parse(buffer_slice(&line), arena, &reply), "our own line is bad");
    require(slice_equal(reply.user, value), "a value changed");
    buffer_release(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_make(data, size), line;
    struct arena *arena = arena_new(512);

    require_round_trip(rest, arena);
    while (slice_next_line(&rest, &line)) {
        struct dovecot_reply reply;
        if (!dovecot_reply_parse(line, arena, &reply))
            continue;
        require(reply.mechanism.len <= 20, "a long mechanism");
        require(reply.user.len + reply.reason.len + reply.challenge.len <= line.len, "values from nowhere");
    }
    arena_free(arena);
    return 0;
}
