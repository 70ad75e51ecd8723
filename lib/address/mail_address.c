/* mail_address.c - addr-specs: parsing, quoting, splitting (RFC 5321 4.1.2, RFC 5322 3.4.1, RFC 6531) */
#include "address/mail_address.h"

#include "address/domain.h"
#include "address/lexer.h"

/* is_dot_string - needs the local part no quotes?  at_allowed: an "@" that came unquoted stays so (routing characters). */
static bool is_dot_string(struct slice local, bool at_allowed)
{
    bool after_dot = true;
    for (size_t i = 0; i < local.len; i++) {
        char c = local.data[i];
        if (c == '.' ? after_dot : !(address_byte_is_atext(c) || (at_allowed && c == '@')))
            return false;
        after_dot = c == '.';
    }
    return local.len == 0 || !after_dot;
}

static void quote_unless_plain(struct slice local, bool at_allowed, struct buffer *out)
{
    if (is_dot_string(local, at_allowed)) {
        buffer_append_slice(out, local);
        return;
    }
    buffer_append_byte(out, '"');
    for (size_t i = 0; i < local.len; i++) {
        if (local.data[i] == '"' || local.data[i] == '\\')
            buffer_append_byte(out, '\\');
        buffer_append_byte(out, local.data[i]);
    }
    buffer_append_byte(out, '"');
}

void mail_address_quote_local(struct slice local_part, struct buffer *out)
{
    quote_unless_plain(local_part, false, out);
}

/* join - local part (internal) and domain to external form in the arena. */
static struct slice join(struct slice local, struct slice domain, bool has_domain, bool at_allowed, struct arena *arena)
{
    struct buffer out = BUFFER_INIT;
    quote_unless_plain(local, at_allowed, &out);
    if (has_domain) {
        buffer_append_byte(&out, '@');
        buffer_append_slice(&out, domain);
    }
    struct slice result = arena_slice(arena, buffer_slice(&out));
    buffer_release(&out);
    return result;
}

struct slice mail_address_join(struct slice local_part, struct slice domain, struct arena *arena)
{
    if (!is_dot_string(local_part, false))
        return join(local_part, domain, domain.len > 0, false, arena);
    return domain.len ? arena_format(arena, SLICE_FORMAT "@" SLICE_FORMAT, SLICE_ARGS(local_part), SLICE_ARGS(domain))
                      : arena_slice(arena, local_part);
}

/* append_unquoted - the content of a quoted string (or part of one): backslashes and quotes off. */
static void append_unquoted(struct buffer *out, struct slice quoted)
{
    for (size_t i = 0; i < quoted.len; i++) {
        if (quoted.data[i] == '\\' && i + 1 < quoted.len)
            buffer_append_byte(out, quoted.data[++i]);
        else if (quoted.data[i] != '"')
            buffer_append_byte(out, quoted.data[i]);
    }
}

/* strip_route - "@a,@b:user@c" is user@c (RFC 5321 appendix C). */
static struct slice strip_route(struct slice raw)
{
    struct slice rest = raw;
    struct lexeme lexeme;
    do
        lexeme = lexeme_next(&rest);
    while (lexeme_is_gap(&lexeme));
    if (!lexeme_is(&lexeme, '@'))
        return raw;
    while (lexeme.kind != LEXEME_END && !lexeme_is(&lexeme, ':'))
        lexeme = lexeme_next(&rest);
    return lexeme.kind == LEXEME_END ? raw : rest;
}

/* is_plain - "dot-string@atoms.or.dots": nothing to take apart. */
static bool is_plain(struct slice raw)
{
    size_t at = slice_find(raw, '@');
    if (at == 0 || at + 1 >= raw.len || !is_dot_string(slice_first(raw, at), false))
        return false;
    for (size_t i = at + 1; i < raw.len; i++) {
        if (raw.data[i] != '.' && !address_byte_is_atext(raw.data[i]))
            return false;
    }
    return true;
}

/* What address_spec_parse builds. */
struct spec {
    struct buffer text; /* internal form */
    size_t at;          /* position of the last unquoted "@" */
    bool has_at, quoted;
    bool colons; /* one may stand in the local part without quotes */
    bool broken;
};

static void add_lexeme(struct spec *spec, const struct lexeme *lexeme)
{
    spec->broken |= lexeme->broken;
    if (lexeme_is(lexeme, '@')) {
        spec->has_at = true;
        spec->at = spec->text.len;
        buffer_append_byte(&spec->text, '@');
    } else if (lexeme->kind == LEXEME_QUOTED) {
        spec->quoted = true;
        spec->broken |= spec->has_at; /* a domain has no quotes */
        append_unquoted(&spec->text, lexeme->text);
    } else {
        bool allowed = spec->colons && !spec->has_at && lexeme_is(lexeme, ':');
        spec->broken |= (lexeme->kind == LEXEME_SPECIAL && !allowed) || (lexeme->kind == LEXEME_LITERAL && !spec->has_at);
        buffer_append_slice(&spec->text, lexeme->text);
    }
}

struct slice address_spec_parse(struct slice raw, bool colons, struct arena *arena, bool *broken)
{
    *broken = false;
    raw = slice_trim(raw);
    if (is_plain(raw))
        return raw;
    raw = strip_route(raw);
    struct spec spec = {.text = BUFFER_INIT, .colons = colons};
    struct lexeme before = {LEXEME_END, {NULL, 0}, false};
    bool gap = false;
    for (struct lexeme lexeme = lexeme_next(&raw); lexeme.kind != LEXEME_END; lexeme = lexeme_next(&raw)) {
        if (lexeme_is_gap(&lexeme)) {
            gap = true;
            spec.broken |= lexeme.broken;
            continue;
        }
        if (lexeme_is(&lexeme, '\\') && raw.len > 0 && !spec.has_at) { /* outside of quotes it quotes one byte as well */
            spec.quoted = true;
            lexeme.kind = LEXEME_ATOM;
            lexeme.text = slice_first(raw, 1);
            raw = slice_from(raw, 1);
        }
        if (gap && before.kind != LEXEME_END && !lexeme_joins(&before, &lexeme)) {
            spec.broken = true;
            buffer_append_byte(&spec.text, ' ');
        }
        add_lexeme(&spec, &lexeme);
        before = lexeme;
        gap = false;
    }
    struct slice text = buffer_slice(&spec.text);
    struct slice domain = spec.has_at ? slice_from(text, spec.at + 1) : (struct slice){NULL, 0};
    struct slice local = spec.has_at ? slice_first(text, spec.at) : text;
    spec.broken |= slice_has_control(text);
    struct slice external = text.len ? join(local, domain, spec.has_at, !spec.quoted, arena) : (struct slice){"", 0};
    buffer_release(&spec.text);
    *broken = spec.broken;
    return external;
}

/* at_outside_quotes - position of the last "@" of an external form that is outside quotes; len when there is none. */
static size_t at_outside_quotes(struct slice external)
{
    if (slice_find(external, '"') == external.len)
        return slice_find_last(external, '@');
    size_t at = external.len;
    bool quoted = false;
    for (size_t i = 0; i < external.len; i++) {
        if (external.data[i] == '\\' && quoted)
            i++;
        else if (external.data[i] == '"')
            quoted = !quoted;
        else if (external.data[i] == '@' && !quoted)
            at = i;
    }
    return at;
}

struct slice mail_address_domain(struct slice external)
{
    return slice_from(external, at_outside_quotes(external) + 1);
}

struct slice mail_address_local(struct slice external)
{
    return slice_first(external, at_outside_quotes(external));
}

/* unquote - a local part as written -> internal form; a view when there is nothing to take off. */
static struct slice unquote(struct slice written, struct arena *arena)
{
    if (slice_find(written, '"') == written.len && slice_find(written, '\\') == written.len)
        return written;
    struct buffer out = BUFFER_INIT;
    append_unquoted(&out, written);
    struct slice result = arena_slice(arena, buffer_slice(&out));
    buffer_release(&out);
    return result;
}

void mail_address_split(struct slice external, struct arena *arena, struct mail_address *address)
{
    address->local_part = unquote(mail_address_local(external), arena);
    address->domain = mail_address_domain(external);
}

struct slice mail_address_internal(struct slice external, struct arena *arena)
{
    if (slice_find(external, '"') == external.len)
        return external;
    struct mail_address parts;
    mail_address_split(external, arena, &parts);
    if (parts.domain.len == 0 && !slice_ends(external, SLICE("@")))
        return parts.local_part;
    return arena_format(arena, SLICE_FORMAT "@" SLICE_FORMAT, SLICE_ARGS(parts.local_part), SLICE_ARGS(parts.domain));
}
