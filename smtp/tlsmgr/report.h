/* report.h - one report of RFC 8460: what is counted for one domain in one period, and its forms: JSON, gzip, a mail

   Pure functions over memory; tallies.h keeps many of these, dispatch.h sends them. */
#ifndef POSTERN_TLSMGR_REPORT_H
#define POSTERN_TLSMGR_REPORT_H

#include <jansson.h>

#include "base/arena.h"
#include "ipc/message.h"
#include "params.h"

enum { REPORT_POLICIES_MAX = 20, REPORT_DETAILS_MAX = 100 /* of one policy: what comes later is only in the sum */,
       REPORT_LINES_MAX = 300 /* of a policy that are shown */ };

struct report {
    char *domain;
    int64_t begin, end;    /* seconds since 1970: the first of the period, and the last */
    char *id;
    json_t *policies;      /* the array of RFC 8460 4.4 */
    json_t *sent;          /* array: the targets that have it */
    size_t bytes;          /* of memory that it takes, about */
};

struct report *report_new(struct slice domain, int64_t begin, int64_t end) MUST_CHECK;
void report_free(struct report *report);
/* report_count - one more session. */
void report_count(struct report *report, const struct tls_session *session);
/* report_keep - as it is remembered.  report_recall - the same backwards; NULL: that is none. */
char *report_keep(const struct report *report) MUST_CHECK;
struct report *report_recall(struct slice text) MUST_CHECK;
/* report_gzip - what is sent: the JSON text of the report, compressed.  False: it cannot be made. */
bool report_gzip(const struct report *report, const struct tlsmgr_params *params, struct buffer *out);
/* report_mail - header and body, CRLF line ends. */
void report_mail(const struct report *report, const struct tlsmgr_params *params, struct slice to, struct slice gzip, struct buffer *out);

#endif
