/* channel.h - what master and a worker say to each other on the status channel (a SOCK_SEQPACKET pair)

   End of file means that the other side is gone: a worker whose master died finishes and exits, so that no orphan holds a port. */
#ifndef POSTERN_SERVICE_CHANNEL_H
#define POSTERN_SERVICE_CHANNEL_H

#include "base/base.h"

/* Descriptors of a worker. */
enum { WORKER_LOG_FD = 3, WORKER_STATISTICS_FD = 4, WORKER_CHANNEL_FD = 5, WORKER_SOCKET_FD = 6 };

/* Environment of a worker; taken out again before the program's own code runs. */
#define WORKER_ENV_LOG "POSTERN_LOG"                   /* "file" or "syslog": what descriptor 3 is */
#define WORKER_ENV_CLIENT_LIMIT "POSTERN_CLIENT_LIMIT" /* clients this worker may serve at once; 0: no limit */
#define WORKER_ENV_NUMBER "POSTERN_WORKER"             /* worker number, unique among live workers of the program */
#define WORKER_ENV_SLOT "POSTERN_SLOT"                 /* slot in the statistics page; 0: none */
#define WORKER_ENV_PERMANENT "POSTERN_PERMANENT"       /* "1": never exits for being idle */
#define WORKER_ENV_CONFIG "POSTERN_CONFIG"             /* descriptor of the accepted configuration (conf/snapshot.h), after the sockets */

enum channel_kind {
    /* worker to master */
    CHANNEL_READY = 'R',   /* initialised; value 1: reloads in place, 0: is to be replaced */
    CHANNEL_SERVED = 'F',  /* the first client was accepted */
    CHANNEL_FULL = 'B',    /* no room for another client; not accepting */
    CHANNEL_FREE = 'A',    /* room again */
    CHANNEL_REPLACE = 'P', /* wants to be replaced (a table changed): start another, then drain this one */
    CHANNEL_ANNOUNCE = 'N', /* before READY: the text is a path that value stands for from now on */
    CHANNEL_OPEN = 'O',     /* open the file value for reading; answered by the same note, with the descriptor if it could be opened */
    /* master to worker */
    CHANNEL_DRAIN = 'D',  /* stop accepting, finish the clients, exit */
    CHANNEL_RELOAD = 'L', /* read the configuration again in place (its descriptor comes along), or drain */
    CHANNEL_STOP = 'S',   /* the system stops: finish what cannot be interrupted, exit soon */
    CHANNEL_STRESS = 'X', /* value 1: the service is under stress, 0: no more */
    CHANNEL_LOG = 'G'     /* the log was opened anew; the descriptor comes along */
};

enum { CHANNEL_FILES_MAX = 256, CHANNEL_TEXT_MAX = 1024 };

struct channel_note {
    uint32_t kind;
    uint32_t value;
};

/* channel_send - false when the other side is gone or does not read.  pass_fd -1: none.  Never waits. */
bool channel_send(int fd, enum channel_kind kind, uint32_t value, int pass_fd);
/* channel_send_text - a note followed by text of less than CHANNEL_TEXT_MAX bytes.  channel_receive_text - as channel_receive; the text (a C string, may
   be empty) goes to text[CHANNEL_TEXT_MAX].  channel_receive takes notes without text only. */
bool channel_send_text(int fd, enum channel_kind kind, uint32_t value, const char *text);
int channel_receive_text(int fd, struct channel_note *note, int *pass_fd, char *text);
/* channel_receive - 1 and a note, 0 nothing there now, -1 the other side is gone.  *pass_fd is -1 when nothing came along.  Never waits. */
int channel_receive(int fd, struct channel_note *note, int *pass_fd);

#endif
