/* check_users.c - users that services of master.cf run commands as */
#include <pwd.h>

#include "checks.h"

void check_users(struct checks *checks)
{
    for (size_t i = 0; i < checks->services.count; i++) {
        const struct master_service *service = &checks->services.services[i];
        for (size_t k = 0; k < service->argument_count; k++) {
            struct slice word = slice_of(service->arguments[k]), user, group;
            if (!slice_starts(word, SLICE("user=")) || (!is_program(service, "pipe") && !is_program(service, "spawn")))
                continue;
            slice_cut(slice_from(word, 5), ':', &user, &group);
            const char *name = arena_string(checks->arena, user);
            if (*name && !getpwnam(name))
                found(checks->control, FINDING_MISSING_USER, FINDING_WARNING, checks->master_file, service->line, name,
                      "service %s: unknown user: %s", service->name, name);
        }
    }
}
