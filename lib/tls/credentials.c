/* credentials.c (tls) - see credentials.h */
#include "tls/credentials.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/log.h"

enum { FILES_MAX = 64 };

enum role { ROLE_CHAIN, ROLE_CERTIFICATE, ROLE_KEY, ROLE_AUTHORITIES, ROLE_DH };

struct credentials_file {
    struct tls_file file;
    enum role role;
    char *path;
    int error; /* errno of a failed reading; 0: it is there */
};

struct tls_credentials {
    const struct tls_file_access *access;
    struct credentials_file files[FILES_MAX]; /* a ROLE_KEY follows its ROLE_CERTIFICATE */
    size_t count;
    STACK_OF(X509) *directory; /* the authorities of CApath: read once */
    int directory_fd;          /* to see that it changes; -1 */
    struct timespec directory_time;
    bool asks_clients;         /* names of authorities are sent to the client */
    bool partial_chain;
};

void tls_log_library_problems(void)
{
    const char *data;
    int flags;
    unsigned long code;
    char text[256];

    while ((code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        ERR_error_string_n(code, text, sizeof(text));
        if (flags & ERR_TXT_STRING)
            log_warning("TLS library problem: %s:%s:", text, data);
        else
            log_warning("TLS library problem: %s:", text);
    }
}

/* ---- PEM ---- */

struct pem_item {
    EVP_PKEY *key;
    X509 *certificate;
};

static bool decode(const char *name, const unsigned char *data, long len, struct pem_item *item)
{
    const unsigned char *at = data;

    if (strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0)
        return (item->certificate = d2i_X509(NULL, &at, len)) != NULL;
    if (strcmp(name, PEM_STRING_X509_TRUSTED) == 0)
        return (item->certificate = d2i_X509_AUX(NULL, &at, len)) != NULL;
    if (slice_ends(slice_of(name), SLICE("PRIVATE KEY")))
        return strcmp(name, PEM_STRING_PKCS8) != 0 && (item->key = d2i_AutoPrivateKey(NULL, &at, len)) != NULL;
    return true; /* parameters and the like */
}

/* next_item - 1 something (maybe neither key nor certificate), 0 the end, -1 broken. */
static int next_item(BIO *bio, struct pem_item *item)
{
    char *name = NULL, *header = NULL;
    unsigned char *data = NULL;
    long len = 0;

    *item = (struct pem_item){0};
    if (!PEM_read_bio(bio, &name, &header, &data, &len)) {
        bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
        if (end)
            ERR_clear_error();
        return end ? 0 : -1;
    }
    bool good = header[0] == '\0' && decode(name, data, len, item);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, (size_t)len);
    return good ? 1 : -1;
}

/* One key with its certificates, while they are collected. */
struct chain {
    EVP_PKEY *key;
    X509 *leaf;
    STACK_OF(X509) *issuers;
};

static void chain_release(struct chain *chain)
{
    EVP_PKEY_free(chain->key);
    X509_free(chain->leaf);
    sk_X509_pop_free(chain->issuers, X509_free);
    *chain = (struct chain){0};
}

static void chain_add(struct chain *chain, X509 *certificate)
{
    if (!chain->leaf) {
        chain->leaf = certificate;
        return;
    }
    if (!chain->issuers)
        chain->issuers = sk_X509_new_null();
    sk_X509_push(chain->issuers, certificate);
}

static bool chain_use(struct chain *chain, SSL_CTX *ctx)
{
    bool good = chain->key && chain->leaf && SSL_CTX_use_cert_and_key(ctx, chain->leaf, chain->key, chain->issuers, 1) == 1;

    chain_release(chain);
    return good;
}

bool tls_load_chain(SSL_CTX *ctx, struct slice pem, const char *name, struct buffer *why)
{
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    struct chain chain = {0};
    struct pem_item item;
    size_t keys = 0;
    int more;

    while ((more = next_item(bio, &item)) > 0) {
        bool out_of_order = item.certificate && !chain.key;
        if (item.certificate)
            chain_add(&chain, item.certificate);
        if (out_of_order || (item.key && chain.key && !chain_use(&chain, ctx))) {
            EVP_PKEY_free(item.key);
            more = -1;
            break;
        }
        if (item.key) {
            chain.key = item.key;
            keys++;
        }
    }
    if (more < 0 || keys == 0 || !chain_use(&chain, ctx))
        buffer_printf(why, "error loading chain from %s", name);
    chain_release(&chain);
    BIO_free(bio);
    return why->len == 0;
}

/* load_pair - certificate (with issuers) and key from one or two texts; each may hold what the other needs. */
static bool load_pair(SSL_CTX *ctx, const struct credentials_file *certificate, const struct credentials_file *key, struct buffer *why)
{
    BIO *bio = BIO_new_mem_buf(certificate->file.content.data, (int)certificate->file.content.len);
    struct chain chain = {0};
    struct pem_item item;
    int more = 0;

    while (bio && (more = next_item(bio, &item)) > 0) {
        if (item.certificate)
            chain_add(&chain, item.certificate);
        EVP_PKEY_free(item.key);
    }
    BIO_free(bio);
    if (more < 0 || !chain.leaf) {
        buffer_printf(why, "cannot get certificate from file \"%s\"", certificate->path);
        chain_release(&chain);
        return false;
    }
    bio = BIO_new_mem_buf(key->file.content.data, (int)key->file.content.len);
    while (!chain.key && bio && next_item(bio, &item) > 0) {
        chain.key = item.key;
        X509_free(item.certificate);
    }
    BIO_free(bio);
    if (!chain.key || !chain_use(&chain, ctx))
        buffer_printf(why, "cannot get private key from file \"%s\"", key->path);
    chain_release(&chain);
    return why->len == 0;
}

/* ---- authorities ---- */

static bool load_authorities(struct tls_credentials *c, SSL_CTX *ctx, const struct credentials_file *from, struct buffer *why)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    BIO *bio = BIO_new_mem_buf(from->file.content.data, (int)from->file.content.len);
    struct pem_item item;
    size_t count = 0;
    int more = 0;

    while (bio && (more = next_item(bio, &item)) > 0) {
        EVP_PKEY_free(item.key);
        if (!item.certificate)
            continue;
        count += (size_t)X509_STORE_add_cert(store, item.certificate);
        if (c->asks_clients)
            SSL_CTX_add_client_CA(ctx, item.certificate);
        X509_free(item.certificate);
    }
    BIO_free(bio);
    if (more < 0 || count == 0)
        buffer_printf(why, "cannot load Certification Authority data, CAfile=\"%s\"", from->path);
    return why->len == 0;
}

static bool load_dh(SSL_CTX *ctx, const struct credentials_file *from)
{
    BIO *bio = BIO_new_mem_buf(from->file.content.data, (int)from->file.content.len);
    EVP_PKEY *parameters = bio ? PEM_read_bio_Parameters(bio, NULL) : NULL;

    BIO_free(bio);
    if (parameters && SSL_CTX_set0_tmp_dh_pkey(ctx, parameters) == 1)
        return true;
    EVP_PKEY_free(parameters);
    log_warning("cannot load DH parameters from %s: using built-in ones", from->path);
    tls_log_library_problems();
    SSL_CTX_set_dh_auto(ctx, 1);
    return true;
}

/* is_hash_name - "abcd0123.0", as the links of a certificate directory are called. */
static bool is_hash_name(const char *name)
{
    size_t digits = strspn(name, "0123456789abcdef");

    return digits == 8 && name[8] == '.' && isdigit((unsigned char)name[9]);
}

static void read_directory(struct tls_credentials *c, const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;

    if (!directory) {
        log_warning("cannot open CApath %s: %s", path, strerror(errno));
        return;
    }
    if (!c->directory)
        c->directory = sk_X509_new_null();
    while ((entry = readdir(directory)) != NULL) {
        char name[PATH_MAX];
        struct tls_file file;
        struct pem_item item;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        if (!is_hash_name(entry->d_name) || !tls_file_open(&file, name, NULL))
            continue;
        BIO *bio = BIO_new_mem_buf(file.content.data, (int)file.content.len);
        while (bio && next_item(bio, &item) > 0) {
            EVP_PKEY_free(item.key);
            if (item.certificate)
                sk_X509_push(c->directory, item.certificate);
        }
        BIO_free(bio);
        tls_file_forget(&file);
    }
    closedir(directory);
    ERR_clear_error();
}

/* watch_directory - in the sandbox it can still be looked at, though not be read. */
static void watch_directory(struct tls_credentials *c, const char *path)
{
    struct stat st;

    c->directory_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (c->directory_fd >= 0 && fstat(c->directory_fd, &st) == 0)
        c->directory_time = st.st_mtim;
}

static void look_at_directory(const struct tls_credentials *c)
{
    struct stat st;

    if (c->directory_fd < 0 || !c->access || !c->access->outdated || fstat(c->directory_fd, &st) < 0)
        return;
    if (st.st_mtim.tv_sec != c->directory_time.tv_sec || st.st_mtim.tv_nsec != c->directory_time.tv_nsec)
        c->access->outdated("the directory of TLS authorities has changed -- restarting");
}

/* ---- opening ---- */

static void add_file(struct tls_credentials *c, enum role role, struct slice path)
{
    if (c->count == FILES_MAX) {
        log_warning("too many key and certificate files");
        return;
    }
    struct credentials_file *file = &c->files[c->count++];
    file->role = role;
    file->path = slice_string(path);
    file->error = tls_file_open(&file->file, file->path, c->access) ? 0 : errno;
}

static void add_pair(struct tls_credentials *c, const char *certificate, const char *key)
{
    if (certificate[0] == '\0' || strcasecmp(certificate, "none") == 0)
        return;
    add_file(c, ROLE_CERTIFICATE, slice_of(certificate));
    add_file(c, ROLE_KEY, slice_of(key[0] ? key : certificate));
}

static void add_default_authorities(struct tls_credentials *c)
{
    const char *file = X509_get_default_cert_file();

    if (access(file, R_OK) == 0)
        add_file(c, ROLE_AUTHORITIES, slice_of(file));
    read_directory(c, X509_get_default_cert_dir());
}

static void warn_of_legacy(const struct tls_params *p)
{
    if (p->tls_chain_files[0] && (p->tls_cert_file[0] || p->tls_eccert_file[0] || p->tls_dcert_file[0]))
        log_warning("Both %s_tls_chain_files and one or more of the legacy  %s_tls_cert_file, %s_tls_eccert_file or %s_tls_dcert_file are non-empty; "
                    "the legacy  parameters will be ignored", p->prefix, p->prefix, p->prefix, p->prefix);
}

struct tls_credentials *tls_credentials_open(const struct tls_params *params, const struct tls_file_access *access)
{
    struct tls_credentials *c = memory_zalloc(1, sizeof(*c));
    struct slice rest = slice_of(params->tls_chain_files), word;
    bool server = strcmp(params->prefix, "smtpd") == 0;

    warn_of_legacy(params);
    c->access = access;
    c->directory_fd = -1;
    c->asks_clients = server && (params->smtpd_tls_ask_ccert || params->smtpd_tls_req_ccert);
    while (config_list_next(&rest, &word))
        add_file(c, ROLE_CHAIN, word);
    if (c->count == 0) {
        add_pair(c, params->tls_cert_file, params->tls_key_file);
        add_pair(c, params->tls_dcert_file, params->tls_dkey_file);
        add_pair(c, params->tls_eccert_file, params->tls_eckey_file);
    }
    if (params->tls_CAfile[0])
        add_file(c, ROLE_AUTHORITIES, slice_of(params->tls_CAfile));
    if (params->tls_CApath[0]) {
        watch_directory(c, params->tls_CApath);
        read_directory(c, params->tls_CApath);
    }
    if (params->tls_append_default_CA && (params->tls_CAfile[0] || params->tls_CApath[0]))
        add_default_authorities(c);
    const char *dh = server ? params->smtpd_tls_dh1024_param_file : "";
    if (dh[0] && strcmp(dh, "auto") != 0 && strcmp(dh, "none") != 0)
        add_file(c, ROLE_DH, slice_of(dh));
    return c;
}

void tls_credentials_free(struct tls_credentials *c)
{
    if (!c)
        return;
    tls_credentials_forget(c);
    for (size_t i = 0; i < c->count; i++)
        free(c->files[i].path);
    sk_X509_pop_free(c->directory, X509_free);
    if (c->directory_fd >= 0)
        close(c->directory_fd);
    free(c);
}

void tls_credentials_forget(struct tls_credentials *c)
{
    for (size_t i = 0; i < c->count; i++)
        tls_file_forget(&c->files[i].file);
}

bool tls_credentials_has_certificate(const struct tls_credentials *c)
{
    return c->count > 0 && (c->files[0].role == ROLE_CHAIN || c->files[0].role == ROLE_CERTIFICATE);
}

/* ---- loading ---- */

/* load_chains - the files of smtpd_tls_chain_files as if they were one: a key may be in another file than what belongs to it. */
static bool load_chains(struct tls_credentials *c, SSL_CTX *ctx, struct buffer *why)
{
    struct buffer all = BUFFER_INIT;
    const char *name = c->files[0].path;

    for (size_t i = 0; i < c->count && c->files[i].role == ROLE_CHAIN; i++) {
        if (c->files[i].error) {
            buffer_printf(why, "cannot open file \"%s\": %s", c->files[i].path, strerror(c->files[i].error));
            break;
        }
        buffer_append_slice(&all, buffer_slice(&c->files[i].file.content));
        buffer_append_byte(&all, '\n');
    }
    bool good = why->len == 0 && tls_load_chain(ctx, buffer_slice(&all), name, why);
    OPENSSL_cleanse(all.data, all.len);
    buffer_release(&all);
    return good;
}

static bool load_one(struct tls_credentials *c, size_t i, SSL_CTX *ctx, struct buffer *why)
{
    const struct credentials_file *file = &c->files[i];

    if (file->error && file->role == ROLE_DH) {
        log_warning("error opening DH parameter file \"%s\": %s -- using compiled-in defaults", file->path, strerror(file->error));
        SSL_CTX_set_dh_auto(ctx, 1);
        return true;
    }
    if (file->error) {
        buffer_printf(why, "cannot open file \"%s\": %s", file->path, strerror(file->error));
        return false;
    }
    switch (file->role) {
    case ROLE_CHAIN:
        return i > 0 || load_chains(c, ctx, why);
    case ROLE_CERTIFICATE:
        if (file[1].error)
            return load_one(c, i + 1, ctx, why);
        return load_pair(ctx, file, file + 1, why);
    case ROLE_AUTHORITIES:
        return load_authorities(c, ctx, file, why);
    case ROLE_DH:
        return load_dh(ctx, file);
    case ROLE_KEY:
        break;
    }
    return true;
}

bool tls_credentials_load(struct tls_credentials *c, SSL_CTX *ctx, struct buffer *why)
{
    bool good = true, has_dh = false;

    for (size_t i = 0; good && i < c->count; i++) {
        good = load_one(c, i, ctx, why);
        has_dh |= c->files[i].role == ROLE_DH;
    }
    if (!has_dh)
        SSL_CTX_set_dh_auto(ctx, 1);
    for (int i = 0; c->directory && i < sk_X509_num(c->directory); i++)
        X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), sk_X509_value(c->directory, i));
    return good;
}

bool tls_credentials_refresh(struct tls_credentials *c)
{
    bool changed = false;

    look_at_directory(c);
    for (size_t i = 0; i < c->count; i++) {
        struct credentials_file *file = &c->files[i];
        int result = tls_file_refresh(&file->file, c->access);
        if (result < 0) {
            file->error = errno;
            log_warning("cannot open file \"%s\": %s: going on with what was read before", file->path, strerror(errno));
        } else if (result > 0) {
            file->error = 0;
            changed = true;
        }
    }
    for (size_t i = 0; changed && i < c->count; i++) { /* the others, too: a context is made of all of them */
        struct credentials_file *file = &c->files[i];
        if (file->file.content.len || file->error)
            continue;
        memset(&file->file.identity, 0xff, sizeof(file->file.identity));
        if (tls_file_refresh(&file->file, c->access) < 0)
            file->error = errno;
    }
    return changed;
}

static bool has_slow_key(SSL_CTX *ctx)
{
    for (long at = SSL_CERT_SET_FIRST; SSL_CTX_set_current_cert(ctx, at) == 1; at = SSL_CERT_SET_NEXT) {
        EVP_PKEY *key = SSL_CTX_get0_privatekey(ctx);
        if (key && EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) > 2048)
            return true;
    }
    return false;
}

bool tls_key_is_slow(SSL_CTX *ctx)
{
    static char slow, fast; /* the answer is kept with the context */

    if (!SSL_CTX_get_app_data(ctx))
        SSL_CTX_set_app_data(ctx, has_slow_key(ctx) ? &slow : &fast);
    return SSL_CTX_get_app_data(ctx) == &slow;
}
