/* mail_address.h - RFC 5321/5322 addresses: parsing at the door, quoting, splitting */
#ifndef POSTERN_ADDRESS_MAIL_ADDRESS_H
#define POSTERN_ADDRESS_MAIL_ADDRESS_H

#include "base/arena.h"
#include "base/buffer.h"

/* A parsed address. External form is local_part "@" domain with the local part quoted where RFC 5321 needs it. */
struct mail_address {
    struct slice local_part; /* internal form: quotes and backslashes taken off */
    struct slice domain;     /* as written, "[192.0.2.1]" for literals; empty when there is none */
};

/* mail_address_parse_path - what stands in MAIL FROM:<...> and RCPT TO:<...>: text is the argument from the "<" on (or, when strict is
   false, without angle brackets, with comments and blanks: strict_rfc821_envelopes=no, allow what Postfix allows).  A source route
   "@a,@b:" is stripped.  *rest gets what follows (ESMTP parameters).  *external: the address in external form ("" for <>), memory of the
   arena.  UTF-8 is taken when utf8.  False: bad syntax (RFC 5321 4.1.2; lengths checked). */
bool mail_address_parse_path(struct slice text, bool strict, bool utf8, struct arena *arena, struct slice *external, struct slice *rest);
/* mail_address_split - external form -> parts (local part unquoted into the arena).  The last "@" outside quotes splits. */
void mail_address_split(struct slice external, struct arena *arena, struct mail_address *address);
/* mail_address_domain - domain of an external-form address as a view (empty when none); mail_address_local - its local part as written. */
struct slice mail_address_domain(struct slice external);
struct slice mail_address_local(struct slice external);
/* mail_address_quote_local - internal local part -> external (quoted only when needed). mail_address_join - parts -> external. */
void mail_address_quote_local(struct slice local_part, struct buffer *out);
struct slice mail_address_join(struct slice local_part, struct slice domain, struct arena *arena);
/* mail_address_internal - external form -> internal (unquoted) form. */
struct slice mail_address_internal(struct slice external, struct arena *arena);

/* RFC 5322 address lists in headers, alias and map results: tokens are kept so that a header can be printed again with changed addresses. */
struct address_token {
    /* TEXT: a word of a display name or group name, a comment. SEPARATOR: "<", ">", ", ", ";", ": ". ADDRESS: one addr-spec. */
    enum { ADDRESS_TOKEN_TEXT, ADDRESS_TOKEN_SEPARATOR, ADDRESS_TOKEN_ADDRESS } kind;
    struct slice text;  /* as it is printed; ADDRESS in external form */
    struct slice raw;   /* ADDRESS as written, without comments, blanks and <> */
};
/* address_list_parse - limit: what comes after that many words and specials (header_address_token_limit) is dropped; 0: no limit.
   False when something was. */
bool address_list_parse(struct slice text, size_t limit, struct arena *arena, struct address_token **tokens, size_t *count);
/* address_list_print - blanks only where they belong, no folds. */
void address_list_print(const struct address_token *tokens, size_t count, struct buffer *out);
/* address_list_addresses - only the addresses (external form). */
size_t address_list_addresses(struct slice text, size_t limit, struct arena *arena, struct slice **addresses);

/* address_header_map - give each address of a header field's value to map, which may change it (external form, memory that stays; false: stop
   and leave the field alone).  True: something changed, *field (arena) is the whole new field, folded with CRLF TAB, without a line end. */
typedef bool address_map_function(void *context, struct slice *address);
bool address_header_map(struct slice name, struct slice value, size_t limit, address_map_function *map, void *context, struct arena *arena,
                        struct slice *field);

/* domain syntax: RFC 1123 host name; valid literal "[...]".  text of the fault goes to *why (literal, may be NULL). */
bool domain_is_valid(struct slice domain, const char **why);
bool domain_is_literal(struct slice domain);
/* domain_to_ascii, domain_to_utf8 - IDNA2008 (libidn2); false when not convertible. */
bool domain_to_ascii(struct slice domain, struct buffer *out);
bool domain_to_utf8(struct slice domain, struct buffer *out);

#endif
