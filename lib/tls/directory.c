/* directory.c (tls) - see directory.h */
#include "tls/directory.h"

#include <dirent.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/log.h"
#include "base/map.h"
#include "tls/credentials.h"

enum { ENTRIES_MAX = 100 }; /* each costs two of the files that master opens for us */

struct entry {
    char *paths[2];
    struct tls_file files[2]; /* key (or both), certificates; the second may not be there */
    size_t file_count;
    SSL_CTX *ctx;             /* NULL: it never was any good */
};

struct tls_directory {
    const struct tls_file_access *access;
    SSL_CTX *(*make)(void *arg);
    void *arg;
    struct entry entries[ENTRIES_MAX];
    size_t count;
    struct map *names; /* -> struct entry */
};

/* ---- names ---- */

static void add_name(struct tls_directory *d, struct entry *entry, const unsigned char *text, int len)
{
    char name[256];

    if (len <= 0 || (size_t)len >= sizeof(name))
        return;
    for (int i = 0; i < len; i++)
        name[i] = (char)tolower(text[i]);
    struct slice key = slice_make(name, (size_t)len);
    if (!slice_has_control(key) && !map_get(d->names, key)) /* the first file by name has it */
        map_set(d->names, key, entry);
}

static void add_common_name(struct tls_directory *d, struct entry *entry, X509 *certificate)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

    if (at < 0)
        return;
    const ASN1_STRING *text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
    add_name(d, entry, ASN1_STRING_get0_data(text), ASN1_STRING_length(text));
}

/* add_names - the DNS names of the certificate; the common name when it has none. */
static void add_names(struct tls_directory *d, struct entry *entry)
{
    X509 *certificate = SSL_CTX_get0_certificate(entry->ctx);
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);

    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS)
            add_name(d, entry, ASN1_STRING_get0_data(name->d.dNSName), ASN1_STRING_length(name->d.dNSName));
    }
    if (!names)
        add_common_name(d, entry, certificate);
    GENERAL_NAMES_free(names);
}

static void index_names(struct tls_directory *d)
{
    map_free(d->names);
    d->names = map_new(NULL);
    for (size_t i = 0; i < d->count; i++)
        if (d->entries[i].ctx)
            add_names(d, &d->entries[i]);
}

SSL_CTX *tls_directory_find(const struct tls_directory *d, const char *name)
{
    const char *dot = strchr(name, '.');
    char wildcard[260];
    struct entry *entry = map_get(d->names, slice_of(name));

    if (!entry && dot) {
        snprintf(wildcard, sizeof(wildcard), "*%s", dot);
        entry = map_get(d->names, slice_of(wildcard));
    }
    return entry ? entry->ctx : NULL;
}

SSL_CTX *tls_directory_first(const struct tls_directory *d)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->entries[i].ctx)
            return d->entries[i].ctx;
    return NULL;
}

/* ---- entries ---- */

static void forget(struct entry *entry)
{
    for (size_t i = 0; i < entry->file_count; i++)
        tls_file_forget(&entry->files[i]);
}

/* load - from what was read; what there was before stays when it is no good. */
static bool load(struct tls_directory *d, struct entry *entry)
{
    struct buffer pem = BUFFER_INIT, why = BUFFER_INIT_MAX(1024);
    SSL_CTX *ctx = d->make(d->arg);

    for (size_t i = 0; i < entry->file_count; i++) {
        buffer_append_slice(&pem, buffer_slice(&entry->files[i].content));
        buffer_append_byte(&pem, '\n');
    }
    bool good = ctx && tls_load_chain(ctx, buffer_slice(&pem), entry->paths[0], &why);
    if (good) {
        SSL_CTX_free(entry->ctx);
        entry->ctx = ctx;
    } else {
        log_warning("%s%s", buffer_string(&why), entry->ctx ? ": going on with what was read before" : ": left out");
        tls_log_library_problems();
        SSL_CTX_free(ctx);
    }
    forget(entry);
    if (pem.data)
        explicit_bzero(pem.data, pem.capacity);
    buffer_release(&pem);
    buffer_release(&why);
    return good;
}

/* add_entry - second may be NULL. */
static void add_entry(struct tls_directory *d, const char *first, const char *second)
{
    struct entry *entry = &d->entries[d->count];
    const char *paths[] = {first, second};

    for (size_t i = 0; i < COUNT_OF(paths) && paths[i]; i++) {
        entry->paths[i] = memory_string(paths[i]);
        if (!tls_file_open(&entry->files[i], entry->paths[i], d->access))
            log_warning("cannot open file \"%s\": %s", paths[i], strerror(errno));
        entry->file_count++;
    }
    load(d, entry);
    d->count++;
}

static void take(struct tls_directory *d, const char *directory, const char *name)
{
    char path[PATH_MAX], chain[PATH_MAX + 16], key[PATH_MAX + 16];
    struct stat st;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    if (name[0] == '.' || d->count == ENTRIES_MAX || stat(path, &st) < 0)
        return;
    snprintf(chain, sizeof(chain), "%s/fullchain.pem", path);
    snprintf(key, sizeof(key), "%s/privkey.pem", path);
    if (S_ISREG(st.st_mode) && slice_ends(slice_of(name), SLICE(".pem")))
        add_entry(d, path, NULL);
    else if (S_ISDIR(st.st_mode) && access(chain, F_OK) == 0 && access(key, F_OK) == 0)
        add_entry(d, key, chain);
}

struct tls_directory *tls_directory_open(const char *path, const struct tls_file_access *access, SSL_CTX *(*make)(void *arg), void *arg)
{
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort);

    if (count < 0) {
        log_warning("cannot open directory %s: %s", path, strerror(errno));
        return NULL;
    }
    struct tls_directory *d = memory_zalloc(1, sizeof(*d));
    d->access = access;
    d->make = make;
    d->arg = arg;
    for (int i = 0; i < count; i++) {
        take(d, path, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    index_names(d);
    return d;
}

void tls_directory_free(struct tls_directory *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->count; i++) {
        forget(&d->entries[i]);
        SSL_CTX_free(d->entries[i].ctx);
        for (size_t j = 0; j < d->entries[i].file_count; j++)
            free(d->entries[i].paths[j]);
    }
    map_free(d->names);
    free(d);
}

/* reread - 1: everything of the entry is in memory, something is new; 0: nothing new, or it cannot be read now. */
static bool reread(struct tls_directory *d, struct entry *entry, bool all)
{
    bool changed = all, complete = true;

    for (size_t i = 0; i < entry->file_count; i++)
        changed |= tls_file_refresh(&entry->files[i], d->access) > 0;
    for (size_t i = 0; changed && i < entry->file_count; i++) {
        if (entry->files[i].content.len)
            continue;
        memset(&entry->files[i].identity, 0xff, sizeof(entry->files[i].identity));
        complete &= tls_file_refresh(&entry->files[i], d->access) > 0;
    }
    return changed && complete;
}

bool tls_directory_refresh(struct tls_directory *d, bool all)
{
    bool changed = false;

    for (size_t i = 0; i < d->count; i++) {
        if (reread(d, &d->entries[i], all))
            changed |= load(d, &d->entries[i]);
        forget(&d->entries[i]);
    }
    if (changed)
        index_names(d);
    return changed;
}
