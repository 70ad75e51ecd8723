/* gate_access.h - postscreen_access_list: networks and tables that decide before any test */
#ifndef POSTERN_SMTPD_GATE_ACCESS_H
#define POSTERN_SMTPD_GATE_ACCESS_H

#include "conf/config.h"
#include "net/address.h"

struct gate_access;
enum gate_verdict { GATE_DUNNO, GATE_PERMIT, GATE_REJECT };

/* gate_access_new - value: "permit_mynetworks, cidr:/file, permit, reject, dunno". Opens the tables.  mynetworks: the networks. */
struct gate_access *gate_access_new(const char *value, const char *mynetworks, struct config *config) MUST_CHECK;
void gate_access_free(struct gate_access *access);
/* gate_access_decide - the first item that says something.  What is wrong is logged, and ends the list.  Waits (tables). */
enum gate_verdict gate_access_decide(const struct gate_access *access, const struct net_address *address);

#endif
