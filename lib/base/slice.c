/* slice.c - views of bytes: comparing, searching, splitting, numbers */
#include "base/slice.h"

struct slice slice_of(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

struct slice slice_make(const void *data, size_t len)
{
    return (struct slice){data, len};
}

/* lower - ASCII only, whatever the locale. */
static inline unsigned char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : (unsigned char)c;
}

static inline bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool slice_equal_case(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    }
    return true;
}

int slice_compare(struct slice a, struct slice b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter ? memcmp(a.data, b.data, shorter) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

bool slice_starts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_equal(slice_first(s, prefix.len), prefix);
}

bool slice_starts_case(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_equal_case(slice_first(s, prefix.len), prefix);
}

bool slice_ends(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len && slice_equal(slice_from(s, s.len - suffix.len), suffix);
}

bool slice_ends_case(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len && slice_equal_case(slice_from(s, s.len - suffix.len), suffix);
}

struct slice slice_from(struct slice s, size_t n)
{
    if (n > s.len)
        n = s.len;
    return n ? (struct slice){s.data + n, s.len - n} : s;
}

struct slice slice_first(struct slice s, size_t n)
{
    return (struct slice){s.data, n < s.len ? n : s.len};
}

size_t slice_find(struct slice s, char byte)
{
    const char *at = s.len ? memchr(s.data, byte, s.len) : NULL;
    return at ? (size_t)(at - s.data) : s.len;
}

size_t slice_find_last(struct slice s, char byte)
{
    const char *at = s.len ? memrchr(s.data, byte, s.len) : NULL;
    return at ? (size_t)(at - s.data) : s.len;
}

/* in_set - is the byte one of the C string's?  NUL never is. */
static bool in_set(char byte, const char *set)
{
    return byte && strchr(set, byte);
}

size_t slice_find_any(struct slice s, const char *set)
{
    size_t i = 0;
    while (i < s.len && !in_set(s.data[i], set))
        i++;
    return i;
}

size_t slice_search(struct slice s, struct slice needle)
{
    if (needle.len == 0)
        return 0;
    const char *at = s.len ? memmem(s.data, s.len, needle.data, needle.len) : NULL;
    return at ? (size_t)(at - s.data) : s.len;
}

struct slice slice_trim(struct slice s)
{
    return slice_trim_left(slice_trim_right(s));
}

struct slice slice_trim_left(struct slice s)
{
    size_t i = 0;
    while (i < s.len && is_space(s.data[i]))
        i++;
    return slice_from(s, i);
}

struct slice slice_trim_right(struct slice s)
{
    while (s.len && is_space(s.data[s.len - 1]))
        s.len--;
    return s;
}

bool slice_next_token(struct slice *rest, const char *separators, struct slice *token)
{
    size_t i = 0;
    while (i < rest->len && in_set(rest->data[i], separators))
        i++;
    *rest = slice_from(*rest, i);
    if (rest->len == 0)
        return false;
    *token = slice_first(*rest, slice_find_any(*rest, separators));
    *rest = slice_from(*rest, token->len);
    return true;
}

bool slice_next_line(struct slice *rest, struct slice *line)
{
    if (rest->len == 0)
        return false;
    *line = slice_first(*rest, slice_find(*rest, '\n'));
    *rest = slice_from(*rest, line->len + 1);
    return true;
}

bool slice_cut(struct slice s, char separator, struct slice *head, struct slice *tail)
{
    size_t at = slice_find(s, separator);
    bool found = at < s.len;
    *tail = slice_from(s, found ? at + 1 : at);
    *head = slice_first(s, at);
    return found;
}

bool slice_to_u64(struct slice s, uint64_t *value)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
        if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, (uint64_t)(s.data[i] - '0'), &sum))
            return false;
    }
    *value = sum;
    return s.len > 0;
}

bool slice_to_i64(struct slice s, int64_t *value)
{
    bool negative = s.len && s.data[0] == '-';
    uint64_t magnitude;
    if (!slice_to_u64(negative ? slice_from(s, 1) : s, &magnitude))
        return false;
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return false;
    *value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    unsigned char l = lower(c);
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

bool slice_to_u64_hex(struct slice s, uint64_t *value)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < s.len; i++) {
        int digit = hex_digit(s.data[i]);
        if (digit < 0 || sum >> 60)
            return false;
        sum = sum << 4 | (uint64_t)digit;
    }
    *value = sum;
    return s.len > 0;
}

char *slice_string(struct slice s)
{
    char *text = memory_alloc(s.len + 1);
    if (s.len)
        memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    return text;
}

bool slice_is_ascii(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.data[i] > 127)
            return false;
    }
    return true;
}

/* utf8_step - length of the well formed character at the start of n > 0 bytes (RFC 3629 section 4), or 0. */
static size_t utf8_step(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t len = p[0] >= 0xC2 && p[0] <= 0xDF ? 2 : (p[0] & 0xF0) == 0xE0 ? 3 : p[0] >= 0xF0 && p[0] <= 0xF4 ? 4 : 0;
    if (len == 0 || n < len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    }
    /* The second byte rules out overlong forms, surrogates and values above U+10FFFF. */
    if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF0 && p[1] < 0x90) ||
        (p[0] == 0xF4 && p[1] > 0x8F))
        return 0;
    return len;
}

bool slice_is_utf8(struct slice s)
{
    for (size_t i = 0; i < s.len;) {
        size_t step = utf8_step((const unsigned char *)s.data + i, s.len - i);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

bool slice_has_control(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.data[i] < 32 || s.data[i] == 127)
            return true;
    }
    return false;
}

int slice_compare_case(struct slice a, struct slice b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter ? strncasecmp(a.data, b.data, shorter) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}
