/* forward.h - XFORWARD: telling the next server where a message came from, for its logs (smtp_send_xforward_command) */
#ifndef POSTERN_SMTP_FORWARD_H
#define POSTERN_SMTP_FORWARD_H

#include "ipc/message.h"

/* The commands, in the order in which they are sent. */
enum forward_command { FORWARD_NAME_ADDRESS, FORWARD_PROTOCOL_HELO, FORWARD_COMMAND_COUNT };

/* forward_attributes - bits of the attributes that a server takes: words of its EHLO line after XFORWARD. */
int forward_attributes(struct slice words);
/* forward_build - append one command with its CRLF; false when the server takes none of its attributes. */
bool forward_build(enum forward_command command, int attributes, const struct envelope *envelope, struct buffer *out);

#endif
