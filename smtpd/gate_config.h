/* gate_config.h - from the configuration to a gate, and to the server behind it */
#ifndef POSTERN_SMTPD_GATE_CONFIG_H
#define POSTERN_SMTPD_GATE_CONFIG_H

#include "gate_private.h"

/* gate_action_of - "ignore", "enforce", "drop"; anything else is fatal. */
enum gate_action gate_action_of(const char *value, const char *parameter);

#endif
