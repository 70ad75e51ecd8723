/* list.c - address lists of headers, alias files and map results

   The text is cut into lexemes, and these are read from right to left: what a word is depends on what follows it.  A ">" makes an address of
   what stands before it up to the "<", and a display name of what stands before that; a ";" makes a group name of what stands before the ":";
   other words are addresses without angle brackets.  Comments among the words of an address are put behind it.  So Postfix reads, and prints. */
#include "address/lexer.h"
#include "address/mail_address.h"

struct list_parser {
    struct arena *arena;
    struct lexeme *lexemes; /* without blanks */
    size_t lexemes_count, lexemes_room;
    struct address_token *tokens; /* from right to left */
    size_t count, room;
};

/* ---- lexemes ---- */

static void add_lexeme(struct list_parser *p, const struct lexeme *lexeme)
{
    if (p->lexemes_count == p->lexemes_room) {
        size_t room = p->lexemes_room ? p->lexemes_room * 2 : 8;
        struct lexeme *larger = arena_alloc(p->arena, room * sizeof(*larger));
        if (p->lexemes_count)
            memcpy(larger, p->lexemes, p->lexemes_count * sizeof(*larger));
        p->lexemes = larger;
        p->lexemes_room = room;
    }
    p->lexemes[p->lexemes_count++] = *lexeme;
}

/* take_backslash - outside of quotes it quotes one byte as well: the two are an atom, or part of the one before. */
static void take_backslash(struct lexeme *lexeme, struct slice *rest)
{
    lexeme->kind = LEXEME_ATOM;
    lexeme->text.len = rest->len ? 2 : 0;
    *rest = slice_from(*rest, 1);
}

/* drop_begun - half an address would be another one: the cut is made where the last whole one ends, if there is one. */
static void drop_begun(struct list_parser *p)
{
    size_t end = p->lexemes_count;
    while (end > 0 && !lexeme_is(&p->lexemes[end - 1], ','))
        end--;
    if (end > 1)
        p->lexemes_count = end - 1;
}

/* cut - false: there are more than limit of them. */
static bool cut(struct list_parser *p, struct slice rest, size_t limit)
{
    for (struct lexeme lexeme = lexeme_next(&rest); lexeme.kind != LEXEME_END; lexeme = lexeme_next(&rest)) {
        if (lexeme.kind == LEXEME_BLANK)
            continue;
        if (lexeme_is(&lexeme, '\\'))
            take_backslash(&lexeme, &rest);
        struct lexeme *last = p->lexemes_count ? &p->lexemes[p->lexemes_count - 1] : NULL;
        if (last && lexeme.kind == LEXEME_ATOM && last->kind == LEXEME_ATOM && last->text.data + last->text.len == lexeme.text.data)
            last->text.len += lexeme.text.len;
        else if (lexeme.kind == LEXEME_ATOM && lexeme.text.len == 0)
            continue;
        else if (p->lexemes_count == limit) {
            drop_begun(p);
            return false;
        } else
            add_lexeme(p, &lexeme);
    }
    return true;
}

/* ---- tokens ---- */

static void add_token(struct list_parser *p, const struct address_token *token)
{
    if (p->count == p->room) {
        size_t room = p->room ? p->room * 2 : 8;
        struct address_token *larger = arena_alloc(p->arena, room * sizeof(*larger));
        if (p->count)
            memcpy(larger, p->tokens, p->count * sizeof(*larger));
        p->tokens = larger;
        p->room = room;
    }
    p->tokens[p->count++] = *token;
}

static void add_separator(struct list_parser *p, struct slice text)
{
    struct address_token token = {.kind = ADDRESS_TOKEN_SEPARATOR, .text = text};
    add_token(p, &token);
}

/* printable - line ends and tabs are blanks; of a quoted string only the backslashes that are needed. */
static struct slice printable(struct list_parser *p, const struct lexeme *lexeme)
{
    bool quoted = lexeme->kind == LEXEME_QUOTED, atom = lexeme->kind == LEXEME_ATOM;
    if (slice_find_any(lexeme->text, "\r\n\t\\") == lexeme->text.len && !lexeme->broken)
        return lexeme->text;
    struct buffer out = BUFFER_INIT;
    struct slice text = lexeme->text;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '\r')
            continue;
        if (c == '\\' && i + 1 < text.len && (atom || (quoted && !strchr("\\\"", text.data[i + 1]))))
            c = text.data[++i];
        buffer_append_byte(&out, c == '\n' || c == '\t' ? ' ' : c);
        if (c == '\\' && !atom && i + 1 < text.len)
            buffer_append_byte(&out, text.data[++i]);
    }
    if (lexeme->broken && lexeme->kind != LEXEME_COMMENT)
        buffer_append_byte(&out, quoted ? '"' : ']');
    text = arena_slice(p->arena, buffer_slice(&out));
    buffer_release(&out);
    return text;
}

static void add_word(struct list_parser *p, const struct lexeme *lexeme)
{
    struct address_token token = {.kind = ADDRESS_TOKEN_TEXT, .text = printable(p, lexeme)};
    if (lexeme->kind == LEXEME_SPECIAL)
        token.kind = ADDRESS_TOKEN_SEPARATOR;
    add_token(p, &token);
}

/* written - the words first..end-1 put together as address_spec_parse understands them; a lone word is a view. */
static struct slice written(struct list_parser *p, size_t first, size_t end)
{
    struct buffer out = BUFFER_INIT;
    for (size_t i = first; i < end; i++) {
        const struct lexeme *lexeme = &p->lexemes[i];
        if (lexeme->kind == LEXEME_COMMENT)
            continue;
        if (first + 1 == end && !lexeme->broken)
            return lexeme->text;
        if (lexeme_is(lexeme, '<') && out.len)
            buffer_append_string(&out, "\\ ");
        if (lexeme->kind == LEXEME_QUOTED || lexeme->kind == LEXEME_LITERAL)
            buffer_append_slice(&out, printable(p, lexeme));
        else
            buffer_append_slice(&out, lexeme->text);
        if (lexeme_is(lexeme, ',') && i + 1 < end && !lexeme_is(&p->lexemes[first], '@'))
            buffer_append_string(&out, "\\ ");
    }
    struct slice text = arena_slice(p->arena, buffer_slice(&out));
    buffer_release(&out);
    return text;
}

/* add_address - the words first..end-1; nothing: "<>" and pure comments. */
static void add_address(struct list_parser *p, size_t first, size_t end)
{
    for (size_t i = end; i-- > first;) {
        if (p->lexemes[i].kind == LEXEME_COMMENT)
            add_word(p, &p->lexemes[i]);
    }
    struct address_token token = {.kind = ADDRESS_TOKEN_ADDRESS, .raw = written(p, first, end)};
    bool broken;
    token.text = address_spec_parse(token.raw, false, p->arena, &broken);
    if (token.text.len) {
        add_token(p, &token);
        return;
    }
    for (size_t i = end; i-- > first;) { /* as it was: "" and the like */
        if (p->lexemes[i].kind != LEXEME_COMMENT)
            add_word(p, &p->lexemes[i]);
    }
}

/* ---- from right to left ---- */

/* in_angles - at is behind the ">": the address, and where its "<" is (0: it is missing). */
static size_t in_angles(struct list_parser *p, size_t at)
{
    size_t end = at, first = at;
    while (first > 0 && !lexeme_is(&p->lexemes[first - 1], '<'))
        first--;
    add_separator(p, SLICE(">"));
    add_address(p, first, end);
    if (first == 0)
        return 0;
    add_separator(p, SLICE("<"));
    return first - 1;
}

/* ends_words - does the lexeme end what stands right of it? */
static bool ends_words(const struct lexeme *lexeme, bool in_group)
{
    return lexeme_is(lexeme, ',') || lexeme_is(lexeme, ';') || lexeme_is(lexeme, '>') || (in_group && lexeme_is(lexeme, ':'));
}

/* bare_words - addresses without angle brackets, the last of which ends at end; the result is where they begin. */
static size_t bare_words(struct list_parser *p, size_t end, bool in_group)
{
    const struct lexeme *right = NULL; /* the word after */
    size_t first = end;
    while (first > 0 && !ends_words(&p->lexemes[first - 1], in_group)) {
        const struct lexeme *lexeme = &p->lexemes[first - 1];
        if (lexeme->kind != LEXEME_COMMENT && right && lexeme->kind != LEXEME_SPECIAL && right->kind != LEXEME_SPECIAL &&
            !lexeme_joins(lexeme, right)) { /* printed again, the two are separated as they should have been */
            add_address(p, first, end);
            add_separator(p, SLICE(", "));
            end = first;
        }
        if (lexeme->kind != LEXEME_COMMENT)
            right = lexeme;
        first--;
    }
    add_address(p, first, end);
    if (first > 0 && (lexeme_is(&p->lexemes[first - 1], ';') || lexeme_is(&p->lexemes[first - 1], '>')))
        add_separator(p, SLICE(", "));
    return first;
}

/* name_words - the name of a group, which may look like anything; the result is where it begins. */
static size_t name_words(struct list_parser *p, size_t at)
{
    while (at > 0 && !lexeme_is(&p->lexemes[at - 1], ',') && !lexeme_is(&p->lexemes[at - 1], ';'))
        add_word(p, &p->lexemes[--at]);
    return at;
}

static void group_lexemes(struct list_parser *p)
{
    bool in_group = false, in_name = false; /* in_name: left of a "<" */
    for (size_t at = p->lexemes_count; at > 0;) {
        const struct lexeme *lexeme = &p->lexemes[at - 1];
        if (lexeme_is(lexeme, '>')) {
            at = in_angles(p, at - 1);
            in_name = true;
        } else if (lexeme_is(lexeme, ',') || lexeme_is(lexeme, ';')) {
            add_separator(p, lexeme_is(lexeme, ',') ? SLICE(", ") : SLICE(";"));
            in_group = in_group || lexeme_is(lexeme, ';');
            in_name = false;
            at--;
        } else if ((in_group || in_name) && lexeme_is(lexeme, ':')) {
            add_separator(p, SLICE(": "));
            at = in_group ? name_words(p, at - 1) : at - 1;
            in_group = in_name = false;
        } else if (in_name || lexeme->kind == LEXEME_COMMENT) {
            add_word(p, lexeme);
            at--;
        } else {
            at = bare_words(p, at, in_group);
        }
    }
}

static void reverse(struct address_token *tokens, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        struct address_token token = tokens[i];
        tokens[i] = tokens[count - 1 - i];
        tokens[count - 1 - i] = token;
    }
}

bool address_list_parse(struct slice text, size_t limit, struct arena *arena, struct address_token **tokens, size_t *count)
{
    struct list_parser p = {.arena = arena};
    bool complete = cut(&p, text.len ? text : SLICE(""), limit ? limit : SIZE_MAX);
    group_lexemes(&p);
    reverse(p.tokens, p.count);
    *tokens = p.tokens;
    *count = p.count;
    return complete;
}

/* wants_blank - before the token, when other is printed before it. */
static bool wants_blank(const struct address_token *token, const struct address_token *other, const struct buffer *out)
{
    if (out->len && out->data[out->len - 1] == ' ')
        return false;
    if (token->kind == ADDRESS_TOKEN_SEPARATOR)
        return slice_equal(token->text, SLICE("<"));
    return other->kind != ADDRESS_TOKEN_SEPARATOR && !slice_starts(token->text, SLICE(".")) && !slice_ends(other->text, SLICE("."));
}

void address_list_print(const struct address_token *tokens, size_t count, struct buffer *out)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && wants_blank(&tokens[i], &tokens[i - 1], out))
            buffer_append_byte(out, ' ');
        buffer_append_slice(out, tokens[i].text);
    }
}

size_t address_list_addresses(struct slice text, size_t limit, struct arena *arena, struct slice **addresses)
{
    struct address_token *tokens;
    size_t count, found = 0;
    address_list_parse(text, limit, arena, &tokens, &count);
    *addresses = arena_alloc(arena, (count + 1) * sizeof(**addresses));
    for (size_t i = 0; i < count; i++) {
        if (tokens[i].kind == ADDRESS_TOKEN_ADDRESS)
            (*addresses)[found++] = tokens[i].text;
    }
    return found;
}
