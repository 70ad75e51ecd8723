/* address_lookup.h - the order of keys under which a mail address is looked up (compat.md c.5) */
#ifndef POSTERN_TABLE_ADDRESS_LOOKUP_H
#define POSTERN_TABLE_ADDRESS_LOOKUP_H

#include "table/table.h"

/* What the key order needs to know of the configuration. */
struct address_keys {
    struct slice delimiters;   /* recipient_delimiter */
    bool owner_request_special;
    /* is_local - the domain is $myorigin, in mydestination, or an own address literal: bare "user" keys apply.  May be NULL. */
    bool (*is_local)(void *context, struct slice domain);
    void *context;
};

enum { ADDRESS_KEY_FULL = 1, ADDRESS_KEY_NO_EXTENSION = 2, ADDRESS_KEY_LOCAL = 4, ADDRESS_KEY_DOMAIN = 8, ADDRESS_KEY_ALL = 15,
       ADDRESS_KEY_USER_AT = 16 /* access(5): "user@" */ };

/* address_lookup - try the keys of address (external form, "user+ext@domain") in order: user+ext@dom, user@dom, for local
   domains user+ext, user, then @dom.  Pattern tables see only the first key.  On TABLE_FOUND *extension (may be NULL) is the
   extension (with its delimiter, a slice of address) that was not part of the key found, else empty; *kind (may be NULL) the
   ADDRESS_KEY_ bit.  Waits. */
enum table_result address_lookup(struct table_list *tables, const struct address_keys *keys, struct slice address, int kinds,
                                 struct buffer *value, struct slice *extension, int *kind);
/* address_split_extension - split a local part at the first delimiter: *user and *extension (with delimiter; empty when none).
   Never for postmaster, mailer-daemon, double-bounce, owner-x, x-request with '-' (c.5). */
void address_split_extension(struct slice local_part, struct slice delimiters, bool owner_request_special, struct slice *user,
                             struct slice *extension);

/* domain_lookup - name, then its parents: "x.y" when parent_style (parent_domain_matches_subdomains) else ".x.y".  whole: the name
   is all there is to look up, so that pattern tables see it; false: it is a part of an address that they have seen.
   network_lookup - an IP address text and its shorter prefixes (access(5)).  Waits. */
enum table_result domain_lookup(struct table_list *tables, struct slice domain, bool whole, bool parent_style, struct buffer *value);
enum table_result network_lookup(struct table_list *tables, struct slice address_text, struct buffer *value);

#endif
