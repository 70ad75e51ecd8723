/* fuzz_dns_answer.c - dns_parse over any bytes; the first byte picks the type */
#include "dns/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dns_type types[] = {DNS_A, DNS_AAAA, DNS_MX, DNS_TXT, DNS_PTR, DNS_TLSA, DNS_SRV, DNS_NS, DNS_CNAME};
    struct dns_answer answer;

    if (size < 1)
        return 0;
    struct arena *arena = arena_new(0);
    dns_parse(slice_make(data + 1, size - 1), types[data[0] % COUNT_OF(types)], arena, &answer);
    for (size_t i = 0; i < answer.count; i++)
        if (answer.records[i].name.len > 255 || answer.records[i].text.len > 65536)
            abort();
    arena_free(arena);
    return 0;
}
