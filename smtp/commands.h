/* commands.h - MAIL and RCPT with the parameters that the server takes (RFC 5321, 1870, 6152, 3461, 6531) */
#ifndef POSTERN_SMTP_COMMANDS_H
#define POSTERN_SMTP_COMMANDS_H

#include "ipc/message.h"

/* command_mail, command_rcpt - append the command with its CRLF.  sender, address: as the server is to see them; features: EHLO_ bits; EHLO_AUTH: say
   AUTH=<> (RFC 4954 5). */
void command_mail(const struct envelope *envelope, struct slice sender, int features, struct buffer *out);
void command_rcpt(const struct recipient *recipient, struct slice address, int features, struct buffer *out);

#endif
