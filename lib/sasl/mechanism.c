/* mechanism.c - SASL mechanisms by name */
#include "sasl/mechanism.h"

#include "base/log.h"
#include "conf/config.h"

static const struct { const char *name; unsigned bit; } properties[] = {
    {"plaintext", SASL_PLAINTEXT}, {"active", SASL_ACTIVE}, {"dictionary", SASL_DICTIONARY}, {"anonymous", SASL_ANONYMOUS},
    {"forward-secrecy", SASL_FORWARD_SECRECY}, {"mutual-auth", SASL_MUTUAL_AUTH}, {"private", SASL_PRIVATE},
};

static const struct { const char *name; unsigned properties; } mechanisms[] = {
    {"PLAIN", SASL_PLAINTEXT}, {"LOGIN", SASL_PLAINTEXT}, {"XOAUTH2", SASL_PLAINTEXT}, {"OAUTHBEARER", SASL_PLAINTEXT},
    {"ANONYMOUS", SASL_ANONYMOUS}, {"CRAM-MD5", SASL_ACTIVE | SASL_DICTIONARY}, {"DIGEST-MD5", SASL_ACTIVE | SASL_DICTIONARY | SASL_MUTUAL_AUTH},
    {"SCRAM-SHA-1", SASL_MUTUAL_AUTH}, {"SCRAM-SHA-224", SASL_MUTUAL_AUTH}, {"SCRAM-SHA-256", SASL_MUTUAL_AUTH}, {"SCRAM-SHA-384", SASL_MUTUAL_AUTH},
    {"SCRAM-SHA-512", SASL_MUTUAL_AUTH}, {"NTLM", SASL_ACTIVE | SASL_DICTIONARY}, {"OTP", SASL_ACTIVE}, {"GSSAPI", SASL_MUTUAL_AUTH}, {"GS2-KRB5", SASL_MUTUAL_AUTH},
};

unsigned sasl_property(struct slice word)
{
    for (size_t i = 0; i < COUNT_OF(properties); i++)
        if (slice_equal_case(word, slice_of(properties[i].name)))
            return properties[i].bit;
    return 0;
}

unsigned sasl_mechanism_properties(struct slice name)
{
    for (size_t i = 0; i < COUNT_OF(mechanisms); i++)
        if (slice_equal_case(name, slice_of(mechanisms[i].name)))
            return mechanisms[i].properties;
    return 0;
}

static bool take_option(struct slice word, struct sasl_security *security)
{
    if (slice_equal_case(word, SLICE("forward_secrecy")) || slice_equal_case(word, SLICE("mutual_auth"))) {
        security->required |= slice_starts_case(word, SLICE("f")) ? SASL_FORWARD_SECRECY : SASL_MUTUAL_AUTH;
        return true;
    }
    unsigned bit = slice_starts_case(word, SLICE("no")) ? sasl_property(slice_from(word, 2)) : 0;
    security->forbidden |= bit;
    return bit && bit < SASL_FORWARD_SECRECY;
}

struct sasl_security sasl_security_parse(const char *value, const char *parameter)
{
    struct sasl_security security = {.forbidden = SASL_PRIVATE};
    struct slice rest = slice_of(value), word;

    while (config_list_next(&rest, &word))
        if (!take_option(word, &security))
            log_fatal("bad configuration: %s = %s: unknown option \"" SLICE_FORMAT "\"", parameter, value, SLICE_ARGS(word));
    return security;
}

bool sasl_security_allows(struct sasl_security security, unsigned has)
{
    return !(has & security.forbidden) && (has & security.required) == security.required;
}

bool sasl_mechanism_is_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!isalnum((unsigned char)name.data[i]) && name.data[i] != '-' && name.data[i] != '_')
            return false;
    return name.len > 0 && name.len <= SASL_MECHANISM_MAX && slice_is_ascii(name);
}
