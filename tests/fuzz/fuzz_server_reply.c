/* fuzz_server_reply.c - replies of socketmap and tcp table servers */
#include "table/server_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer text = BUFFER_INIT_MAX(4096);
    struct slice rest;

    socketmap_parse(slice_make(data, size), &rest);
    if (rest.len > size)
        abort();
    tcp_parse(slice_make(data, size), &text);
    if (text.len > size)
        abort();
    buffer_release(&text);
    return 0;
}
