/* server_reply.h - replies of table servers: pure functions over bytes from outside (fuzzed) */
#ifndef POSTERN_TABLE_SERVER_REPLY_H
#define POSTERN_TABLE_SERVER_REPLY_H

#include "base/buffer.h"

enum server_status { SERVER_FOUND, SERVER_NOT_FOUND, SERVER_TEMPORARY, SERVER_TIMEOUT, SERVER_PERMANENT, SERVER_BROKEN };

/* socketmap_parse - the content of a reply's netstring; *text gets what follows the status word. */
enum server_status socketmap_parse(struct slice reply, struct slice *text);
/* tcp_parse - a reply line without its end: "200 value", "500 text", "400 text"; the %XX of the text are decoded into *text. */
enum server_status tcp_parse(struct slice line, struct buffer *text);

#endif
