/* fuzz_regexp.c - rule files of regexp tables: the input up to the first NUL is the file, the rest is the key */
#include "base/log.h"
#include "table/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void quiet(enum log_severity severity, const char *text, void *context)
{
    (void)severity, (void)text, (void)context;
}

/* growth - the C library writes repetitions out: each may double the expression, "{" may make it 255 times as large.  Rule files are the
   administrator's, so that is not our trouble. */
static unsigned growth(struct slice file)
{
    unsigned doublings = 0;
    for (size_t i = 0; i < file.len; i++)
        doublings += file.data[i] == '{' ? 8 : file.data[i] == '+' || file.data[i] == '*' || file.data[i] == '?';
    return doublings;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_make(data, size), file, key;
    struct buffer name = BUFFER_INIT, value = BUFFER_INIT;

    log_set_watcher(quiet, NULL);
    if (!slice_cut(input, '\0', &file, &key))
        key = SLICE("some key@example.test");
    if (file.len > 4096 || growth(file) > 16)
        return 0;
    /* rules written in place: one element of the list each */
    buffer_append_string(&name, "regexp:{{");
    buffer_append_slice(&name, file);
    buffer_append_string(&name, "}}");
    struct table *table = table_open(buffer_slice(&name), 0, NULL);
    table_lookup(table, key, &value);
    table_free(table);
    buffer_release(&name);
    buffer_release(&value);
    return 0;
}
