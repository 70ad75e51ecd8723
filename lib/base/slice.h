/* slice.h - a view of bytes that somebody else owns: pointer and length, not NUL terminated */
#ifndef POSTERN_BASE_SLICE_H
#define POSTERN_BASE_SLICE_H

#include "base/base.h"

struct slice {
    const char *data; /* may be NULL when len is 0 */
    size_t len;
};

/* SLICE - slice of a string literal (compile time); SLICE_FORMAT, SLICE_ARGS - for printf: "%.*s". */
#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})
#define SLICE_FORMAT "%.*s"
#define SLICE_ARGS(s) (int)((s).len > INT_MAX ? INT_MAX : (s).len), ((s).data ? (s).data : "")

/* slice_of - view of a C string (NULL gives the empty slice); slice_make - of len bytes at data. */
struct slice slice_of(const char *text);
struct slice slice_make(const void *data, size_t len);

/* Comparison: _equal byte for byte, _equal_case ASCII case-insensitive; _starts / _ends (and _case) test the edges. */
bool slice_equal(struct slice a, struct slice b);
bool slice_equal_case(struct slice a, struct slice b);
int slice_compare(struct slice a, struct slice b);
int slice_compare_case(struct slice a, struct slice b);
bool slice_starts(struct slice s, struct slice prefix);
bool slice_starts_case(struct slice s, struct slice prefix);
bool slice_ends(struct slice s, struct slice suffix);
bool slice_ends_case(struct slice s, struct slice suffix);
static inline bool slice_is_empty(struct slice s) { return s.len == 0; }

/* slice_from - without its first n bytes; slice_first - its first n bytes; both clip at the end. */
struct slice slice_from(struct slice s, size_t n);
struct slice slice_first(struct slice s, size_t n);

/* slice_find, slice_find_last - position of a byte, or s.len when absent; slice_find_any - of the first byte that is
   in the C string set; slice_search - of the first occurrence of needle. */
size_t slice_find(struct slice s, char byte);
size_t slice_find_last(struct slice s, char byte);
size_t slice_find_any(struct slice s, const char *set);
size_t slice_search(struct slice s, struct slice needle);

/* slice_trim, slice_trim_left, slice_trim_right - without ASCII white space (space, tab, CR, LF, VT, FF) at the edges. */
struct slice slice_trim(struct slice s);
struct slice slice_trim_left(struct slice s);
struct slice slice_trim_right(struct slice s);

/* slice_next_token - take the next token that is bounded by bytes of the C string separators off the front of *rest;
   runs of separators count as one.  Returns false when there is none left. */
bool slice_next_token(struct slice *rest, const char *separators, struct slice *token);
/* slice_next_line - take the next LF-ended line (without LF; the last may lack it) off the front of *rest. */
bool slice_next_line(struct slice *rest, struct slice *line);
/* slice_cut - split at the first separator byte: *head gets what is before, *tail what is after; false (head = s) if absent. */
bool slice_cut(struct slice s, char separator, struct slice *head, struct slice *tail);

/* slice_to_u64, slice_to_i64 - decimal, the whole slice, range checked; slice_to_u64_hex likewise.  False: not a number. */
bool slice_to_u64(struct slice s, uint64_t *value) MUST_CHECK;
bool slice_to_i64(struct slice s, int64_t *value) MUST_CHECK;
bool slice_to_u64_hex(struct slice s, uint64_t *value) MUST_CHECK;

/* slice_string - heap C string copy (caller frees). */
char *slice_string(struct slice s) MUST_CHECK;
/* slice_hash - 64-bit hash, seeded once per process with random bits (hash-flood safe). */
uint64_t slice_hash(struct slice s);
/* slice_is_ascii - no byte above 127; slice_is_utf8 - well formed UTF-8 (RFC 3629); slice_has_control - bytes below 32 or 127. */
bool slice_is_ascii(struct slice s);
bool slice_is_utf8(struct slice s);
bool slice_has_control(struct slice s);

#endif
