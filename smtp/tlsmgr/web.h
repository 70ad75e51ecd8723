/* web.h - HTTPS requests: no redirects, a time limit, a size limit, the server's certificate verified, names looked up by lib/dns

   libcurl works in the thread pool; fibers wait for it.  It opens no file: the authorities are read at start, and again when their file changed. */
#ifndef POSTERN_TLSMGR_WEB_H
#define POSTERN_TLSMGR_WEB_H

#include "base/arena.h"
#include "params.h"

struct web;

struct web_request {
    const char *url;           /* "https://..." */
    const char *content_type;  /* of the body to be sent; NULL: GET */
    struct slice body;
    size_t answer_max;         /* bytes; a longer answer is a failure */
};

enum web_outcome {
    WEB_ANSWERED,   /* with whatever status */
    WEB_UNTRUSTED,  /* the certificate of the server is not verified */
    WEB_FAILED,
    WEB_BUSY        /* too many requests at once: try again soon */
};

struct web_answer {
    enum web_outcome outcome;
    long status;                /* of HTTP */
    struct slice content_type;  /* without parameters, lower case */
    struct slice body;
    struct slice reason;        /* when it is no answer */
};

/* web_open - before the sandbox closes.  families: of addresses, as dns_addresses takes them. */
struct web *web_open(const struct tlsmgr_params *params, int families) MUST_CHECK;
/* web_ask - one request; the answer is in the arena.  Waits, for about a minute at most: for the addresses, a free place, the answer. */
void web_ask(struct web *web, const struct web_request *request, struct arena *arena, struct web_answer *answer);
/* web_stop - end all requests soon: the process is about to exit. */
void web_stop(void);

#endif
