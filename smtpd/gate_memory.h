/* gate_memory.h - what the gate remembers of a client: until when it need not pass a test again */
#ifndef POSTERN_SMTPD_GATE_MEMORY_H
#define POSTERN_SMTPD_GATE_MEMORY_H

#include "base/buffer.h"
#include "gate.h"

/* When the result of each test ends, seconds since 1970. */
enum { GATE_NEVER_PASSED = 0, GATE_NOT_TESTED = 1 /* the test was not enabled */ };
struct gate_memory {
    int64_t until[GATE_TESTS];
};

/* gate_memory_parse - "1764000000;0;1;1;1", as in Postfix's caches; false when it is something else.  gate_memory_text - append it. */
bool gate_memory_parse(struct slice text, struct gate_memory *memory) MUST_CHECK;
void gate_memory_text(const struct gate_memory *memory, struct buffer *out);
/* gate_memory_due - bits of the enabled tests that are due now (seconds since 1970). */
unsigned gate_memory_due(const struct gate_memory *memory, unsigned enabled, int64_t now);
/* gate_memory_last - when the last of the results ends. */
int64_t gate_memory_last(const struct gate_memory *memory);

#endif
