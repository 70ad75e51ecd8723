/* cleanup.h - cleanup as a process: parameters, tables, the segment it writes */
#ifndef POSTERN_QMGR_CLEANUP_CLEANUP_H
#define POSTERN_QMGR_CLEANUP_CLEANUP_H

#include "message/header.h"
#include "notify.h"
#include "queue/queue_id.h"
#include "queue/segment.h"
#include "route/route.h"
#include "service/service.h"

#define CLEANUP_PARAMETERS(X)                                                                                            \
    X(TIME, in_flow_delay)                                                                                               \
    X(STRING, myhostname) X(STRING, myorigin) X(STRING, remote_header_rewrite_domain) X(STRING, always_bcc)                 \
    X(STRING, sender_canonical_maps) X(STRING, sender_bcc_maps) X(STRING, recipient_bcc_maps) X(STRING, canonical_classes)  \
    X(STRING, sender_canonical_classes) X(STRING, recipient_canonical_classes) X(STRING, masquerade_classes)                \
    X(STRING, masquerade_domains) X(STRING, masquerade_exceptions) X(STRING, propagate_unmatched_extensions)                \
    X(STRING, header_checks) X(STRING, mime_header_checks) X(STRING, nested_header_checks) X(STRING, body_checks)           \
    X(STRING, milter_header_checks) X(STRING, non_smtpd_milters) X(STRING, dns_servers)                                     \
    X(STRING, message_drop_headers) X(STRING, message_reject_characters) X(STRING, message_strip_characters)                \
    X(STRING, undisclosed_recipients_header) X(STRING, header_from_format) X(STRING, empty_address_recipient)               \
    X(STRING, smtputf8_autodetect_classes) X(STRING, non_empty_end_of_header_action)                                                                                \
    X(BOOL, always_add_missing_headers) X(BOOL, enable_original_recipient) X(BOOL, requiretls_enable) X(BOOL, requiretls_esmtp_header) X(BOOL, tls_required_enable) X(BOOL, enable_long_queue_ids)                   \
    X(BOOL, detect_8bit_encoding_header) X(BOOL, disable_mime_input_processing) X(BOOL, strict_7bit_headers)                \
    X(BOOL, strict_8bitmime) X(BOOL, strict_8bitmime_body) X(BOOL, strict_mime_encoding_domain)                             \
    X(BOOL, cleanup_replace_stray_cr_lf) X(BOOL, smtputf8_enable)                                                           \
    X(INT, hopcount_limit) X(INT, header_address_token_limit) X(INT, header_size_limit) X(INT, line_length_limit)           \
    X(INT, mime_nesting_limit) X(INT, mime_boundary_length_limit) X(INT, body_checks_size_limit)                            \
    X(INT, virtual_alias_expansion_limit) X(INT, virtual_alias_recursion_limit) X(INT, virtual_alias_address_length_limit)  \
    X(INT, duplicate_filter_limit) X(SIZE, message_size_limit) X(SIZE, queue_minfree) X(TIME, ipc_timeout)

struct cleanup_params { CONFIG_MEMBERS(CLEANUP_PARAMETERS) };

/* Classes of addresses: canonical_classes, masquerade_classes and their like. */
enum { CLASS_ENVELOPE_SENDER = 1, CLASS_ENVELOPE_RECIPIENT = 2, CLASS_HEADER_SENDER = 4, CLASS_HEADER_RECIPIENT = 8 };

/* One element of masquerade_domains. */
struct masquerade_domain {
    struct slice name;
    bool leave; /* "!name": not masqueraded */
};

/* A set of bytes, from a string with C escapes. */
struct byte_set {
    bool any;
    bool has[256];
};

struct cleanup {
    struct cleanup_params params;
    struct arena *arena; /* of what is made of the parameters */
    struct route *route;
    const struct route_maps *maps; /* recipient_canonical, canonical, virtual_alias */
    struct table_list *sender_canonical, *sender_bcc, *recipient_bcc;
    struct table_list *header_checks, *mime_header_checks, *nested_header_checks, *body_checks, *milter_header_checks;
    struct milter_list *non_smtpd_milters;
    int canonical_classes, sender_canonical_classes, recipient_canonical_classes, masquerade_classes;
    bool propagate_canonical, propagate_virtual;
    struct masquerade_domain *masquerade;
    size_t masquerade_count;
    struct match_list *masquerade_exceptions;
    struct slice *dropped_headers;
    size_t dropped_header_count;
    struct byte_set reject_bytes, strip_bytes;
    struct message_limits limits;
    struct segment_writer *writer;
    struct queue_id_maker ids;
    struct notifier *notifier; /* NULL in tests: nobody is told */
};

/* cleanup_new - everything but the segment writer; opens tables.  cleanup_free. */
struct cleanup *cleanup_new(struct config *config, unsigned worker) MUST_CHECK;
void cleanup_free(struct cleanup *cleanup);

void cleanup_open(struct service_context *context);
void cleanup_start(struct service_context *context);
void cleanup_end(struct service_context *context);
/* cleanup_serve - one lane of a submitter. */
void cleanup_serve(struct service_context *context, struct service_client *client);

#endif
