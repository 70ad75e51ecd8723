/* gate_admit.c - how many are tested, how many wait for the server, how many it serves: limits that all workers share */
#include "gate_private.h"

#include "service/statistics.h"
#include "session.h"

enum { STRESS_BEGINS = 90, STRESS_ENDS = 70 /* percent of postscreen_pre_queue_limit */ };
static const int64_t patience = 300 * MICROSECONDS; /* as a client's for the greeting (RFC 5321 4.5.3.2.1) */
static const int64_t look_again = MICROSECONDS / 2; /* a place may become free in another worker */

/* ---- before the server ---- */

static int64_t all_testing(const struct gate *gate)
{
    return gate->testing + statistics_elsewhere(STATISTIC_gate_testing);
}

void gate_count_testing(struct gate *gate, int change)
{
    int64_t limit = gate->params.postscreen_pre_queue_limit;

    gate->testing += change;
    statistics_add(STATISTIC_gate_testing, change);
    int64_t count = all_testing(gate);
    if (!gate->stress && count >= limit * STRESS_BEGINS / 100) {
        gate->stress = true;
        gate_log("entering STRESS mode with %lld connections", (long long)count);
    } else if (gate->stress && count <= limit * STRESS_ENDS / 100) {
        gate->stress = false;
        gate_log("leaving STRESS mode with %lld connections", (long long)count);
    }
}

bool gate_is_full_before(const struct gate *gate)
{
    return all_testing(gate) >= gate->params.postscreen_pre_queue_limit;
}

/* ---- the server ---- */

bool gate_is_full_behind(const struct gate *gate)
{
    return gate->passing + statistics_elsewhere(STATISTIC_gate_waiting) >= gate->params.postscreen_post_queue_limit;
}

static bool has_place(const struct gate *gate)
{
    return gate->passed_max == 0 || gate->passed + statistics_elsewhere(STATISTIC_gate_passed) < gate->passed_max;
}

/* wait_for_place - false: there was none, or the service stops; the client was told. */
static bool wait_for_place(struct gate_client *c)
{
    struct gate *gate = c->gate;
    int64_t deadline = clock_after(patience);
    enum wait_result result = WAIT_READY;

    gate->passing++;
    statistics_add(STATISTIC_gate_waiting, 1);
    service_interruptible(c->connection, INTERRUPTIBLE_AT_STOP);
    do
        result = condition_wait(&gate->place, clock_after(look_again));
    while (result != WAIT_CANCELLED && !has_place(gate) && clock_monotonic() < deadline);
    service_interruptible(c->connection, INTERRUPTIBLE_NEVER);
    gate->passing--;
    statistics_add(STATISTIC_gate_waiting, -1);
    if (result != WAIT_CANCELLED && has_place(gate))
        return true;
    gate_turn_away(c, 421, "4.3.2", "All server ports are busy");
    return false;
}

static void count_passed(struct gate *gate, int change)
{
    gate->passed += change;
    statistics_add(STATISTIC_gate_passed, change);
}

void gate_admit(struct gate_client *c)
{
    struct gate *gate = c->gate;
    struct service_client *connection = c->connection;

    if (!has_place(gate) && !wait_for_place(c))
        return;
    gate_forget(c);
    count_passed(gate, 1);
    stream_set_deadline(connection->stream, CLOCK_NEVER);
    session_serve(gate->server, connection);
    count_passed(gate, -1);
    condition_signal(&gate->place);
}
