/* transfer.c - the mail transaction (RFC 5321 3.3), pipelined where the server can (RFC 2920), over LMTP (RFC 2033) too */
#include "transfer.h"

#include "address/mail_address.h"
#include "base/log.h"
#include "commands.h"
#include "forward.h"
#include "outgoing.h"

enum { PIPELINED_RECIPIENTS = 200 /* sent before their replies are read; see commands_at_once */ };

/* The dialogue in progress. */
struct exchange {
    const struct transfer *t;
    struct arena *arena;
    size_t *asked;      /* recipients of this transaction, by place in the delivery */
    size_t asked_count;
    struct slice sender; /* as the server gets it (smtp_generic_maps) */
    struct slice *addresses; /* the recipients' likewise, by place in asked */
    bool *accepted;     /* by place in asked */
    size_t accepted_count;
    struct failure *failure;
    bool probe;         /* nothing is to be delivered: ask, and stop before the content */
    bool probe_rcpt;    /* ... before DATA (smtp_address_verify_target) */
};

/* ---- settling ---- */

static void settle(struct delivery *delivery, size_t recipient, const char *relay, const struct failure *failure)
{
    struct delivery_status status = {
        .outcome = failure->temporary ? OUTCOME_DEFERRED : OUTCOME_BOUNCED,
        .status = failure->status,
        .relay = relay,
        .remote_mta = failure->remote_mta,
        .diagnostic_type = failure->diagnostic.len > 0 ? "smtp" : NULL,
        .diagnostic = failure->diagnostic,
        .reason = failure->reason,
    };
    delivery_result(delivery, recipient, &status);
}

void transfer_settle_all(struct delivery *delivery, const char *relay, const struct failure *failure, bool final)
{
    if (failure->temporary && !final) {
        log_info(SLICE_FORMAT ": " SLICE_FORMAT, SLICE_ARGS(delivery->request->envelope.queue_id), SLICE_ARGS(failure->reason));
        return;
    }
    for (size_t i = 0; i < delivery->recipient_count; i++)
        if (!delivery->settled[i])
            settle(delivery, i, relay, failure);
}

/* refuse_recipient - one recipient was refused. */
static void refuse_recipient(struct exchange *x, size_t recipient, const struct reply *reply, const char *command)
{
    struct failure failure = {0};

    session_said(x->t->session, reply, command, x->arena, &failure);
    bool stands = x->t->final || (x->t->only_host && reply->code != 421);
    if (failure.temporary && !stands)
        log_info(SLICE_FORMAT ": " SLICE_FORMAT, SLICE_ARGS(x->t->delivery->request->envelope.queue_id), SLICE_ARGS(failure.reason));
    else
        settle(x->t->delivery, recipient, x->t->session->relay, &failure);
}

/* refuse_message - MAIL, DATA or the end of data was refused: all recipients of the transaction share the fate. */
static void refuse_message(struct exchange *x, const struct reply *reply, const char *command)
{
    struct failure failure = {0};

    session_said(x->t->session, reply, command, x->arena, &failure);
    if (reply->code / 100 == 2)
        failure.reason = arena_format(x->arena, "Protocol error: " SLICE_FORMAT, SLICE_ARGS(failure.reason));
    transfer_settle_all(x->t->delivery, x->t->session->relay, &failure, x->t->final);
}

static void settle_sent(struct exchange *x, size_t recipient, const struct reply *reply)
{
    char code[STATUS_CODE_TEXT];
    struct session *session = x->t->session;
    struct delivery_status status = {
        .outcome = OUTCOME_SENT,
        .status = status_code_format(reply->status, code),
        .action = session->lmtp && x->t->params->lmtp_assume_final && !(session->features & EHLO_DSN) ? "delivered" : NULL,
        .relay = session->relay,
        .remote_mta = session->host,
        .diagnostic_type = "smtp",
        .diagnostic = reply->text,
        .reason = reply->text,
        .notice_passed_on = (session->features & EHLO_DSN) != 0,
    };
    delivery_result(x->t->delivery, recipient, &status);
}

/* ---- the dialogue ---- */

static void build_mail(const struct exchange *x, struct buffer *out)
{
    const struct envelope *envelope = &x->t->delivery->request->envelope;
    int features = x->t->session->features;

    /* What may become quoted-printable on the way has a size that nobody knows yet. */
    if (!(features & EHLO_8BITMIME) && !x->t->params->disable_mime_output_conversion && !slice_equal_case(envelope->encoding, SLICE("7bit")))
        features &= ~EHLO_SIZE;
    if (!x->t->session->passes_require_tls)
        features &= ~EHLO_REQUIRETLS;
    if (!x->t->session->logged_in || !x->t->params->send_dummy_mail_auth)
        features &= ~EHLO_AUTH;
    command_mail(envelope, x->sender, features, out);
}

static void build_rcpt(const struct exchange *x, size_t i, struct buffer *out)
{
    command_rcpt(&x->t->delivery->recipients[x->asked[i]], x->addresses[i], x->t->session->features, out);
}

static bool say(struct exchange *x, struct slice text, bool flush)
{
    struct session *session = x->t->session;

    stream_set_deadline(session->stream, clock_after(x->t->params->mail_timeout));
    session_say(session, text);
    return !flush || stream_flush(session->stream);
}

static bool lost(struct exchange *x, const char *phase)
{
    session_lost(x->t->session, phase, x->arena, x->failure);
    return false;
}

/* read_mail_reply - *go_on is false when the server refused the sender. */
static bool read_mail_reply(struct exchange *x, bool *go_on)
{
    struct reply reply;

    if (!session_reply(x->t->session, x->t->params->mail_timeout, &reply))
        return lost(x, "sending MAIL FROM");
    *go_on = reply.code / 100 == 2;
    if (!*go_on)
        refuse_message(x, &reply, "MAIL FROM command");
    return true;
}

static bool read_rcpt_reply(struct exchange *x, size_t i, bool refused_already)
{
    struct reply reply;

    if (!session_reply(x->t->session, x->t->params->rcpt_timeout, &reply))
        return lost(x, "sending RCPT TO");
    if (refused_already)
        return true;
    x->accepted[i] = reply.code / 100 == 2;
    x->accepted_count += x->accepted[i];
    if (x->accepted[i] && x->probe_rcpt)
        settle_sent(x, x->asked[i], &reply);
    if (!x->accepted[i])
        refuse_recipient(x, x->asked[i], &reply, "RCPT TO command");
    return true;
}

static void settle_accepted(struct exchange *x, const struct reply *reply)
{
    for (size_t i = 0; i < x->asked_count; i++)
        if (x->accepted[i])
            settle_sent(x, x->asked[i], reply);
}

/* read_data_reply - *code is the reply's. */
static bool read_data_reply(struct exchange *x, int *code)
{
    struct reply reply;

    if (!session_reply(x->t->session, x->t->params->data_init_timeout, &reply))
        return lost(x, "sending DATA command");
    *code = reply.code;
    if (reply.code / 100 != 3 && x->accepted_count > 0)
        refuse_message(x, &reply, "DATA command");
    else if (reply.code / 100 == 3 && x->probe)
        settle_accepted(x, &reply);
    return true;
}

/* commands_at_once - MAIL, RCPT and DATA in one go; of many RCPT some at a time, so that a server whose replies nobody reads does not stop reading
   itself. */
static bool commands_at_once(struct exchange *x, int *data_code)
{
    struct buffer commands = BUFFER_INIT;
    bool go_on = true, good = true, said_data = false;

    build_mail(x, &commands);
    for (size_t begin = 0, end = 0; good && go_on && begin < x->asked_count; begin = end) {
        for (; end < x->asked_count && end < begin + PIPELINED_RECIPIENTS; end++)
            build_rcpt(x, end, &commands);
        said_data = end == x->asked_count && !x->probe_rcpt;
        if (said_data)
            buffer_append_string(&commands, "DATA\r\n");
        say(x, buffer_slice(&commands), true);
        buffer_clear(&commands);
        good = begin > 0 || read_mail_reply(x, &go_on);
        for (size_t i = begin; good && i < end; i++)
            good = read_rcpt_reply(x, i, !go_on);
    }
    buffer_release(&commands);
    return good && (!said_data || read_data_reply(x, data_code));
}

/* commands_one_by_one - for servers that do not pipeline. */
static bool commands_one_by_one(struct exchange *x, int *data_code)
{
    struct buffer command = BUFFER_INIT;
    bool go_on = false, good;

    build_mail(x, &command);
    say(x, buffer_slice(&command), true);
    good = read_mail_reply(x, &go_on);
    for (size_t i = 0; good && go_on && i < x->asked_count; i++) {
        buffer_clear(&command);
        build_rcpt(x, i, &command);
        say(x, buffer_slice(&command), true);
        good = read_rcpt_reply(x, i, false);
    }
    buffer_release(&command);
    *data_code = 0;
    if (!good || x->accepted_count == 0 || x->probe_rcpt)
        return good;
    say(x, SLICE("DATA\r\n"), true);
    return read_data_reply(x, data_code);
}

/* forward_origin - XFORWARD where it is configured and offered.  A server that refuses it gets the message all the same.  False: the connection is
   lost. */
static bool forward_origin(struct exchange *x)
{
    static const struct { const char *phase, *command; } words[FORWARD_COMMAND_COUNT] = {
        [FORWARD_NAME_ADDRESS] = {"sending XFORWARD name/address", "XFORWARD name/address command"},
        [FORWARD_PROTOCOL_HELO] = {"sending XFORWARD helo/protocol", "XFORWARD helo/protocol command"}};
    struct session *session = x->t->session;
    struct buffer command = BUFFER_INIT;
    struct reply reply;
    bool good = true;

    for (int i = 0; good && i < FORWARD_COMMAND_COUNT; i++) {
        buffer_clear(&command);
        if (!forward_build((enum forward_command)i, session->forward_attributes, &x->t->delivery->request->envelope, &command))
            continue;
        say(x, buffer_slice(&command), true);
        good = session_reply(session, x->t->params->xforward_timeout, &reply) || lost(x, words[i].phase);
        if (good && reply.code / 100 != 2)
            log_warning("host %s said: " SLICE_FORMAT " (in reply to %s)", session->relay, SLICE_ARGS(reply.text), words[i].command);
    }
    buffer_release(&command);
    return good;
}

/* finish_empty - nobody was accepted: leave the transaction in a clean state (RSET), or end a DATA that was granted all the same. */
static bool finish_empty(struct exchange *x, int data_code)
{
    struct reply reply;
    struct session *session = x->t->session;

    if (session->unusable)
        return true;
    if (data_code / 100 == 3) {
        say(x, SLICE(".\r\n"), true);
        session->unusable = !session_reply(session, x->t->params->data_done_timeout, &reply);
        return true;
    }
    if (session->says_goodbye)
        return true;
    say(x, SLICE("RSET\r\n"), true);
    if (!session_reply(session, x->t->params->rset_timeout, &reply) || reply.code / 100 != 2)
        session->unusable = true; /* what was settled stays settled */
    return true;
}

/* read_shared_reply - SMTP: one reply for all accepted recipients. */
static bool read_shared_reply(struct exchange *x)
{
    struct reply reply;

    if (!session_reply(x->t->session, x->t->params->data_done_timeout, &reply))
        return lost(x, "sending end of data -- message may be sent more than once");
    if (reply.code / 100 != 2) {
        refuse_message(x, &reply, "end of DATA command");
        return true;
    }
    settle_accepted(x, &reply);
    return true;
}

/* read_reply_each - LMTP: one reply for each accepted recipient, in order. */
static bool read_reply_each(struct exchange *x)
{
    struct reply reply;

    for (size_t i = 0; i < x->asked_count; i++) {
        if (!x->accepted[i])
            continue;
        if (!session_reply(x->t->session, x->t->params->data_done_timeout, &reply))
            return lost(x, "sending end of data -- message may be sent more than once");
        if (reply.code / 100 == 2)
            settle_sent(x, x->asked[i], &reply);
        else
            refuse_recipient(x, x->asked[i], &reply, "end of DATA command");
    }
    return true;
}

static bool send_content(struct exchange *x)
{
    struct session *session = x->t->session;

    if (content_send(x->t->params, session, x->t->delivery) < 0) {
        /* The queue's file cannot be read, or a table failed: end the connection in the middle so that the server drops what it has. */
        bool unread = errno != EAGAIN;
        *x->failure = (struct failure){.temporary = true, .status = "4.3.0",
                                       .reason = unread ? SLICE("cannot read the message in the queue") : SLICE("header or body checks lookup error")};
        if (unread)
            log_warning(SLICE_FORMAT ": cannot read the message in the queue: %s", SLICE_ARGS(x->t->delivery->request->envelope.queue_id),
                        strerror(errno));
        session->unusable = true;
        return false;
    }
    if (!x->t->keep && !session->lmtp && (session->features & EHLO_PIPELINING)) {
        session_say(session, SLICE("QUIT\r\n"));
        session->quit_sent = true;
    }
    stream_set_deadline(session->stream, clock_after(x->t->params->data_xfer_timeout));
    if (!stream_flush(session->stream))
        return lost(x, "sending message body");
    return session->lmtp ? read_reply_each(x) : read_shared_reply(x);
}

static bool is_international(const struct delivery *delivery)
{
    const struct envelope *envelope = &delivery->request->envelope;
    bool ascii = slice_is_ascii(envelope->sender) && !(envelope->content_flags & CONTENT_8BIT_HEADER);

    for (size_t i = 0; i < delivery->recipient_count; i++)
        ascii = ascii && slice_is_ascii(delivery->recipients[i].address);
    return envelope->smtputf8 && !ascii;
}

/* check_limits - what can be said without asking the server.  False: the message was refused. */
static bool check_limits(struct exchange *x)
{
    struct session *session = x->t->session;
    const struct envelope *envelope = &x->t->delivery->request->envelope;
    struct failure failure = {.remote_mta = session->host};

    if (session->size_limit > 0 && envelope->message_size > session->size_limit) {
        failure.status = "5.3.4";
        failure.reason = arena_format(x->arena, "message size %lld exceeds size limit %lld of server %s[%s]", (long long)envelope->message_size,
                                      (long long)session->size_limit, session->host, session->address);
    } else if (is_international(x->t->delivery) && !(session->features & EHLO_SMTPUTF8)) {
        failure.status = "5.6.7";
        failure.remote_mta = NULL; /* it did not say so */
        failure.reason = arena_format(x->arena, "SMTPUTF8 is required, but was not offered by host %s[%s]", session->host, session->address);
    } else {
        return true;
    }
    transfer_settle_all(x->t->delivery, session->relay, &failure, x->t->final);
    return false;
}

/* without_quotes - smtp_quote_rfc821_envelope=no: the local part as it is, but for what would break the command. */
static struct slice without_quotes(struct exchange *x, struct slice address)
{
    struct slice plain = mail_address_internal(address, x->arena);

    return slice_has_control(plain) || slice_find_any(plain, "<>") < plain.len ? address : plain;
}

static void unquote_addresses(struct exchange *x)
{
    x->sender = without_quotes(x, x->sender);
    for (size_t i = 0; i < x->asked_count; i++)
        x->addresses[i] = without_quotes(x, x->addresses[i]);
}

/* map_addresses - the envelope as the server is to see it.  False: a table cannot answer, the message was deferred. */
static bool map_addresses(struct exchange *x)
{
    const struct outgoing_tables *tables = x->t->params->outgoing;
    struct delivery *delivery = x->t->delivery;
    bool good = true;

    x->sender = delivery->request->envelope.sender;
    x->addresses = arena_alloc(x->arena, x->asked_count * sizeof(*x->addresses));
    for (size_t i = 0; i < x->asked_count; i++)
        x->addresses[i] = delivery->recipients[x->asked[i]].address;
    if (tables)
        good = outgoing_map_address(tables, &x->sender, x->arena);
    for (size_t i = 0; tables && good && i < x->asked_count; i++)
        good = outgoing_map_address(tables, &x->addresses[i], x->arena);
    if (!good) {
        struct failure failure = {.temporary = true, .status = "4.3.0", .reason = SLICE("address mapping lookup error")};
        transfer_settle_all(delivery, x->t->session->relay, &failure, true);
    }
    if (!x->t->params->quote_rfc821_envelope)
        unquote_addresses(x);
    return good;
}

bool transfer_run(const struct transfer *transfer, struct failure *failure)
{
    struct delivery *delivery = transfer->delivery;
    struct exchange x = {.t = transfer, .arena = delivery->arena, .failure = failure};
    int data_code = 0;

    memset(failure, 0, sizeof(*failure));
    x.asked = arena_alloc(x.arena, delivery->recipient_count * sizeof(*x.asked));
    x.accepted = arena_alloc(x.arena, delivery->recipient_count * sizeof(*x.accepted));
    for (size_t i = 0; i < delivery->recipient_count; i++)
        if (!delivery->settled[i])
            x.asked[x.asked_count++] = i;
    x.probe = (delivery->request->flags & DELIVERY_PROBE) != 0;
    x.probe_rcpt = x.probe && strcasecmp(transfer->params->address_verify_target, "data") != 0;
    if (x.asked_count == 0 || !check_limits(&x) || !map_addresses(&x))
        return true;
    if (transfer->params->send_xforward_command && !forward_origin(&x))
        return false;
    bool pipelining = (transfer->session->features & EHLO_PIPELINING) != 0;
    if (!(pipelining ? commands_at_once(&x, &data_code) : commands_one_by_one(&x, &data_code)))
        return false;
    if (x.probe && data_code / 100 == 3) {
        transfer->session->unusable = true; /* closing is the only way out of DATA without a message */
        return true;
    }
    if (x.accepted_count == 0 || data_code / 100 != 3)
        return finish_empty(&x, data_code);
    return send_content(&x);
}
