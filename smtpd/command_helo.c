/* command_helo.c - HELO and EHLO */
#include "access.h"
#include "auth.h"
#include "base/log.h"
#include "commands.h"
#include "filters.h"
#include "history.h"

/* check_helo - smtpd_helo_restrictions when they are not delayed; the checks and the log see the new name, a refusal restores the old one. */
static bool check_helo(struct session *s, const char *name)
{
    struct rejection rejection;
    char *before = s->helo;

    s->helo = memory_string(name);
    if (s->server->params.smtpd_delay_reject || access_helo(s, &rejection)) {
        free(before);
        return true;
    }
    rejection.text = arena_slice(s->scratch, rejection.text);
    s->trouble |= rejection.trouble;
    log_action(s, "reject", (struct slice){0}, SLICE_FORMAT, SLICE_ARGS(answer_rejection_line(s, &rejection)));
    free(s->helo);
    s->helo = before;
    answer_text(s, rejection.code, rejection.status, rejection.text);
    return false;
}

/* harmless - a copy that cannot be mistaken for something else in log lines, headers and replies: words are joined, "?" stands for what no name has. */
static char *harmless(struct session *s, struct slice given)
{
    char *name = arena_alloc(s->scratch, given.len + 1), *end = name;
    struct slice word;

    while (slice_next_token(&given, " \t", &word)) {
        if (end > name)
            *end++ = '?';
        for (size_t i = 0; i < word.len; i++) {
            unsigned char c = (unsigned char)word.data[i];
            *end++ = c < ' ' || c == 127 || strchr("<>()\\\";@", c) ? '?' : (char)c;
        }
    }
    *end = '\0';
    return name;
}

/* greet_back - *welcome: with extensions.  False: was answered. */
static bool greeted(struct session *s, struct slice arguments, bool *welcome)
{
    if (!check_helo(s, harmless(s, arguments)))
        return false;
    enum filters_greeting greeting = filters_helo(s);
    if (greeting == FILTERS_HANG_UP)
        return false;
    *welcome = greeting == FILTERS_WELCOME;
    session_reset_mail(s);
    return true;
}

enum outcome command_helo(struct session *s, struct slice arguments)
{
    bool welcome;

    if (arguments.len == 0)
        return answer_failed(s, REPLY_HELO_SYNTAX, SLICE("HELO"));
    if (!greeted(s, arguments, &welcome))
        return COMMAND_FAILED;
    answer(s, REPLY_HELO_OK, slice_of(s->server->params.myhostname));
    return COMMAND_DONE;
}

/* ---- EHLO ---- */

static void offer(const struct session *s, struct buffer *text, int bit, bool condition, const char *line)
{
    if (!condition || (s->ehlo_hidden & bit))
        return;
    buffer_append_byte(text, '\n');
    buffer_append_string(text, line);
}

static void offer_size(const struct session *s, struct buffer *text)
{
    int64_t limit = s->server->params.message_size_limit;
    char line[32] = "SIZE";

    if (limit > 0)
        snprintf(line, sizeof(line), "SIZE %lld", (long long)limit);
    offer(s, text, EHLO_SIZE, true, line);
}

/* offer_auth - also with "=", as some clients of the last century want it. */
static void offer_auth(struct session *s, struct buffer *text)
{
    struct buffer names = BUFFER_INIT_MAX(400);

    auth_offer(s, &names);
    if (names.len)
        buffer_printf(text, "\nAUTH %s", buffer_string(&names));
    if (names.len && s->server->params.broken_sasl_auth_clients)
        buffer_printf(text, "\nAUTH=%s", buffer_string(&names));
    buffer_release(&names);
}

/* offer_all - in the order of compat.md d.2. */
static void offer_all(struct session *s, struct buffer *text)
{
    const struct smtpd_params *p = &s->server->params;

    offer(s, text, EHLO_PIPELINING, true, "PIPELINING");
    offer_size(s, text);
    offer(s, text, EHLO_VRFY, !p->disable_vrfy_command, "VRFY");
    offer(s, text, EHLO_ETRN, true, "ETRN");
    offer(s, text, EHLO_STARTTLS, starttls_is_offered(s), "STARTTLS");
    offer_auth(s, text);
    offer(s, text, EHLO_VERP, s->may_verp, "XVERP");
    offer(s, text, EHLO_XCLIENT, s->may_xclient, "XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT");
    offer(s, text, EHLO_XFORWARD, s->may_xforward, "XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT");
    offer(s, text, EHLO_ENHANCED_STATUS, true, "ENHANCEDSTATUSCODES");
    offer(s, text, EHLO_8BITMIME, true, "8BITMIME");
    offer(s, text, EHLO_DSN, true, "DSN");
    offer(s, text, EHLO_SMTPUTF8, p->smtputf8_enable, "SMTPUTF8");
    offer(s, text, EHLO_CHUNKING, true, "CHUNKING");
    offer(s, text, EHLO_REQUIRETLS, s->tls && session_takes_require_tls(s), "REQUIRETLS");
}

enum outcome command_ehlo(struct session *s, struct slice arguments)
{
    struct buffer text = BUFFER_INIT_MAX(2048);
    bool welcome;

    if (arguments.len == 0)
        return answer_failed(s, REPLY_HELO_SYNTAX, SLICE("EHLO"));
    if (!greeted(s, arguments, &welcome))
        return COMMAND_FAILED;
    history_flush(s);
    s->esmtp = true;
    smtp_ehlo_log_discarded(s->ehlo_hidden);
    buffer_append_string(&text, s->server->params.myhostname);
    if (welcome)
        offer_all(s, &text);
    else
        offer(s, &text, EHLO_ENHANCED_STATUS, true, "ENHANCEDSTATUSCODES");
    answer_text(s, 250, "", buffer_slice(&text));
    buffer_release(&text);
    return COMMAND_DONE;
}
