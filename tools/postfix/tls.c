/* tls.c - `postfix tls`: TLS turned on, keys and certificates made and deployed (postfix-tls(1)) */
#include <getopt.h>
#include <openssl/pem.h>
#include <time.h>

#include "control.h"
#include "tls_keys.h"

enum { SETTINGS_MAX = 12, NAMES_MAX = 100 };

/* A command line of a subcommand. */
struct tls_request {
    struct control *control;
    const char *random_source;              /* -r; NULL: as it is */
    const struct key_algorithm *algorithm;  /* -a */
    const char *bits;                       /* -b */
    const char *key_file;                   /* -k */
    const char *host;                       /* -h */
    const char *const *names;               /* what follows */
    size_t count;
};

/* What was made. */
struct key_pair {
    const char *key, *certificate; /* paths */
};

/* ---- settings ---- */

static const char *value_of(const struct tls_request *r, const char *name)
{
    return config_string(r->control->config, name);
}

/* edit - postconf -e, with each "name=value"; ends with NULL. */
static void edit(const struct tls_request *r, const char *const *settings)
{
    const char *words[SETTINGS_MAX + 3] = {"postconf", "-e"};
    size_t n = 2;

    for (size_t i = 0; settings[i] && n < COUNT_OF(words) - 1; i++)
        words[n++] = settings[i];
    if (run_program(program_path(r->control, "command_directory", "postconf"), words) != 0)
        say_fatal("postconf could not change main.cf");
}

static const char *setting(const struct tls_request *r, const char *name, const char *value)
{
    return arena_printf(r->control->memory, "%s = %s", name, value);
}

/* is_tls_name - of the program's TLS settings: those that begin so, and the old switches. */
static bool is_tls_name(struct slice name, const char *program)
{
    char prefix[32], use[32], enforce[32];

    snprintf(prefix, sizeof(prefix), "%s_tls_", program);
    snprintf(use, sizeof(use), "%s_use_tls", program);
    snprintf(enforce, sizeof(enforce), "%s_enforce_tls", program);
    return slice_starts(name, slice_of(prefix)) || slice_equal(name, slice_of(use)) || slice_equal(name, slice_of(enforce));
}

/* all_default - main.cf sets none of them to anything but its default. */
static bool all_default(const struct tls_request *r, const char *program)
{
    struct buffer own = BUFFER_INIT;
    struct slice name;
    size_t position = 0;
    bool all = true;

    while (all && config_next_set(r->control->config, &position, &name)) {
        const struct parameter *p = parameter_find(name);
        if (!p || !is_tls_name(name, program))
            continue;
        buffer_clear(&own);
        const char *raw = config_raw(r->control->config, name, NULL);
        all = raw && config_expand(r->control->config, slice_of(raw), &own);
        struct buffer usual = BUFFER_INIT;
        all = all && config_expand(r->control->config, slice_of(p->default_value), &usual) && slice_equal(slice_trim(buffer_slice(&own)), slice_trim(buffer_slice(&usual)));
        buffer_release(&usual);
    }
    buffer_release(&own);
    return all;
}

static void tell_reload(void)
{
    say_info("Run the command:");
    say_info("  # postfix reload");
    say_info("if you want the new settings to take effect immediately.");
}

/* ---- files ---- */

static const char *absolute(const struct tls_request *r, const char *path)
{
    return path[0] == '/' ? path : arena_printf(r->control->memory, "%s/%s", config_directory(r->control->config), path);
}

/* configured_key - the file that main.cf names for the algorithm; NULL: none. */
static const char *configured_key(const struct tls_request *r, const struct key_algorithm *algorithm)
{
    const char *path = value_of(r, algorithm->key_parameter);

    return *path && strcasecmp(path, "none") != 0 ? absolute(r, path) : NULL;
}

/* key_path - of an argument: the name of an algorithm, or a file.  NULL: none is configured. */
static const char *key_path(const struct tls_request *r, const char *argument)
{
    const struct key_algorithm *algorithm = key_algorithm_find(argument);

    if (!algorithm && (strcasecmp(argument, "dsa") == 0 || strcasecmp(argument, "ed25519") == 0 || strcasecmp(argument, "ed448") == 0))
        return NULL; /* known by name, but main.cf has no file for them */
    return algorithm ? configured_key(r, algorithm) : absolute(r, argument);
}

static void host_names(const struct tls_request *r, const char *const **names, size_t *count)
{
    const char **own;

    *names = r->names;
    *count = r->count;
    if (r->count)
        return;
    own = arena_alloc(r->control->memory, sizeof(*own));
    own[0] = value_of(r, "myhostname");
    *names = own;
    *count = 1;
}

static EVP_PKEY *read_key(const char *path)
{
    struct buffer why = BUFFER_INIT_MAX(1024);
    EVP_PKEY *key = key_read(path, &why);

    if (!key)
        say_fatal("%s", buffer_string(&why));
    buffer_release(&why);
    return key;
}

/* current_or_new - new-server-cert: the key in use, if there is one of the algorithm. */
static EVP_PKEY *current_or_new(const struct tls_request *r, bool keep, struct buffer *why)
{
    const char *path = keep ? configured_key(r, r->algorithm) : NULL;
    const char *bits = r->bits ? r->bits : r->algorithm->default_bits;

    if (!path)
        return key_generate(r->algorithm, bits, why);
    EVP_PKEY *key = key_read(path, why);
    if (key && key_algorithm_of(key) != r->algorithm) {
        EVP_PKEY_free(key);
        key = key_generate(r->algorithm, bits, why);
    }
    return key;
}

/* make_pair - a key and a certificate for it in new files; fatal when that is not possible. */
static struct key_pair make_pair(const struct tls_request *r, bool keep_key)
{
    struct buffer why = BUFFER_INIT_MAX(1024);
    const char *const *names, *directory = config_directory(r->control->config), *prefix = r->algorithm->file_prefix;
    time_t now = time(NULL);
    char stamp[32] = "";
    struct tm utc;
    size_t count;

    host_names(r, &names, &count);
    if (gmtime_r(&now, &utc))
        strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &utc);
    struct key_pair pair = {.key = arena_printf(r->control->memory, "%s/%skey-%s.pem", directory, prefix, stamp),
                            .certificate = arena_printf(r->control->memory, "%s/%scert-%s.pem", directory, prefix, stamp)};
    EVP_PKEY *key = current_or_new(r, keep_key, &why);
    X509 *certificate = key ? certificate_make(key, names, count, &why) : NULL;
    if (!certificate || !key_write(pair.key, key, &why) || !certificate_write(pair.certificate, certificate, &why))
        say_fatal("%s", buffer_string(&why));
    X509_free(certificate);
    EVP_PKEY_free(key);
    buffer_release(&why);
    return pair;
}

/* ---- subcommands ---- */

static int all_default_client(struct tls_request *r)
{
    return all_default(r, "smtp") ? 0 : 1;
}

static int all_default_server(struct tls_request *r)
{
    return all_default(r, "smtpd") ? 0 : 1;
}

static int enable_client(struct tls_request *r)
{
    const char *settings[SETTINGS_MAX] = {"smtp_tls_security_level = may", "smtp_tls_loglevel = 1",
                                          "smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache"};

    if (!all_default(r, "smtp")) {
        say_info("*** main.cf has TLS settings of the SMTP client already: nothing was changed.");
        say_info("For TLS wherever it is offered these are usual:");
        for (size_t i = 0; settings[i]; i++)
            say_info("  %s", settings[i]);
        return 0;
    }
    if (r->random_source)
        settings[3] = setting(r, "tls_random_source", r->random_source);
    edit(r, settings);
    say_info("Enabled opportunistic TLS in the Postfix SMTP client.");
    tell_reload();
    return 0;
}

static void tell_request(const char *key, const char *certificate, const char *then)
{
    say_info("To generate a CSR run:");
    say_info("  # postfix tls output-server-csr -k %s [<hostname> ...]", key);
    say_info("Save the signed certificate chain in %s%s.", certificate, then);
}

static void tell_records(const char *key)
{
    say_info("To generate TLSA records run:");
    say_info("  # postfix tls output-server-tlsa [-h <hostname>] %s", key);
}

static int enable_server(struct tls_request *r)
{
    const char *settings[SETTINGS_MAX] = {"smtpd_tls_security_level = may", "smtpd_tls_loglevel = 1", "smtpd_tls_received_header = yes"};

    if (!all_default(r, "smtpd")) {
        say_info("*** main.cf has TLS settings of the SMTP server already: nothing was changed.");
        say_info("For TLS wherever a client wants it these are usual:");
        say_info("  %s", settings[0]);
        say_info("  %s", settings[1]);
        say_info("\"postfix tls new-server-cert\" makes a new certificate, \"postfix tls new-server-key\" also a new private key.");
        say_info("With DANE TLSA records in the DNS mind the order: RFC 7671, section 8.");
        return 0;
    }
    struct key_pair pair = make_pair(r, false);
    settings[3] = setting(r, r->algorithm->certificate_parameter, pair.certificate);
    settings[4] = setting(r, r->algorithm->key_parameter, pair.key);
    if (r->random_source)
        settings[5] = setting(r, "tls_random_source", r->random_source);
    edit(r, settings);
    say_info("Enabled opportunistic TLS in the Postfix SMTP server");
    say_info("New TLS private key and certificate deployed.");
    tell_reload();
    tell_request(pair.key, pair.certificate, "");
    tell_records(pair.key);
    say_info("(TLSA records that are in the DNS already must be changed soon: they do not match the new key).");
    return 0;
}

static void tell_pair(const struct key_pair *pair)
{
    say_info("New private key and self-signed certificate created. To deploy run:");
    say_info("  # postfix tls deploy-server-cert %s %s", pair->certificate, pair->key);
    tell_request(pair->key, pair->certificate, ", and deploy as above");
    tell_records(pair->key);
}

static int new_server_key(struct tls_request *r)
{
    struct key_pair pair = make_pair(r, false);

    tell_pair(&pair);
    say_info("(deploy after updating the DNS and waiting for stale RRs to expire).");
    return 0;
}

static int new_server_cert(struct tls_request *r)
{
    struct key_pair pair = make_pair(r, true);

    tell_pair(&pair);
    return 0;
}

static int deploy_server_cert(struct tls_request *r)
{
    struct buffer why = BUFFER_INIT_MAX(1024);

    if (r->count != 2)
        say_fatal("usage: postfix tls deploy-server-cert certfile keyfile");
    if (*value_of(r, "smtpd_tls_chain_files"))
        say_fatal("main.cf has smtpd_tls_chain_files, which stands above single certificates and keys: put the new files there");
    const char *certificate_path = absolute(r, r->names[0]), *path = absolute(r, r->names[1]);
    EVP_PKEY *key = read_key(path);
    X509 *certificate = certificate_read(certificate_path, &why);
    if (!certificate)
        say_fatal("%s", buffer_string(&why));
    if (X509_check_private_key(certificate, key) != 1)
        say_fatal("Certificate in %s does not match key in %s", certificate_path, path);
    const struct key_algorithm *algorithm = key_algorithm_of(key);
    if (!algorithm)
        say_fatal("the key in %s is of an algorithm that main.cf has no parameter for", path);
    const char *settings[] = {setting(r, algorithm->certificate_parameter, certificate_path), setting(r, algorithm->key_parameter, path), NULL};
    edit(r, settings);
    X509_free(certificate);
    EVP_PKEY_free(key);
    say_info("New TLS private key and certificate deployed.");
    tell_reload();
    return 0;
}

static int output_server_csr(struct tls_request *r)
{
    struct buffer why = BUFFER_INIT_MAX(1024);
    const char *path = key_path(r, r->key_file ? r->key_file : "rsa");
    const char *const *names;
    size_t count;

    if (!path)
        say_fatal("No usable keyfile specified or configured");
    host_names(r, &names, &count);
    EVP_PKEY *key = read_key(path);
    X509_REQ *request = request_make(key, names, count, &why);
    if (!request)
        say_fatal("%s", buffer_string(&why));
    PEM_write_X509_REQ(stdout, request);
    X509_REQ_free(request);
    EVP_PKEY_free(key);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* print_record - of one key file. */
static void print_record(const struct tls_request *r, const char *path)
{
    const char *host = r->host ? r->host : value_of(r, "myhostname");
    struct buffer digest = BUFFER_INIT;

    printf("; %s\n", path);
    fflush(stdout);
    EVP_PKEY *key = read_key(path);
    if (!key_fingerprint(key, &digest))
        say_fatal("no digest of the key in %s can be made", path);
    printf("_25._tcp.%s. IN TLSA 3 1 1 %s\n", host, buffer_string(&digest));
    buffer_release(&digest);
    EVP_PKEY_free(key);
}

static int output_server_tlsa(struct tls_request *r)
{
    bool any = false;

    for (size_t i = 0; i < r->count; i++) {
        const char *path = key_path(r, r->names[i]);
        any |= path != NULL;
        if (path)
            print_record(r, path);
    }
    for (size_t i = 0; r->count == 0 && key_algorithm_at(i); i++) {
        const char *path = configured_key(r, key_algorithm_at(i));
        any |= path != NULL;
        if (path)
            print_record(r, path);
    }
    if (!any)
        say_fatal("No usable keyfile specified or configured");
    return fflush(stdout) == 0 ? 0 : 1;
}

static const struct {
    const char *name, *letters;
    int (*run)(struct tls_request *r);
} subcommands[] = {
    {"enable-client", "r:", enable_client},           {"enable-server", "r:a:b:", enable_server},
    {"new-server-key", "a:b:", new_server_key},       {"new-server-cert", "a:b:", new_server_cert},
    {"deploy-server-cert", "", deploy_server_cert},   {"output-server-csr", "k:", output_server_csr},
    {"output-server-tlsa", "h:", output_server_tlsa}, {"all-default-client", "", all_default_client},
    {"all-default-server", "", all_default_server},
};

static void usage(const char *given)
{
    say_error("unknown tls command: '%s'", given);
    say_fatal("usage: postfix tls enable-client (or enable-server, new-server-key, new-server-cert, deploy-server-cert, output-server-csr, "
              "output-server-tlsa, all-default-client, all-default-server)");
}

static void parse(struct tls_request *r, const char *letters)
{
    char text[16];
    int letter;

    snprintf(text, sizeof(text), "+:%s", letters);
    optind = 0;
    while ((letter = getopt((int)r->control->argument_count, (char *const *)r->control->arguments, text)) > 0) {
        switch (letter) {
        case 'a':
            r->algorithm = key_algorithm_find(optarg);
            if (!r->algorithm)
                say_fatal("Unsupported public key algorithm: %s", optarg);
            break;
        case 'b': r->bits = optarg; break;
        case 'h': r->host = optarg; break;
        case 'k': r->key_file = optarg; break;
        case 'r': r->random_source = optarg; break;
        default: say_fatal("postfix tls %s: bad option: -%c", r->control->arguments[0], optopt);
        }
    }
    r->names = r->control->arguments + optind;
    r->count = r->control->argument_count - (size_t)optind;
    if (r->count > NAMES_MAX)
        say_fatal("more than %d arguments", NAMES_MAX);
}

int do_tls(struct control *control)
{
    struct tls_request r = {.control = control, .algorithm = key_algorithm_find("rsa")};
    const char *name = control->argument_count ? control->arguments[0] : "";

    say_open(control->config, "postfix-tls-script");
    for (size_t i = 0; i < COUNT_OF(subcommands); i++) {
        if (strcmp(name, subcommands[i].name) != 0)
            continue;
        parse(&r, subcommands[i].letters);
        return subcommands[i].run(&r);
    }
    usage(name);
    return 1;
}
