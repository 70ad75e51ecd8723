/* fuzz_mta_sts.c - what domains publish about TLS: MTA-STS records and policies, and where reports go */
#include "base/log.h"
#include "tls/mta_sts.h"
#include "tls/report_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void policy(struct slice text, struct arena *arena)
{
    struct buffer why = BUFFER_INIT_MAX(512);
    struct mta_sts_policy result;

    bool good = mta_sts_parse(text, arena, &result, &why);
    if (good == (why.len > 0))
        log_panic("a policy is good and has a fault, or neither");
    if (good && (result.max_age < 0 || result.max_age > MTA_STS_MAX_AGE || (result.mode != MTA_STS_NONE && result.pattern_count == 0)))
        log_panic("a policy that cannot be");
    for (size_t i = 0; good && i < result.pattern_count; i++)
        if (!slice_starts(result.patterns[i], SLICE("*.")) && !mta_sts_matches(&result, result.patterns[i]))
            log_panic("a host that does not match itself");
    buffer_release(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tls_report_target targets[TLS_REPORT_TARGETS_MAX];
    struct arena *arena = arena_new(0);
    struct slice text = slice_make(data, size), id;

    if (mta_sts_record(text, &id) && (id.len == 0 || id.len > 32))
        log_panic("an id that is none");
    for (int i = tls_report_record(text, arena, targets); i > 0; i--)
        if (targets[i - 1].address.len == 0 || slice_has_control(targets[i - 1].address))
            log_panic("an address that is none");
    policy(text, arena);
    arena_free(arena);
    return 0;
}
