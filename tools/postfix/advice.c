/* advice.c - what `postfix check` tells beside errors */
#include "base/arena.h"
#include "conf/master_cf.h"
#include "control.h"
#include "service/programs.h"
#include "service/sandbox.h"

#define CURRENT_LEVEL "3.6" /* of the version that mail_version names */

void compatibility_hint(struct control *control)
{
    if (!config_compatibility_below(control->config, CURRENT_LEVEL))
        return;
    say_info("Postfix is running with backwards-compatible default settings");
    say_info("See http://www.postfix.org/COMPATIBILITY_README.html for details");
    say_info("To disable backwards compatibility use \"postconf compatibility_level=%s\" and \"postfix reload\"", CURRENT_LEVEL);
}

/* absorbed_services - one line for all that share a program. */
static void absorbed_services(struct control *control)
{
    struct arena *arena = arena_new(0);
    struct master_cf lines;
    if (!master_cf_load(config_directory(control->config), control->config, arena, config_ignore_problem, NULL, &lines))
        lines.count = 0;
    for (size_t i = 0; i < lines.count; i++) {
        const struct program *program = program_find(lines.services[i].command);
        if (program->absorbed_by)
            found(control, FINDING_ABSORBED, FINDING_NOTE, NULL, 0, lines.services[i].name, "master.cf: line %d: service %s starts no process: the job of %s is done by %s", lines.services[i].line,
                     lines.services[i].name, program->name, program->absorbed_by);
        else if (program->kind == PROGRAM_ABSORBED)
            found(control, FINDING_ABSORBED, FINDING_NOTE, NULL, 0, lines.services[i].name, "master.cf: line %d: service %s starts no process: what %s does is not there yet", lines.services[i].line,
                     lines.services[i].name, program->name);
    }
    arena_free(arena);
}

static void protection(struct control *control)
{
    if (!control->root)
        found(control, FINDING_PROTECTION, FINDING_NOTE, NULL, 0, NULL, "without root: no chroot, no change of users; mail is delivered as user ID %ld only", (long)getuid());
    found(control, FINDING_PROTECTION, FINDING_NOTE, NULL, 0, NULL, "protection of smtpd and smtp: seccomp %s, Landlock %s", sandbox_has_seccomp() ? "active" : "not available in this kernel",
             sandbox_has_landlock() ? "active" : "not available in this kernel");
}

void advise(struct control *control)
{
    absorbed_services(control);
    protection(control);
}
