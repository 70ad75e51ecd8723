/* test_config.c - main.cf lines, typed values, derived defaults, overrides, lists */
#include "testing.h"

#include "base/clock.h"
#include "conf/config.h"

static struct buffer reports;

static void collect(void *context, bool fatal, const char *file, int line, const char *text)
{
    buffer_printf(&reports, "%s%s\n", fatal ? "fatal: " : "", text);
}

static struct config *parsed(const char *text)
{
    struct config *config = config_empty_reporting(collect, NULL);
    buffer_clear(&reports);
    config_parse(config, slice_of(text), "/etc/postfix/main.cf");
    return config;
}

START_TEST(lines)
{
    struct config *config = parsed("# comment\n"
                                   "a = 1\n"
                                   "  # inside\n"
                                   "\n"
                                   "  2 \r\n"
                                   "b=x # data\n"
                                   "empty =\n"
                                   "a = 1  2\n");
    ASSERT_SLICE(buffer_slice(&reports), "");
    ASSERT_SLICE(slice_of(config_string(config, "a")), "1  2");
    ASSERT_SLICE(slice_of(config_string(config, "b")), "x # data");
    ASSERT_SLICE(slice_of(config_raw(config, SLICE("empty"), NULL)), "");
    ck_assert_ptr_null(config_raw(config, SLICE("absent"), NULL));
    config_free(config);
}
END_TEST

static const struct {
    const char *text, *want;
} bad_lines[] = {
    {"  orphan line that is long enough to be cut\nx=1\n",
     "/etc/postfix/main.cf: logical line must not start with whitespace: \"  orphan line that is long eno...\"\n"},
    {"b=3\nb=4\n  5\nb = 4  5\n", "/etc/postfix/main.cf, line 2: overriding earlier entry: b=3\n"},
    {"a=1\nx y\n", "fatal: /etc/postfix/main.cf, line 2: missing '=' after attribute name: \"x y\"\n"},
    {"= y\n", "fatal: /etc/postfix/main.cf, line 1: missing attribute name: \"= y\"\n"},
    {"a = b\n\n c\n a = 3", ""},
};

START_TEST(line_problems)
{
    for (size_t i = 0; i < COUNT_OF(bad_lines); i++) {
        config_free(parsed(bad_lines[i].text));
        ASSERT_SLICE(buffer_slice(&reports), bad_lines[i].want);
    }
    struct config *config = config_empty_reporting(collect, NULL);
    buffer_clear(&reports);
    ck_assert(config_parse(config, SLICE("a = 1\0junk\n"), "main.cf"));
    ASSERT_SLICE(buffer_slice(&reports), "main.cf, line 1: text after null byte may be ignored\n");
    ASSERT_SLICE(slice_of(config_string(config, "a")), "1");
    config_free(config);
}
END_TEST

static const struct {
    const char *text, *want;
} bad_values[] = {
    {"biff = maybe", "fatal: bad boolean configuration: biff = maybe\n"},
    {"hopcount_limit = 5x", "fatal: bad numerical configuration: hopcount_limit = 5x\n"},
    {"hopcount_limit =", "fatal: bad numerical configuration: hopcount_limit = \n"},
    {"hopcount_limit = 0", "fatal: invalid hopcount_limit parameter value 0 < 1\n"},
    {"delay_logging_resolution_limit = 7", "fatal: invalid delay_logging_resolution_limit parameter value 7 > 6\n"},
    {"queue_run_delay = 5x", "fatal: parameter queue_run_delay: bad time value or unit: 5x\n"},
    {"queue_run_delay = 0", "fatal: invalid queue_run_delay parameter value 0 < 1\n"},
    {"queue_run_delay = 99999999999999999999d", "fatal: parameter queue_run_delay: bad time value or unit: 99999999999999999999d\n"},
    {"maximal_queue_lifetime = 101d", "fatal: invalid maximal_queue_lifetime parameter value 8726400 > 8640000\n"},
    {"mail_name =", "fatal: bad string length 0 < 1: mail_name = \n"},
    {"default_verp_delimiters = abc", "fatal: bad string length 3 > 2: default_verp_delimiters = abc\n"},
    {"mail_name = $", "empty macro name: \"$\"\nfatal: macro processing error\n"},
};

START_TEST(bad_values_are_fatal_and_give_the_default)
{
    for (size_t i = 0; i < COUNT_OF(bad_values); i++) {
        struct config *config = parsed(bad_values[i].text);
        if (strstr(bad_values[i].text, "biff"))
            ck_assert(config_bool(config, "biff"));
        if (strstr(bad_values[i].text, "hopcount"))
            ck_assert_int_eq(config_int(config, "hopcount_limit"), 50);
        if (strstr(bad_values[i].text, "resolution"))
            ck_assert_int_eq(config_int(config, "delay_logging_resolution_limit"), 2);
        if (strstr(bad_values[i].text, "queue_run"))
            ck_assert_int_eq(config_time(config, "queue_run_delay"), 300 * MICROSECONDS);
        if (strstr(bad_values[i].text, "lifetime"))
            ck_assert_int_eq(config_time(config, "maximal_queue_lifetime"), 5 * 86400 * MICROSECONDS);
        if (strstr(bad_values[i].text, "mail_name"))
            ASSERT_SLICE(slice_of(config_string(config, "mail_name")), "Postfix");
        if (strstr(bad_values[i].text, "verp"))
            ASSERT_SLICE(slice_of(config_string(config, "default_verp_delimiters")), "+=");
        ASSERT_SLICE(buffer_slice(&reports), bad_values[i].want);
        config_free(config);
    }
}
END_TEST

START_TEST(times)
{
    struct config *config = parsed("queue_run_delay = 5m\nbounce_queue_lifetime = 2\nmaximal_backoff_time = 1hour\n"
                                   "in_flow_delay = 0\nstress = yes\ndelay_warning_time = 1w\n");
    ck_assert_int_eq(config_time(config, "queue_run_delay"), 300 * MICROSECONDS);
    ck_assert_int_eq(config_time(config, "bounce_queue_lifetime"), 2 * 86400 * MICROSECONDS);
    ck_assert_int_eq(config_time(config, "maximal_backoff_time"), 3600 * MICROSECONDS);
    ck_assert_int_eq(config_time(config, "in_flow_delay"), 0);
    ck_assert_int_eq(config_time(config, "smtpd_timeout"), 10 * MICROSECONDS);
    ck_assert_int_eq(config_time(config, "delay_warning_time"), 604800 * MICROSECONDS);
    ASSERT_SLICE(buffer_slice(&reports), "");
    config_free(config);
}
END_TEST

START_TEST(every_default_is_valid)
{
    struct config *config = parsed("virtual_mailbox_base = /v\n");
    const struct parameter *row;
    for (size_t i = 0; (row = parameter_at(i)) != NULL; i++) {
        switch (row->type) {
        case PARAMETER_BOOL: config_bool(config, row->name); break;
        case PARAMETER_TIME: config_time(config, row->name); break;
        case PARAMETER_INT:
        case PARAMETER_SIZE: config_int(config, row->name); break;
        default: config_string(config, row->name);
        }
        ck_assert_msg(row->type != PARAMETER_TIME || row->unit != 0, "%s has no unit", row->name);
        ck_assert_msg(parameter_find(slice_of(row->name)) == row, "%s appears twice", row->name);
    }
    ASSERT_SLICE(buffer_slice(&reports), "");
    config_free(config);
}
END_TEST

START_TEST(levels)
{
    struct config *config = parsed("");
    ck_assert(config_bool(config, "append_dot_mydomain"));
    ASSERT_SLICE(slice_of(config_string(config, "mynetworks_style")), "subnet");
    ASSERT_SLICE(slice_of(config_string(config, "smtpd_relay_restrictions")), "");
    ck_assert(config_compatibility_below(config, "1"));
    config_free(config);
    config = parsed("compatibility_level = 3.6\n");
    ck_assert(!config_bool(config, "append_dot_mydomain"));
    ASSERT_SLICE(slice_of(config_string(config, "mynetworks_style")), "host");
    ASSERT_SLICE(slice_of(config_string(config, "smtpd_tls_fingerprint_digest")), "sha256");
    ck_assert(!config_compatibility_below(config, "3.6"));
    ck_assert(config_compatibility_below(config, "3.11"));
    config_free(config);
    config = parsed("compatibility_level = new\n");
    ck_assert(config_compatibility_below(config, "1"));
    ASSERT_SLICE(buffer_slice(&reports), "fatal: malformed compatibility level syntax: \"new\"\n");
    config_free(config);
}
END_TEST

START_TEST(derived_names)
{
    struct config *config = parsed("myhostname = mail.example.org\n");
    ASSERT_SLICE(slice_of(config_string(config, "mydomain")), "example.org");
    ASSERT_SLICE(slice_of(config_string(config, "mydestination")), "mail.example.org, localhost.example.org, localhost");
    config_set(config, SLICE("myhostname"), SLICE("plain"));
    ASSERT_SLICE(slice_of(config_string(config, "mydomain")), "localdomain");
    config_free(config);
    config = parsed("myhostname = mail.$mydomain\n");
    ASSERT_SLICE(slice_of(config_string(config, "myhostname")), "mail.localdomain");
    config_free(config);
    config = parsed("mynetworks_style = host\ninet_interfaces = 127.0.0.1\n");
    ASSERT_SLICE(slice_of(config_string(config, "mynetworks")), "127.0.0.1/32");
    config_set(config, SLICE("mynetworks_style"), SLICE("class"));
    ASSERT_SLICE(slice_of(config_string(config, "mynetworks")), "127.0.0.0/8");
    config_free(config);
}
END_TEST

START_TEST(overrides)
{
    struct config *config = parsed("smtpd_banner = $myhostname\nmua = x, y\nmyhostname = a.b\n");
    const char *before = config_string(config, "smtpd_banner");
    ck_assert(config_set_argument(config, "smtpd_banner=other"));
    ck_assert(config_set_argument(config, "{ mynetworks = 10.0.0.0/8, 127.0.0.1 }"));
    ck_assert(config_set_argument(config, "relay_domains=$mua"));
    ck_assert(config_set_argument(config, "content_filter="));
    ck_assert(config_set_argument(config, "process_name=x"));
    ck_assert(!config_set_argument(config, "nothing"));
    ASSERT_SLICE(buffer_slice(&reports),
                 "fatal: invalid \"-o nothing\" option value: missing '=' after attribute name\n");
    ASSERT_SLICE(slice_of(before), "a.b"); /* strings given out stay as they were */
    ASSERT_SLICE(slice_of(config_string(config, "smtpd_banner")), "other");
    ASSERT_SLICE(slice_of(config_string(config, "mynetworks")), "10.0.0.0/8, 127.0.0.1");
    ASSERT_SLICE(slice_of(config_string(config, "relay_domains")), "x, y");
    ck_assert_str_ne(config_string(config, "process_name"), "x");
    config_free(config);
}
END_TEST

START_TEST(raw_parameters_are_not_expanded)
{
    struct config *config = parsed("mailbox_command = /usr/bin/procmail -a \"$EXTENSION\"\n");
    ASSERT_SLICE(slice_of(config_string(config, "mailbox_command")), "/usr/bin/procmail -a \"$EXTENSION\"");
    ASSERT_SLICE(slice_of(config_string(config, "forward_path")),
                 "$home/.forward${recipient_delimiter}${extension}, $home/.forward");
    config_free(config);
}
END_TEST

START_TEST(transports)
{
    struct config *config = parsed("slow_destination_concurrency_limit = 3\ndefault_destination_rate_delay = 2m\n"
                                   "slow_destination_concurrency_negative_feedback = 1/concurrency\n");
    ck_assert_int_eq(config_transport_int(config, "slow", "destination_concurrency_limit"), 3);
    ck_assert_int_eq(config_transport_int(config, "local", "destination_concurrency_limit"), 2);
    ck_assert_int_eq(config_transport_int(config, "smtp", "_destination_concurrency_limit"), 20);
    ck_assert_int_eq(config_transport_time(config, "smtp", "destination_rate_delay"), 120 * MICROSECONDS);
    ASSERT_SLICE(slice_of(config_transport_string(config, "slow", "destination_concurrency_negative_feedback")), "1/concurrency");
    ck_assert_str_eq(parameter_find_transport(SLICE("slow_destination_recipient_limit"))->name,
                     "<transport>_destination_recipient_limit");
    config_free(config);
}
END_TEST

#define THINGS(X) X(STRING, myhostname) X(BOOL, biff) X(TIME, queue_run_delay) X(SIZE, message_size_limit) X(INT, hopcount_limit) \
    X(RAW, mailbox_command)
struct things {
    CONFIG_MEMBERS(THINGS)
};
#define CONFIG_STRUCT struct things

START_TEST(fill)
{
    static const struct config_binding bindings[] = {CONFIG_BINDINGS(THINGS)};
    struct config *config = parsed("myhostname = h.x\nbiff = no\nmailbox_command = $x\n");
    struct things things;
    config_fill(config, bindings, COUNT_OF(bindings), &things);
    ck_assert_str_eq(things.myhostname, "h.x");
    ck_assert(!things.biff);
    ck_assert_int_eq(things.queue_run_delay, 300 * MICROSECONDS);
    ck_assert_int_eq(things.message_size_limit, 10240000);
    ck_assert_int_eq(things.hopcount_limit, 50);
    ck_assert_str_eq(things.mailbox_command, "$x");
    config_free(config);
}
END_TEST

START_TEST(list_elements)
{
    struct slice rest = SLICE(" a, b\t,,{ c, d } inline:{k=v, {x = y z}}\r\n ,e}f "), element, inside;
    const char *want[] = {"a", "b", "{ c, d }", "inline:{k=v, {x = y z}}", "e}f"};
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        ck_assert(config_list_next(&rest, &element));
        ASSERT_SLICE(element, want[i]);
    }
    ck_assert(!config_list_next(&rest, &element));
    ck_assert(config_braced(SLICE(" { a {b} } "), &inside));
    ASSERT_SLICE(inside, "a {b}");
    ck_assert(!config_braced(SLICE("{a}{b}"), &inside));
    ck_assert(!config_braced(SLICE("{a"), &inside));
    ck_assert(config_braced(SLICE("{}"), &inside));
    ASSERT_SLICE(inside, "");
}
END_TEST

START_TEST(nearest_names)
{
    ck_assert_str_eq(parameter_nearest(SLICE("mydestinations")), "mydestination");
    ck_assert_str_eq(parameter_nearest(SLICE("smtp_banner")), "smtpd_banner");
    ck_assert_ptr_null(parameter_nearest(SLICE("completely_different_thing")));
    ck_assert_ptr_null(parameter_nearest(SLICE("")));
}
END_TEST

TEST_MAIN("conf/config", lines, line_problems, bad_values_are_fatal_and_give_the_default, times, every_default_is_valid, levels,
          derived_names, overrides, raw_parameters_are_not_expanded, transports, fill, list_elements, nearest_names)
