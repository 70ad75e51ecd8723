/* fuzz_esmtp_parameters.c - the words of MAIL, RCPT and BDAT */
#include "base/log.h"
#include "smtp/esmtp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mail(struct slice text, int allowed, struct arena *arena)
{
    struct smtp_mail_parameters p;
    enum smtp_reply_id why = SMTP_REPLY_COUNT;
    struct slice word;

    if (!smtp_mail_parameters(text, allowed, arena, &p, &why, &word)) {
        if (why >= SMTP_REPLY_COUNT || word.len == 0)
            log_panic("no reason");
    } else if (p.size < 0 || p.ret < 0 || p.ret > 2 || slice_has_control(p.envid) || (p.smtputf8 && !(allowed & SMTP_ALLOW_UTF8)) ||
               ((p.ret || p.envid.len) && !(allowed & SMTP_ALLOW_DSN))) {
        log_panic("bad MAIL parameters");
    }
}

static void rcpt(struct slice text, int allowed, struct arena *arena)
{
    struct smtp_rcpt_parameters p;
    enum smtp_reply_id why = SMTP_REPLY_COUNT;
    struct slice word;

    if (!smtp_rcpt_parameters(text, allowed, arena, &p, &why, &word)) {
        if (why >= SMTP_REPLY_COUNT || word.len == 0)
            log_panic("no reason");
    } else if (p.notify < 0 || p.notify > 14 || ((p.notify & 1) && p.notify != 1) || slice_has_control(p.orcpt) ||
               (p.has_orcpt && slice_find(p.orcpt, ';') == p.orcpt.len)) {
        log_panic("bad RCPT parameters");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(0);
    struct slice text = slice_make(data, size), verb, rest;
    int64_t count;
    bool last;

    int allowed = size ? data[0] & 15 : 0;
    if (smtp_command_split(text, &verb, &rest) && (verb.len == 0 || verb.len + rest.len > size))
        log_panic("split");
    smtp_command_argument(text, SLICE("FROM"), &rest);
    mail(text, allowed, arena);
    rcpt(text, allowed, arena);
    if (smtp_bdat_parameters(text, &count, &last) && count < 0)
        log_panic("negative chunk");
    arena_free(arena);
    return 0;
}
