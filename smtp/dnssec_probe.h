/* dnssec_probe.h - does the resolver validate at all?  Without that DANE protects nothing, and nothing else would tell. */
#ifndef POSTERN_SMTP_DNSSEC_PROBE_H
#define POSTERN_SMTP_DNSSEC_PROBE_H

#include "params.h"

/* dnssec_probe - when an answer that DANE depends on was not validated: ask for what dnssec_probe names ("ns:.": what is always signed), once in the
   life of the process, and warn when that is not validated either.  Waits. */
void dnssec_probe(const struct client_params *params);

#endif
