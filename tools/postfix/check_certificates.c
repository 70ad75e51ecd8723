/* check_certificates.c - certificates near their end, and keys that are those of another.  Only looked at, never used. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include "checks.h"

enum { SOON_DAYS = 21 };

static const struct {
    const char *certificate, *key;
    const char *level, *old_level; /* TLS is used when one of these says so */
} rows[] = {
    {"smtpd_tls_cert_file", "smtpd_tls_key_file", "smtpd_tls_security_level", "smtpd_use_tls"},
    {"smtpd_tls_eccert_file", "smtpd_tls_eckey_file", "smtpd_tls_security_level", "smtpd_use_tls"},
    {"smtpd_tls_dcert_file", "smtpd_tls_dkey_file", "smtpd_tls_security_level", "smtpd_use_tls"},
    {"smtpd_tls_chain_files", NULL, "smtpd_tls_security_level", "smtpd_use_tls"},
    {"smtp_tls_cert_file", "smtp_tls_key_file", "smtp_tls_security_level", "smtp_use_tls"},
    {"smtp_tls_eccert_file", "smtp_tls_eckey_file", "smtp_tls_security_level", "smtp_use_tls"},
    {"smtp_tls_chain_files", NULL, "smtp_tls_security_level", "smtp_use_tls"},
    {"lmtp_tls_cert_file", "lmtp_tls_key_file", "lmtp_tls_security_level", "lmtp_use_tls"},
};

struct certificate_check {
    struct checks *checks;
    struct setting_place place;
    enum finding_weight weight; /* of what stops TLS */
};

static void say(struct certificate_check *check, enum finding_kind kind, enum finding_weight weight, const char *path, const char *text)
{
    found(check->checks->control, kind, weight, check->place.file, check->place.line, check->place.name, "%s: %s: %s", check->place.name, path, text);
}

/* no_password - a key that asks for one cannot be used by a daemon. */
static int no_password(char *buffer, int size, int writing, void *context)
{
    return -1;
}

static void check_dates(struct certificate_check *check, X509 *certificate, const char *path)
{
    int days = 0, seconds = 0;
    struct arena *arena = check->checks->arena;
    if (!ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)))
        return;
    if (days < 0 || seconds < 0)
        say(check, FINDING_CERTIFICATE_EXPIRED, check->weight, path, "the certificate has expired");
    else if (days < SOON_DAYS)
        say(check, FINDING_CERTIFICATE_EXPIRES, FINDING_WARNING, path, arena_printf(arena, "the certificate expires in %d days", days));
    else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
        say(check, FINDING_CERTIFICATE_EXPIRED, check->weight, path, "the certificate is not valid yet");
}

static void check_key_mode(struct certificate_check *check, const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && st.st_mode & 07)
        found(check->checks->control, FINDING_KEY_MODE, FINDING_WARNING, check->place.file, check->place.line, check->place.name,
              "%s: other users may use the key file: %s", check->place.name, path);
}

static FILE *open_file(struct certificate_check *check, const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        say(check, FINDING_CERTIFICATE_UNREADABLE, check->weight, path, strerror(errno));
    return file;
}

/* check_pair - the certificate of one file and the key of another, or of the same. */
static void check_pair(struct certificate_check *check, const char *certificate_path, const char *key_path)
{
    FILE *file = open_file(check, certificate_path), *key_file = NULL;
    X509 *certificate = file ? PEM_read_X509(file, NULL, no_password, NULL) : NULL;
    EVP_PKEY *key = NULL;
    if (file && !certificate)
        say(check, FINDING_CERTIFICATE_UNREADABLE, check->weight, certificate_path, "there is no certificate in it");
    if (certificate)
        check_dates(check, certificate, certificate_path);
    if (certificate && (key_file = open_file(check, key_path))) {
        key = PEM_read_PrivateKey(key_file, NULL, no_password, NULL);
        if (!key)
            say(check, FINDING_CERTIFICATE_UNREADABLE, check->weight, key_path, "there is no key in it that can be used without a password");
        else if (!X509_check_private_key(certificate, key))
            say(check, FINDING_CERTIFICATE_KEY, check->weight, key_path,
                arena_printf(check->checks->arena, "this is not the key of the certificate in %s", certificate_path));
        check_key_mode(check, key_path);
    }
    ERR_clear_error();
    EVP_PKEY_free(key);
    X509_free(certificate);
    if (file)
        fclose(file);
    if (key_file)
        fclose(key_file);
}

static bool uses_tls(struct config *config, size_t row, enum finding_weight *weight)
{
    const char *level = config_string(config, rows[row].level);
    bool wrapper = strncmp(rows[row].level, "smtpd_", 6) == 0 && config_bool(config, "smtpd_tls_wrappermode");
    bool on = wrapper || (*level && strcmp(level, "none") != 0);
    *weight = strcmp(level, "encrypt") == 0 ? FINDING_ERROR : FINDING_WARNING;
    return on || (!*level && config_bool(config, rows[row].old_level));
}

static void check_setting(struct certificate_check *check, size_t row)
{
    struct slice rest = slice_of(check->place.value), path;
    struct config *config = check->place.config;
    if (!uses_tls(config, row, &check->weight) || strcmp(check->place.value, "none") == 0)
        return;
    while (config_list_next(&rest, &path)) {
        const char *certificate = arena_string(check->checks->arena, path);
        check_pair(check, certificate, rows[row].key ? config_string(config, rows[row].key) : certificate);
    }
}

/* user_of - the configuration under which a setting of main.cf matters: that of a service whose own options turn TLS on, where main.cf does not. */
static struct config *user_of(struct checks *checks, const struct setting_place *place, size_t row)
{
    enum finding_weight weight;
    for (size_t i = 0; !uses_tls(place->config, row, &weight) && i < checks->services.count; i++) {
        struct config *config = checks->service_configs[i];
        if (uses_tls(config, row, &weight) && strcmp(config_string(config, place->name), place->value) == 0)
            return config;
    }
    return place->config;
}

static void look_at_setting(void *context, const struct setting_place *place)
{
    struct checks *checks = context;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (strcmp(rows[i].certificate, place->name) == 0) {
            struct certificate_check check = {.checks = checks, .place = *place};
            check.place.config = user_of(checks, place, i);
            check_setting(&check, i);
        }
}

void check_certificates(struct checks *checks)
{
    settings_each(checks, look_at_setting, checks);
}
