/* fuzz_gate_dialogue.c - the dialogue of postscreen that takes no mail: any bytes from the client
   uses: smtpd/ */
#include "smtpd/dialogue.h"
#include "../../smtpd/gate_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct gate *gates[3];

int LLVMFuzzerInitialize(int *argc UNUSED, char ***argv UNUSED)
{
    static const char *const configurations[COUNT_OF(gates)] = {
        "postscreen_pipelining_enable = yes\npostscreen_non_smtp_command_enable = yes\npostscreen_bare_newline_enable = yes\n",
        "postscreen_pipelining_action = ignore\npostscreen_non_smtp_command_action = enforce\npostscreen_bare_newline_action = drop\n"
        "postscreen_command_count_limit = 1000\npostscreen_helo_required = yes\npostscreen_forbidden_commands = FOO\n"
        "postscreen_reject_footer = \\c at $localtime\\nfrom $client_address:$client_port to $server_name\n"
        "postscreen_command_filter = inline:{ {AAA=NOOP}, {BBB=EHLO x} }\n",
        "postscreen_pipelining_action = ignore\npostscreen_command_count_limit = 1000\npostscreen_tls_security_level = encrypt\n"
        "postscreen_reject_footer = no $macro\npostscreen_disable_vrfy_command = yes\npostscreen_discard_ehlo_keywords = 8bitmime, dsn\n",
    };

    log_set_watcher(dialogue_check_log, NULL);
    for (size_t i = 0; i < COUNT_OF(gates); i++) {
        struct server *server = dialogue_server(configurations[i]);
        gates[i] = gate_new(server->config, server);
    }
    return 0;
}

/* check_replies - none takes a recipient or asks for content. */
static void check_replies(struct slice output)
{
    struct slice text;
    int code;

    while (dialogue_next_reply(&output, &code, &text))
        if (code == 354 || (code == 250 && slice_starts(text, SLICE("2.1.5"))))
            log_panic("mail is taken: %d " SLICE_FORMAT, code, SLICE_ARGS(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct service_client connection = {0};

    if (size < 2)
        return 0;
    struct script script = {.input = slice_make(data + 2, size - 2), .piece = data[1] >> 2, .steps = data[1] & 1, .silent_at_end = data[1] & 2};
    connection.stream = stream_new(&script_transport, &script);
    if (!net_address_parse(&connection.peer, SLICE("2001:db8::1"), 40000))
        log_panic("bad address");
    struct gate_client *client = gate_client_new(gates[data[0] % COUNT_OF(gates)], &connection);
    client->todo = data[0] & 4 ? GATE_DEEP : 0;
    if (data[0] & 8)
        client->refusal = "5.7.1 Service unavailable; client [2001:db8::1] blocked using a.test";
    bool passed = gate_dialogue(client, data[0] & 16);
    if (passed && (client->failed || !client->todo))
        log_panic("a client passed that failed, or was not tested");
    gate_forget(client);
    stream_free(connection.stream);
    check_replies(buffer_slice(&script.output));
    buffer_release(&script.output);
    return 0;
}
