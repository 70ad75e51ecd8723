/* feedback.h - how much a concurrency window grows or shrinks (compat.md f.3) */
#ifndef POSTERN_QMGR_FEEDBACK_H
#define POSTERN_QMGR_FEEDBACK_H

#include "base/slice.h"

struct feedback {
    double amount;
    enum { FEEDBACK_FIXED, FEEDBACK_BY_CONCURRENCY, FEEDBACK_BY_ROOT } form; /* amount, amount / window, amount / sqrt(window) */
};

/* feedback_parse - "1", "0.5", "1/8", "1/concurrency", "0.5/sqrt_concurrency"; false: malformed or not in 0..1. */
bool feedback_parse(struct slice text, struct feedback *feedback) MUST_CHECK;
/* feedback_step - the change for one delivery at that window. */
double feedback_step(const struct feedback *feedback, unsigned window);

#endif
