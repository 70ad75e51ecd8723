/* mime.c - Content-Type and Content-Transfer-Encoding (RFC 2045 5.1, 6.1) */
#include "message/mime.h"

struct mime_token {
    enum { TOKEN_END, TOKEN_WORD, TOKEN_QUOTED, TOKEN_SPECIAL } kind;
    struct slice text; /* quoted: without the quotes, backslashes still in */
};

static size_t skip_comment(struct slice s)
{
    size_t depth = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] == '\\')
            i++;
        else if (s.data[i] == '(')
            depth++;
        else if (s.data[i] == ')' && --depth == 0)
            return i + 1;
    }
    return s.len;
}

static size_t quoted_length(struct slice s)
{
    for (size_t i = 1; i < s.len; i++) {
        if (s.data[i] == '\\')
            i++;
        else if (s.data[i] == '"')
            return i + 1;
    }
    return s.len;
}

static struct mime_token next_token(struct slice *rest)
{
    struct mime_token token = {TOKEN_END, {NULL, 0}};
    for (;;) {
        *rest = slice_trim_left(*rest);
        if (rest->len == 0 || rest->data[0] != '(')
            break;
        *rest = slice_from(*rest, skip_comment(*rest));
    }
    if (rest->len == 0)
        return token;
    size_t len = 1;
    if (rest->data[0] == '"') {
        len = quoted_length(*rest);
        token.kind = TOKEN_QUOTED;
        token.text = slice_first(slice_from(*rest, 1), len >= 2 ? len - 2 : 0);
    } else {
        static const char specials[] = "()<>@,;:\\\"/[]?= \t\r\n";
        len = slice_find_any(*rest, specials);
        token.kind = len ? TOKEN_WORD : TOKEN_SPECIAL;
        len += len == 0;
        token.text = slice_first(*rest, len);
    }
    *rest = slice_from(*rest, len);
    return token;
}

static bool is_special(const struct mime_token *token, char c)
{
    return token->kind == TOKEN_SPECIAL && token->text.data[0] == c;
}

static void append_value(struct buffer *out, const struct mime_token *token, size_t limit)
{
    for (size_t i = 0; i < token->text.len && out->len < limit; i++) {
        if (token->kind == TOKEN_QUOTED && token->text.data[i] == '\\' && i + 1 < token->text.len)
            i++;
        buffer_append_byte(out, token->text.data[i]);
    }
}

/* find_boundary - ";boundary=..." among the parameters; an unquoted value may hold specials that it should not. */
static void find_boundary(struct slice rest, size_t limit, struct buffer *boundary)
{
    for (struct mime_token token = next_token(&rest); token.kind != TOKEN_END; token = next_token(&rest)) {
        if (!is_special(&token, ';'))
            continue;
        struct slice before = rest;
        token = next_token(&rest);
        if (token.kind != TOKEN_WORD || !slice_equal_case(token.text, SLICE("boundary"))) {
            rest = token.kind == TOKEN_SPECIAL ? before : rest;
            continue;
        }
        token = next_token(&rest);
        if (!is_special(&token, '='))
            continue;
        buffer_clear(boundary);
        for (token = next_token(&rest); token.kind != TOKEN_END && !is_special(&token, ';'); token = next_token(&rest)) {
            append_value(boundary, &token, limit);
            if (rest.len == 0 || slice_trim_left(rest).len != rest.len)
                break;
        }
        return;
    }
}

enum mime_type mime_parse_type(struct slice value, size_t limit, struct buffer *boundary)
{
    struct slice rest = value;
    struct mime_token type = next_token(&rest), slash = next_token(&rest), subtype = next_token(&rest);
    if (type.kind != TOKEN_WORD || !is_special(&slash, '/') || subtype.kind != TOKEN_WORD)
        return MIME_TYPE_OTHER;
    if (slice_equal_case(type.text, SLICE("text")))
        return MIME_TYPE_TEXT;
    if (slice_equal_case(type.text, SLICE("multipart"))) {
        find_boundary(rest, limit, boundary);
        return slice_equal_case(subtype.text, SLICE("digest")) ? MIME_TYPE_DIGEST : MIME_TYPE_MULTIPART;
    }
    if (!slice_equal_case(type.text, SLICE("message")))
        return MIME_TYPE_OTHER;
    if (slice_equal_case(subtype.text, SLICE("rfc822")))
        return MIME_TYPE_RFC822;
    return slice_equal_case(subtype.text, SLICE("partial")) || slice_starts_case(subtype.text, SLICE("global"))
               ? MIME_TYPE_MESSAGE_ANY_ENCODING
               : MIME_TYPE_MESSAGE;
}

enum mime_encoding mime_parse_encoding(struct slice value)
{
    struct mime_token token = next_token(&value);
    if (token.kind != TOKEN_WORD)
        return MIME_ENCODING_OTHER;
    if (slice_equal_case(token.text, SLICE("7bit")))
        return MIME_ENCODING_7BIT;
    if (slice_equal_case(token.text, SLICE("8bit")))
        return MIME_ENCODING_8BIT;
    return slice_equal_case(token.text, SLICE("binary")) ? MIME_ENCODING_BINARY : MIME_ENCODING_OTHER;
}
