/* anvil_client.h - asking the anvil service for counters of a client; one lane per process, so that anvil knows what is lost with us */
#ifndef POSTERN_SMTPD_ANVIL_CLIENT_H
#define POSTERN_SMTPD_ANVIL_CLIENT_H

#include "ipc/lane.h"

struct anvil_client;

struct anvil_client *anvil_client_new(const char *path) MUST_CHECK;
void anvil_client_free(struct anvil_client *anvil);
/* anvil_client_ask - verb: ANVIL_ value; ident "service:client".  False (logged at most once a minute) when anvil does not answer: then nobody is
   turned away.  Waits. */
bool anvil_client_ask(struct anvil_client *anvil, int verb, struct slice ident, struct anvil_reply *reply);

#endif
