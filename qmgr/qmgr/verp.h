/* verp.h - variable envelope return paths: the recipient in the sender's address, so that a bounce says whom it is about */
#ifndef POSTERN_QMGR_VERP_H
#define POSTERN_QMGR_VERP_H

#include "base/arena.h"

/* verp_sender - user@dom, rcpt@there -> user{d1}rcpt{d2}there@dom (delimiters: the two characters d1 d2).  The sender itself when it is null or
   the delimiters are not two.  External form, memory of the arena. */
struct slice verp_sender(struct slice delimiters, struct slice sender, struct slice recipient, struct arena *arena);

#endif
