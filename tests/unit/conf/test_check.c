/* test_check.c - the findings of postfix check, and which names are known */
#include "testing.h"

#include <sys/stat.h>

#include "conf/check.h"
#include "conf/names.h"

static struct buffer reports;
static char directory[] = "/tmp/conf-check-XXXXXX";

static void collect(void *context, bool fatal, const char *file, int line, const char *text)
{
    struct slice rest = slice_of(text);
    /* what is not yet honoured changes with the project: see not_yet_is_said */
    if (strstr(text, "has no effect in") != NULL)
        return;
    /* the directory has another name each time */
    if (slice_starts(rest, slice_of(directory)))
        rest = slice_from(rest, strlen(directory) + 1);
    buffer_printf(&reports, "%s" SLICE_FORMAT "\n", fatal ? "fatal: " : "", SLICE_ARGS(rest));
}

static void collect_finding(void *context, const struct finding *finding)
{
    if (finding->kind == FINDING_UNUSED) /* most cases have no services: see unused_is_said */
        return;
    collect(context, finding->weight == FINDING_ERROR, finding->file, finding->line, finding->text);
}

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void remove_files(void)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/main.cf", directory);
    unlink(path);
    snprintf(path, sizeof(path), "%s/master.cf", directory);
    unlink(path);
    rmdir(directory);
}

#define SMTPD "smtp inet n - n - - smtpd\n  -o compatibility_level=3\n"

static const struct {
    const char *main_cf, *master_cf, *want;
} cases[] = {
    {"myhostname = a.b\n", "", ""},
    {"x = 1\nsmtp_banner = hi\n", "", "main.cf, line 1: unknown parameter: x\nmain.cf, line 2: unknown parameter: smtp_banner (did you mean smtpd_banner?)\n"},
    {"x = 1\ny = $x\nrelay_domains = $y\n", "", ""},
    {"\nhopcount_limit = 0\nbiff = 5\nqueue_run_delay = 1y\n",
     "qmgr unix n - n 300 1 qmgr\nlocal unix - n n - - local\ncleanup unix n - n - 0 cleanup\n",
     "fatal: main.cf, line 2: invalid hopcount_limit parameter value 0 < 1\n"
     "fatal: main.cf, line 3: bad boolean configuration: biff = 5\n"
     "fatal: main.cf, line 4: parameter queue_run_delay: bad time value or unit: 1y\n"},
    {"postscreen_greet_wait = 0s\n", "",
     "main.cf, line 1: invalid postscreen_greet_wait parameter value 0 < 1\n"},
    {"postscreen_greet_wait = 0s\n", "smtp inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd -o smtpd_relay_restrictions=reject\n",
     "fatal: main.cf, line 1: invalid postscreen_greet_wait parameter value 0 < 1\n"},
    {"", "smtp inet n - n - 1 postscreen\nsmtpd unix - - n - - smtpd -o smtpd_relay_restrictions=reject\n",
     "master.cf, line 1: service smtp needs a service smtpd of type pass, which master.cf does not have\n"},
    {"queue_run_delay = 1y\n", "", "main.cf, line 1: parameter queue_run_delay: bad time value or unit: 1y\n"}, /* without qmgr: nobody reads it */
    {"inet_protocols = ipv4, ipv5\nmynetworks_style = net\n", "",
     "fatal: main.cf, line 1: inet_protocols: unknown value \"ipv5\"; known: all|ipv4|ipv6\n"
     "fatal: main.cf, line 2: mynetworks_style: unknown value \"net\"; known: class|subnet|host\n"},
    {"relay_domains = $nowhere ${else?x}\n", "",
     "main.cf, line 1: undefined parameter: nowhere\nmain.cf, line 1: undefined parameter: else\n"},
    {"tls_dane_digest_agility = on\n", "", "main.cf, line 1: tls_dane_digest_agility is an obsolete name and has no effect\n"},
    {"virtual_maps = hash:/x\n", "", ""},
    {"smtp_tls_mta_sts = yes\n", "smtp unix - - n - - smtp\n", "main.cf, line 1: smtp_tls_mta_sts = yes needs the service tlsmgr, which master.cf does not have\n"},
    {"smtp_tls_mta_sts = yes\nsmtp_tls_reports = yes\n", "tlsmgr unix - - n 1000? 1 tlsmgr\n", ""},
    {"smtp_tlsrpt_enable = yes\n", "smtp unix - - n - - smtp\n", "main.cf, line 1: smtp_tlsrpt_enable is accepted and has no effect: no other program is told: "
     "smtp_tls_reports = yes makes tlsmgr collect the results and send the reports\n"},
    {"smtpd_restriction_classes = strict, open\nstrict = reject\nopen = permit\n", "", ""},
    {"slow_destination_rate_delay = 1s\nother_destination_rate_delay = 1s\n", "slow unix - - n - - smtp\n",
     "main.cf, line 2: unknown parameter: other_destination_rate_delay\n"},
    {"slow_destination_rate_delay = soon\n", "slow unix - - n - - smtp\nqmgr unix n - n 300 1 qmgr\n",
     "fatal: main.cf, line 1: parameter slow_destination_rate_delay: bad time value or unit: soon\n"},
    {"myhostname = h.x\nrelayhost = h.x\n", "",
     "fatal: main.cf, line 2: myhostname and relayhost parameter settings must not be identical: h.x\n"},
    {"compatibility_level = 2\n", "smtp inet n - n - - smtpd -o smtpd_timeout=x -o own=$why -o smtpd_baner=$own\n",
     "master.cf, line 1: unknown parameter: smtpd_baner (did you mean smtpd_banner?)\n"
     "master.cf, line 1: undefined parameter: why\n"
     "fatal: master.cf, line 1: parameter smtpd_timeout: bad time value or unit: x\n"},
    {"", "qmgr unix n - n 300 5 qmgr\nlocal unix - - n - - local\nx unix - n - - smtp\n",
     "fatal: master.cf: line 3: missing \"command\" field\n"
     "master.cf, line 1: service qmgr requires a process limit of 1\n"
     "fatal: master.cf, line 2: service local requires privileged operation\n"},
    {"smtpd_tls_security_level = must\n", "", "main.cf, line 1: smtpd_tls_security_level: unknown value \"must\"; known: |none|may|encrypt\n"},
    {"smtpd_tls_security_level = must\n", SMTPD,
     "fatal: main.cf, line 1: smtpd_tls_security_level: unknown value \"must\"; known: |none|may|encrypt\n"},
    {"smtpd_discard_ehlo_keywords = etrn nonsense\n", SMTPD,
     "main.cf, line 1: smtpd_discard_ehlo_keywords: unknown value \"nonsense\"; known: 8bitmime|auth|etrn|pipelining|size|verp|vrfy|xclient|"
     "xforward|starttls|enhancedstatuscodes|dsn|smtputf8|chunking|requiretls|silent-discard\n"},
    {"smtpd_milters = inet:127.0.0.1:8891 unix:/run/x { local:y, connect_timeout=5s, { default_action = accept } }\n", SMTPD, ""},
    {"smtpd_milters =\n inet:127.0.0.1, { unix:/x, timeout=1 }\n", SMTPD,
     "fatal: main.cf, line 1: smtpd_milters: need inet:host:port or unix:path instead of \"inet:127.0.0.1\"\n"
     "fatal: main.cf, line 1: smtpd_milters: unix:/x: bad option \"timeout=1\"\n"},
    /* as the programs take them: a unit is one byte, and whatever is behind it; names are in small letters */
    {"smtpd_milters =\n { unix:/x, connect_timeout=5sec, default_action=Accept, protocol=4 }\n", SMTPD, ""},
    {"smtpd_milters =\n { unix:/x, Connect_timeout=5s, command_timeout=0, default_action=acept, protocol=5 }\n", SMTPD,
     "fatal: main.cf, line 1: smtpd_milters: unix:/x: bad option \"Connect_timeout=5s\"\n"
     "fatal: main.cf, line 1: smtpd_milters: unix:/x: bad option \"command_timeout=0\"\n"
     "fatal: main.cf, line 1: smtpd_milters: unix:/x: bad option \"default_action=acept\"\n"
     "fatal: main.cf, line 1: smtpd_milters: unix:/x: bad option \"protocol=5\"\n"},
    {"", SMTPD "  -o non_smtpd_milters=host:25\n",
     "fatal: master.cf, line 1: non_smtpd_milters: need inet:host:port or unix:path instead of \"host:25\"\n"},
    {"smtpd_client_restrictions = permit_mynetworks, reject_rbl_clients x.y, nonsense\n", SMTPD,
     "fatal: main.cf, line 1: smtpd_client_restrictions: unknown restriction \"reject_rbl_clients\" (did you mean reject_rbl_client?)\n"},
    {"smtpd_client_restrictions = PERMIT_mynetworks hash:/x check_sender_access { hash:/y, a=b } sleep\n", SMTPD,
     "fatal: main.cf, line 1: smtpd_client_restrictions: sleep requires an argument\n"},
    {"smtpd_client_restrictions =\n check_policy_service { inet:127.0.0.1:9, timeout=5s, { default_action = DEFER a, b }, try_limit=3 } sleep 1\n", SMTPD, ""},
    {"smtpd_client_restrictions =\n check_policy_service { inet:127.0.0.1:9, timeout=xx, try_limit=0, timout=1s }\n", SMTPD,
     "fatal: main.cf, line 1: smtpd_client_restrictions: check_policy_service inet:127.0.0.1:9: bad option \"timeout=xx\"\n"
     "fatal: main.cf, line 1: smtpd_client_restrictions: check_policy_service inet:127.0.0.1:9: bad option \"try_limit=0\"\n"
     "fatal: main.cf, line 1: smtpd_client_restrictions: check_policy_service inet:127.0.0.1:9: bad option \"timout=1s\"\n"},
    {"smtpd_restriction_classes = strict\nstrict = rejct\nsmtpd_helo_restrictions =\n  strict\n", SMTPD,
     "fatal: main.cf, line 2: strict: unknown restriction \"rejct\" (did you mean reject?)\n"},
    {"smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = warn_if_reject reject, check_client_access hash:/x\n", "#\n" SMTPD,
     "fatal: master.cf, line 2: service smtp: in smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working "
     "instance of: reject_unauth_destination, defer_unauth_destination, reject, defer or defer_if_permit\n"},
    {"", SMTPD "  -o smtpd_client_restrictions=permit_sasl_authenticated,rejekt\n",
     "fatal: master.cf, line 1: smtpd_client_restrictions: unknown restriction \"rejekt\" (did you mean reject?)\n"},
    {"smtpd_restriction_classes = a\nc = permit\n", SMTPD "  -o a=permit -o smtpd_restriction_classes=b,c -o b=permit,rejekt -o d=permit\n",
     "master.cf, line 1: unknown parameter: d\nfatal: master.cf, line 1: b: unknown restriction \"rejekt\" (did you mean reject?)\n"},
    {"transport_maps = hash:/x, /etc/transport\n", "qmgr unix n - n 300 1 qmgr\ncleanup unix n - n - 0 cleanup\n",
     "fatal: main.cf, line 1: transport_maps: expecting \"type:name\" instead of \"/etc/transport\"\n"},
    {"smtpd_client_restrictions = check_client_access /etc/access\n", SMTPD,
     "main.cf, line 1: smtpd_client_restrictions: check_client_access: expecting \"type:name\" instead of \"/etc/access\"\n"},
    {"transport_maps = ldap:foo, hash:/x\nfoo_bind = no\nfoo_bin = no\n", "", "main.cf, line 3: unknown parameter: foo_bin\n"},
};

START_TEST(findings)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        bool fatal;
        write_file("main.cf", cases[i].main_cf);
        write_file("master.cf", cases[i].master_cf);
        buffer_clear(&reports);
        struct config *config = config_load(directory, collect, NULL);
        ck_assert_ptr_nonnull(config);
        config_check(config, collect_finding, NULL, &fatal);
        ASSERT_SLICE(buffer_slice(&reports), cases[i].want);
        ck_assert(fatal == (strstr(cases[i].want, "fatal: ") != NULL));
        config_free(config);
    }
    remove_files();
}
END_TEST

static void copy_text(void *context, bool fatal, const char *file, int line, const char *text)
{
    buffer_printf(context, "%s\n", text);
}

static void copy_finding(void *context, const struct finding *finding)
{
    buffer_printf(context, "%s\n", finding->text);
}

START_TEST(not_yet_is_said)
{
    const struct parameter *row;
    for (size_t i = 0; (row = parameter_at(i)) != NULL; i++) {
        if (row->state != PARAMETER_NOT_YET || row->type != PARAMETER_INT || row->name[0] == '<')
            continue;
        struct buffer text = BUFFER_INIT, want = BUFFER_INIT, got = BUFFER_INIT;
        struct config *config = config_empty_reporting(copy_text, &got);
        buffer_printf(&text, "%s = 499\n", row->name);
        buffer_printf(&want, "main.cf, line 1: %s is accepted but has no effect in this version\n", row->name);
        ck_assert(config_parse(config, buffer_slice(&text), "main.cf"));
        config_check(config, copy_finding, &got, NULL);
        ck_assert_msg(slice_search(buffer_slice(&got), slice_from(buffer_slice(&want), 7)) < got.len, "%s", row->name);
        buffer_release(&text);
        buffer_release(&want);
        buffer_release(&got);
        config_free(config);
        return;
    }
}
END_TEST

START_TEST(needless_is_said)
{
    static const char want[] = ": slow_delivery_slot_cost is accepted and has no effect: messages for one destination take turns, a large mailing holds "
                               "nothing back\n";
    struct buffer got = BUFFER_INIT;
    struct config *config = config_empty_reporting(copy_text, &got);
    ck_assert(config_parse(config, SLICE("slow_delivery_slot_cost = 7\nhash_queue_names = deferred, defer, incoming\nhash_queue_depth = 1\n"), "main.cf"));
    config_check(config, copy_finding, &got, NULL);
    ck_assert_uint_lt(slice_search(buffer_slice(&got), slice_make(want, sizeof(want) - 1)), got.len);
    ck_assert_uint_lt(slice_search(buffer_slice(&got), SLICE("hash_queue_names is accepted and has no effect: the queue has no file per message")), got.len);
    ck_assert_uint_eq(slice_search(buffer_slice(&got), SLICE("hash_queue_depth")), got.len); /* the default */
    buffer_release(&got);
    config_free(config);
}
END_TEST

static void append_name(void *context, struct slice name)
{
    buffer_append_slice(context, name);
    buffer_append_byte(context, ' ');
}

static void copy_unused(void *context, const struct finding *finding)
{
    if (finding->kind == FINDING_UNUSED)
        buffer_printf(context, "%s\n", finding->text);
}

START_TEST(unused_is_said)
{
    char place[] = "/tmp/conf-unused-XXXXXX";
    struct buffer got = BUFFER_INIT, text = BUFFER_INIT;
    ck_assert_ptr_nonnull(mkdtemp(place));
    buffer_printf(&text, "%s/master.cf", place);
    FILE *file = fopen(buffer_string(&text), "w");
    ck_assert_ptr_nonnull(file);
    fputs("smtp inet n - n - - smtpd\n", file);
    fclose(file);
    setenv("MAIL_CONFIG", place, 1);
    buffer_printf(&got, "%s/main.cf", place);
    file = fopen(buffer_string(&got), "w");
    ck_assert_ptr_nonnull(file);
    fputs("smtpd_banner = x\npostscreen_greet_wait = 9s\nqmqpd_timeout = 5s\nmydomain = x\nsendmail_fix_line_endings = never\n", file);
    fclose(file);
    struct config *config = config_load(NULL, config_ignore_problem, NULL);
    unlink(buffer_string(&got));
    buffer_clear(&got);
    ck_assert_ptr_nonnull(config);
    config_check(config, copy_unused, &got, NULL);
    struct slice rest = buffer_slice(&got), line;
    ck_assert(slice_next_line(&rest, &line) && slice_ends(line, SLICE("line 2: postscreen_greet_wait is not used: no service of master.cf runs postscreen")));
    ck_assert(slice_next_line(&rest, &line) && slice_ends(line, SLICE("line 3: qmqpd_timeout is not used: no service of master.cf runs qmqpd")));
    ck_assert_uint_eq(rest.len, 0);
    unlink(buffer_string(&text));
    rmdir(place);
    unsetenv("MAIL_CONFIG");
    config_free(config);
    buffer_release(&got);
    buffer_release(&text);
}
END_TEST

START_TEST(references)
{
    struct buffer names = BUFFER_INIT;
    config_references(SLICE("$a $$b ${c} $(d) ${ e ?{$f}:{${g}}} ${{$h} == {x}} ${domain_to_ascii{$i}} $- $"), append_name, &names);
    ASSERT_SLICE(buffer_slice(&names), "a c d e f g h i ");
    buffer_release(&names);
}
END_TEST

TEST_MAIN("conf/check", findings, not_yet_is_said, needless_is_said, references, unused_is_said)
