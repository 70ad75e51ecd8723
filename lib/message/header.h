/* header.h - RFC 5322 headers and MIME structure in one pass over content that arrives in pieces */
#ifndef POSTERN_MESSAGE_HEADER_H
#define POSTERN_MESSAGE_HEADER_H

#include "base/arena.h"
#include "base/buffer.h"

/* header_known - number of a header we know by name (case-insensitive), HEADER_OTHER else.  Rows in lib/message/headers.def. */
enum header_kind {
    HEADER_OTHER,
#define HEADER(id, name, flags) HEADER_##id,
#include "message/headers.def"
#undef HEADER
};
/* flags of a known header */
enum { HEADER_SENDER_ADDRESSES = 1, HEADER_RECIPIENT_ADDRESSES = 2, HEADER_EXTRACT = 4 /* sendmail -t */, HEADER_RESENT = 8, HEADER_MIME = 16, HEADER_DROP = 32 };
enum header_kind header_known(struct slice name);
int header_flags(enum header_kind kind);
const char *header_name(enum header_kind kind); /* as spelt in headers.def; NULL for HEADER_OTHER */

/* header_parse - split "Name: value" (a complete logical header with its folds); false: not a header line (RFC 5322 2.2).
   The value begins after the colon and the blanks that follow it. */
bool header_parse(struct slice text, struct slice *name, struct slice *value);

/* header_with_lf - the form in which tables see a header: LF between its lines.  text itself when it has one line, else the content of out. */
struct slice header_with_lf(struct slice text, struct buffer *out);

/* The scanner: feed content in wire form (CRLF; a lone LF ends a line too), get events.  Bounded: header_size_limit, nesting and
   boundary limits.  A line that is no header ends a header block as the empty line does (header_end is called before it). */
struct message_scanner;
enum message_part { MESSAGE_PRIMARY_HEADER, MESSAGE_MIME_HEADER, MESSAGE_NESTED_HEADER, MESSAGE_BODY_LINE };
struct message_scanner_events {
    /* One complete logical header (text: with folds, CRLF between its lines, none at the end) of the primary, a MIME part, or a nested
       message.  truncated: longer than header_size_limit. */
    void (*header)(void *context, enum message_part part, struct slice text, bool truncated);
    void (*header_end)(void *context, enum message_part part); /* the empty line */
    /* One body line (without CRLF), or a piece of one longer than line_length_limit (more: true).  Boundaries of MIME parts, preambles and
       epilogues are body lines as well. */
    void (*body)(void *context, struct slice line, bool more);
    void (*mime_error)(void *context, const char *what, struct slice text); /* compat.md e.4; may be NULL */
    /* When body is NULL: everything that would be body lines, as it came (with its CRLFs), in pieces as large as possible. */
    void (*raw)(void *context, struct slice data);
    /* A body line that is a boundary of a MIME part; NULL: it goes to body or raw like other lines.  last: the closing one. */
    void (*delimiter)(void *context, struct slice line, bool last);
};
struct message_limits { size_t header_size_limit, line_length_limit, mime_nesting_limit, mime_boundary_length_limit; bool mime_processing;
                        bool strict_8bitmime, strict_8bitmime_body, strict_7bit_headers, strict_mime_encoding_domain;
                        bool report_header_fault; /* a primary header that ends with a line that is no header: MESSAGE_HEADER_FAULT */ };
#define MESSAGE_HEADER_FAULT "primary header was terminated with non-empty line"
struct message_scanner *message_scanner_new(const struct message_limits *limits, const struct message_scanner_events *events, void *context) MUST_CHECK;
void message_scanner_feed(struct message_scanner *scanner, struct slice data);
void message_scanner_finish(struct message_scanner *scanner); /* end of content: flushes an unfinished line or header */
/* message_scanner_in_primary_header - after finish: the content ended before the header did (there was no header_end). */
bool message_scanner_in_primary_header(const struct message_scanner *scanner);
/* message_scanner_part - in header_end: what the header block that just ended says of its part. */
struct message_part_facts { bool composite /* multipart or message: holds parts of its own */; bool is_8bit; bool is_binary; };
struct message_part_facts message_scanner_part(const struct message_scanner *scanner);
void message_scanner_free(struct message_scanner *scanner);

/* content_scan - what transports want to know of content in wire form; fed in any pieces.  Start with {0}. */
struct content_scan {
    uint64_t bytes, lines;
    uint64_t long_records; /* lines over 127 bytes: Postfix's size= counts one byte more for each */
    bool has_8bit, has_dot_lines, has_long_lines /* over 998 bytes */;
    bool has_stray_cr_lf;  /* a CR or LF that is not part of CRLF */
    uint64_t line_length;  /* of the unfinished line */
    bool after_cr;
};
void content_scan_feed(struct content_scan *scan, struct slice data);

#endif
