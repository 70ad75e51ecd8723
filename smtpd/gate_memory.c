/* gate_memory.c - the text of the gate's cache */
#include "gate_memory.h"

#include "base/clock.h"

/* Later times do not come from us, and could not be counted in microseconds. */
static const int64_t latest = INT64_MAX / MICROSECONDS / 2;

bool gate_memory_parse(struct slice text, struct gate_memory *memory)
{
    struct slice rest = text, field;

    for (int test = 0; test < GATE_TESTS; test++) {
        bool more = slice_cut(rest, ';', &field, &rest);
        if (more != (test < GATE_TESTS - 1) || !slice_to_i64(field, &memory->until[test]) || memory->until[test] < 0 || memory->until[test] > latest)
            return false;
    }
    return true;
}

void gate_memory_text(const struct gate_memory *memory, struct buffer *out)
{
    for (int test = 0; test < GATE_TESTS; test++)
        buffer_printf(out, "%s%lld", test ? ";" : "", (long long)memory->until[test]);
}

unsigned gate_memory_due(const struct gate_memory *memory, unsigned enabled, int64_t now)
{
    unsigned due = 0;

    for (int test = 0; test < GATE_TESTS; test++)
        if ((enabled & 1U << test) && memory->until[test] <= now)
            due |= 1U << test;
    return due;
}

int64_t gate_memory_last(const struct gate_memory *memory)
{
    int64_t last = 0;

    for (int test = 0; test < GATE_TESTS; test++)
        if (memory->until[test] > last)
            last = memory->until[test];
    return last;
}
