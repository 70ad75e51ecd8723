/* hello.c (tls) - see hello.h */
#include "tls/hello.h"

enum { HOST_NAME = 0 };

static bool is_host_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!isalnum((unsigned char)name.data[i]) && !memchr("-._", name.data[i], 3))
            return false;
    return name.len > 0 && name.data[0] != '.';
}

void tls_hello_name(struct slice extension, char name[TLS_NAME_MAX])
{
    const unsigned char *data = (const unsigned char *)extension.data;

    name[0] = '\0';
    if (extension.len < 5 || data[2] != HOST_NAME)
        return;
    struct slice host = slice_from(extension, 5);
    if (((size_t)data[3] << 8 | data[4]) != host.len || host.len >= TLS_NAME_MAX || !is_host_name(host))
        return;
    for (size_t i = 0; i < host.len; i++)
        name[i] = (char)tolower((unsigned char)host.data[i]);
    name[host.len] = '\0';
}

enum tls_protocol tls_hello_protocol(struct slice list, struct slice *chosen)
{
    static const struct slice foreign[] = {{"h2", 2}, {"http/1.1", 8}, {"http/1.0", 8}, {"imap", 4}, {"pop3", 4}, {"ftp", 3}, {"xmpp-client", 11}};
    enum tls_protocol result = TLS_PROTOCOL_UNKNOWN;

    while (list.len) {
        size_t len = (unsigned char)list.data[0];
        struct slice protocol = slice_first(slice_from(list, 1), len);
        if (protocol.len != len)
            break;
        if (slice_equal(protocol, SLICE("smtp"))) {
            *chosen = protocol;
            return TLS_PROTOCOL_SMTP;
        }
        for (size_t i = 0; i < COUNT_OF(foreign); i++)
            if (slice_equal(protocol, foreign[i]))
                result = TLS_PROTOCOL_FOREIGN;
        list = slice_from(list, 1 + len);
    }
    return result;
}
