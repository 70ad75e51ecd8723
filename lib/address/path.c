/* path.c - the address of MAIL FROM and RCPT TO */
#include "address/domain.h"
#include "address/lexer.h"
#include "address/mail_address.h"

enum { PATH_MAX_LENGTH = 2048 }; /* bytes; more cannot come in a command line of default length */

/* take_token - the first word: blanks inside quotes, comments, <> and [] do not end it.  Unless strict, a comment that nobody closes ends at a blank. */
static struct slice take_token(struct slice *rest, bool strict, bool *broken)
{
    *rest = slice_trim_left(*rest);
    struct slice start = *rest;
    size_t depth = 0;
    for (;;) {
        struct slice after = *rest;
        struct lexeme lexeme = lexeme_next(&after);
        if (lexeme.kind == LEXEME_END || (lexeme.kind == LEXEME_BLANK && depth == 0))
            break;
        if (lexeme.kind == LEXEME_COMMENT && lexeme.broken && !strict) {
            *rest = slice_from(*rest, slice_find(*rest, ' '));
            return slice_first(start, (size_t)(lexeme.text.data - start.data));
        }
        *broken |= lexeme.broken;
        depth += lexeme_is(&lexeme, '<');
        depth -= lexeme_is(&lexeme, '>') && depth > 0;
        *rest = after;
    }
    *broken |= depth > 0;
    return slice_first(start, start.len - rest->len);
}

/* only_closes - nothing but ">", ";", comments and blanks: "<a>,<b>" and "<a>SIZE=1" are not one address. */
static bool only_closes(struct slice rest)
{
    for (;;) {
        struct lexeme lexeme = lexeme_next(&rest);
        if (lexeme.kind == LEXEME_END)
            return true;
        if (!lexeme_is(&lexeme, '>') && !lexeme_is(&lexeme, ';') && !lexeme_is_gap(&lexeme))
            return false;
    }
}

/* strip_angles - what stands inside the innermost <> ("<<a>>" is taken, as Postfix does); everything when there are none, then a
   lone ">" at the end is dropped.  *clean: "<address>" and nothing else; *broken: more text follows. */
static struct slice strip_angles(struct slice token, bool *found, bool *clean, bool *broken)
{
    struct slice rest = token, inside = token;
    *found = false;
    *clean = false;
    for (;;) {
        struct lexeme lexeme = lexeme_next(&rest);
        if (lexeme_is(&lexeme, '<')) {
            *clean = lexeme.text.data == token.data;
            *found = true;
            inside = rest;
        } else if (lexeme.kind == LEXEME_END || lexeme_is(&lexeme, '>')) {
            *clean = *clean && lexeme.kind != LEXEME_END && rest.len == 0;
            *broken |= *found && !only_closes(rest);
            return slice_first(inside, (size_t)(lexeme.text.data - inside.data));
        }
    }
}

/* has_gap - blanks or comments outside quotes. */
static bool has_gap(struct slice inside)
{
    for (;;) {
        struct lexeme lexeme = lexeme_next(&inside);
        if (lexeme.kind == LEXEME_END || lexeme_is_gap(&lexeme))
            return lexeme.kind != LEXEME_END;
    }
}

/* words_touch - a quoted string and a word with neither a dot nor an "@" between them: "us er"x@example.org. */
static bool words_touch(struct slice inside)
{
    struct lexeme before = {LEXEME_END, {NULL, 0}, false};
    for (;;) {
        struct lexeme lexeme = lexeme_next(&inside);
        bool both_words = (before.kind == LEXEME_QUOTED && (lexeme.kind == LEXEME_QUOTED || lexeme.kind == LEXEME_ATOM)) ||
                          (before.kind == LEXEME_ATOM && lexeme.kind == LEXEME_QUOTED);
        if (lexeme.kind == LEXEME_END || (both_words && !lexeme_joins(&before, &lexeme)))
            return lexeme.kind != LEXEME_END;
        before = lexeme;
    }
}

/* domain_is_acceptable - as in RCPT TO: a trailing dot is forgiven, rewriting takes it off.  A number is no name. */
static bool domain_is_acceptable(struct slice domain)
{
    if (slice_ends(domain, SLICE(".")))
        domain.len--;
    return domain_is_valid(domain, NULL);
}

bool mail_address_parse_path(struct slice text, bool strict, bool utf8, struct arena *arena, struct slice *external, struct slice *rest)
{
    bool broken = false, angles = false, clean = true;
    *rest = text;
    struct slice token = take_token(rest, strict, &broken);
    *rest = slice_trim_left(*rest);
    *external = (struct slice){"", 0};
    if (broken || token.len == 0 || token.len > PATH_MAX_LENGTH)
        return false;
    struct slice inside = strip_angles(token, &angles, &clean, &broken);
    angles |= slice_equal(token, SLICE(">")); /* what is left of "<>" */
    if (broken)
        return false;
    if (words_touch(inside))
        return false;
    if (strict && (!angles || !clean || has_gap(slice_trim(inside))))
        return false;
    if (!slice_is_ascii(inside) && !(utf8 && slice_is_utf8(inside)))
        return false;
    struct slice address = address_spec_parse(inside, true, arena, &broken);
    if (broken || (address.len == 0 && !angles))
        return false;
    if (address.len > 0 && mail_address_local(address).len < address.len && !domain_is_acceptable(mail_address_domain(address)))
        return false;
    *external = arena_slice(arena, address);
    return true;
}
