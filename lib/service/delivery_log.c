/* delivery_log.c - the delivery status record (compat.md i.6) */
#include "base/log.h"
#include "service/address_log.h"
#include "service/agent.h"

static int64_t digit_limit = 2;

void delivery_log_digits(int64_t digits)
{
    digit_limit = digits < 0 ? 0 : digits > 6 ? 6 : digits;
}

static int64_t power_of_ten(int64_t exponent)
{
    int64_t value = 1;
    while (exponent-- > 0)
        value *= 10;
    return value;
}

/* decimals_of - how many decimals show two significant digits. */
static int64_t decimals_of(int64_t microseconds)
{
    int64_t decimals = 1; /* 1 s to 10 s */
    if (microseconds >= 10 * MICROSECONDS)
        return 0;
    for (int64_t at = MICROSECONDS; at > microseconds && decimals < 7; at /= 10)
        decimals++;
    return decimals < digit_limit ? decimals : digit_limit;
}

void delivery_delay_text(struct buffer *out, int64_t microseconds)
{
    if (microseconds < 0)
        microseconds = 0; /* the clock was set back */
    int64_t decimals = decimals_of(microseconds);
    int64_t unit = MICROSECONDS / power_of_ten(decimals);
    int64_t rounded = (microseconds + unit / 2) / unit;
    while (decimals > 0 && rounded % 10 == 0) {
        rounded /= 10;
        decimals--;
    }
    int64_t scale = power_of_ten(decimals);
    buffer_printf(out, "%lld", (long long)(rounded / scale));
    if (decimals > 0)
        buffer_printf(out, ".%0*lld", (int)decimals, (long long)(rounded % scale));
}

/* span - b - a when both are known. */
static int64_t span(int64_t a, int64_t b)
{
    return a > 0 && b > a ? b - a : 0;
}

static void put_delays(struct buffer *out, const struct delivery_times *times)
{
    int64_t agent = times->agent ? times->agent : times->done;
    int64_t setup = times->connected ? span(times->agent, times->connected) : 0;
    int64_t transmission = !times->agent ? 0 : span(times->connected ? times->connected : times->agent, times->done);
    buffer_append_string(out, ", delay=");
    delivery_delay_text(out, span(times->arrival, times->done));
    buffer_append_string(out, ", delays=");
    delivery_delay_text(out, span(times->arrival, times->active));
    buffer_append_byte(out, '/');
    delivery_delay_text(out, span(times->active, agent));
    buffer_append_byte(out, '/');
    delivery_delay_text(out, setup);
    buffer_append_byte(out, '/');
    delivery_delay_text(out, transmission);
}

static const char *outcome_word(int outcome)
{
    switch (outcome) {
    case OUTCOME_SENT: return "sent";
    case OUTCOME_DEFERRED: return "deferred";
    case OUTCOME_BOUNCED: return "bounced";
    case OUTCOME_DELIVERABLE: return "deliverable";
    case OUTCOME_UNDELIVERABLE: return "undeliverable";
    default: return "unknown";
    }
}

void delivery_log(struct slice queue_id, const struct recipient *recipient, const struct delivery_times *times, unsigned connection_use,
                  const struct delivery_status *status)
{
    struct buffer line = BUFFER_INIT;
    buffer_printf(&line, SLICE_FORMAT ":", SLICE_ARGS(queue_id));
    address_log_append(&line, "to", recipient->address);
    if (recipient->original.len && !slice_equal_case(recipient->original, recipient->address)) {
        buffer_append_byte(&line, ',');
        address_log_append(&line, "orig_to", recipient->original);
    }
    buffer_printf(&line, ", relay=%s", status->relay ? status->relay : "none");
    if (connection_use > 1)
        buffer_printf(&line, ", conn_use=%u", connection_use);
    put_delays(&line, times);
    buffer_printf(&line, ", dsn=%s, status=%s (" SLICE_FORMAT ")", status->status,
                  status->soft_bounced && status->outcome == OUTCOME_DEFERRED ? "SOFTBOUNCE" : outcome_word(status->outcome), SLICE_ARGS(status->reason));
    log_info("%s", buffer_string(&line));
    buffer_release(&line);
}
