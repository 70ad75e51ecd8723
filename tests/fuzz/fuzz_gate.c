/* fuzz_gate.c - postscreen: the text of postscreen_dnsbl_sites, then what is in the cache and what a list answers, one a line
   uses: smtpd/ */
#include "base/log.h"
#include "../../smtpd/gate_lists.h"
#include "../../smtpd/gate_memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* weigh - an answer that holds the bytes as addresses; the weights are bounded, so the sum is. */
static void weigh(const struct gate_lists *lists, struct slice bytes)
{
    struct dns_record record = {.type = DNS_A};
    struct dns_answer answer = {.status = DNS_FOUND, .records = &record, .count = 1};
    struct gate_score score = {.seconds = -1};

    record.address.len = sizeof(record.address.u.v4);
    record.address.u.v4.sin_family = AF_INET;
    for (size_t i = 0; i + 4 <= bytes.len; i += 4) {
        memcpy(&record.address.u.v4.sin_addr, bytes.data + i, 4);
        gate_lists_weigh(lists, i % gate_lists_count(lists), &answer, &score);
    }
    if (score.heaviest > INT32_MAX || (score.heaviest > 0) != (score.listed_by.len > 0))
        log_panic("a weight without a list, or a list without a weight");
}

static void memory(struct slice text)
{
    struct gate_memory memory, again;
    struct buffer out = BUFFER_INIT;

    if (!gate_memory_parse(text, &memory))
        return;
    gate_memory_text(&memory, &out);
    if (!gate_memory_parse(buffer_slice(&out), &again) || memcmp(&memory, &again, sizeof(memory)) != 0)
        log_panic("a cache's text changes when it is written again");
    if (gate_memory_due(&memory, GATE_EARLY | GATE_DEEP, gate_memory_last(&memory)) != (GATE_EARLY | GATE_DEEP))
        log_panic("something is not due when all is over");
    buffer_release(&out);
}

static void ignore(enum log_severity severity, const char *text, void *context UNUSED)
{
    if (severity == LOG_SEVERITY_PANIC) {
        fprintf(stderr, "%s\n", text);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_make(data, size), sites, line;

    log_set_watcher(ignore, NULL);
    if (!slice_next_line(&rest, &sites))
        return 0;
    struct gate_lists *lists = gate_lists_new(sites);
    while (slice_next_line(&rest, &line)) {
        memory(line);
        if (lists)
            weigh(lists, line);
    }
    gate_lists_free(lists);
    return 0;
}
