/* library.c (tls) - see library.h */
#include "tls/library.h"

#include <openssl/conf.h>
#include <openssl/ssl.h>

#include "base/log.h"
#include "tls/credentials.h"

static bool configured, broken;

bool tls_library_is_good(void)
{
    return !broken;
}

/* load - OpenSSL takes the settings of the first call in the life of a process. */
static bool load(const char *file, const char *name)
{
    OPENSSL_INIT_SETTINGS *settings = OPENSSL_INIT_new();
    bool named = strcmp(file, "default") != 0;

    if (!settings)
        return false;
    bool good = (!named || OPENSSL_INIT_set_config_filename(settings, file) == 1) && (!name[0] || OPENSSL_INIT_set_config_appname(settings, name) == 1);
    unsigned long flags = CONF_MFLAGS_DEFAULT_SECTION;
    if (!named)
        flags |= CONF_MFLAGS_IGNORE_MISSING_FILE | CONF_MFLAGS_IGNORE_RETURN_CODES;
    OPENSSL_INIT_set_config_file_flags(settings, flags);
    good = good && OPENSSL_init_ssl(OPENSSL_INIT_LOAD_CONFIG, settings) == 1;
    OPENSSL_INIT_free(settings);
    return good;
}

void tls_library_configure(const char *file, const char *name)
{
    bool plain = strcmp(file, "default") == 0 && name[0] == '\0';

    if (configured || plain) /* plain: OpenSSL does that by itself, when it is used at all */
        return;
    configured = true;
    if (strcmp(file, "none") == 0) {
        OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
        return;
    }
    broken = (strcmp(file, "default") != 0 && file[0] != '/') || !load(file, name);
    if (broken) {
        log_warning("tls_config_file: cannot load %s (section %s): TLS is not available", file, name[0] ? name : "openssl_conf");
        tls_log_library_problems();
    }
}
