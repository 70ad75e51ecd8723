/* findings.c - what is wrong or odd in main.cf and master.cf, said by check, start and reload */
#include "conf/check.h"
#include "control.h"

static void say_finding(void *context UNUSED, bool fatal, const char *file UNUSED, int line UNUSED, const char *text)
{
    /* a fatal one ends the program that reads the value, not this command: others may go on without it */
    say_warning("%s%s", fatal ? "fatal: " : "", text);
}

bool configuration_check(struct control *control)
{
    bool fatal;
    config_check(control->config, say_finding, NULL, &fatal);
    return !fatal;
}
