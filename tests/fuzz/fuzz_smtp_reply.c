/* fuzz_smtp_reply.c - a whole conversation with a server that answers anything: greeting, EHLO, transaction
   uses: smtp/ */
#include "smtp/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct client_params plain, lmtp, changing;
static struct config *configs[3];

int LLVMFuzzerInitialize(int *argc UNUSED, char ***argv UNUSED)
{
    static const char common[] = "smtp_send_xforward_command = yes\nlmtp_send_xforward_command = yes\n"
                                 "smtp_pix_workarounds = disable_esmtp\nlmtp_pix_workarounds = disable_esmtp\n"; /* the pause needs a fiber */

    log_set_watcher(script_quiet, NULL);
    for (size_t i = 0; i < COUNT_OF(configs); i++)
        configs[i] = config_empty();
    script_params(configs[0], common, false, &plain);
    script_params(configs[1], common, true, &lmtp);
    script_params(configs[2], "smtp_pix_workarounds =\nsmtp_reply_filter = inline:{ { 250 ok = 550 no } }\n"
                  "smtp_generic_maps = inline:{ { a@here.test = \"a b\"@x } }\n"
                  "smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = static:user:secret\nsmtp_sasl_security_options =\n"
                  "smtp_sasl_mechanism_filter = !scram-sha-1, !scram-sha-256, static:all\n" /* they take long when the server wants it */
                  "smtp_quote_rfc821_envelope = no\nsmtp_discard_ehlo_keyword_address_maps = inline:{ { 192.0.2.1 = pipelining } }\n", false, &changing);
    return 0;
}

static void require(bool condition, const char *what)
{
    if (!condition)
        log_panic("%s", what);
}

/* require_clean_lines - CR and LF only as CRLF at the ends of lines. */
static void require_clean_lines(struct slice said)
{
    for (size_t i = 0; i < said.len; i++) {
        require(said.data[i] != '\n' || (i > 0 && said.data[i - 1] == '\r'), "a bare LF was sent");
        require(said.data[i] != '\r' || (i + 1 < said.len && said.data[i + 1] == '\n'), "a bare CR was sent");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char content[] = "From: a@here.test\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\ncaf\303\251\r\n.dot\r\n";
    const struct client_params *params[] = {&plain, &lmtp, &changing};
    struct dialogue d;

    if (size < 2)
        return 0;
    const struct client_params *p = params[data[0] % 3];
    dialogue_start(&d, p, data + 2, size - 2, 1 + data[1] % 64, content);
    d.request.flags = data[0] & 64 ? DELIVERY_PROBE : 0;
    d.request.envelope.content_flags = CONTENT_DOT_LINES | CONTENT_8BIT_BODY;
    bool good = dialogue_run(&d, p);
    require(good || d.failure.reason.len > 0, "a failure without a reason");
    for (size_t i = 0; good && i < 2; i++)
        require(d.delivery.settled[i], "a recipient was forgotten");
    require(d.delivery.reply.results_count <= 2, "a recipient was settled twice");
    require(d.session->reply_text.len <= 8192, "the reply is not bounded");
    require_clean_lines(buffer_slice(&d.script.said));
    dialogue_end(&d, p);
    return 0;
}
