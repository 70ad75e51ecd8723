/* report.c - see report.h */
#include "report.h"

#include <time.h>
#include <zlib.h>

#include "base/clock.h"
#include "sasl/base64.h"

/* What a JSON value takes besides its text, about; and the rest of a report, of a policy, of a failure. */
enum { VALUE_OVERHEAD = 80, OBJECT_OVERHEAD = 1000 };

/* ---- counting ---- */

struct report *report_new(struct slice domain, int64_t begin, int64_t end)
{
    struct report *report = memory_zalloc(1, sizeof(*report));
    struct buffer id = BUFFER_INIT;

    report->domain = slice_string(domain);
    report->begin = begin;
    report->end = end;
    buffer_printf(&id, "%lld.%08x%08x", (long long)begin, arc4random(), arc4random());
    report->id = buffer_steal(&id);
    report->policies = json_array();
    report->sent = json_array();
    report->bytes = OBJECT_OVERHEAD;
    return report;
}

void report_free(struct report *report)
{
    if (!report)
        return;
    free(report->domain);
    free(report->id);
    json_decref(report->policies);
    json_decref(report->sent);
    free(report);
}

/* text_of - bytes that are no UTF-8 are in no JSON text. */
static json_t *text_of(struct slice text)
{
    return json_stringn(text.len ? text.data : "", slice_is_utf8(text) ? text.len : 0);
}

static json_t *lines_of(struct slice text)
{
    json_t *array = json_array();
    struct slice line;

    while (json_array_size(array) < REPORT_LINES_MAX && slice_next_line(&text, &line)) {
        line = slice_trim(line);
        if (line.len)
            json_array_append_new(array, text_of(line));
    }
    return array;
}

static json_t *policy_of(const struct tls_session *session)
{
    json_t *policy = json_object();

    json_object_set_new(policy, "policy-type", text_of(session->policy_type));
    if (session->policy.len)
        json_object_set_new(policy, "policy-string", lines_of(session->policy));
    json_object_set_new(policy, "policy-domain", text_of(session->domain));
    if (session->patterns.len)
        json_object_set_new(policy, "mx-host", lines_of(session->patterns));
    return policy;
}

/* size_of_policy - in memory, about. */
static size_t size_of_policy(json_t *policy, const struct tls_session *session)
{
    size_t lines = json_array_size(json_object_get(policy, "policy-string")) + json_array_size(json_object_get(policy, "mx-host"));

    return OBJECT_OVERHEAD + lines * VALUE_OVERHEAD + session->policy.len + session->patterns.len;
}

/* find_part - of the same policy; when there are too many the last one stands for all others. */
static json_t *find_part(struct report *report, const struct tls_session *session)
{
    json_t *policy = policy_of(session), *part;
    size_t i;

    json_array_foreach(report->policies, i, part)
        if (json_equal(json_object_get(part, "policy"), policy) || i + 1 == REPORT_POLICIES_MAX) {
            json_decref(policy);
            return part;
        }
    report->bytes += size_of_policy(policy, session);
    part = json_pack("{s:o, s:{s:i, s:i}}", "policy", policy, "summary", "total-successful-session-count", 0, "total-failure-session-count", 0);
    json_array_append_new(report->policies, part);
    return part;
}

static void add_one(json_t *object, const char *name)
{
    json_object_set_new(object, name, json_integer(json_integer_value(json_object_get(object, name)) + 1));
}

static void set_text(json_t *object, const char *name, struct slice text)
{
    if (text.len)
        json_object_set_new(object, name, text_of(text));
}

/* is_same - two failures that differ only in their count. */
static bool is_same(json_t *a, json_t *b)
{
    const char *name;
    json_t *value;

    if (json_object_size(a) != json_object_size(b))
        return false;
    json_object_foreach(a, name, value)
        if (strcmp(name, "failed-session-count") != 0 && !json_equal(value, json_object_get(b, name)))
            return false;
    return true;
}

static void count_failure(struct report *report, json_t *part, const struct tls_session *session)
{
    json_t *details = json_object_get(part, "failure-details"), *detail = json_object(), *old;
    size_t i;

    if (!details) {
        details = json_array();
        json_object_set_new(part, "failure-details", details);
    }
    set_text(detail, "result-type", session->failure);
    set_text(detail, "sending-mta-ip", session->sending_address);
    set_text(detail, "receiving-mx-hostname", session->receiving_host);
    set_text(detail, "receiving-ip", session->receiving_address);
    json_object_set_new(detail, "failed-session-count", json_integer(1));
    set_text(detail, "failure-reason-code", session->reason_code);
    json_array_foreach(details, i, old)
        if (is_same(old, detail)) {
            add_one(old, "failed-session-count");
            json_decref(detail);
            return;
        }
    if (i >= REPORT_DETAILS_MAX) {
        json_decref(detail);
        return;
    }
    json_array_append_new(details, detail);
    report->bytes += OBJECT_OVERHEAD + session->reason_code.len + session->receiving_host.len;
}

void report_count(struct report *report, const struct tls_session *session)
{
    json_t *part = find_part(report, session), *summary = json_object_get(part, "summary");

    add_one(summary, session->failure.len ? "total-failure-session-count" : "total-successful-session-count");
    if (session->failure.len)
        count_failure(report, part, session);
}

/* ---- remembering ---- */

char *report_keep(const struct report *report)
{
    json_t *all = json_pack("{s:s, s:I, s:I, s:s, s:O, s:O}", "domain", report->domain, "begin", (json_int_t)report->begin, "end", (json_int_t)report->end,
                            "id", report->id, "policies", report->policies, "sent", report->sent);
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;

    json_decref(all);
    return text ? text : memory_string("");
}

/* is_ours - what is remembered lies in files or on a server: times that overflow, and text that would end a line of a mail's header, are not ours. */
static bool is_ours(const char *domain, const char *id, int64_t begin, int64_t end)
{
    return begin >= 0 && end >= begin && end <= INT64_MAX / MICROSECONDS / 2 && !slice_has_control(slice_of(domain)) && !slice_has_control(slice_of(id));
}

struct report *report_recall(struct slice text)
{
    const char *domain, *id;
    json_int_t begin, end;
    json_t *policies, *sent, *part;
    struct report *report = NULL;
    size_t i;

    json_t *all = json_loadb(text.len ? text.data : "", text.len, 0, NULL);
    if (all && json_unpack(all, "{s:s, s:I, s:I, s:s, s:o, s:o}", "domain", &domain, "begin", &begin, "end", &end, "id", &id, "policies", &policies,
                           "sent", &sent) == 0 && json_is_array(policies) && json_is_array(sent)
        && is_ours(domain, id, begin, end)) {
        report = report_new(slice_of(domain), begin, end);
        free(report->id);
        report->id = memory_string(id);
        report->bytes += 4 * text.len; /* its values are short */
        json_decref(report->sent);
        report->sent = json_incref(sent);
        json_array_foreach(policies, i, part)
            if (json_is_object(part) && json_is_object(json_object_get(part, "summary")))
                json_array_append(report->policies, part);
    }
    json_decref(all);
    return report;
}

/* ---- what is sent ---- */

static const char *date_text(int64_t seconds, char text[32])
{
    time_t time = (time_t)seconds;
    struct tm parts;

    if (!gmtime_r(&time, &parts) || strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        text[0] = '\0';
    return text;
}

static char *json_text(const struct report *report, const struct tlsmgr_params *params)
{
    char begin[32], end[32];
    struct buffer id = BUFFER_INIT;

    buffer_printf(&id, "%s@%s", report->id, params->myhostname);
    json_t *all = json_pack("{s:s, s:{s:s, s:s}, s:s, s:s, s:O}", "organization-name", params->smtp_tls_reports_organization, "date-range",
                            "start-datetime", date_text(report->begin, begin), "end-datetime", date_text(report->end, end), "contact-info",
                            params->smtp_tls_reports_contact, "report-id", buffer_string(&id), "policies", report->policies);
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    buffer_release(&id);
    return text;
}

static bool compress_into(struct slice text, struct buffer *out)
{
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)text.data, .avail_in = (uInt)text.len};
    enum { WITH_GZIP_HEADER = 15 + 16, MEMORY = 8 };

    if (text.len > UINT_MAX / 2 || deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, WITH_GZIP_HEADER, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    size_t room = deflateBound(&z, text.len);
    char *to = buffer_reserve(out, room);
    z.next_out = (unsigned char *)to;
    z.avail_out = (uInt)room;
    bool good = to && deflate(&z, Z_FINISH) == Z_STREAM_END;
    if (good)
        buffer_commit(out, room - z.avail_out);
    deflateEnd(&z);
    return good;
}

bool report_gzip(const struct report *report, const struct tlsmgr_params *params, struct buffer *out)
{
    char *text = json_text(report, params);
    bool good = text && compress_into(slice_of(text), out);

    free(text);
    return good;
}

static void append_base64(struct slice data, struct buffer *out)
{
    struct buffer text = BUFFER_INIT;

    base64_encode(&text, data);
    for (struct slice rest = buffer_slice(&text); rest.len; rest = slice_from(rest, 76)) {
        buffer_append_slice(out, slice_first(rest, 76));
        buffer_append_string(out, "\r\n");
    }
    buffer_release(&text);
}

/* submitter - the domain of the contact (RFC 8460 5.1). */
static const char *submitter(const struct tlsmgr_params *params)
{
    const char *at = strrchr(params->smtp_tls_reports_contact, '@');

    return at && at[1] ? at + 1 : params->myhostname;
}

static void append_header(const struct report *report, const struct tlsmgr_params *params, struct slice to, struct buffer *out)
{
    const char *host = submitter(params);

    buffer_append_string(out, "Date: ");
    clock_rfc5322(out, clock_wall());
    buffer_printf(out, "\r\nFrom: TLS reports of %s <%s>\r\n", host, params->smtp_tls_reports_sender);
    buffer_printf(out, "To: " SLICE_FORMAT "\r\n", SLICE_ARGS(to));
    buffer_printf(out, "Subject: Report Domain: %s Submitter: %s\r\n Report-ID: <%s@%s>\r\n", report->domain, host, report->id, host);
    buffer_printf(out, "Message-ID: <%s.%s@%s>\r\n", report->id, report->domain, host);
    buffer_printf(out, "TLS-Report-Domain: %s\r\nTLS-Report-Submitter: %s\r\n", report->domain, host);
    /* The report must get through even where TLS is what is broken (RFC 8460 3, RFC 8689). */
    buffer_append_string(out, "TLS-Required: No\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n");
}

void report_mail(const struct report *report, const struct tlsmgr_params *params, struct slice to, struct slice gzip, struct buffer *out)
{
    const char *host = submitter(params);

    append_header(report, params, to, out);
    buffer_printf(out, "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"=_%s\"\r\n\r\n", report->id);
    buffer_printf(out, "--=_%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
                  "This is an aggregate report about TLS towards the mail servers of\r\n%s, from %s.\r\n\r\n", report->id, report->domain, host);
    buffer_printf(out, "--=_%s\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n"
                  "Content-Disposition: attachment;\r\n filename=\"%s!%s!%lld!%lld.json.gz\"\r\n\r\n", report->id, host, report->domain,
                  (long long)report->begin, (long long)report->end);
    append_base64(gzip, out);
    buffer_printf(out, "\r\n--=_%s--\r\n", report->id);
}
