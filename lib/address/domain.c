/* domain.c - domain syntax (RFC 1123 2.1, RFC 5321 4.1.3) and IDNA2008 */
#include "address/domain.h"

#include <idn2.h>

#include "address/mail_address.h"
#include "net/address.h"

enum { LABEL_MAX = 63, NAME_MAX_LENGTH = 255 };

static const char *label_fault(struct slice label)
{
    if (label.len == 0)
        return "misplaced delimiter";
    if (label.len > LABEL_MAX)
        return "hostname label too long";
    if (label.data[0] == '-' || label.data[label.len - 1] == '-')
        return "misplaced hyphen";
    for (size_t i = 0; i < label.len; i++) {
        unsigned char c = (unsigned char)label.data[i];
        if (!isalnum(c) && c != '-' && c != '_')
            return "invalid character";
    }
    return NULL;
}

/* ascii_fault - what is wrong with a host name in ASCII form; NULL: nothing. */
static const char *ascii_fault(struct slice name)
{
    if (name.len > NAME_MAX_LENGTH)
        return "hostname too long";
    for (;;) {
        struct slice label, rest;
        bool more = slice_cut(name, '.', &label, &rest);
        const char *fault = label_fault(label);
        if (fault || !more)
            return fault;
        name = rest;
    }
}

static const char *name_fault(struct slice name)
{
    if (slice_is_ascii(name))
        return ascii_fault(name);
    struct buffer ascii = BUFFER_INIT;
    const char *fault = domain_to_ascii(name, &ascii) ? ascii_fault(buffer_slice(&ascii)) : "not a valid internationalized name";
    buffer_release(&ascii);
    return fault;
}

static bool literal_is_valid(struct slice domain)
{
    if (domain.len < 3 || domain.data[domain.len - 1] != ']')
        return false;
    struct slice inside = slice_make(domain.data + 1, domain.len - 2);
    bool v6 = slice_starts_case(inside, SLICE("IPv6:"));
    struct net_address address;
    if (v6)
        inside = slice_from(inside, 5);
    if (inside.len == 0 || inside.data[0] == '[' || slice_find(inside, '%') < inside.len)
        return false;
    return net_address_parse(&address, inside, 0) && (address.u.any.sa_family == AF_INET6) == v6;
}

bool domain_syntax(struct slice domain, const char **why)
{
    const char *fault;
    if (domain.len == 0)
        fault = "empty hostname";
    else if (domain.data[0] == '[')
        fault = literal_is_valid(domain) ? NULL : "bad address literal";
    else
        fault = name_fault(domain);
    if (why)
        *why = fault;
    return fault == NULL;
}

static bool is_numeric(struct slice domain)
{
    for (size_t i = 0; i < domain.len; i++) {
        if (domain.data[i] != '.' && !isdigit((unsigned char)domain.data[i]))
            return false;
    }
    return true;
}

bool domain_is_valid(struct slice domain, const char **why)
{
    if (!domain_syntax(domain, why))
        return false;
    if (!is_numeric(domain))
        return true;
    if (why)
        *why = "numeric hostname";
    return false;
}

bool domain_is_literal(struct slice domain)
{
    return domain.len > 0 && domain.data[0] == '[' && literal_is_valid(domain);
}

bool domain_to_ascii(struct slice domain, struct buffer *out)
{
    if (domain.len > NAME_MAX_LENGTH * 4 || memchr(domain.data ? domain.data : "", 0, domain.len))
        return false;
    if (slice_is_ascii(domain))
        return buffer_append_slice(out, domain);
    char *text = slice_string(domain), *ascii = NULL;
    bool good = idn2_to_ascii_8z(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK && buffer_append_string(out, ascii);
    idn2_free(ascii);
    free(text);
    return good;
}

bool domain_to_utf8(struct slice domain, struct buffer *out)
{
    if (domain.len > NAME_MAX_LENGTH || memchr(domain.data ? domain.data : "", 0, domain.len))
        return false;
    char *text = slice_string(domain), *utf8 = NULL;
    bool good = idn2_to_unicode_8z8z(text, &utf8, 0) == IDN2_OK && slice_is_utf8(slice_of(utf8)) && buffer_append_string(out, utf8);
    idn2_free(utf8);
    free(text);
    return good;
}
