/* postsuper.h - what the files of this command share */
#ifndef POSTERN_TOOLS_POSTSUPER_H
#define POSTERN_TOOLS_POSTSUPER_H

#include "conf/config.h"
#include "queue/selection.h"

/* One thing to do with some messages. */
struct action {
    int verb;           /* QUEUE_CONTROL_ */
    bool all;
    const struct queue_selection *selection; /* with all: only these; NULL: really all */
    struct slice *ids;
    size_t count, capacity;
};

/* Queues by name, as bits. */
enum { QUEUE_MAILDROP = 1, QUEUE_INCOMING = 2, QUEUE_ACTIVE = 4, QUEUE_DEFERRED = 8, QUEUE_HOLD = 16, QUEUE_OTHER = 32 };

struct outcome {
    uint64_t count;
    void (*changed)(const struct action *action, struct slice queue_id); /* called for each message that was named */
};

void action_add(struct action *action, struct slice id);

/* online_open - a lane to qmgr, NULL when it does not run.  online_do - false: the lane broke or refused (logged).  Wait. */
struct lane;
struct lane *online_open(struct config *config);
bool online_do(struct lane *lane, const struct action *action, int queues, struct outcome *outcome);

/* offline_open - take the queue ourselves, as mail_owner from then on; fatal when somebody else has it.  Wait. */
struct offline;
struct offline *offline_open(struct config *config);
void offline_do(struct offline *offline, const struct action *action, int queues, struct outcome *outcome);
void offline_close(struct offline *offline);

/* maildrop_do - for the queue maildrop: only deletion means anything there.  maildrop_purge - what was never completed, after a week. */
void maildrop_do(const struct action *action, struct outcome *outcome);
void maildrop_purge(void);
/* maildrop_put_back - a message of the queue for pickup to take in again; false with errno. */
struct queue_record;
bool maildrop_put_back(const struct queue_record *record, int content_fd);

/* selection_show - --dry-run: becomes postqueue with this selection and form ("--ids", "--count", "--group-by" with group).  Does not return. */
void selection_show(struct config *config, const struct queue_selection *want, int queues, const char *form, const char *group) NO_RETURN;

#endif
