/* fuzz_tls_words.c - what is parsed by hand around TLS: entries of policy maps, lists of versions, names and protocols of a client's hello */
#include "base/log.h"
#include "tls/hello.h"
#include "tls/policy.h"
#include "tls/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void policy(struct slice text)
{
    struct arena *arena = arena_new(0);
    struct buffer why = BUFFER_INIT_MAX(512);
    struct tls_policy result;

    bool good = tls_policy_parse(text, arena, &result, &why);
    if (good == (why.len > 0))
        log_panic("a policy is good and has a fault, or neither");
    if (good && result.protocols.len && tls_versions_parse(result.protocols) <= 0)
        log_panic("versions that are none");
    buffer_release(&why);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[TLS_NAME_MAX];
    struct slice text = slice_make(data, size), chosen;

    if (size == 0)
        return 0;
    text = slice_from(text, 1);
    switch (data[0]) {
    case 'n':
        tls_hello_name(text, name);
        if (strlen(name) >= TLS_NAME_MAX || strchr(name, '/'))
            log_panic("a name that is none");
        break;
    case 'p':
        if (tls_hello_protocol(text, &chosen) == TLS_PROTOCOL_SMTP && !slice_equal(chosen, SLICE("smtp")))
            log_panic("another protocol");
        break;
    case 'v':
        if (tls_versions_parse(text) == 0)
            log_panic("no version, and no error");
        break;
    default:
        policy(text);
    }
    return 0;
}
