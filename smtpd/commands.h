/* commands.h - the commands of SMTP: one row, one function each */
#ifndef POSTERN_SMTPD_COMMANDS_H
#define POSTERN_SMTPD_COMMANDS_H

#include "answer.h"

/* Handlers: arguments is what follows the verb, a view of the input line, blanks at the edges taken off.  It is gone with the next read.
   All may wait. */
enum outcome command_helo(struct session *s, struct slice arguments);
enum outcome command_ehlo(struct session *s, struct slice arguments);
enum outcome command_mail(struct session *s, struct slice arguments);
enum outcome command_rcpt(struct session *s, struct slice arguments);
enum outcome command_data(struct session *s, struct slice arguments);
enum outcome command_bdat(struct session *s, struct slice arguments);
enum outcome command_rset(struct session *s, struct slice arguments);
enum outcome command_noop(struct session *s, struct slice arguments);
enum outcome command_vrfy(struct session *s, struct slice arguments);
enum outcome command_etrn(struct session *s, struct slice arguments);
enum outcome command_quit(struct session *s, struct slice arguments);
enum outcome command_auth(struct session *s, struct slice arguments);
enum outcome command_starttls(struct session *s, struct slice arguments);
enum outcome command_xclient(struct session *s, struct slice arguments);
enum outcome command_xforward(struct session *s, struct slice arguments);

/* command_parse_address - of MAIL, RCPT and VRFY: the address in external form into the arena, what follows it into *parameters.  False: bad
   syntax, logged unless it is not even a word. */
bool command_parse_address(struct session *s, struct slice text, const char *verb, struct arena *arena, struct slice *address,
                           struct slice *parameters);

/* commands_run - read and obey commands until the session ends.  Waits. */
void commands_run(struct session *s);
/* commands_statistics - " ehlo=1 mail=1 ... commands=5" (compat.md i.3). */
void commands_statistics(const struct session *s, struct buffer *out);
/* limits_... - one event of this client for the anvil service; true when that is over a limit (logged).  limits_connect also finds out whether the
   client is exempt.  Wait. */
bool limits_connect(struct session *s);
void limits_disconnect(struct session *s);
bool limits_message(struct session *s);
bool limits_recipient(struct session *s);
bool limits_tls(struct session *s);
bool limits_auth(struct session *s);

/* ---- starttls.c ---- */
/* starttls_open - levels, keys and certificates: before the sandbox closes.  starttls_close - give them back. */
void starttls_open(struct server *server);
void starttls_close(struct server *server);
/* starttls_is_demanded - nothing but STARTTLS will do.  starttls_is_offered - it can be asked for now. */
bool starttls_is_demanded(const struct session *s);
bool starttls_is_offered(const struct session *s);
/* starttls_wrap - smtpd_tls_wrappermode: the handshake before the greeting.  False: the session is over.  Waits. */
bool starttls_wrap(struct session *s);
/* access_by_certificate - permit_tls_all_clientcerts (any) or permit_tls_clientcerts, outside of restriction lists.  Waits (tables). */
bool access_by_certificate(struct session *s, bool any);
/* starttls_received - what Received: says of TLS, lines that begin with CRLF. */
void starttls_received(const struct session *s, struct buffer *out);

#endif
