/* outgoing.h - what is changed in a message on its way out: generic maps, smtp_header_checks and their relatives, 8-bit to quoted-printable */
#ifndef POSTERN_SMTP_OUTGOING_H
#define POSTERN_SMTP_OUTGOING_H

#include "params.h"
#include "service/agent.h"

struct outgoing_tables; /* of the process */
struct outgoing;        /* one message under way */

/* outgoing_open - the tables of smtp_generic_maps, smtp_header_checks, ...; before the sandbox closes. */
struct outgoing_tables *outgoing_open(struct config *config, const struct client_params *params) MUST_CHECK;
void outgoing_close(struct outgoing_tables *tables); /* NULL is fine */
/* outgoing_map_address - smtp_generic_maps for an envelope address (memory of the arena): false when a table cannot answer.  Waits. */
bool outgoing_map_address(const struct outgoing_tables *tables, struct slice *address, struct arena *arena);

/* outgoing_new - NULL when the content goes out as it is.  downgrade: the server cannot take 8-bit content. */
struct outgoing *outgoing_new(const struct outgoing_tables *tables, const struct delivery *delivery, bool downgrade);
/* outgoing_feed - the next piece (wire form); what is to be sent is appended to out.  outgoing_finish - the end of content.  Wait. */
void outgoing_feed(struct outgoing *outgoing, struct slice piece, struct buffer *out);
void outgoing_finish(struct outgoing *outgoing, struct buffer *out);
/* outgoing_failed - a table could not answer: the message must not go out like this. */
bool outgoing_failed(const struct outgoing *outgoing);
void outgoing_free(struct outgoing *outgoing);

#endif
