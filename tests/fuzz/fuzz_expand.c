/* fuzz_expand.c - $-expansion: lines of settings up to the first NUL, then the text to expand */
#include "conf/config.h"
#include "conf/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *fixed(void *context, struct slice name)
{
    (void)context;
    return name.len % 3 == 0 ? NULL : name.len % 3 == 1 ? "" : "$value";
}

static void count(void *context, struct slice name)
{
    if (name.len == 0)
        abort();
    ++*(size_t *)context;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice settings, text;
    struct buffer out = BUFFER_INIT, error = BUFFER_INIT;
    size_t references = 0;
    if (size > 4096)
        return 0;
    if (!slice_cut(slice_make(data, size), '\0', &settings, &text))
        text = settings;
    struct config *config = config_empty_reporting(config_ignore_problem, NULL);
    config_parse(config, settings, "main.cf");
    config_set(config, SLICE("inet_interfaces"), SLICE("loopback-only"));
    if (!config_expand(config, text, &out) && out.len > 0)
        abort();
    buffer_clear(&out);
    if (!config_expand_with(text, fixed, NULL, &out, &error) && error.len == 0)
        abort();
    config_references(text, count, &references);
    config_free(config);
    buffer_release(&out);
    buffer_release(&error);
    return 0;
}
