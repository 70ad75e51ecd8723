/* message.h - the structs of messages.def, their numbers, encoding and decoding */
#ifndef POSTERN_IPC_MESSAGE_H
#define POSTERN_IPC_MESSAGE_H

#include "base/arena.h"
#include "base/buffer.h"

#define RECORD_BEGIN(record) struct record {
#define RECORD_END(record) };
#define STRING(record, tag, field) struct slice field;
#define NUMBER(record, tag, field) int64_t field;
#define FLAG(record, tag, field) bool field;
#define NESTED(record, tag, field, other) struct other field;
#define LIST(record, tag, field, other) struct other *field; size_t field##_count;
#define MESSAGE(id, record)
#include "ipc/messages.def"
#undef MESSAGE

/* MESSAGE_submit_open, ... */
enum message_type {
#undef RECORD_BEGIN
#undef RECORD_END
#undef STRING
#undef NUMBER
#undef FLAG
#undef NESTED
#undef LIST
#define RECORD_BEGIN(record)
#define RECORD_END(record)
#define STRING(record, tag, field)
#define NUMBER(record, tag, field)
#define FLAG(record, tag, field)
#define NESTED(record, tag, field, other)
#define LIST(record, tag, field, other)
#define MESSAGE(id, record) MESSAGE_##record = id,
#include "ipc/messages.def"
#undef RECORD_BEGIN
#undef RECORD_END
#undef STRING
#undef NUMBER
#undef FLAG
#undef NESTED
#undef LIST
#undef MESSAGE
};

/* recipient.notify (RFC 3461) */
enum { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };
/* recipient_original - the address that the sender knows: as it was given, before rewriting. */
static inline struct slice recipient_original(const struct recipient *r)
{
    return r->original.len ? r->original : r->address;
}
/* envelope.content_flags */
enum { CONTENT_8BIT_HEADER = 1, CONTENT_8BIT_BODY = 2, CONTENT_DOT_LINES = 4, CONTENT_LONG_LINES = 8 /* over 998 bytes */, CONTENT_STRAY_CR_LF = 16 };
/* envelope.send_options (compat.md k.5 field 6): how the message must go on; the last two are RFC 8689 */
enum { SEND_UTF8_REQUESTED = 1, SEND_UTF8_IN_HEADER = 2, SEND_UTF8_IN_SENDER = 4, SEND_UTF8_IN_RECIPIENT = 8,
       SEND_TLS_NOT_REQUIRED = 16 /* the header says TLS-Required: no */, SEND_REQUIRE_TLS = 32 /* MAIL FROM had REQUIRETLS */ };
/* envelope.trace: report the delivery (-v), only verify (-bv), address probe; of a probe: its address is an alias of several, which is good enough */
enum { TRACE_VERBOSE = 1, TRACE_VERIFY_ONLY = 2, TRACE_PROBE = 4, TRACE_SEVERAL = 8 };
/* envelope.source */
enum { SOURCE_SMTPD = 0, SOURCE_PICKUP = 1, SOURCE_BOUNCE = 2 /* notifications */, SOURCE_FORWARD = 3 /* local(8) */, SOURCE_QMQPD = 4 };
/* submit_envelope.options: what cleanup leaves out or does besides (receive_override_options, access actions) */
enum { SUBMIT_NO_ADDRESS_MAPPING = 1, SUBMIT_NO_HEADER_BODY_CHECKS = 2, SUBMIT_NO_MILTERS = 4, SUBMIT_NO_BCC = 8,
       SUBMIT_HOLD = 16, SUBMIT_DISCARD = 32, SUBMIT_NO_UNKNOWN_RECIPIENT_CHECKS = 64,
       SUBMIT_BOUNCE = 128 /* what cleanup refuses goes back to the sender as a bounce: pickup */ };
/* submit_reply.status */
enum { SUBMIT_STATUS_ACCEPTED = 0, SUBMIT_STATUS_TEMPORARY = 1, SUBMIT_STATUS_REFUSED = 2 };
/* delivery_result.outcome */
enum { OUTCOME_SENT = 1, OUTCOME_DEFERRED = 2, OUTCOME_BOUNCED = 3, OUTCOME_DELIVERABLE = 4, OUTCOME_UNDELIVERABLE = 5 };
/* bounce_request.kind */
enum { NOTICE_FAILURE = 1, NOTICE_DELAY = 2, NOTICE_SUCCESS = 3, NOTICE_VERIFY = 4 };
/* delivery_request.flags */
enum { DELIVERY_TRACE = 1, DELIVERY_PROBE = 2 /* do not deliver, only find out */,
       DELIVERY_KEEP_CONNECTION = 4, /* more mail for this destination is sure to follow, or went within the last second */
       DELIVERY_TELL_WRITTEN = 8 /* send delivery_written when only a wait for the disk is left */ };
/* queue_control.verb */
enum { QUEUE_CONTROL_DELETE = 1, QUEUE_CONTROL_HOLD, QUEUE_CONTROL_RELEASE, QUEUE_CONTROL_REQUEUE, QUEUE_CONTROL_EXPIRE,
       QUEUE_CONTROL_FLUSH, QUEUE_CONTROL_FLUSH_ID, QUEUE_CONTROL_FLUSH_SITE,
       QUEUE_CONTROL_WHERE /* argument: an id; the reply has the name of its queue in place of the id */ };
/* queue_query.form: as a listing, queue ids, only counts; .group_by: what is counted besides */
enum { QUEUE_QUERY_LISTING = 1, QUEUE_QUERY_IDS, QUEUE_QUERY_COUNTS };
enum { QUEUE_GROUP_DOMAIN = 1, QUEUE_GROUP_SENDER = 2, QUEUE_GROUP_SENDER_DOMAIN = 4, QUEUE_GROUP_REASON = 8, QUEUE_GROUP_NEXT_HOP = 16,
       QUEUE_GROUP_QUEUE = 32 };
/* anvil_request.verb */
enum { ANVIL_CONNECT = 1, ANVIL_DISCONNECT, ANVIL_MESSAGE, ANVIL_RECIPIENT, ANVIL_TLS, ANVIL_AUTH, ANVIL_LOOKUP };

/* message_encode - append the fields of one record (record: its name as in messages.def, value: its struct) to out.
   message_decode - fill the struct from bytes; slices point into bytes, lists and nested lists are in the arena.  False on malformed
   input (every length and count is checked).  Use through the macros:  MESSAGE_ENCODE(envelope, &e, &buffer). */
struct message_record; /* table made from messages.def */
#define RECORD_BEGIN(record) extern const struct message_record message_record_##record;
#define RECORD_END(record)
#define STRING(record, tag, field)
#define NUMBER(record, tag, field)
#define FLAG(record, tag, field)
#define NESTED(record, tag, field, other)
#define LIST(record, tag, field, other)
#define MESSAGE(id, record)
#include "ipc/messages.def"
#undef RECORD_BEGIN
#undef RECORD_END
#undef STRING
#undef NUMBER
#undef FLAG
#undef NESTED
#undef LIST
#undef MESSAGE
bool message_encode(const struct message_record *record, const void *value, struct buffer *out);
bool message_decode(const struct message_record *record, struct slice bytes, struct arena *arena, void *value) MUST_CHECK;
#define MESSAGE_ENCODE(record, value, out) message_encode(&message_record_##record, (1 ? (value) : (const struct record *)0), out)
#define MESSAGE_DECODE(record, bytes, arena, value) message_decode(&message_record_##record, bytes, arena, (1 ? (value) : (struct record *)0))
/* message_copy - deep copy into an arena (slices, lists). */
void message_copy(const struct message_record *record, const void *from, struct arena *arena, void *to);
#define MESSAGE_COPY(record, from, arena, to) message_copy(&message_record_##record, (1 ? (from) : (const struct record *)0), arena, (1 ? (to) : (struct record *)0))
/* message_record_of, message_name - by number; NULL for an unknown one.  message_struct_size - sizeof the struct. */
const struct message_record *message_record_of(enum message_type type);
const char *message_name(enum message_type type);
size_t message_struct_size(const struct message_record *record);

#endif
