/* fuzz_policy_action.c - a session in which a policy server says anything at all: its action is obeyed, replies and log lines stay what they should be
   uses: smtpd/ */
#include "policy/policy.h"
#include "smtpd/dialogue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* ---- the policy server, in the place of policy/policy.h in the library ---- */

static struct slice action_text;

struct policy *policy_open(struct slice text UNUSED, struct config *config UNUSED) { return (struct policy *)&action_text; }
void policy_close(struct policy *policy UNUSED) {}
void policy_put(struct buffer *request UNUSED, const char *name UNUSED, struct slice value UNUSED) {}
void policy_put_number(struct buffer *request UNUSED, const char *name UNUSED, int64_t value UNUSED) {}
struct slice policy_default_action(const struct policy *policy UNUSED) { return SLICE("451 4.3.5 trouble"); }
struct slice policy_context(const struct policy *policy UNUSED) { return (struct slice){0}; }

bool policy_ask(struct policy *policy UNUSED, struct slice request UNUSED, struct buffer *action)
{
    buffer_append_slice(action, action_text);
    return true;
}

/* ---- the session ---- */

static struct server *servers[2];

int LLVMFuzzerInitialize(int *argc UNUSED, char ***argv UNUSED)
{
    log_set_watcher(dialogue_check_log, NULL);
    servers[0] = dialogue_server("smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service inet:192.0.2.1:1\n"
                                 "smtpd_restriction_classes = one\none = permit\n");
    servers[1] = dialogue_server("smtpd_delay_reject = no\nsmtpd_client_restrictions = check_policy_service inet:192.0.2.1:1\n"
                                 "smtpd_helo_restrictions = check_policy_service inet:192.0.2.1:1\nsmtpd_sender_restrictions = check_policy_service inet:192.0.2.1:1\n"
                                 "smtpd_data_restrictions = check_policy_service inet:192.0.2.1:1\nsmtpd_end_of_data_restrictions = check_policy_service inet:192.0.2.1:1\n"
                                 "smtpd_reject_footer = \\c. see $client_name $recipient_name\n");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char dialogue[] = "EHLO client.test\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<alice@lab.test>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n";
    struct script script = {.input = slice_of(dialogue), .steps = true};

    if (size == 0)
        return 0;
    action_text = slice_make(data + 1, size - 1);
    action_text = slice_first(action_text, slice_find(action_text, '\n'));
    cleanup_forget();
    dialogue_run(servers[data[0] & 1], &script, "192.0.2.1");
    dialogue_check(&script);
    buffer_release(&script.output);
    return 0;
}
