/* dispatch.c - see dispatch.h */
#include "dispatch.h"

#include "base/clock.h"
#include "base/log.h"
#include "dns/dns.h"

enum { ANSWER_MAX = 16 * 1024, SUBMIT_SECONDS = 300 };

int dispatch_targets(struct slice domain, struct arena *arena, struct tls_report_target *targets)
{
    struct dns_answer answer = dns_query(arena_format(arena, "_smtp._tls." SLICE_FORMAT, SLICE_ARGS(domain)), DNS_TXT, arena);
    int found = 0, records = 0;

    if (answer.status == DNS_TRY_AGAIN)
        return -1;
    for (size_t i = 0; i < answer.count; i++) {
        int count = answer.records[i].type == DNS_TXT ? tls_report_record(answer.records[i].text, arena, targets) : -1;
        records += count >= 0;
        found = count >= 0 ? count : found;
    }
    return records == 1 ? found : 0; /* RFC 8460 3: more than one is as good as none */
}

static bool has(const struct report *report, struct slice target)
{
    json_t *value;
    size_t i;

    json_array_foreach(report->sent, i, value)
        if (slice_equal(slice_of(json_string_value(value)), target))
            return true;
    return false;
}

static bool post(const struct dispatcher *d, const struct report *report, struct slice url, struct slice gzip, struct arena *arena)
{
    struct web_request request = {.url = arena_string(arena, url), .content_type = "application/tlsrpt+gzip", .body = gzip, .answer_max = ANSWER_MAX};
    struct web_answer answer;

    web_ask(d->web, &request, arena, &answer);
    if (answer.outcome == WEB_ANSWERED && answer.status / 100 == 2) {
        log_info("TLS report for %s: sent to " SLICE_FORMAT, report->domain, SLICE_ARGS(url));
        return true;
    }
    if (answer.outcome == WEB_ANSWERED)
        answer.reason = arena_format(arena, "the web server answers with status %ld", answer.status);
    log_warning("TLS report for %s: cannot be sent to " SLICE_FORMAT ": " SLICE_FORMAT, report->domain, SLICE_ARGS(url), SLICE_ARGS(answer.reason));
    return false;
}

static void fill_envelope(const struct dispatcher *d, struct slice queue_id, struct recipient *to, struct envelope *envelope)
{
    *envelope = (struct envelope){.queue_id = queue_id, .arrival_time = clock_wall(), .sender = slice_of(d->params->smtp_tls_reports_sender),
                                  .recipients = to, .recipients_count = 1, .encoding = SLICE("7bit"), .rewrite_context = SLICE("local"),
                                  .log_message_origin = SLICE("local"), .source = SOURCE_BOUNCE, .send_options = SEND_TLS_NOT_REQUIRED};
    to->notify = NOTIFY_NEVER;
}

static bool mail(const struct dispatcher *d, const struct report *report, struct slice address, struct slice gzip, struct arena *arena)
{
    struct submission *submission = submit_open(d->cleanup, clock_after(SUBMIT_SECONDS * MICROSECONDS));
    struct buffer text = BUFFER_INIT;
    struct recipient to = {.address = address};
    struct envelope envelope;
    struct submit_outcome outcome;

    if (!submission) {
        log_warning("connect to the cleanup service: %s", strerror(errno));
        return false;
    }
    char *queue_id = arena_string(arena, submit_queue_id(submission));
    fill_envelope(d, slice_of(queue_id), &to, &envelope);
    report_mail(report, d->params, address, gzip, &text);
    submit_envelope(submission, &envelope, SUBMIT_NO_BCC);
    submit_content(submission, buffer_slice(&text));
    submit_finish(submission, (int64_t)text.len, arena, &outcome, clock_after(SUBMIT_SECONDS * MICROSECONDS));
    buffer_release(&text);
    if (outcome.status == SUBMIT_STATUS_ACCEPTED) {
        log_info("TLS report for %s: mailed to <" SLICE_FORMAT "> as %s", report->domain, SLICE_ARGS(address), queue_id);
        return true;
    }
    log_warning("TLS report for %s: cannot be mailed to <" SLICE_FORMAT ">: " SLICE_FORMAT, report->domain, SLICE_ARGS(address),
                SLICE_ARGS(outcome.reply));
    return false;
}

bool dispatch_report(const struct dispatcher *d, struct report *report)
{
    struct tls_report_target targets[TLS_REPORT_TARGETS_MAX];
    struct arena *arena = arena_new(4096);
    struct buffer gzip = BUFFER_INIT;
    bool all = true;

    int count = dispatch_targets(slice_of(report->domain), arena, targets);
    if (count > 0 && !report_gzip(report, d->params, &gzip)) {
        log_warning("TLS report for %s: cannot be made", report->domain);
        count = 0;
    }
    for (int i = 0; i < count; i++) {
        struct slice to = targets[i].address;
        if (has(report, to))
            continue;
        bool done = targets[i].web ? post(d, report, to, buffer_slice(&gzip), arena) : mail(d, report, to, buffer_slice(&gzip), arena);
        if (done)
            json_array_append_new(report->sent, json_stringn(to.data, to.len));
        all &= done;
    }
    buffer_release(&gzip);
    arena_free(arena);
    return count >= 0 && all;
}
