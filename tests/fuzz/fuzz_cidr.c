/* fuzz_cidr.c - cidr rules and keys: the input up to the first NUL is the file, the rest is the key */
#include "base/log.h"
#include "table/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void quiet(enum log_severity severity, const char *text, void *context)
{
    (void)severity, (void)text, (void)context;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_make(data, size), file, key;
    struct buffer name = BUFFER_INIT, value = BUFFER_INIT;

    log_set_watcher(quiet, NULL);
    if (!slice_cut(input, '\0', &file, &key))
        key = SLICE("10.1.2.3");
    buffer_append_string(&name, "cidr:{{");
    buffer_append_slice(&name, file);
    buffer_append_string(&name, "}}");
    struct table *table = table_open(buffer_slice(&name), 0, NULL);
    table_lookup(table, key, &value);
    table_free(table);
    buffer_release(&name);
    buffer_release(&value);
    return 0;
}
