/* command_mail.c - MAIL and RCPT */
#include "access.h"
#include "address/mail_address.h"
#include "base/log.h"
#include "commands.h"
#include "filters.h"
#include "intake.h"
#include "reception.h"

/* ---- addresses ---- */

/* is_unfinished - an open "<" or quote: not even a word. */
static bool is_unfinished(struct slice word)
{
    size_t quotes = 0;

    for (size_t i = 0; i < word.len; i++)
        quotes += word.data[i] == '"';
    return quotes % 2 || (slice_find(word, '<') < word.len && slice_find_last(word, '>') == word.len);
}

/* has_numeric_domain - "user@192.0.2.1" or "user@123", which is neither a name nor a literal. */
static bool has_numeric_domain(struct slice address)
{
    struct slice domain = mail_address_domain(address);
    struct net_address ip;

    if (domain.len == 0 || domain.data[0] == '[' || !isdigit((unsigned char)domain.data[domain.len - 1]))
        return false;
    for (size_t i = 0; i < domain.len; i++)
        if (!isdigit((unsigned char)domain.data[i]) && domain.data[i] != '.')
            return net_address_parse(&ip, domain, 0);
    return true;
}

/* has_no_user - "@here.test" in strict paths. */
static bool has_no_user(struct slice address)
{
    return slice_starts(address, SLICE("@")) || slice_starts(address, SLICE("\"\"@"));
}

/* has_word - one of the blank-separated words, any case. */
static bool has_word(struct slice text, struct slice wanted)
{
    struct slice word;

    while (slice_next_token(&text, " \t", &word))
        if (slice_equal_case(word, wanted))
            return true;
    return false;
}

/* has_strange_domain - with letters beyond ASCII, and neither this command nor the transaction announced them. */
static bool has_strange_domain(const struct session *s, struct slice address, struct slice parameters)
{
    return s->server->params.smtputf8_enable && !slice_is_ascii(mail_address_domain(address)) && !(s->mail && s->mail->parameters.smtputf8) &&
           !has_word(parameters, SLICE("SMTPUTF8"));
}

bool command_parse_address(struct session *s, struct slice text, const char *verb, struct arena *arena, struct slice *address,
                           struct slice *parameters)
{
    const struct smtpd_params *p = &s->server->params;

    bool strict = p->strict_rfc821_envelopes && strcmp(verb, "VRFY") != 0;
    if (mail_address_parse_path(text, strict, true, arena, address, parameters) &&
        (p->resolve_numeric_domain || !has_numeric_domain(*address)) && !has_strange_domain(s, *address, *parameters) && !(strict && has_no_user(*address)) &&
        (p->allow_min_user || address->len == 0 || address->data[0] != '-'))
        return true;
    struct slice word = slice_trim(slice_first(text, text.len - parameters->len));
    if (!is_unfinished(word))
        log_warning("Illegal address syntax from %s in %s command: " SLICE_FORMAT, s->client.text, verb, SLICE_ARGS(word));
    return false;
}

/* needs_smtputf8 - strict_smtputf8: an address that is not ASCII must be announced. */
static bool needs_smtputf8(const struct session *s, struct slice address, bool announced)
{
    return s->server->params.strict_smtputf8 && !announced && !slice_is_ascii(address);
}

/* tell_old_default - of an old compatibility_level, when it lets an address through that is announced nowhere. */
static void tell_old_default(const struct session *s, const char *what, struct slice address)
{
    if (!slice_is_ascii(address) && config_is_old_default(s->server->config, "smtputf8_enable"))
        log_info("using backwards-compatible default setting smtputf8_enable=no to accept non-ASCII %s address \"" SLICE_FORMAT "\" from %s", what,
                 SLICE_ARGS(address), s->client.text);
}

static int allowed_parameters(const struct session *s)
{
    return (s->ehlo_hidden & EHLO_DSN ? 0 : SMTP_ALLOW_DSN) | (s->may_verp && !(s->ehlo_hidden & EHLO_VERP) ? SMTP_ALLOW_VERP : 0) |
           (s->server->params.smtputf8_enable && !(s->ehlo_hidden & EHLO_SMTPUTF8) ? SMTP_ALLOW_UTF8 : 0) |
           (!session_takes_require_tls(s) ? 0 : s->tls ? SMTP_ALLOW_REQUIRE_TLS : SMTP_KNOW_REQUIRE_TLS);
}

/* ---- MAIL ---- */

static bool check_verp(struct session *s, const struct transaction *t)
{
    const struct smtp_mail_parameters *m = &t->parameters;
    struct slice filter = slice_of(s->server->params.verp_delimiter_filter);

    if (!m->verp)
        return true;
    if (m->verp_delimiters.len &&
        (m->verp_delimiters.len != 2 || slice_find(filter, m->verp_delimiters.data[0]) == filter.len ||
         slice_find(filter, m->verp_delimiters.data[1]) == filter.len)) {
        answer_failed(s, REPLY_XVERP_SYNTAX, filter);
        return false;
    }
    if (t->sender.len == 0) {
        answer_failed(s, REPLY_XVERP_NULL_SENDER);
        return false;
    }
    return true;
}

/* check_size - the size that was announced, and room in the queue. */
static bool check_size(struct session *s, const struct transaction *t)
{
    const struct smtpd_params *p = &s->server->params;
    struct slice nobody = {0};
    int64_t free_bytes = 0;

    if (p->message_size_limit > 0 && t->parameters.size > p->message_size_limit) {
        answer_logged(s, REPLY_SIZE_OVER_LIMIT, nobody, TROUBLE_POLICY);
        return false;
    }
    if (!server_has_space(s->server, &free_bytes)) {
        struct transaction *unheard = s->mail;
        s->mail = NULL; /* the log line names no sender */
        answer_logged(s, REPLY_NO_STORAGE, nobody, TROUBLE_RESOURCE);
        s->mail = unheard;
        log_warning("not enough free space in mail queue: %lld bytes < 1.5*message size limit", (long long)free_bytes);
        return false;
    }
    return true;
}

static bool check_sender(struct session *s)
{
    struct rejection rejection;

    if (s->server->params.smtpd_delay_reject || access_mail(s, &rejection))
        return true;
    answer_rejection(s, &rejection, (struct slice){0});
    return false;
}

/* begin_transaction - the command is understood: is the sender welcome? */
static bool begin_transaction(struct session *s, struct transaction *t, struct slice path, struct slice parameters)
{
    s->mail = t;
    t->sender_shown = mail_address_internal(t->sender, t->arena);
    t->parameters.verp_delimiters = arena_slice(t->arena, t->parameters.verp_delimiters); /* the line it stands in goes away */
    if (needs_smtputf8(s, t->sender, t->parameters.smtputf8)) {
        answer_failed(s, REPLY_NEED_SMTPUTF8);
        return false;
    }
    tell_old_default(s, "sender", t->sender);
    if (!check_verp(s, t) || !check_size(s, t) || !check_sender(s) || !filters_mail(s, path, parameters))
        return false;
    struct submit_outcome refusal;
    if (!s->server->params.smtpd_delay_open_until_valid_rcpt && !transaction_open_queue(s, &refusal)) {
        reception_refusal(s, &refusal);
        return false;
    }
    return true;
}

static enum outcome mail_from(struct session *s, struct slice path)
{
    struct transaction *t = transaction_new();
    struct slice parameters, word;
    enum smtp_reply_id why = REPLY_UNSUPPORTED_OPTION;
    bool good = false;

    if (s->server->params.smtpd_proxy_filter[0])
        t->command = arena_format(t->arena, "MAIL FROM:" SLICE_FORMAT, SLICE_ARGS(path));
    if (!command_parse_address(s, path, "MAIL", t->arena, &t->sender, &parameters))
        answer_failed(s, REPLY_BAD_SENDER);
    else if (!smtp_mail_parameters(parameters, allowed_parameters(s), t->arena, &t->parameters, &why, &word))
        answer_failed(s, why, word);
    else
        good = begin_transaction(s, t, slice_first(path, path.len - parameters.len), parameters);
    if (!good) {
        s->mail = NULL;
        transaction_free(t);
        filters_message_ends(s);
        return COMMAND_FAILED;
    }
    t->accepted = true;
    answer(s, REPLY_MAIL_OK);
    return COMMAND_DONE;
}

enum outcome command_mail(struct session *s, struct slice arguments)
{
    struct slice path;

    if (s->server->params.smtpd_helo_required && !s->helo)
        return answer_failed(s, REPLY_HELO_FIRST);
    if (s->mail)
        return answer_failed(s, REPLY_NESTED_MAIL);
    if (s->chunks_failed)
        return answer_failed(s, REPLY_AFTER_BDAT, SLICE("MAIL"));
    if (limits_message(s))
        return answer_failed(s, REPLY_MESSAGE_RATE, slice_of(s->client.address));
    if (!smtp_command_argument(arguments, SLICE("FROM"), &path))
        return answer_failed(s, REPLY_MAIL_SYNTAX);
    return mail_from(s, path);
}

/* ---- RCPT ---- */

/* too_many - the first few beyond the limit are no errors (RFC 5321 4.5.3.1.10). */
static enum outcome too_many(struct session *s)
{
    answer(s, REPLY_TOO_MANY_RECIPIENTS);
    if (s->mail->recipient_overshoot++ < s->server->params.smtpd_recipient_overshoot_limit)
        return COMMAND_DONE;
    s->trouble |= TROUBLE_POLICY;
    return COMMAND_FAILED;
}

/* of_probes - mail for a sender of probes whose name changes with time goes to the name that does not. */
static struct slice of_probes(struct session *s, struct slice address)
{
    struct server *server = s->server;
    struct slice unchanging = slice_of(server->probe_sender);

    return address_verify_is_sender(&server->verify_params, unchanging, address, clock_wall()) ? unchanging : address;
}

static enum outcome accept_recipient(struct session *s, struct slice path, struct slice words, struct slice address,
                                     const struct smtp_rcpt_parameters *parameters)
{
    struct transaction *t = s->mail;
    struct recipient recipient = {.address = of_probes(s, address), .orcpt = parameters->orcpt, .notify = parameters->notify};
    struct slice shown = mail_address_internal(address, t->arena);
    struct rejection rejection;
    struct submit_outcome refusal;

    struct slice as_given = slice_first(path, path.len - words.len);
    if (!access_rcpt(s, recipient.address, shown, &rejection)) {
        filters_rejected_rcpt(s, as_given, words, &rejection);
        return answer_rejection(s, &rejection, address);
    }
    if (!filters_rcpt(s, as_given, words, recipient.address))
        return COMMAND_FAILED;
    struct slice command = arena_format(s->scratch, "RCPT TO:" SLICE_FORMAT, SLICE_ARGS(path));
    if (!transaction_open_queue(s, &refusal) || !intake_recipient(t->intake, command, s->scratch, &refusal))
        return reception_refusal(s, &refusal);
    transaction_add_recipient(t, &recipient);
    answer(s, REPLY_RCPT_OK);
    return COMMAND_DONE;
}

static enum outcome rcpt_to(struct session *s, struct slice path)
{
    struct slice address, text, word;
    struct smtp_rcpt_parameters parameters;
    enum smtp_reply_id why = REPLY_UNSUPPORTED_OPTION;

    if (!command_parse_address(s, path, "RCPT", s->scratch, &address, &text))
        return answer_failed(s, REPLY_BAD_RECIPIENT);
    if (address.len == 0) {
        log_warning("Illegal address syntax from %s in RCPT command: <>", s->client.text);
        return answer_failed(s, REPLY_BAD_RECIPIENT);
    }
    if (!smtp_rcpt_parameters(text, allowed_parameters(s), s->scratch, &parameters, &why, &word))
        return answer_failed(s, why, word);
    if (needs_smtputf8(s, address, s->mail->parameters.smtputf8))
        return answer_failed(s, REPLY_NEED_SMTPUTF8);
    tell_old_default(s, "recipient", address);
    if ((int64_t)s->mail->recipient_count >= s->server->params.smtpd_recipient_limit)
        return too_many(s);
    return accept_recipient(s, path, text, address, &parameters);
}

enum outcome command_rcpt(struct session *s, struct slice arguments)
{
    struct slice path;

    if (!s->mail)
        return answer_failed(s, REPLY_NEED_MAIL);
    if (s->mail->bdat)
        return answer_failed(s, REPLY_AFTER_BDAT, SLICE("RCPT"));
    if (!smtp_command_argument(arguments, SLICE("TO"), &path))
        return answer_failed(s, REPLY_RCPT_SYNTAX);
    if (limits_recipient(s))
        return answer_failed(s, REPLY_RECIPIENT_RATE, slice_of(s->client.address));
    return rcpt_to(s, path);
}
