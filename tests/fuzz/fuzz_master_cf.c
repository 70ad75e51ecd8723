/* fuzz_master_cf.c - master.cf: columns, arguments, settings */
#include "base/arena.h"
#include "conf/master_cf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(0);
    struct config *config = size % 2 ? config_empty_reporting(config_ignore_problem, NULL) : NULL;
    struct master_cf cf;
    if (config != NULL)
        config_set(config, SLICE("master_service_disable"), SLICE("!smtp/inet inet, x/unix"));
    bool parsed = master_cf_parse(slice_make(data, size), "master.cf", config, arena, config_ignore_problem, NULL, &cf);
    for (size_t i = 0; parsed && i < cf.count; i++) {
        struct slice name, value;
        size_t at = 0, steps = 0;
        while (master_cf_next_setting(&cf.services[i], &at, &name, &value))
            if (++steps > cf.services[i].argument_count)
                abort();
        if (strlen(cf.services[i].name) == 0 || cf.services[i].wakeup < 0 || cf.services[i].process_limit < -1)
            abort();
    }
    config_free(config);
    arena_free(arena);
    return 0;
}
