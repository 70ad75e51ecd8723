/* command_other.c - RSET, NOOP, VRFY, ETRN, QUIT */
#include "access.h"
#include "address/mail_address.h"
#include "base/log.h"
#include "commands.h"
#include "filters.h"
#include "history.h"

enum outcome command_rset(struct session *s, struct slice arguments)
{
    if (arguments.len)
        return answer_failed(s, REPLY_RSET_SYNTAX);
    session_reset_mail(s);
    history_flush(s);
    answer(s, REPLY_OK);
    return COMMAND_DONE;
}

enum outcome command_noop(struct session *s, struct slice arguments UNUSED)
{
    answer(s, REPLY_OK);
    return COMMAND_DONE;
}

enum outcome command_quit(struct session *s, struct slice arguments UNUSED)
{
    answer(s, REPLY_BYE);
    s->closing = true;
    return COMMAND_DONE;
}

/* ---- VRFY ---- */

enum outcome command_vrfy(struct session *s, struct slice arguments)
{
    const struct smtpd_params *p = &s->server->params;
    struct slice address, rest, text = arguments;
    struct rejection rejection;

    if (p->disable_vrfy_command)
        return answer_failed(s, REPLY_VRFY_DISABLED);
    size_t blank = slice_find_last(text, ' ');
    bool announced = blank < text.len && p->smtputf8_enable && slice_equal_case(slice_from(text, blank + 1), SLICE("SMTPUTF8"));
    if (announced)
        text = slice_trim(slice_first(text, blank));
    if (text.len == 0)
        return answer_failed(s, REPLY_VRFY_SYNTAX);
    if (limits_recipient(s))
        return answer_failed(s, REPLY_RECIPIENT_RATE, slice_of(s->client.address));
    bool good = command_parse_address(s, text, "VRFY", s->scratch, &address, &rest);
    if (!good || rest.len || address.len == 0) {
        if (good)
            log_warning("Illegal address syntax from %s in VRFY command: " SLICE_FORMAT, s->client.text, SLICE_ARGS(text));
        return answer_failed(s, REPLY_BAD_RECIPIENT);
    }
    if (p->strict_smtputf8 && !announced && !slice_is_ascii(address))
        return answer_failed(s, REPLY_NEED_SMTPUTF8);
    if (!filters_allow(s))
        return COMMAND_FAILED;
    if (!access_rcpt(s, address, mail_address_internal(address, s->scratch), &rejection))
        return answer_rejection(s, &rejection, address);
    answer(s, REPLY_VERIFIED, text);
    return COMMAND_DONE;
}

/* ---- ETRN (RFC 1985) ---- */

/* flush_site - ask qmgr to try everything for a domain now. */
static bool flush_site(struct session *s, struct slice domain)
{
    struct queue_control request = {.verb = QUEUE_CONTROL_FLUSH_SITE, .argument = domain};
    int64_t deadline = clock_after(10 * MICROSECONDS);
    struct lane *lane = lane_connect("public/qmgr", deadline);

    struct queue_control_reply *reply =
        lane ? lane_call(lane, MESSAGE_queue_control, &request, -1, MESSAGE_queue_control_reply, s->scratch, deadline) : NULL;
    bool good = reply && reply->error.len == 0;
    if (!good)
        log_warning("ETRN: cannot ask qmgr to flush " SLICE_FORMAT, SLICE_ARGS(domain));
    lane_free(lane);
    return good;
}

static enum outcome start_queue(struct session *s, struct slice domain)
{
    struct rejection rejection;

    if (!filters_allow(s))
        return COMMAND_FAILED;
    if (!access_etrn(s, domain, &rejection))
        return answer_rejection(s, &rejection, (struct slice){0});
    if (match_list_is_empty(s->server->fast_flush_domains) || match_domain(s->server->fast_flush_domains, domain) != MATCH_YES) {
        log_warning("reject: ETRN " SLICE_FORMAT "... from %s", SLICE_ARGS(domain), s->client.text);
        return answer_failed(s, REPLY_ETRN_UNAVAILABLE, domain);
    }
    if (!flush_site(s, domain))
        return answer_failed(s, REPLY_ETRN_UNABLE);
    answer(s, REPLY_ETRN_STARTED);
    return COMMAND_DONE;
}

enum outcome command_etrn(struct session *s, struct slice arguments)
{
    struct slice domain = arguments;

    if (s->server->params.smtpd_helo_required && !s->helo)
        return answer_failed(s, REPLY_ETRN_HELO_FIRST);
    if (s->mail)
        return answer_failed(s, REPLY_ETRN_IN_TRANSACTION);
    if (domain.len == 0 || slice_find_any(domain, " \t") < domain.len)
        return answer_failed(s, REPLY_ETRN_SYNTAX);
    if (domain.data[0] == '@' || domain.data[0] == '#')
        domain = slice_from(domain, 1);
    if (!domain_is_valid(domain, NULL))
        return answer_failed(s, REPLY_ETRN_BAD_PARAMETER);
    return start_queue(s, domain);
}
