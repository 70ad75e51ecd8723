/* notice.c - writing a delivery status notification */
#include "notice.h"

#include "address/mail_address.h"
#include "base/clock.h"
#include "base/log.h"
#include "message/header.h"

#define WIDTH 79  /* of folded lines */
#define INDENT 4
#define PIECE (64 * 1024)
#define HEADER_MAX (1 << 20) /* of the original, in a notice with headers only */

struct writer {
    const struct notice *n;
    struct buffer out;
    char boundary[256];
    void (*write)(void *context, struct slice data);
    void *context;
};

static void flush(struct writer *w)
{
    if (w->out.len > 0)
        w->write(w->context, buffer_slice(&w->out));
    buffer_clear(&w->out);
}

static void line(struct writer *w, const char *format, ...) PRINTF_LIKE(2, 3);

static void line(struct writer *w, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    buffer_vprintf(&w->out, format, args);
    va_end(args);
    buffer_append_string(&w->out, "\r\n");
}

/* clean - text from outside becomes one printable line. */
static struct slice clean(struct slice text, struct buffer *copy)
{
    buffer_clear(copy);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        buffer_append_byte(copy, byte == '\n' || byte == '\r' || byte == '\t' ? ' ' : byte < 32 || byte == 127 ? '?' : (char)byte);
    }
    return buffer_slice(copy);
}

/* folded - break at blanks so that no line is longer than WIDTH; continuation lines are indented. */
static void folded(struct writer *w, struct slice raw)
{
    struct buffer copy = BUFFER_INIT;
    struct slice text = clean(raw, &copy);
    size_t room = WIDTH;

    while (text.len > room) {
        size_t cut = room;
        while (cut > 0 && text.data[cut] != ' ')
            cut--;
        if (cut == 0)
            for (cut = room; cut < text.len && text.data[cut] != ' '; cut++)
                ;
        if (cut >= text.len)
            break;
        line(w, SLICE_FORMAT, SLICE_ARGS(slice_trim_right(slice_first(text, cut))));
        text = slice_trim_left(slice_from(text, cut));
        buffer_append_string(&w->out, "    ");
        room = WIDTH - INDENT;
    }
    line(w, SLICE_FORMAT, SLICE_ARGS(text));
    buffer_release(&copy);
}

static void date_line(struct writer *w, const char *name, int64_t wall)
{
    struct buffer date = BUFFER_INIT;

    clock_rfc5322(&date, wall);
    line(w, "%s: %s", name, buffer_string(&date));
    buffer_release(&date);
}

static enum bounce_template_kind template_kind(int64_t kind)
{
    return kind == NOTICE_DELAY ? BOUNCE_TEMPLATE_DELAY : kind == NOTICE_SUCCESS ? BOUNCE_TEMPLATE_SUCCESS
           : kind == NOTICE_VERIFY ? BOUNCE_TEMPLATE_VERIFY : BOUNCE_TEMPLATE_FAILURE;
}

static const struct bounce_template *template_of(const struct notice *n)
{
    return &n->params->templates[template_kind(n->request->kind)];
}

/* from_line - "Name <address>", or "address (Name)" with header_from_format = obsolete; the form in a template file is kept. */
static void from_line(struct writer *w, const char *from)
{
    struct slice text = slice_of(from), address, name;

    if (!template_of(w->n)->from_file && strcmp(w->n->params->header_from_format, "obsolete") != 0 && slice_cut(text, '(', &address, &name) && slice_ends(name, SLICE(")")))
        line(w, "From: " SLICE_FORMAT " <" SLICE_FORMAT ">", SLICE_ARGS(slice_first(name, name.len - 1)), SLICE_ARGS(slice_trim(address)));
    else
        line(w, "From: %s", from);
}

/* encoding_line - with SMTPUTF8 support templates and addresses may be UTF-8 at any time; without it the original decides. */
static void encoding_line(struct writer *w)
{
    struct slice encoding = w->n->params->smtputf8_enable ? SLICE("8bit") : w->n->request->envelope.encoding;

    if (encoding.len > 0)
        line(w, "Content-Transfer-Encoding: " SLICE_FORMAT, SLICE_ARGS(encoding));
}

static bool requires_tls(const struct notice *n)
{
    return n->params->requiretls_enable && (n->request->envelope.send_options & SEND_REQUIRE_TLS);
}

bool notice_is_redacted(const struct notice *notice)
{
    return requires_tls(notice) && notice->params->requiretls_redact_dsn;
}

int64_t notice_send_options(const struct notice *notice)
{
    if (requires_tls(notice))
        return notice_is_redacted(notice) ? 0 : SEND_REQUIRE_TLS;
    return notice->params->tls_required_enable ? notice->request->envelope.send_options & SEND_TLS_NOT_REQUIRED : 0;
}

static void headers(struct writer *w)
{
    const struct notice *n = w->n;
    const struct bounce_template *template = template_of(n);
    struct buffer date = BUFFER_INIT;

    clock_rfc5322(&date, clock_wall());
    line(w, "Received: by %s (%s)", n->params->myhostname, n->params->mail_name);
    line(w, "\tid " SLICE_FORMAT "; %s", SLICE_ARGS(n->queue_id), buffer_string(&date));
    line(w, "Date: %s", buffer_string(&date));
    buffer_release(&date);
    from_line(w, template->from);
    line(w, "Subject: %s", n->postmaster && template->postmaster_subject != NULL ? template->postmaster_subject : template->subject);
    struct buffer to = BUFFER_INIT;
    line(w, "To: " SLICE_FORMAT, SLICE_ARGS(clean(slice_of(n->to), &to)));
    buffer_clear(&to);
    if (notice_original_id(n, &to)) {
        line(w, "References: " SLICE_FORMAT, SLICE_ARGS(buffer_slice(&to)));
        line(w, "In-Reply-To: " SLICE_FORMAT, SLICE_ARGS(buffer_slice(&to)));
    }
    buffer_release(&to);
    if (notice_send_options(n) & SEND_TLS_NOT_REQUIRED)
        line(w, "TLS-Required: no");
    line(w, "Auto-Submitted: %s", n->postmaster ? "auto-generated" : "auto-replied");
    line(w, "MIME-Version: 1.0");
    line(w, "Content-Type: multipart/report; report-type=delivery-status;");
    line(w, "\tboundary=\"%s\"", w->boundary);
    encoding_line(w);
    line(w, "%s", "");
    line(w, "This is a MIME-encapsulated message.");
    line(w, "%s", "");
}

static void part(struct writer *w, const char *description, const char *type)
{
    line(w, "--%s", w->boundary);
    line(w, "Content-Description: %s", description);
    line(w, "Content-Type: %s", type);
    if (strcmp(type, "message/delivery-status") != 0) /* that one is 7bit by definition (RFC 3464 2.1) */
        encoding_line(w);
    line(w, "%s", "");
}

/* ---- part 1: for people ---- */

static void template_text(struct writer *w)
{
    struct buffer text = BUFFER_INIT;
    enum bounce_template_kind kind = template_kind(w->n->request->kind);
    struct slice rest, one;

    if (!bounce_template_expand(w->n->params->config, &w->n->params->templates[kind], &text)) {
        buffer_clear(&text);
        bounce_template_expand(w->n->params->config, bounce_template_builtin(kind), &text);
    }
    rest = buffer_slice(&text);
    while (slice_next_line(&rest, &one))
        line(w, SLICE_FORMAT, SLICE_ARGS(slice_trim_right(one)));
    buffer_release(&text);
}

static bool reports_success(int64_t kind)
{
    return kind == NOTICE_SUCCESS || kind == NOTICE_VERIFY;
}

/* reason_text - what is said of a recipient; reports of success name the agent. */
static void reason_text(const struct notice *n, const struct bounce_recipient *r, struct buffer *out)
{
    if (reports_success(n->request->kind) && r->result.relay.len > 0 && !slice_equal(r->result.relay, SLICE("none")))
        buffer_printf(out, "delivery via " SLICE_FORMAT ": ", SLICE_ARGS(r->result.relay));
    buffer_append_slice(out, r->result.reason);
}

static void recipient_text(struct writer *w, const struct bounce_recipient *r)
{
    struct buffer text = BUFFER_INIT;

    buffer_printf(&text, "<" SLICE_FORMAT ">", SLICE_ARGS(r->recipient.address));
    if (r->recipient.original.len > 0 && !slice_equal_case(r->recipient.original, r->recipient.address))
        buffer_printf(&text, " (expanded from <" SLICE_FORMAT ">)", SLICE_ARGS(r->recipient.original));
    buffer_append_string(&text, ": ");
    reason_text(w->n, r, &text);
    line(w, "%s", "");
    folded(w, buffer_slice(&text));
    buffer_release(&text);
}

static void explanation(struct writer *w)
{
    char type[128];
    const char *charset = template_of(w->n)->charset;

    bool widened = w->n->params->smtputf8_enable && strcasecmp(charset, "us-ascii") == 0;
    snprintf(type, sizeof(type), "text/plain; charset=%s", widened ? "utf-8" : charset);
    part(w, "Notification", type);
    if (!w->n->postmaster)
        template_text(w);
    for (size_t i = 0; i < w->n->recipient_count; i++) {
        recipient_text(w, w->n->recipients[i]);
        flush(w);
    }
    line(w, "%s", "");
}

/* ---- part 2: for programs ---- */

static const char *address_type(const struct notice *n, struct slice address)
{
    return n->request->envelope.smtputf8 && !slice_is_ascii(address) ? "utf-8" : "rfc822";
}

static const char *action_of(const struct notice *n, const struct delivery_result *result, char text[32])
{
    snprintf(text, 32, SLICE_FORMAT, SLICE_ARGS(result->action));
    if (n->request->kind == NOTICE_DELAY)
        return "delayed";
    if (n->request->kind == NOTICE_FAILURE)
        return "failed";
    return text;
}

static void diagnostic_field(struct writer *w, const struct bounce_recipient *r)
{
    struct buffer text = BUFFER_INIT;

    if (r->result.diagnostic_type.len > 0 && r->result.diagnostic.len > 0) {
        buffer_printf(&text, "Diagnostic-Code: " SLICE_FORMAT "; " SLICE_FORMAT, SLICE_ARGS(r->result.diagnostic_type), SLICE_ARGS(r->result.diagnostic));
    } else {
        buffer_printf(&text, "Diagnostic-Code: X-%s; ", w->n->params->mail_name);
        reason_text(w->n, r, &text);
    }
    folded(w, buffer_slice(&text));
    buffer_release(&text);
}

static void recipient_fields(struct writer *w, const struct bounce_recipient *r)
{
    const struct notice *n = w->n;
    struct buffer copy = BUFFER_INIT;
    char action[32];

    line(w, "%s", "");
    line(w, "Final-Recipient: %s; " SLICE_FORMAT, address_type(n, r->recipient.address), SLICE_ARGS(clean(r->recipient.address, &copy)));
    if (r->recipient.orcpt.len > 0)
        line(w, "Original-Recipient: " SLICE_FORMAT, SLICE_ARGS(clean(r->recipient.orcpt, &copy)));
    else if (n->request->envelope.dsn_sender.len == 0) {
        struct arena *arena = arena_new(0);
        struct slice original = mail_address_internal(recipient_original(&r->recipient), arena);
        line(w, "Original-Recipient: rfc822;" SLICE_FORMAT, SLICE_ARGS(clean(original, &copy)));
        arena_free(arena);
    }
    line(w, "Action: %s", action_of(n, &r->result, action));
    line(w, "Status: " SLICE_FORMAT, SLICE_ARGS(clean(r->result.status, &copy)));
    if (r->result.remote_mta.len > 0)
        line(w, "Remote-MTA: dns; " SLICE_FORMAT, SLICE_ARGS(clean(r->result.remote_mta, &copy)));
    buffer_release(&copy);
    diagnostic_field(w, r);
    if (n->request->kind == NOTICE_DELAY)
        date_line(w, "Will-Retry-Until", n->request->envelope.arrival_time + n->params->maximal_queue_lifetime);
}

/* sender_shown - the null sender is shown as MAILER-DAEMON@myhostname. */
static void sender_shown(const struct notice *n, struct buffer *out)
{
    if (n->request->envelope.sender.len > 0)
        buffer_append_slice(out, n->request->envelope.sender);
    else
        buffer_printf(out, "%s@%s", n->params->empty_address_recipient, n->params->myhostname);
}

static void status_part(struct writer *w)
{
    const struct notice *n = w->n;
    const struct envelope *envelope = &n->request->envelope;
    struct buffer text = BUFFER_INIT, copy = BUFFER_INIT;

    part(w, "Delivery report", envelope->smtputf8 ? "message/global-delivery-status" : "message/delivery-status");
    line(w, "Reporting-MTA: dns; %s", n->params->myhostname);
    if (envelope->envelope_id.len > 0)
        line(w, "Original-Envelope-Id: " SLICE_FORMAT, SLICE_ARGS(clean(envelope->envelope_id, &copy)));
    line(w, "X-%s-Queue-ID: " SLICE_FORMAT, n->params->mail_name, SLICE_ARGS(envelope->queue_id));
    sender_shown(n, &text);
    line(w, "X-%s-Sender: %s; " SLICE_FORMAT, n->params->mail_name, address_type(n, buffer_slice(&text)), SLICE_ARGS(clean(buffer_slice(&text), &copy)));
    date_line(w, "Arrival-Date", envelope->arrival_time);
    for (size_t i = 0; i < n->recipient_count; i++) {
        recipient_fields(w, n->recipients[i]);
        flush(w);
    }
    line(w, "%s", "");
    buffer_release(&text);
    buffer_release(&copy);
}

/* ---- part 3: the message ---- */

static bool headers_only(const struct notice *n)
{
    return n->request->kind != NOTICE_FAILURE || n->request->envelope.ret == 2 || requires_tls(n) /* RFC 8689 5 */ || n->request->content_length > n->params->bounce_size_limit ||
           (n->postmaster && n->request->envelope.sender.len > 0);
}

/* copy_traces - of a header that must not be shown only what says which message it was. */
static void copy_traces(struct writer *w, struct slice header)
{
    static const enum header_kind shown[] = {HEADER_MESSAGE_ID, HEADER_DATE, HEADER_FROM};
    struct slice name, value;
    bool show = false;

    while (header.len > 0) {
        size_t end = slice_find(header, '\n');
        struct slice one = slice_first(header, end < header.len ? end + 1 : end);
        header = slice_from(header, one.len);
        if (one.data[0] != ' ' && one.data[0] != '\t') {
            enum header_kind kind = header_parse(one, &name, &value) ? header_known(name) : HEADER_OTHER;
            show = false;
            for (size_t i = 0; i < COUNT_OF(shown); i++)
                show |= kind == shown[i];
        }
        if (show)
            w->write(w->context, one);
    }
}

/* copy_content - the original up to limit bytes, or up to the end of its header. */
static void copy_content(struct writer *w, bool header)
{
    const struct notice *n = w->n;
    char *piece = memory_alloc(PIECE);
    int64_t position = 0, end = n->request->content_length;
    struct buffer head = BUFFER_INIT_MAX(HEADER_MAX);

    while (position < end) {
        size_t want = end - position < PIECE ? (size_t)(end - position) : PIECE;
        ssize_t got = pread(n->content_fd, piece, want, n->request->content_offset + position);
        if (got <= 0) {
            log_warning(SLICE_FORMAT ": cannot read the original message: %s", SLICE_ARGS(n->request->envelope.queue_id),
                        got < 0 ? strerror(errno) : "it is shorter than recorded");
            break;
        }
        position += got;
        if (!header) {
            w->write(w->context, slice_make(piece, (size_t)got));
            continue;
        }
        if (!buffer_append(&head, piece, (size_t)got) || slice_search(buffer_slice(&head), SLICE("\r\n\r\n")) < head.len)
            break;
    }
    if (header) {
        size_t stop = slice_search(buffer_slice(&head), SLICE("\r\n\r\n"));
        struct slice kept = slice_first(buffer_slice(&head), stop < head.len ? stop + 2 : head.len);
        if (slice_starts(buffer_slice(&head), SLICE("\r\n")))
            kept = (struct slice){0}; /* a message without header */
        if (notice_is_redacted(n))
            copy_traces(w, kept);
        else
            w->write(w->context, kept);
    }
    buffer_release(&head);
    free(piece);
}

static void message_part(struct writer *w)
{
    const struct notice *n = w->n;
    bool header = headers_only(n), utf8 = n->request->envelope.smtputf8;
    struct buffer sender = BUFFER_INIT, copy = BUFFER_INIT;
    char description[64];

    snprintf(description, sizeof(description), "%sMessage%s", reports_success(n->request->kind) ? "" : "Undelivered ", header ? " Headers" : "");
    part(w, description, header ? (utf8 ? "message/global-headers" : "text/rfc822-headers") : (utf8 ? "message/global" : "message/rfc822"));
    sender_shown(n, &sender);
    line(w, "Return-Path: <" SLICE_FORMAT ">", SLICE_ARGS(clean(buffer_slice(&sender), &copy)));
    buffer_release(&sender);
    buffer_release(&copy);
    flush(w);
    if (n->content_fd >= 0) {
        copy_content(w, header);
    } else {
        line(w, "%s", "");
        line(w, "The original message is no longer available.");
    }
    line(w, "%s", "");
    line(w, "--%s--", w->boundary);
    flush(w);
}

void notice_write(const struct notice *notice, void (*write)(void *context, struct slice data), void *context)
{
    struct writer w = {.n = notice, .write = write, .context = context};

    snprintf(w.boundary, sizeof(w.boundary), SLICE_FORMAT ".%lld/%s", SLICE_ARGS(notice->request->envelope.queue_id),
             (long long)(clock_wall() / MICROSECONDS), notice->params->myhostname);
    headers(&w);
    explanation(&w);
    status_part(&w);
    message_part(&w);
    buffer_release(&w.out);
}
