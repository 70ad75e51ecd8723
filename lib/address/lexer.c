/* lexer.c - lexical elements of RFC 5322 addresses */
#include "address/lexer.h"

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_special(char c)
{
    return c && strchr("()<>@,;:\\\"[]", c);
}

bool address_byte_is_atext(char byte)
{
    unsigned char c = (unsigned char)byte;
    return c > ' ' && c != 127 && c != '.' && !is_special(byte);
}

/* enclosed - length of what stands between an opening and its closing byte, both included; a backslash takes the next byte along. */
static size_t enclosed(struct slice s, char open, char close, bool nested, bool *broken)
{
    size_t depth = 1;
    for (size_t i = 1; i < s.len; i++) {
        if (s.data[i] == '\\')
            i++;
        else if (s.data[i] == close && --depth == 0)
            return i + 1;
        else if (nested && s.data[i] == open)
            depth++;
    }
    *broken = true;
    return s.len;
}

static size_t blank_length(struct slice s)
{
    size_t i = 0;
    while (i < s.len && is_blank(s.data[i]))
        i++;
    return i;
}

static size_t atom_length(struct slice s)
{
    size_t i = 0;
    while (i < s.len && !is_blank(s.data[i]) && !is_special(s.data[i]))
        i++;
    return i;
}

struct lexeme lexeme_next(struct slice *rest)
{
    struct lexeme lexeme = {LEXEME_END, {rest->data, 0}, false};
    if (rest->len == 0)
        return lexeme;
    char c = rest->data[0];
    size_t len = 1;
    if (is_blank(c)) {
        lexeme.kind = LEXEME_BLANK;
        len = blank_length(*rest);
    } else if (c == '(') {
        lexeme.kind = LEXEME_COMMENT;
        len = enclosed(*rest, '(', ')', true, &lexeme.broken);
    } else if (c == '"') {
        lexeme.kind = LEXEME_QUOTED;
        len = enclosed(*rest, '"', '"', false, &lexeme.broken);
    } else if (c == '[') {
        lexeme.kind = LEXEME_LITERAL;
        len = enclosed(*rest, '[', ']', false, &lexeme.broken);
    } else if (is_special(c)) {
        lexeme.kind = LEXEME_SPECIAL;
    } else {
        lexeme.kind = LEXEME_ATOM;
        len = atom_length(*rest);
    }
    lexeme.text = slice_first(*rest, len);
    *rest = slice_from(*rest, len);
    return lexeme;
}

bool lexeme_joins(const struct lexeme *before, const struct lexeme *after)
{
    if (lexeme_is(before, '@') || lexeme_is(after, '@'))
        return true;
    if (before->kind == LEXEME_ATOM && (slice_ends(before->text, SLICE(".")) || slice_ends(before->text, SLICE("|"))))
        return true;
    return after->kind == LEXEME_ATOM && (slice_starts(after->text, SLICE(".")) || slice_starts(after->text, SLICE("|")));
}
