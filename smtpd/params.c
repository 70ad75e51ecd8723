/* params.c - reading the SMTP server's parameters */
#include "params.h"

#include "base/log.h"

#define CONFIG_STRUCT struct smtpd_params
static const struct config_binding bindings[] = {CONFIG_BINDINGS(SMTPD_PARAMETERS)};

static bool is_set(const char *value)
{
    return value[0] != '\0';
}

/* say_not_yet - milters and content proxies are a later step.  What depends on them fails safe: see the places named here. */
static void say_not_yet(const struct smtpd_params *p)
{
    if (is_set(p->smtpd_milters))
        log_warning("smtpd_milters = %s: milters are not yet supported: milter_default_action = %s applies", p->smtpd_milters,
                    p->milter_default_action); /* command_mail.c */
}

void smtpd_params_load(struct config *config, struct smtpd_params *params)
{
    memset(params, 0, sizeof(*params));
    config_fill(config, bindings, COUNT_OF(bindings), params);
    say_not_yet(params);
}
