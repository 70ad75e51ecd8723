/* postdrop_client.h - hand a message to the set-gid postdrop program: sendmail, smtpd -S */
#ifndef POSTERN_SERVICE_POSTDROP_CLIENT_H
#define POSTERN_SERVICE_POSTDROP_CLIENT_H

#include "conf/config.h"
#include "queue/maildrop.h"

struct postdrop;

/* postdrop_start - run $command_directory/postdrop -r as the caller; NULL with errno when it does not start (it has told why on stderr).
   Blocks: for processes that serve nobody else.  SIGPIPE is to be ignored. */
struct postdrop *postdrop_start(struct config *config) MUST_CHECK;
/* postdrop_queue_id - name of the file in maildrop/. */
const char *postdrop_queue_id(const struct postdrop *postdrop);
/* postdrop_put - one record (queue/maildrop.h), buffered; errors show in postdrop_finish. */
void postdrop_put(struct postdrop *postdrop, char type, struct slice data);
void postdrop_put_text(struct postdrop *postdrop, char type, const char *format, ...) PRINTF_LIKE(3, 4);
/* postdrop_finish - wait for the verdict and free: true when the message is on disk; else *reason (cleared first) says why. */
bool postdrop_finish(struct postdrop *postdrop, struct buffer *reason);
/* postdrop_cancel - nothing was submitted; frees.  NULL is fine. */
void postdrop_cancel(struct postdrop *postdrop);

#endif
