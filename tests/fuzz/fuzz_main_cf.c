/* fuzz_main_cf.c - main.cf: lines, then every parameter read as its type, lists taken apart, names worked out */
#include "base/log.h"
#include "conf/config.h"
#include "conf/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore_name(void *context, enum name_problem problem, const char *file, const char *name, const char *value)
{
    (void)context, (void)problem, (void)file, (void)name, (void)value;
}

enum { SHARE = 8 }; /* of the table is read each time: all of it would take most of the time */

static void read_some(struct config *config, size_t first)
{
    const struct parameter *row;
    for (size_t i = first % SHARE; (row = parameter_at(i)) != NULL; i += SHARE) {
        struct slice rest, element, inside;
        switch (row->type) {
        case PARAMETER_BOOL: config_bool(config, row->name); break;
        case PARAMETER_TIME: config_time(config, row->name); break;
        case PARAMETER_INT:
        case PARAMETER_SIZE: config_int(config, row->name); break;
        case PARAMETER_STRING:
        case PARAMETER_RAW:
            for (rest = slice_of(config_string(config, row->name)); config_list_next(&rest, &element);)
                config_braced(element, &inside);
        }
    }
    config_transport_int(config, "smtp", "destination_recipient_limit");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *config = config_empty_reporting(config_ignore_problem, NULL);
    struct slice name;
    if (size > 8192)
        return 0;
    config_parse(config, slice_make(data, size), "main.cf");
    /* these would ask DNS and read files */
    config_set(config, SLICE("inet_interfaces"), SLICE("loopback-only"));
    config_set(config, SLICE("myorigin"), SLICE("example.test"));
    read_some(config, size);
    size_t at = 0;
    if (size % SHARE == 0 && config_next_set(config, &at, &name))
        parameter_nearest(name);
    struct config_names *names = config_names_new(config, false, NULL, 0);
    config_names_unused(names, ignore_name, NULL);
    config_names_free(names);
    config_compatibility_below(config, "3.6");
    config_free(config);
    return 0;
}
