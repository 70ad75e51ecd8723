/* network.h - parameters that all sockets of a process go by */
#ifndef POSTERN_SERVICE_NETWORK_H
#define POSTERN_SERVICE_NETWORK_H

#include "conf/config.h"

/* network_settings - known_tcp_ports and tcp_windowsize of the configuration, from now on. */
void network_settings(struct config *config);

#endif
