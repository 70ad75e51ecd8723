/* network.c - see network.h */
#include "service/network.h"

#include "net/address.h"

void network_settings(struct config *config)
{
    net_set_named_ports(config_string(config, "known_tcp_ports"));
    net_set_window_size((int)config_int(config, "tcp_windowsize"));
}
