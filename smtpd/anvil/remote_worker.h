/* remote_worker.h - what a process of remote.h does */
#ifndef POSTERN_ANVIL_REMOTE_WORKER_H
#define POSTERN_ANVIL_REMOTE_WORKER_H

#include "base/log.h"
#include "remote.h"

enum { REMOTE_HEAD = 5 /* serial number (0: a line of the log), number of the place (severity) */, REMOTE_MESSAGE_MAX = 96 * 1024 };

void remote_put_head(uint8_t head[REMOTE_HEAD], uint32_t serial, size_t number);
/* remote_take_head - false: it is too short. */
bool remote_take_head(struct slice *message, uint32_t *serial, size_t *number);

void remote_worker_main(int socket, struct config *config, const struct remote_place *places, size_t count) NO_RETURN;
/* remote_worker_line - the watcher of its log lines. */
void remote_worker_line(enum log_severity severity, const char *text, void *context);

#endif
