/* fuzz_table_query.c - templates of queries and results: "template LF key LF element"; what comes from the key never ends its quotes */
#include "table/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void quote(void *context, struct slice text, struct buffer *out)
{
    size_t *quoted = context;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\'') {
            buffer_append_byte(out, '\'');
            (*quoted)++;
        }
        buffer_append_byte(out, text.data[i]);
    }
}

static size_t quotes_in(struct slice text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        count += text.data[i] == '\'';
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct table_driver driver = {.type = "fuzz"};
    struct table table = {.driver = &driver, .argument = "x", .fd = -1};
    struct slice rest = slice_make(data, size), template = {0}, key = {0}, element = {0};
    struct buffer out = BUFFER_INIT_MAX(1 << 20), value = BUFFER_INIT_MAX(1 << 20);
    size_t quoted = 0;
    int64_t count = 0;

    slice_next_line(&rest, &template);
    slice_next_line(&rest, &key);
    slice_next_line(&rest, &element);
    template = slice_first(template, slice_find(template, '\0'));
    char *text = slice_string(template);
    if (query_expand(text, key, quote, &quoted, &out) && !out.overflow && quotes_in(buffer_slice(&out)) != quotes_in(template) + 2 * quoted)
        abort();
    struct query query = {.template = "%s", .result_format = text, .expansion_limit = 1};
    if (!query_add_result(&query, &table, key, element, &count, &value))
        abort();
    free(text);
    buffer_release(&out);
    buffer_release(&value);
    buffer_release(&table.why);
    return 0;
}
