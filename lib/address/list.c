/* list.c - address lists of headers, alias files and map results */
#include "address/lexer.h"
#include "address/mail_address.h"

struct list_parser {
    struct arena *arena;
    struct address_token *tokens;
    size_t count, room, limit;
    struct slice whole;
    size_t done; /* bytes of whole that are in tokens */
};

static size_t position(const struct list_parser *p, const char *at)
{
    return (size_t)(at - p->whole.data);
}

/* add - one more token; false when the limit is reached. */
static bool add(struct list_parser *p, const struct address_token *token)
{
    if (p->count >= p->limit)
        return false;
    if (p->count == p->room) {
        size_t room = p->room ? p->room * 2 : 8;
        struct address_token *larger = arena_alloc(p->arena, room * sizeof(*larger));
        if (p->count)
            memcpy(larger, p->tokens, p->count * sizeof(*larger));
        p->tokens = larger;
        p->room = room;
    }
    p->tokens[p->count++] = *token;
    return true;
}

static bool add_text(struct list_parser *p, struct slice text)
{
    struct address_token token = {.kind = ADDRESS_TOKEN_TEXT, .text = text};
    return text.len == 0 || add(p, &token);
}

/* add_address - raw is part of whole: what lies between the last token and it becomes text. */
static bool add_address(struct list_parser *p, struct slice raw)
{
    raw = slice_trim(raw);
    bool broken;
    struct slice external = address_spec_parse(raw, p->arena, &broken);
    if (external.len == 0)
        return true; /* "<>" and pure comments stay text */
    size_t start = position(p, raw.data);
    struct slice before = slice_first(slice_from(p->whole, p->done), start - p->done);
    struct address_token token = {.kind = ADDRESS_TOKEN_ADDRESS, .text = external, .raw = raw};
    if (!add_text(p, before) || !add(p, &token))
        return false;
    p->done = start + raw.len;
    return true;
}

/* add_words - a stretch without <>, between separators: words that are not joined by "." or "@" are addresses of their own. */
static bool add_words(struct list_parser *p, struct slice words)
{
    struct lexeme before = {LEXEME_END, {NULL, 0}, false};
    struct slice rest = words;
    const char *start = NULL, *end = NULL;
    bool gap = false;
    for (;;) {
        struct lexeme lexeme = lexeme_next(&rest);
        if (lexeme_is_gap(&lexeme)) {
            gap = true;
            continue;
        }
        bool ends = lexeme.kind == LEXEME_END || (gap && start && !lexeme_joins(&before, &lexeme));
        if (ends && start) {
            if (!add_address(p, slice_make(start, (size_t)(end - start))))
                return false;
            start = NULL;
            /* Printed again, the two are separated as they should have been. */
            if (lexeme.kind != LEXEME_END && !add_text(p, SLICE(",")))
                return false;
        }
        if (lexeme.kind == LEXEME_END)
            return true;
        if (!start)
            start = lexeme.text.data;
        end = lexeme.text.data + lexeme.text.len;
        before = lexeme;
        gap = false;
    }
}

/* inside_angles - *rest begins after "<": what is before the ">", which is taken too. */
static struct slice inside_angles(struct slice *rest)
{
    struct slice start = *rest;
    struct lexeme lexeme;
    do
        lexeme = lexeme_next(rest);
    while (lexeme.kind != LEXEME_END && !lexeme_is(&lexeme, '>'));
    size_t end = lexeme.kind == LEXEME_END ? start.len : (size_t)(lexeme.text.data - start.data);
    return slice_first(start, end);
}

/* parse - walk over the mailboxes; false when the limit is reached. */
static bool parse(struct list_parser *p)
{
    struct slice rest = p->whole;
    const char *mailbox = rest.data; /* where the words of the present mailbox begin */
    bool had_angles = false;
    for (;;) {
        struct lexeme lexeme = lexeme_next(&rest);
        if (lexeme_is(&lexeme, '<')) {
            had_angles = true;
            if (!add_address(p, inside_angles(&rest)))
                return false;
        } else if (lexeme_is(&lexeme, ':')) { /* the words were the name of a group */
            mailbox = rest.data;
        } else if (lexeme.kind == LEXEME_END || lexeme_is(&lexeme, ',') || lexeme_is(&lexeme, ';')) {
            if (!had_angles && !add_words(p, slice_make(mailbox, (size_t)(lexeme.text.data - mailbox))))
                return false;
            if (lexeme.kind == LEXEME_END)
                return true;
            mailbox = rest.data;
            had_angles = false;
        }
    }
}

bool address_list_parse(struct slice text, size_t limit, struct arena *arena, struct address_token **tokens, size_t *count)
{
    if (text.len == 0)
        text = SLICE("");
    struct list_parser p = {.arena = arena, .whole = text, .limit = limit ? limit : SIZE_MAX};
    bool complete = parse(&p);
    p.limit = SIZE_MAX;
    add_text(&p, slice_from(p.whole, p.done));
    *tokens = p.tokens;
    *count = p.count;
    return complete;
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
