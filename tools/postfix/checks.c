/* checks.c - the checks, one row each */
#include "checks.h"

static const struct {
    void (*run)(struct checks *checks);
    bool only_with_dns, only_with_tables;
} rows[] = {
    {check_types}, {check_tables}, {check_chroot}, {check_domains}, {check_relaying}, {check_users}, {check_certificates}, {check_logins},
    {check_rows, .only_with_tables = true}, {check_dns, .only_with_dns = true},
};

static void service_configs(struct checks *checks)
{
    checks->service_configs = arena_alloc(checks->arena, (checks->services.count + 1) * sizeof(struct config *));
    for (size_t i = 0; i < checks->services.count; i++) {
        size_t at = 0;
        struct slice name, value;
        struct config *config = checks->config;
        while (master_cf_next_setting(&checks->services.services[i], &at, &name, &value)) {
            if (config == checks->config)
                config = config_copy_quiet(checks->config);
            config_set(config, name, value);
        }
        checks->service_configs[i] = config;
    }
}

static void release(struct checks *checks)
{
    for (size_t i = 0; i < checks->services.count; i++)
        if (checks->service_configs[i] != checks->config)
            config_free(checks->service_configs[i]);
    config_free(checks->config);
    arena_free(checks->arena);
}

static void start(struct checks *checks, struct control *control)
{
    *checks = (struct checks){.control = control, .arena = arena_new(0), .config = config_copy_quiet(control->config)};
    checks->main_file = arena_printf(checks->arena, "%s/main.cf", config_directory(control->config));
    checks->master_file = arena_printf(checks->arena, "%s/master.cf", config_directory(control->config));
    if (!master_cf_load(config_directory(control->config), checks->config, checks->arena, config_ignore_problem, NULL, &checks->services))
        checks->services.count = 0;
    service_configs(checks);
    table_uses_find(checks);
}

bool checks_before_start(struct control *control)
{
    struct checks checks;
    start(&checks, control);
    check_types(&checks);
    release(&checks);
    return findings_count(control, FINDING_ERROR) == 0;
}

void checks_run(struct control *control)
{
    struct checks checks;
    start(&checks, control);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if ((!rows[i].only_with_dns || control->look_at_dns) && (!rows[i].only_with_tables || control->look_at_rows))
            rows[i].run(&checks);
    release(&checks);
}
