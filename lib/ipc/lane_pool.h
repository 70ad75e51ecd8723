/* lane_pool.h - lanes to one service, kept for the next question: what client stubs that only ask stand on */
#ifndef POSTERN_IPC_LANE_POOL_H
#define POSTERN_IPC_LANE_POOL_H

#include "ipc/lane.h"

struct lane_pool;

struct lane_pool_settings {
    const char *path;     /* as for lane_connect */
    unsigned lanes, kept; /* questions at a time, others wait for their turn; lanes that stay connected between questions */
    int64_t pause;        /* after a failure nobody tries to connect for so many microseconds: questions fail at once */
    const char *loss;     /* what goes on without answers, for the log */
};

struct lane_question {
    enum message_type type;
    const void *value;
    enum message_type reply_type;
    int64_t deadline;
    int tries;            /* 1: it must not be asked twice; 2: again over a new lane when the first broke, for the service may just have been replaced */
    const char *about;    /* goes on with settings.loss; NULL: nothing */
};

/* lane_pool_new - no wait; connections are made by the questions.  The strings stay the caller's, but for the path. */
struct lane_pool *lane_pool_new(const struct lane_pool_settings *settings) MUST_CHECK;
void lane_pool_free(struct lane_pool *pool);
/* lane_pool_ask - the reply, memory of the arena; NULL when there is none (logged at most once a minute).  Waits. */
void *lane_pool_ask(struct lane_pool *pool, const struct lane_question *question, struct arena *arena);
/* lane_pool_connect - without a question: a service that does not run is started by that.  Waits. */
void lane_pool_connect(struct lane_pool *pool, int64_t deadline);

#endif
