/* feedback.c - forms of concurrency feedback */
#include "feedback.h"

#include <math.h>

/* number - a small decimal number; false: not one. */
static bool number(struct slice text, double *value)
{
    char copy[32], *end;
    text = slice_trim(text);
    if (text.len == 0 || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    *value = strtod(copy, &end);
    return *end == '\0' && isfinite(*value) && *value >= 0;
}

bool feedback_parse(struct slice text, struct feedback *feedback)
{
    struct slice amount, divisor = {NULL, 0};
    struct feedback result = {.form = FEEDBACK_FIXED};
    double by;
    bool divided = slice_cut(text, '/', &amount, &divisor);
    if (!number(amount, &result.amount))
        return false;
    divisor = slice_trim(divisor);
    if (slice_equal_case(divisor, SLICE("concurrency")))
        result.form = FEEDBACK_BY_CONCURRENCY;
    else if (slice_equal_case(divisor, SLICE("sqrt_concurrency")))
        result.form = FEEDBACK_BY_ROOT;
    else if (divided && (!number(divisor, &by) || by <= 0))
        return false;
    else if (divided)
        result.amount /= by;
    if (result.amount > 1)
        return false;
    *feedback = result;
    return true;
}

double feedback_step(const struct feedback *feedback, unsigned window)
{
    double w = window ? window : 1;
    switch (feedback->form) {
    case FEEDBACK_BY_CONCURRENCY: return feedback->amount / w;
    case FEEDBACK_BY_ROOT: return feedback->amount / sqrt(w);
    default: return feedback->amount;
    }
}
