/* fuzz_smtpd_dialogue.c - a whole session: any bytes from the client, a buffer in the place of cleanup
   uses: smtpd/ */
#include "smtpd/dialogue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct server *servers[4];

int LLVMFuzzerInitialize(int *argc UNUSED, char ***argv UNUSED)
{
    static const char *const configurations[COUNT_OF(servers)] = {
        "smtpd_forbid_unauth_pipelining = no\nsmtpd_forbid_bare_newline = normalize\n",
        "smtpd_forbid_unauth_pipelining = no\nsmtpd_forbid_bare_newline = no\nsmtpd_authorized_xclient_hosts = 192.0.2.0/24\n"
        "smtpd_authorized_xforward_hosts = 192.0.2.0/24\nsmtpd_authorized_verp_clients = 192.0.2.0/24\nmessage_size_limit = 1000\n"
        "smtpd_hard_error_limit = 1000\nsmtpd_junk_command_limit = 1000\nnotify_classes = policy, protocol, data, resource, software\n",
        "smtpd_delay_reject = no\nsmtpd_forbid_unauth_pipelining = no\nsmtpd_helo_required = yes\nstrict_rfc821_envelopes = yes\nstrict_smtputf8 = yes\n"
        "smtpd_reject_footer = see $client_name $helo_name $sender_domain $recipient_name\\nsecond line\nsoft_bounce = yes\n"
        "smtpd_helo_restrictions = reject_invalid_helo_hostname, warn_if_reject reject_non_fqdn_helo_hostname\n"
        "smtpd_sender_restrictions = reject_non_fqdn_sender, check_sender_access inline:{ {x@y.z = HOLD}, {y.z = PREPEND A: b} }\n"
        "smtpd_end_of_data_restrictions = check_sender_access inline:{ {y.z = REDIRECT a@lab.test} }\n"
        "smtpd_data_restrictions = reject_multi_recipient_bounce\n",
        "smtpd_forbid_unauth_pipelining = yes\nsmtpd_forbid_bare_newline = reject\nvirtual_alias_domains = v.test\nvirtual_alias_maps = inline:{a@v.test=b}\n"
        "relay_domains = r.test\nsmtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = file\n"
        "smtpd_sasl_path = inline:{ { a = *x } { b = secret } }\nsmtpd_sasl_authenticated_header = yes\n"
        "smtpd_sender_restrictions = reject_known_sender_login_mismatch\nsmtpd_sender_login_maps = inline:{ { a@x.test = a } }\nsmtpd_recipient_restrictions = check_recipient_access inline:{ {r.test = DISCARD}, {alice@ = DEFER_IF_PERMIT} }\n",
    };

    log_set_watcher(dialogue_check_log, NULL);
    for (size_t i = 0; i < COUNT_OF(servers); i++)
        servers[i] = dialogue_server(configurations[i]);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct script script = {.input = slice_make(data + 2, size - 2), .piece = data[1] >> 2, .steps = data[1] & 1, .silent_at_end = data[1] & 2};

    cleanup_forget();
    if (data[0] & 4) {
        cleanup.refuse_code = 550;
        cleanup.refuse_text = "5.7.1 message content rejected";
    }
    dialogue_run(servers[data[0] % COUNT_OF(servers)], &script, "192.0.2.1");
    dialogue_check(&script);
    buffer_release(&script.output);
    return 0;
}
