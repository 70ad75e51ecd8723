/* child.h - processes that anvil starts before it is jailed, for what blocks: files (keeper.h), servers (remote.h) */
#ifndef POSTERN_ANVIL_CHILD_H
#define POSTERN_ANVIL_CHILD_H

#include "base/log.h"
#include "conf/config.h"

/* child_pair - the sockets between anvil (0) and its child (1): SOCK_SEQPACKET, room bytes for what is under way. */
void child_pair(int pair[2], int room);
/* child_fork - true in the child: it is the mail owner, has no other open file than pair[1] and the standard ones, ignores signals (it ends with anvil), and
   its log lines go to the watcher, so that anvil can log them (log_pass_on).  name: at most 15 bytes.  Fatal when it cannot be. */
typedef void child_watcher(enum log_severity severity, const char *text, void *context);
bool child_fork(struct config *config, const int pair[2], const char *name, child_watcher *watcher);
/* child_send - head and data in one message; blocks.  False: anvil is gone, or it is too long. */
bool child_send(int fd, struct slice head, struct slice data);

#endif
