/* notice.h - a delivery status notification as text (RFC 3461, 3462, 3464; compat.md g.6) */
#ifndef POSTERN_QMGR_BOUNCE_NOTICE_H
#define POSTERN_QMGR_BOUNCE_NOTICE_H

#include "conf/bounce_templates.h"
#include "ipc/message.h"


struct bounce_params {
    const char *myhostname, *mail_name, *notify_classes, *bounce_notice_recipient, *twice_bounce_notice_recipient, *delay_notice_recipient,
        *double_bounce_sender, *bounce_template_file, *header_from_format, *internal_mail_filter_classes, *empty_address_recipient;
    int64_t bounce_size_limit, maximal_queue_lifetime;
    bool smtputf8_enable, requiretls_enable, requiretls_redact_dsn, tls_required_enable, enable_threaded_bounces;
    struct bounce_template templates[BOUNCE_TEMPLATE_COUNT];
    struct config *config;
    struct arena *memory; /* of the templates */
};

/* One notice to be written. */
struct notice {
    const struct bounce_params *params;
    const struct bounce_request *request;
    const struct bounce_recipient **recipients; /* those that it tells of */
    size_t recipient_count;
    struct slice queue_id;     /* of the notice */
    const char *to;            /* whom it goes to */
    bool postmaster;           /* a copy for the postmaster: without the template's text */
    int content_fd;            /* the original message; -1: gone */
};

/* notice_is_redacted - the original required TLS, and the way back may have none: the notice tells nothing of the content.  notice_send_options - SEND_ bits
   of the notice's own envelope. */
bool notice_is_redacted(const struct notice *notice);
int64_t notice_send_options(const struct notice *notice);
/* notice_original_id - the Message-ID of the original, "<...>", appended to *id; false: enable_threaded_bounces is off, or there is none that can be
   shown. */
bool notice_original_id(const struct notice *notice, struct buffer *id);
/* notice_write - the whole message in wire form, in pieces given to write().  Bounded by the size of the original. */
void notice_write(const struct notice *notice, void (*write)(void *context, struct slice data), void *context);

#endif
