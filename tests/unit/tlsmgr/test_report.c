/* test_report.c - what a report counts, how it is remembered, what is sent */
#include "testing.h"

#include <zlib.h>

#include "../../../smtp/tlsmgr/report.h"
#include "sasl/base64.h"

static const struct tlsmgr_params params = {.myhostname = "mail.sender.test", .smtp_tls_reports_contact = "tls@sender.test",
                                            .smtp_tls_reports_organization = "Sender \"S\"", .smtp_tls_reports_sender = "tls@sender.test"};

static struct tls_session session(const char *type, const char *failure)
{
    return (struct tls_session){.domain = SLICE("there.test"), .policy_type = slice_of(type), .policy = SLICE("version: STSv1\r\nmode: enforce\r\n"),
                                .patterns = SLICE("mx.there.test\n"), .failure = slice_of(failure), .sending_address = SLICE("192.0.2.1"),
                                .receiving_host = SLICE("mx.there.test"), .receiving_address = SLICE("192.0.2.2")};
}

static void count(struct report *report, const char *type, const char *failure, int times)
{
    struct tls_session one = session(type, failure);

    while (times-- > 0)
        report_count(report, &one);
}

static int64_t number(json_t *part, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(part, "summary"), name));
}

START_TEST(test_counts)
{
    struct report *report = report_new(SLICE("there.test"), 86400, 2 * 86400 - 1);

    count(report, "sts", "", 3);
    count(report, "sts", "certificate-expired", 2);
    count(report, "sts", "validation-failure", 1);
    count(report, "no-policy-found", "", 1);
    ck_assert_uint_eq(json_array_size(report->policies), 2);
    json_t *sts = json_array_get(report->policies, 0), *details = json_object_get(sts, "failure-details");
    ck_assert_int_eq(number(sts, "total-successful-session-count"), 3);
    ck_assert_int_eq(number(sts, "total-failure-session-count"), 3);
    ck_assert_uint_eq(json_array_size(details), 2);
    ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(details, 0), "failed-session-count")), 2);
    report_free(report);
}
END_TEST

START_TEST(test_bounds)
{
    struct report *report = report_new(SLICE("there.test"), 0, 1);
    char text[32];

    for (int i = 0; i < 3 * REPORT_DETAILS_MAX; i++) {
        struct tls_session one = session("sts", "validation-failure");
        snprintf(text, sizeof(text), "code %d", i);
        one.reason_code = slice_of(text);
        report_count(report, &one);
    }
    json_t *part = json_array_get(report->policies, 0);
    ck_assert_uint_eq(json_array_size(json_object_get(part, "failure-details")), REPORT_DETAILS_MAX);
    ck_assert_int_eq(number(part, "total-failure-session-count"), 3 * REPORT_DETAILS_MAX);
    for (int i = 0; i < 3 * REPORT_POLICIES_MAX; i++) {
        struct tls_session one = session("sts", "");
        snprintf(text, sizeof(text), "mx%d.there.test\n", i);
        one.patterns = slice_of(text);
        one.receiving_host = SLICE("\xff\xfe"); /* is in no JSON text */
        report_count(report, &one);
    }
    ck_assert_uint_eq(json_array_size(report->policies), REPORT_POLICIES_MAX);
    report_free(report);
    /* a policy of very many lines */
    static char lines[48 * 1024];
    for (size_t i = 0; i < sizeof(lines); i += 4)
        memcpy(lines + i, "a:b\n", 4);
    struct tls_session one = session("sts", "");
    one.policy = slice_make(lines, sizeof(lines));
    report = report_new(SLICE("there.test"), 0, 1);
    report_count(report, &one);
    size_t bytes = report->bytes;
    ck_assert_uint_eq(json_array_size(json_object_get(json_object_get(json_array_get(report->policies, 0), "policy"), "policy-string")), REPORT_LINES_MAX);
    ck_assert_uint_gt(bytes, REPORT_LINES_MAX * 64);
    report_count(report, &one);
    ck_assert_uint_eq(report->bytes, bytes);
    one.failure = SLICE("validation-failure");
    report_count(report, &one);
    ck_assert_uint_gt(report->bytes, bytes);
    report_free(report);
}
END_TEST

START_TEST(test_memory)
{
    struct report *report = report_new(SLICE("there.test"), 86400, 2 * 86400 - 1);

    count(report, "sts", "certificate-expired", 2);
    json_array_append_new(report->sent, json_string("a@there.test"));
    char *text = report_keep(report);
    struct report *again = report_recall(slice_of(text));
    ck_assert_ptr_nonnull(again);
    ck_assert_str_eq(again->domain, "there.test");
    ck_assert_str_eq(again->id, report->id);
    ck_assert_int_eq(again->end, report->end);
    ck_assert(json_equal(again->policies, report->policies) && json_equal(again->sent, report->sent));
    count(again, "sts", "certificate-expired", 1);
    ck_assert_int_eq(number(json_array_get(again->policies, 0), "total-failure-session-count"), 3);
    for (size_t i = 0; i < strlen(text); i += 7) /* half of one is none */
        ck_assert_ptr_null(report_recall(slice_first(slice_of(text), i)));
    ck_assert_ptr_null(report_recall(SLICE("{\"domain\": 1}")));
    static const char *const damaged[] = { /* times that overflow, text that is no part of a header */
        "{\"domain\":\"a.test\",\"begin\":0,\"end\":9223372036854775807,\"id\":\"1\",\"policies\":[],\"sent\":[]}",
        "{\"domain\":\"a.test\",\"begin\":5,\"end\":1,\"id\":\"1\",\"policies\":[],\"sent\":[]}",
        "{\"domain\":\"a.test\",\"begin\":-1,\"end\":1,\"id\":\"1\",\"policies\":[],\"sent\":[]}",
        "{\"domain\":\"a.test\\r\\nBcc: x@y\",\"begin\":0,\"end\":1,\"id\":\"1\",\"policies\":[],\"sent\":[]}",
        "{\"domain\":\"a.test\",\"begin\":0,\"end\":1,\"id\":\"1\\r\\n\\r\\nx\",\"policies\":[],\"sent\":[]}",
    };
    for (size_t i = 0; i < COUNT_OF(damaged); i++)
        ck_assert_msg(!report_recall(slice_of(damaged[i])), "taken: %s", damaged[i]);
    free(text);
    report_free(again);
    report_free(report);
}
END_TEST

static json_t *unpack(struct slice gzip)
{
    static char text[65536];
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)gzip.data, .avail_in = (uInt)gzip.len, .next_out = (unsigned char *)text, .avail_out = sizeof(text)};

    ck_assert_int_eq(inflateInit2(&z, 15 + 16), Z_OK);
    ck_assert_int_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
    inflateEnd(&z);
    json_t *all = json_loadb(text, z.total_out, 0, NULL);
    ck_assert_ptr_nonnull(all);
    return all;
}

START_TEST(test_mail)
{
    struct report *report = report_new(SLICE("there.test"), 86400, 2 * 86400 - 1);
    struct buffer gzip = BUFFER_INIT, mail = BUFFER_INIT, attached = BUFFER_INIT;

    count(report, "sts", "", 1);
    ck_assert(report_gzip(report, &params, &gzip));
    json_t *all = unpack(buffer_slice(&gzip));
    ck_assert_str_eq(json_string_value(json_object_get(all, "organization-name")), "Sender \"S\"");
    json_t *range = json_object_get(all, "date-range");
    ck_assert_str_eq(json_string_value(json_object_get(range, "start-datetime")), "1970-01-02T00:00:00Z");
    ck_assert_str_eq(json_string_value(json_object_get(range, "end-datetime")), "1970-01-02T23:59:59Z");
    json_decref(all);
    report_mail(report, &params, SLICE("r@there.test"), buffer_slice(&gzip), &mail);
    struct slice text = buffer_slice(&mail), line;
    ck_assert(slice_search(text, SLICE("\r\nTLS-Report-Domain: there.test\r\nTLS-Report-Submitter: sender.test\r\n")) < text.len);
    size_t at = slice_search(text, SLICE(".json.gz\"\r\n\r\n"));
    ck_assert(at < text.len);
    for (text = slice_from(text, at + 13); slice_next_line(&text, &line) && line.len > 1;)
        buffer_append_slice(&attached, slice_trim(line));
    buffer_clear(&mail);
    ck_assert(base64_decode(buffer_slice(&attached), &mail));
    ck_assert(slice_equal(buffer_slice(&mail), buffer_slice(&gzip)));
    buffer_release(&gzip);
    buffer_release(&mail);
    buffer_release(&attached);
    report_free(report);
}
END_TEST

TEST_MAIN("tlsmgr/report", test_counts, test_bounds, test_memory, test_mail)
