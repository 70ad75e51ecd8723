/* dispatch.h - sending one report to the addresses that its domain publishes */
#ifndef POSTERN_TLSMGR_DISPATCH_H
#define POSTERN_TLSMGR_DISPATCH_H

#include "ipc/submit.h"
#include "report.h"
#include "tls/report_record.h"
#include "web.h"

struct dispatcher {
    const struct tlsmgr_params *params;
    struct web *web;
    struct submit_pool *cleanup;
};

/* dispatch_targets - where the domain wants its reports: how many, 0 when it wants none, -1 when it cannot be known now.  targets has room for
   TLS_REPORT_TARGETS_MAX; memory of the arena.  Waits. */
int dispatch_targets(struct slice domain, struct arena *arena, struct tls_report_target *targets);
/* dispatch_report - to those that have not got it yet.  True: that is all, nothing is left to be done.  Waits. */
bool dispatch_report(const struct dispatcher *dispatcher, struct report *report);

#endif
