/* downgrade.h - 8-bit MIME content for servers without 8BITMIME (RFC 6152 3): 8-bit parts become quoted-printable */
#ifndef POSTERN_MESSAGE_DOWNGRADE_H
#define POSTERN_MESSAGE_DOWNGRADE_H

#include "message/header.h"

/* Driven by the events of a scanner with mime_processing; output goes to the buffer.  Start with {0} (.output set). */
struct downgrade {
    struct buffer *output;
    bool encoding;              /* the present part's body becomes quoted-printable */
    bool held;                  /* the block has a Content-Transfer-Encoding field that is due at its end */
    size_t column;              /* of the encoded line */
};

/* downgrade_header - true: the field was taken (it says 8bit or binary); false: the caller writes it. */
bool downgrade_header(struct downgrade *d, struct slice text);
/* downgrade_header_end - before the empty line is written: adds the new Content-Transfer-Encoding where one is due. */
void downgrade_header_end(struct downgrade *d, struct message_part_facts part);
/* downgrade_part_over - before a delimiter is written, and at the end of content: a header block without its empty line gets what was held. */
void downgrade_part_over(struct downgrade *d);
/* downgrade_body - one body line or a piece of one, with its CRLF at the end. */
void downgrade_body(struct downgrade *d, struct slice line, bool more);

#endif
