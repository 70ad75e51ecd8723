/* esmtp.c - parameters of MAIL, RCPT and BDAT */
#include "smtp/esmtp.h"

#include "smtp/xtext.h"

#define BLANKS " \t"

bool smtp_command_split(struct slice line, struct slice *verb, struct slice *rest)
{
    *rest = line;
    if (!slice_next_token(rest, BLANKS, verb))
        return false;
    *rest = slice_trim(*rest);
    return true;
}

bool smtp_command_argument(struct slice text, struct slice keyword, struct slice *rest)
{
    if (!slice_starts_case(text, keyword))
        return false;
    text = slice_from(text, keyword.len);
    if (text.len == 0 || text.data[0] != ':')
        return false;
    *rest = slice_trim(slice_from(text, 1));
    return rest->len > 0;
}

/* take_value - is the word NAME=...?  Then *value is what follows. */
static bool take_value(struct slice word, struct slice name, struct slice *value)
{
    if (!slice_starts_case(word, name) || word.len <= name.len || word.data[name.len] != '=')
        return false;
    *value = slice_from(word, name.len + 1);
    return true;
}

/* take_xtext - decode; false when malformed or not printable.  utf8: more than ASCII may come out. */
static bool take_xtext(struct slice value, bool utf8, struct arena *arena, struct slice *text)
{
    struct buffer decoded = BUFFER_INIT_MAX(value.len + 1);
    bool good = xtext_decode(&decoded, value) && !slice_has_control(buffer_slice(&decoded)) &&
                (utf8 ? slice_is_utf8(buffer_slice(&decoded)) : slice_is_ascii(buffer_slice(&decoded)));

    if (good)
        *text = arena_slice(arena, buffer_slice(&decoded));
    buffer_release(&decoded);
    return good;
}

/* ---- MAIL ---- */

struct mail_parse {
    struct smtp_mail_parameters *p;
    int allowed;
    struct arena *arena;
    enum smtp_reply_id *failure;
};

/* Each: true when the value is good; else *failure is set. */

static bool refuse(enum smtp_reply_id *failure, enum smtp_reply_id id)
{
    *failure = id;
    return false;
}

static bool mail_size(struct mail_parse *m, struct slice value)
{
    uint64_t size;

    if (value.len == 0)
        return refuse(m->failure, REPLY_BAD_SIZE);
    for (size_t i = 0; i < value.len; i++)
        if (!isdigit((unsigned char)value.data[i]))
            return refuse(m->failure, REPLY_BAD_SIZE);
    if (!slice_to_u64(value, &size) || size > INT64_MAX)
        return refuse(m->failure, REPLY_SIZE_OVER_FILE_SYSTEM);
    m->p->size = (int64_t)size;
    return true;
}

static bool mail_body(struct mail_parse *m, struct slice value)
{
    if (slice_equal_case(value, SLICE("8BITMIME")))
        m->p->encoding = "8bit";
    else if (slice_equal_case(value, SLICE("7BIT")))
        m->p->encoding = "7bit";
    else
        return refuse(m->failure, REPLY_UNSUPPORTED_OPTION);
    return true;
}

static bool mail_ret(struct mail_parse *m, struct slice value)
{
    if (!(m->allowed & SMTP_ALLOW_DSN))
        return refuse(m->failure, REPLY_DSN_DISABLED);
    if (m->p->ret != 0)
        return refuse(m->failure, REPLY_BAD_RET);
    if (slice_equal_case(value, SLICE("FULL")))
        m->p->ret = 1;
    else if (slice_equal_case(value, SLICE("HDRS")))
        m->p->ret = 2;
    else
        return refuse(m->failure, REPLY_BAD_RET);
    return true;
}

static bool mail_envid(struct mail_parse *m, struct slice value)
{
    if (!(m->allowed & SMTP_ALLOW_DSN))
        return refuse(m->failure, REPLY_DSN_DISABLED);
    if (m->p->envid.len > 0 || value.len == 0 || value.len > 1000 || /* RFC 3461 4.4: at most 100 bytes; Postfix takes more */
        !take_xtext(value, false, m->arena, &m->p->envid))
        return refuse(m->failure, REPLY_BAD_ENVID);
    return true;
}

static bool mail_auth(struct mail_parse *m, struct slice value)
{
    if (m->p->has_auth)
        return refuse(m->failure, REPLY_MULTIPLE_AUTH);
    if (!slice_is_ascii(value) || slice_has_control(value))
        return refuse(m->failure, REPLY_UNSUPPORTED_OPTION);
    m->p->auth = arena_slice(m->arena, value);
    m->p->has_auth = true;
    return true;
}

static bool mail_verp(struct mail_parse *m, struct slice value)
{
    if (!(m->allowed & SMTP_ALLOW_VERP))
        return refuse(m->failure, REPLY_UNSUPPORTED_OPTION);
    m->p->verp = true;
    m->p->verp_delimiters = value;
    return true;
}

static bool mail_require_tls(struct mail_parse *m)
{
    if (!(m->allowed & SMTP_ALLOW_REQUIRE_TLS))
        return refuse(m->failure, m->allowed & SMTP_KNOW_REQUIRE_TLS ? REPLY_REQUIRETLS_NEEDS_TLS : REPLY_UNSUPPORTED_OPTION);
    m->p->require_tls = true;
    return true;
}

static bool mail_word(struct mail_parse *m, struct slice word)
{
    static const struct { struct slice name; bool (*take)(struct mail_parse *m, struct slice value); } rows[] = {
        {{"SIZE", 4}, mail_size}, {{"BODY", 4}, mail_body}, {{"RET", 3}, mail_ret},
        {{"ENVID", 5}, mail_envid}, {{"AUTH", 4}, mail_auth}, {{"XVERP", 5}, mail_verp},
    };
    struct slice value;

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (take_value(word, rows[i].name, &value))
            return rows[i].take(m, value);
    if (slice_equal_case(word, SLICE("XVERP")))
        return mail_verp(m, (struct slice){0});
    if (slice_equal_case(word, SLICE("REQUIRETLS")))
        return mail_require_tls(m);
    if ((m->allowed & SMTP_ALLOW_UTF8) && slice_equal_case(word, SLICE("SMTPUTF8"))) {
        m->p->smtputf8 = true;
        return true;
    }
    return refuse(m->failure, REPLY_UNSUPPORTED_OPTION);
}

bool smtp_mail_parameters(struct slice text, int allowed, struct arena *arena, struct smtp_mail_parameters *parameters,
                          enum smtp_reply_id *failure, struct slice *word)
{
    struct mail_parse m = {parameters, allowed, arena, failure};

    *parameters = (struct smtp_mail_parameters){.encoding = ""};
    while (slice_next_token(&text, BLANKS, word))
        if (!mail_word(&m, *word))
            return false;
    return true;
}

/* ---- RCPT ---- */

static bool parse_notify(struct slice value, int *notify)
{
    static const struct { struct slice name; int bit; } names[] = {
        {{"NEVER", 5}, 1}, {{"SUCCESS", 7}, 2}, {{"FAILURE", 7}, 4}, {{"DELAY", 5}, 8},
    };
    struct slice head;

    *notify = 0;
    while (slice_next_token(&value, ",", &head)) { /* empty elements are forgiven */
        int bit = 0;
        for (size_t i = 0; i < COUNT_OF(names); i++)
            if (slice_equal_case(head, names[i].name))
                bit = names[i].bit;
        if (bit == 0)
            return false;
        *notify |= bit;
    }
    return *notify == 1 || (*notify > 1 && !(*notify & 1));
}

/* parse_orcpt - "type;xtext"; the type is kept as it is. */
static bool parse_orcpt(struct slice value, struct arena *arena, struct slice *orcpt)
{
    struct slice type, coded, decoded = {0};

    if (value.len > 1000 || !slice_cut(value, ';', &type, &coded) || type.len == 0)
        return false;
    for (size_t i = 0; i < type.len; i++)
        if (!isalnum((unsigned char)type.data[i]) && type.data[i] != '-')
            return false;
    if (slice_equal_case(type, SLICE("utf-8")) && slice_is_utf8(coded) && !slice_has_control(coded))
        decoded = coded; /* RFC 6533 3: unitext as it is */
    else if (!take_xtext(coded, true, arena, &decoded))
        return false;
    *orcpt = arena_format(arena, SLICE_FORMAT ";" SLICE_FORMAT, SLICE_ARGS(type), SLICE_ARGS(decoded));
    return true;
}

static bool rcpt_word(struct slice word, int allowed, struct arena *arena, struct smtp_rcpt_parameters *p, enum smtp_reply_id *failure)
{
    struct slice value;

    bool notify = take_value(word, SLICE("NOTIFY"), &value);
    if (!notify && !take_value(word, SLICE("ORCPT"), &value))
        return refuse(failure, REPLY_UNSUPPORTED_OPTION);
    if (!(allowed & SMTP_ALLOW_DSN))
        return refuse(failure, REPLY_DSN_DISABLED);
    if (notify) {
        if (p->notify != 0 || !parse_notify(value, &p->notify))
            return refuse(failure, REPLY_BAD_NOTIFY);
    } else {
        if (p->has_orcpt || !parse_orcpt(value, arena, &p->orcpt))
            return refuse(failure, REPLY_BAD_ORCPT);
        p->has_orcpt = true;
    }
    return true;
}

bool smtp_rcpt_parameters(struct slice text, int allowed, struct arena *arena, struct smtp_rcpt_parameters *parameters,
                          enum smtp_reply_id *failure, struct slice *word)
{
    *parameters = (struct smtp_rcpt_parameters){0};
    while (slice_next_token(&text, BLANKS, word))
        if (!rcpt_word(*word, allowed, arena, parameters, failure))
            return false;
    return true;
}

/* ---- BDAT ---- */

bool smtp_bdat_parameters(struct slice text, int64_t *count, bool *last)
{
    struct slice word;

    if (!slice_next_token(&text, BLANKS, &word) || !isdigit((unsigned char)word.data[0]) || !slice_to_i64(word, count))
        return false;
    *last = slice_next_token(&text, BLANKS, &word);
    if (*last && !slice_equal_case(word, SLICE("LAST")))
        return false;
    return !slice_next_token(&text, BLANKS, &word);
}
