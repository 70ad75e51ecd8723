/* verdict.h - the outcome of something that can fail for a mail reason */
#ifndef POSTERN_BASE_VERDICT_H
#define POSTERN_BASE_VERDICT_H

#include "base/slice.h"

enum verdict_kind { VERDICT_ACCEPTED, VERDICT_TEMPORARY, VERDICT_PERMANENT };

/* A status code of RFC 3463 is three numbers; class 0 means none was given. */
struct status_code {
    uint8_t class;    /* 2, 4, 5 */
    uint16_t subject; /* 0..999 */
    uint16_t detail;
};

struct verdict {
    enum verdict_kind kind;
    int reply_code;            /* SMTP reply code, 0 when there is none */
    struct status_code status; /* its class agrees with kind */
    struct slice text;         /* reason; memory of the caller's arena, or a literal */
};

/* status_code_parse - "5.1.1" at the start of text; *rest (may be NULL) gets what follows, blanks skipped.  False: none there. */
bool status_code_parse(struct slice text, struct status_code *code, struct slice *rest);
/* status_code_format - into text[12], returns text. */
#define STATUS_CODE_TEXT 12
const char *status_code_format(struct status_code code, char text[STATUS_CODE_TEXT]);

#endif
