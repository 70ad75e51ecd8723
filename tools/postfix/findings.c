/* findings.c - what is wrong or odd in main.cf and master.cf, said by check, start and reload */
#include "conf/check.h"
#include "control.h"

static void say_finding(void *context, bool fatal, const char *file UNUSED, int line UNUSED, const char *text)
{
    const bool *starting = context;
    /* Templates of replies have names in them that mean something only when they are used: no matter for every start. */
    if (*starting && strstr(text, "undefined parameter: ") != NULL)
        return;
    /* a fatal one ends the program that reads the value, not this command: others may go on without it */
    say_warning("%s%s", fatal ? "fatal: " : "", text);
}

bool configuration_check(struct control *control, bool starting)
{
    bool fatal;
    config_check(control->config, say_finding, &starting, &fatal);
    return !fatal;
}
