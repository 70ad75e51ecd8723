/* headers.c - header fields on their way: checks, rewriting, dropping, and adding what is missing (compat.md e.2, e.3) */
#include "base/log.h"
#include "transaction.h"

void headers_start(struct transaction *t)
{
    const struct cleanup_params *p = &t->cleanup->params;
    bool local = !slice_equal(t->envelope.rewrite_context, SLICE("remote"));
    t->rewrite_context = local ? SLICE("local") : SLICE("remote");
    t->rewrite_headers = local || p->remote_header_rewrite_domain[0];
    t->add_missing_headers = t->rewrite_headers || p->always_add_missing_headers;
    t->own_received = UINT64_MAX;
}

static void see(struct transaction *t, enum header_kind kind)
{
    t->headers_seen |= UINT64_C(1) << kind;
}

static bool has_seen(const struct transaction *t, enum header_kind kind)
{
    return t->headers_seen & (UINT64_C(1) << kind);
}

static bool is_dropped(const struct transaction *t, struct slice name)
{
    for (size_t i = 0; i < t->cleanup->dropped_header_count; i++) {
        if (slice_equal_case(name, t->cleanup->dropped_headers[i]))
            return true;
    }
    return false;
}

/* ---- single fields ---- */

static void note_message_id(struct transaction *t, const char *name, struct slice value, struct slice *keep)
{
    struct buffer unfolded = BUFFER_INIT;
    struct slice shown = header_with_lf(value, &unfolded); /* not in SLICE_ARGS, which names its argument twice */
    log_info(SLICE_FORMAT ": %s=" SLICE_FORMAT, SLICE_ARGS(t->queue_id), name, SLICE_ARGS(shown));
    buffer_release(&unfolded);
    if (keep->len == 0)
        *keep = arena_slice(t->arena, value);
}

static void count_hop(struct transaction *t)
{
    if (++t->received_headers < t->cleanup->params.hopcount_limit || t->refused)
        return;
    log_warning(SLICE_FORMAT ": message rejected: hopcount exceeded", SLICE_ARGS(t->queue_id));
    transaction_refuse(t, SUBMIT_STATUS_REFUSED, 554, SLICE("5.4.0 Error: too many hops"));
}

static void note_encoding(struct transaction *t, struct slice value)
{
    if (!t->cleanup->params.detect_8bit_encoding_header)
        return;
    if (slice_equal_case(slice_trim(value), SLICE("8bit")))
        t->envelope.encoding = SLICE("8bit");
    else if (slice_equal_case(slice_trim(value), SLICE("7bit")))
        t->envelope.encoding = SLICE("7bit");
}

/* passes_on_require_tls - REQUIRETLS is also written into the header, for what lies between and does not speak SMTP (content filters). */
static bool passes_on_require_tls(const struct transaction *t)
{
    return t->cleanup->params.requiretls_enable && t->cleanup->params.requiretls_esmtp_header;
}

static void note_field(struct transaction *t, enum header_kind kind, struct slice value)
{
    see(t, kind);
    switch (kind) {
    case HEADER_RECEIVED:
        count_hop(t);
        break;
    case HEADER_MESSAGE_ID:
        note_message_id(t, "message-id", slice_trim(value), &t->message_id);
        break;
    case HEADER_RESENT_MESSAGE_ID:
        note_message_id(t, "resent-message-id", slice_trim(value), &t->resent_message_id);
        break;
    case HEADER_CONTENT_TRANSFER_ENCODING:
        note_encoding(t, value);
        break;
    case HEADER_TLS_REQUIRED:
        if (t->cleanup->params.tls_required_enable && slice_equal_case(slice_trim(value), SLICE("no")))
            t->envelope.send_options |= SEND_TLS_NOT_REQUIRED;
        break;
    case HEADER_REQUIRE_TLS_ESMTP:
        if (passes_on_require_tls(t) && !slice_equal(t->rewrite_context, SLICE("remote")) && slice_equal_case(slice_trim(value), SLICE("yes")))
            t->envelope.send_options |= SEND_REQUIRE_TLS;
        break;
    default:
        break;
    }
}

/* ---- the primary header ---- */

static void primary_field(struct transaction *t, struct slice text)
{
    struct slice name, value;
    if (!header_parse(text, &name, &value)) { /* what REPLACE made of it */
        content_write_text(t, text);
        return;
    }
    enum header_kind kind = header_known(name);
    int flags = header_flags(kind);
    t->resent |= slice_starts_case(name, SLICE("resent-"));
    if (is_dropped(t, name))
        return;
    if (kind != HEADER_OTHER)
        note_field(t, kind, value);
    if ((flags & (HEADER_SENDER_ADDRESSES | HEADER_RECIPIENT_ADDRESSES)) && t->rewrite_headers)
        text = header_rewrite(t, text, name, flags & HEADER_SENDER_ADDRESSES ? CLASS_HEADER_SENDER : CLASS_HEADER_RECIPIENT);
    content_write(t, text);
    content_write(t, SLICE("\r\n"));
}

static const struct part_checks {
    const char *parameter;
    size_t maps; /* offset in struct cleanup */
} part_checks[] = {
    [MESSAGE_PRIMARY_HEADER] = {"header_checks", offsetof(struct cleanup, header_checks)},
    [MESSAGE_MIME_HEADER] = {"mime_header_checks", offsetof(struct cleanup, mime_header_checks)},
    [MESSAGE_NESTED_HEADER] = {"nested_header_checks", offsetof(struct cleanup, nested_header_checks)}};

void headers_handle(struct transaction *t, enum message_part part, struct slice text, bool truncated UNUSED)
{
    const struct part_checks *checks = &part_checks[part];
    struct table_list *maps = *(struct table_list *const *)((const char *)t->cleanup + checks->maps);
    struct slice given = text;
    bool own_received = part == MESSAGE_PRIMARY_HEADER && !t->own_received_seen && slice_starts_case(text, SLICE("Received:"));
    t->own_received_seen |= own_received;
    if (check_text(t, maps, checks->parameter, "header", &text) == CHECK_DROP || transaction_is_over(t))
        return;
    if (own_received)
        t->own_received = content_sink_size(t->sink);
    if (part == MESSAGE_PRIMARY_HEADER && (text.data == given.data || slice_find(text, '\n') == text.len)) {
        primary_field(t, text);
    } else if (part == MESSAGE_PRIMARY_HEADER) { /* REPLACE may give several lines */
        struct buffer wire = BUFFER_INIT;
        for (size_t i = 0; i < text.len; i++) {
            if (text.data[i] == '\n' && !(i && text.data[i - 1] == '\r'))
                buffer_append_byte(&wire, '\r');
            buffer_append_byte(&wire, text.data[i]);
        }
        primary_field(t, buffer_slice(&wire));
        buffer_release(&wire);
    } else {
        content_write_text(t, text);
    }
}

/* ---- what is missing ---- */

static void add_message_id(struct transaction *t, const char *prefix)
{
    char date[16] = "";
    struct slice id;
    if (t->cleanup->params.enable_long_queue_ids) {
        id = arena_format(t->arena, "<" SLICE_FORMAT "@%s>", SLICE_ARGS(t->queue_id), t->cleanup->params.myhostname);
    } else {
        time_t seconds = (time_t)(t->envelope.arrival_time / MICROSECONDS);
        struct tm utc;
        if (gmtime_r(&seconds, &utc))
            strftime(date, sizeof(date), "%Y%m%d%H%M%S", &utc);
        id = arena_format(t->arena, "<%s." SLICE_FORMAT "@%s>", date, SLICE_ARGS(t->queue_id), t->cleanup->params.myhostname);
    }
    content_write(t, arena_format(t->arena, "%sMessage-Id: " SLICE_FORMAT "\r\n", prefix, SLICE_ARGS(id)));
    if (prefix[0])
        note_message_id(t, "resent-message-id", id, &t->resent_message_id);
    else
        note_message_id(t, "message-id", id, &t->message_id);
}

static void add_date(struct transaction *t, const char *prefix)
{
    struct buffer date = BUFFER_INIT;
    clock_rfc5322(&date, t->envelope.arrival_time);
    content_write(t, arena_format(t->arena, "%sDate: %s\r\n", prefix, buffer_string(&date)));
    buffer_release(&date);
}

/* append_phrase - a display name, quoted when it needs it (RFC 5322 3.2.5). */
static void append_phrase(struct buffer *out, struct slice name)
{
    bool plain = true;
    for (size_t i = 0; i < name.len; i++)
        plain = plain && name.data[i] && !strchr("()<>[]:;@\\,.\"", name.data[i]);
    if (plain) {
        buffer_append_slice(out, name);
        return;
    }
    buffer_append_byte(out, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] == '"' || name.data[i] == '\\')
            buffer_append_byte(out, '\\');
        buffer_append_byte(out, name.data[i]);
    }
    buffer_append_byte(out, '"');
}

/* append_comment - "(name)" without what would end it early. */
static void append_comment(struct buffer *out, struct slice name)
{
    buffer_append_byte(out, '(');
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] == '(' || name.data[i] == ')' || name.data[i] == '\\')
            buffer_append_byte(out, '\\');
        buffer_append_byte(out, name.data[i]);
    }
    buffer_append_byte(out, ')');
}

static void add_from(struct transaction *t, const char *prefix)
{
    struct buffer from = BUFFER_INIT;
    struct slice sender = t->envelope.sender.len ? t->envelope.sender : SLICE("MAILER-DAEMON");
    struct slice name = slice_trim(t->envelope.sender_full_name);
    bool named = name.len && t->envelope.sender.len && !slice_has_control(name);
    bool obsolete = strcasecmp(t->cleanup->params.header_from_format, "obsolete") == 0;
    buffer_printf(&from, "%sFrom: ", prefix);
    if (named && !obsolete) {
        append_phrase(&from, name);
        buffer_append_string(&from, " <");
    }
    buffer_append_slice(&from, sender);
    if (named && !obsolete)
        buffer_append_byte(&from, '>');
    if (named && obsolete) {
        buffer_append_byte(&from, ' ');
        append_comment(&from, name);
    }
    buffer_append_string(&from, "\r\n");
    content_write(t, buffer_slice(&from));
    buffer_release(&from);
}

static bool has_recipient_header(const struct transaction *t)
{
    return has_seen(t, HEADER_TO) || has_seen(t, HEADER_CC) || has_seen(t, HEADER_RESENT_TO) || has_seen(t, HEADER_RESENT_CC) ||
           has_seen(t, HEADER_RESENT_BCC) || has_seen(t, HEADER_BCC);
}

static void add_missing(struct transaction *t)
{
    const char *prefix = t->resent ? "Resent-" : "";
    if (!has_seen(t, t->resent ? HEADER_RESENT_MESSAGE_ID : HEADER_MESSAGE_ID))
        add_message_id(t, prefix);
    if (!has_seen(t, t->resent ? HEADER_RESENT_DATE : HEADER_DATE))
        add_date(t, prefix);
    if (!has_seen(t, t->resent ? HEADER_RESENT_FROM : HEADER_FROM))
        add_from(t, prefix);
    const char *undisclosed = t->cleanup->params.undisclosed_recipients_header;
    if (undisclosed[0] && !has_recipient_header(t))
        content_write_text(t, slice_of(undisclosed));
}

void headers_end(struct transaction *t)
{
    if (t->header_ended)
        return;
    t->header_ended = true;
    if (t->add_missing_headers)
        add_missing(t);
    if ((t->envelope.send_options & SEND_REQUIRE_TLS) && passes_on_require_tls(t) && !has_seen(t, HEADER_REQUIRE_TLS_ESMTP))
        content_write(t, SLICE("Require-TLS-ESMTP: yes\r\n"));
    if (t->message_id.len == 0 && t->resent_message_id.len == 0)
        log_info(SLICE_FORMAT ": message-id=<>", SLICE_ARGS(t->queue_id));
    if (t->written.has_8bit)
        t->envelope.content_flags |= CONTENT_8BIT_HEADER;
    t->written.has_8bit = false;
    t->header_size = t->body_offset = content_sink_size(t->sink);
}
