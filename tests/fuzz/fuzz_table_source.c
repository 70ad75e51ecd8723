/* fuzz_table_source.c - the text that postmap reads */
#include "base/log.h"
#include "table/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void quiet(enum log_severity severity, const char *text, void *context)
{
    (void)severity, (void)text, (void)context;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct table_source source;
    struct slice key, value;

    log_set_watcher(quiet, NULL);
    table_source_start(&source, "fuzz", slice_make(data, size), true);
    while (table_source_next(&source, &key, &value))
        if (key.len == 0 || key.len > size || value.len > size)
            abort();
    table_source_end(&source);
    return 0;
}
