/* lexer.h - lexical elements of RFC 5322 addresses (private to this room) */
#ifndef POSTERN_ADDRESS_LEXER_H
#define POSTERN_ADDRESS_LEXER_H

#include "base/slice.h"

enum lexeme_kind {
    LEXEME_END,
    LEXEME_BLANK,   /* blanks and line ends */
    LEXEME_COMMENT, /* "(...)", nested */
    LEXEME_QUOTED,  /* "..." with the quotes */
    LEXEME_LITERAL, /* [...] with the brackets */
    LEXEME_ATOM,    /* everything else, dots included */
    LEXEME_SPECIAL  /* one of < > @ , ; : and lone ) ] \ */
};

struct lexeme {
    enum lexeme_kind kind;
    struct slice text;
    bool broken; /* the closing quote, bracket or parenthesis is missing */
};

/* lexeme_next - take the next element off the front of *rest; LEXEME_END at the end. */
struct lexeme lexeme_next(struct slice *rest);
static inline bool lexeme_is(const struct lexeme *lexeme, char special)
{
    return lexeme->kind == LEXEME_SPECIAL && lexeme->text.data[0] == special;
}
static inline bool lexeme_is_gap(const struct lexeme *lexeme)
{
    return lexeme->kind == LEXEME_BLANK || lexeme->kind == LEXEME_COMMENT;
}
/* lexeme_joins - do two words with a gap between them belong together ("a . b", "a @ b")?  Else they are two addresses. */
bool lexeme_joins(const struct lexeme *before, const struct lexeme *after);

/* address_byte_is_atext - may the byte stand in a dot-string outside quotes (RFC 5321 4.1.2, RFC 6531 3.3)? */
bool address_byte_is_atext(char byte);

/* address_spec_parse - one addr-spec (comments and blanks allowed, source route stripped) to external form: a view of raw when it is
   plain, else memory of the arena.  *broken is set when it is not good syntax; what is returned then is the best reading of it.
   colons: a ':' may stand in the local part without quotes. */
struct arena;
struct slice address_spec_parse(struct slice raw, bool colons, struct arena *arena, bool *broken);

#endif
