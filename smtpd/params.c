/* params.c - reading the SMTP server's parameters */
#include "params.h"

#define CONFIG_STRUCT struct smtpd_params
static const struct config_binding bindings[] = {CONFIG_BINDINGS(SMTPD_PARAMETERS)};

void smtpd_params_load(struct config *config, struct smtpd_params *params)
{
    memset(params, 0, sizeof(*params));
    config_fill(config, bindings, COUNT_OF(bindings), params);
}
