/* command_data.c - DATA and BDAT */
#include "access.h"
#include "base/log.h"
#include "commands.h"
#include "filters.h"
#include "intake.h"
#include "reception.h"
#include "user_limits.h"

/* check_content_allowed - smtpd_data_restrictions; once per message. */
static bool content_allowed(struct session *s)
{
    struct rejection rejection;
    struct transaction *t = s->mail;

    if ((t->discard || access_data(s, &rejection)) && user_limits_allow(s, &rejection))
        return filters_data(s);
    answer_rejection(s, &rejection, t->recipient_count == 1 ? t->recipients[0].address : (struct slice){0});
    return false;
}

static enum outcome need_recipients(struct session *s)
{
    if (!s->mail)
        return answer_failed(s, REPLY_NEED_RCPT);
    return answer_failed(s, REPLY_NO_VALID_RECIPIENTS);
}

enum outcome command_data(struct session *s, struct slice arguments)
{
    struct transaction *t = s->mail;

    if (s->chunks_failed || (t && t->bdat))
        return answer_failed(s, REPLY_AFTER_BDAT, SLICE("DATA"));
    if (!t || t->recipient_count == 0)
        return need_recipients(s);
    if (arguments.len)
        return answer_failed(s, REPLY_DATA_SYNTAX);
    struct submit_outcome refusal;
    if (!content_allowed(s))
        return COMMAND_FAILED;
    if (!intake_begin(t->intake, s->scratch, &refusal))
        return reception_refusal(s, &refusal);
    answer(s, REPLY_START_DATA);
    t->reception = reception_new(s, true);
    if (!reception_data(s, t->reception))
        return COMMAND_FAILED;
    return reception_end(s, t->reception);
}

/* ---- BDAT ---- */

/* discard_chunk - what follows an error is read and answered (RFC 3030 2), then forgotten. */
static enum outcome discard_chunk(struct session *s, int64_t count, bool last)
{
    if (!reception_skip(s, count))
        return COMMAND_FAILED;
    answer_failed(s, REPLY_BDAT_DISCARDED, arena_format(s->scratch, "%lld", (long long)count));
    if (last)
        session_reset_mail(s);
    return COMMAND_FAILED;
}

/* refuse_chunk - this chunk makes the message unacceptable. */
static enum outcome refuse_chunk(struct session *s, int64_t count, bool last, enum smtp_reply_id id)
{
    if (s->mail)
        s->mail->bdat = s->mail->failed = true;
    else
        s->chunks_failed = true;
    if (!reception_skip(s, count))
        return COMMAND_FAILED;
    if (id == REPLY_NEED_RCPT)
        need_recipients(s);
    else
        answer_failed(s, id);
    if (last)
        session_reset_mail(s);
    return COMMAND_FAILED;
}

/* begin_chunks - the first chunk does what DATA does. */
static bool begin_chunks(struct session *s, int64_t count, bool last)
{
    struct transaction *t = s->mail;

    if (t->bdat)
        return true;
    struct submit_outcome refusal;
    t->bdat = true;
    if (content_allowed(s)) {
        if (intake_begin(t->intake, s->scratch, &refusal)) {
            t->reception = reception_new(s, false);
            return true;
        }
        reception_refusal(s, &refusal);
    }
    t->failed = true;
    if (reception_skip(s, count) && last)
        session_reset_mail(s);
    return false;
}

static enum outcome take_chunk(struct session *s, int64_t count, bool last)
{
    struct transaction *t = s->mail;
    int64_t limit = s->server->params.message_size_limit;

    if (t ? t->failed : s->chunks_failed)
        return discard_chunk(s, count, last);
    if (count == 0 && !last) {
        log_warning("%s: null BDAT request from %s", session_queue_id(s), s->client.text);
        return refuse_chunk(s, count, last, REPLY_NULL_BDAT);
    }
    if (!t || t->recipient_count == 0)
        return refuse_chunk(s, count, last, REPLY_NEED_RCPT);
    if (limit > 0 && count > limit - (t->reception ? reception_size(t->reception) : 0)) {
        log_warning("%s: BDAT request from %s exceeds message size limit", session_queue_id(s), s->client.text);
        return refuse_chunk(s, count, last, REPLY_CHUNK_OVER_LIMIT);
    }
    if (!begin_chunks(s, count, last) || !reception_chunk(s, t->reception, count))
        return COMMAND_FAILED;
    if (last)
        return reception_end(s, t->reception);
    s->where = "BDAT content";
    t->failed = reception_refuses_bare_lf(s, t->reception);
    s->where = "BDAT";
    if (t->failed)
        return COMMAND_FAILED;
    answer(s, REPLY_CHUNK_OK, arena_format(s->scratch, "%lld", (long long)count));
    return COMMAND_DONE;
}

enum outcome command_bdat(struct session *s, struct slice arguments)
{
    int64_t count;
    bool last;

    if (s->ehlo_hidden & EHLO_CHUNKING) {
        answer(s, REPLY_BDAT_DISABLED);
        return COMMAND_FAILED;
    }
    if (!smtp_bdat_parameters(arguments, &count, &last)) {
        log_warning("%s: malformed BDAT command syntax from %s: BDAT%s" SLICE_FORMAT, session_queue_id(s), s->client.text,
                    arguments.len ? " " : "", SLICE_ARGS(arguments));
        return answer_failed(s, REPLY_BDAT_SYNTAX);
    }
    return take_chunk(s, count, last);
}
