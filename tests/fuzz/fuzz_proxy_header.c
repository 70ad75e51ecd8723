/* fuzz_proxy_header.c - the HAProxy header: whole, and every beginning of it asks for more or says no
   uses: smtpd/ */
#include "../../smtpd/proxy_header.h"
#include "base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = slice_make(data, size);
    struct net_address peer = {0}, local = {0};
    size_t used = 0;

    int result = proxy_header_parse(all, &peer, &local, &used);
    if (result == 1 && (used == 0 || used > size || used > PROXY_HEADER_MAX))
        log_panic("a header of %zu bytes in %zu", used, size);
    if (result == 1 && (peer.len > 0) != (local.len > 0))
        log_panic("half of the addresses");
    for (size_t len = 0; len < size && len < PROXY_HEADER_MAX; len++) {
        struct net_address peer_so_far = {0}, local_so_far = {0};
        size_t used_so_far = 0;
        /* in memory of its own size, so that reading past it is seen */
        char *copy = memory_copy(all.data, len + (len == 0));
        int so_far = proxy_header_parse(slice_make(copy, len), &peer_so_far, &local_so_far, &used_so_far);
        free(copy);
        if (so_far == 1 && (result != 1 || used_so_far != used || used > len))
            log_panic("the beginning says something else");
        if (so_far < 0 && result == 1)
            log_panic("the beginning of a good header was refused");
        if (so_far == 0 && result == 1 && len >= used)
            log_panic("more is wanted than the header has");
    }
    if (result == 0 && size >= PROXY_HEADER_MAX)
        log_panic("no end");
    return 0;
}
