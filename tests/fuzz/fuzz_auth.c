/* fuzz_auth.c - AUTH: base64, SCRAM messages of both sides, verifiers, and whole exchanges with the table back end */
#include "base/log.h"
#include "sasl/base64.h"
#include "sasl/scram.h"
#include "sasl/server.h"
#include "sasl/verifier.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct sasl_server *server;

static void quiet(enum log_severity severity UNUSED, const char *text UNUSED, void *context UNUSED) {}

int LLVMFuzzerInitialize(int *argc UNUSED, char ***argv UNUSED)
{
    struct sasl_server_settings settings = {"file", "inline:{ { a = *disabled } { b = secret } }", "smtp", "x.test", config_empty()};

    log_set_watcher(quiet, NULL);
    server = sasl_server_new(&settings);
    return 0;
}

static void require(bool condition, const char *what)
{
    if (!condition)
        log_panic("%s", what);
}

static void check_base64(struct slice text)
{
    struct buffer plain = BUFFER_INIT, again = BUFFER_INIT;

    if (base64_decode(text, &plain)) {
        base64_encode(&again, buffer_slice(&plain));
        require(slice_equal(buffer_slice(&again), text), "base64 has two forms");
    }
    buffer_clear(&plain);
    buffer_clear(&again);
    base64_encode(&plain, text);
    require(base64_decode(buffer_slice(&plain), &again) && slice_equal(buffer_slice(&again), text), "base64 lost something");
    buffer_release(&plain);
    buffer_release(&again);
}

static void check_scram(struct slice text, struct arena *arena)
{
    struct scram_client_first first;
    struct scram_client_final final;
    struct scram_server_first server_first;
    struct scram_verifier verifier;
    struct verifier any;

    if (scram_parse_client_first(text, arena, &first))
        require(first.header.len + first.bare.len == text.len && first.nonce.len > 0, "client-first");
    if (scram_parse_client_final(text, arena, &final))
        require(final.without_proof.len < text.len && final.proof.len <= SCRAM_KEY_MAX, "client-final");
    if (scram_parse_server_first(text, arena, &server_first))
        require(server_first.iterations > 0 && server_first.iterations <= SCRAM_ITERATIONS_MAX, "server-first");
    if (scram_verifier_parse(text, SCRAM_SHA_256, arena, &verifier))
        require(verifier.stored.len == 32 && verifier.server.len == 32, "verifier");
    verifier_parse(text, arena, &any);
}

/* check_exchange - SCRAM to the end; of the others what needs no hash computed: the users of the table cannot log in. */
static void check_exchange(struct slice input, unsigned selector)
{
    static const struct sasl_peer peer = {"192.0.2.1", "192.0.2.2", true, {0, 0}, {0, 0}};
    struct sasl_exchange *x = sasl_exchange_new(server, selector & 1 ? SLICE("SCRAM-SHA-256") : SLICE("FOO"), &peer);
    struct sasl_answer answer = {.outcome = SASL_CONTINUE};
    struct buffer text = BUFFER_INIT;
    struct slice line;

    for (int i = 0; i < 5 && answer.outcome == SASL_CONTINUE && slice_next_line(&input, &line); i++) {
        buffer_clear(&text);
        if (selector & 2)
            buffer_append_slice(&text, line);
        else
            base64_encode(&text, line);
        sasl_exchange_step(x, true, buffer_slice(&text), &answer);
        require(answer.outcome != SASL_OK, "somebody got in");
    }
    buffer_release(&text);
    sasl_exchange_free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct arena *arena = arena_new(512);
    check_base64(slice_make(data, size));
    check_scram(slice_make(data, size), arena);
    check_exchange(slice_make(data + 1, size - 1), data[0]);
    arena_free(arena);
    return 0;
}
