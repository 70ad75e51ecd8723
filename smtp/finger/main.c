/* main.c - posttls-finger: the command line */
#include <getopt.h>
#include <signal.h>

#include "base/log.h"
#include "finger.h"
#include "run/run.h"
#include "service/command.h"
#include "service/dns_reply_filter.h"
#include "tls/policy.h"

static const char help[] =
    "Usage: posttls-finger [options] [inet:]domain[:port] [match ...]\n"
    "       posttls-finger -S [options] unix:path [match ...]\n"
    "Connects to a mail server, shows what TLS it has and whether its certificate is the right one, and tells what would be\n"
    "done with mail for it by main.cf.\n"
    "  -a family  ipv4, ipv6 or any: which addresses first\n"
    "  -A file  trust anchors (PEM) in place of authorities; may be given more than once\n"
    "  -c  without what client and server say\n"
    "  -C  print the certificates of the server (PEM)\n"
    "  -d digest  for fingerprints\n"
    "  -f  look for TLSA records of hosts whose addresses are not signed, too\n"
    "  -F file  certificates of authorities\n"
    "  -g grade  of the ciphers, at least\n"
    "  -h lookup  dns, native: how hosts are found\n"
    "  -H files  private keys with their certificates, to show to the server\n"
    "  -k file  certificate to show to the server\n"
    "  -K file  its private key\n"
    "  -l level  none, may, encrypt, fingerprint, verify, secure, dane, dane-only\n"
    "  -L words  what is logged of TLS; none: nor what main.cf would do\n"
    "  -m count  second connections at most (with -r)\n"
    "  -M policy  dane, encrypt, may: when the MX record is not signed\n"
    "  -n  do not connect by the options: tell only what main.cf would do\n"
    "  -o name=value  in place of a parameter of main.cf; may be given more than once\n"
    "  -p protocols  versions of TLS\n"
    "  -P path  directory of certificates of authorities\n"
    "  -r delay  connect again after so many seconds: is the session resumed?\n"
    "  -s name  server name to ask for (SNI)\n"
    "  -S  LMTP\n"
    "  -t timeout  of the connection and the greeting, seconds\n"
    "  -T timeout  of commands, seconds\n"
    "  -v  more messages\n"
    "  -w  TLS from the first byte on (port 465)\n"
    "  -X  accepted, does nothing\n"
    "See posttls-finger(1).\n";

static const char letters[] = "a:A:cCd:fF:g:h:H:k:K:l:L:m:M:no:p:P:r:s:St:T:vwX";

/* A parameter without its smtp_ or lmtp_. */
struct setting {
    const char *suffix, *value;
};

/* The command line as it is read. */
struct request {
    struct finger finger;
    struct setting settings[64];
    size_t setting_count;
    struct buffer anchors, chains, matches;
    const char *overrides[64];
    size_t override_count;
    const char *insecure_mx;
    bool none_logged;
};

static void usage(void)
{
    fputs("usage: posttls-finger [-acCfnSvw] [-t conn_tmout] [-T cmd_tmout] [-L logopts] \\\n"
          "\t[-h host_lookup] [-l level] [-d mdalg] [-g grade] [-p protocols] \\\n"
          "\t[-A tafile] [-F CAfile.pem] [-P CApath/] [-s servername] \\\n"
          "\t[ [-H chainfiles] | [-k certfile [-K keyfile]] ] \\\n"
          "\t[-m count] [-r delay] [-o name=value] destination [match ...]\n", stderr);
    exit(1);
}

static void set(struct request *r, const char *suffix, const char *value)
{
    for (size_t i = 0; i < r->setting_count; i++)
        if (strcmp(r->settings[i].suffix, suffix) == 0) {
            r->settings[i].value = value;
            return;
        }
    if (r->setting_count == COUNT_OF(r->settings))
        log_fatal("too many options");
    r->settings[r->setting_count++] = (struct setting){suffix, value};
}

static int64_t number(const char *text, const char *what)
{
    uint64_t value;

    if (!slice_to_u64(slice_of(text), &value) || value > 1000000)
        log_fatal("bad %s: %s", what, text);
    return (int64_t)value;
}

static void add_word(struct buffer *list, const char *word)
{
    buffer_printf(list, "%s%s", list->len ? "," : "", word);
}

static enum tls_level level_of(const char *text)
{
    enum tls_level level;

    if (!tls_level_parse(slice_of(text), &level))
        log_fatal("Invalid TLS level \"%s\"", text);
    return level;
}

/* take_setting - an option that is nothing but a parameter by another name; false: another one. */
static bool take_setting(struct request *r, int letter, const char *value)
{
    static const struct { char letter; const char *suffix; } rows[] = {
        {'a', "address_preference"}, {'d', "tls_fingerprint_digest"}, {'F', "tls_CAfile"}, {'h', "host_lookup"}, {'k', "tls_cert_file"},
        {'K', "tls_key_file"}, {'P', "tls_CApath"}, {'s', "tls_servername"}, {'L', "tls_loglevel"},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].letter == letter) {
            set(r, rows[i].suffix, value);
            return true;
        }
    return false;
}

static void take_option(struct request *r, int letter, const char *value)
{
    struct finger *f = &r->finger;

    if (take_setting(r, letter, value)) {
        if (letter == 'L')
            r->none_logged = strcmp(value, "none") == 0 || strcmp(value, "0") == 0;
        if (letter == 'k')
            set(r, "tls_key_file", value);
        return;
    }
    switch (letter) {
    case 'A': add_word(&r->anchors, value); break;
    case 'c': f->quiet_chat = true; break;
    case 'C': f->show_chain = true; break;
    case 'f': set(r, "tls_force_insecure_host_tlsa_lookup", "yes"); break;
    case 'g': set(r, "tls_ciphers", value), set(r, "tls_mandatory_ciphers", value); break;
    case 'H': add_word(&r->chains, value); break;
    case 'l': f->level = level_of(value), set(r, "tls_security_level", value); break;
    case 'm': f->reconnect_count = (long)number(value, "count"); break;
    case 'M': r->insecure_mx = value; break;
    case 'n': f->probe = false; break;
    case 'o':
        if (r->override_count == COUNT_OF(r->overrides))
            log_fatal("too many -o options");
        r->overrides[r->override_count++] = value;
        break;
    case 'p': set(r, "tls_protocols", value), set(r, "tls_mandatory_protocols", value); break;
    case 'r': f->reconnect_delay = number(value, "delay") * MICROSECONDS; break;
    case 'S': f->lmtp = true; break;
    case 't': f->connect_timeout = number(value, "timeout") * MICROSECONDS; break;
    case 'T': f->command_timeout = number(value, "timeout") * MICROSECONDS; break;
    case 'v': log_verbose++; break;
    case 'w': f->wrapped = true; break;
    case 'X': break;
    default: usage();
    }
}

/* defaults - what holds where no option says otherwise: nothing of main.cf's TLS settings for servers. */
static void defaults(struct request *r)
{
    static const struct setting settings[] = {
        {"host_lookup", "dns"}, {"dns_support_level", "dnssec"}, {"tls_policy_maps", ""}, {"tls_per_site", ""}, {"tls_security_level", "dane"}, {"tls_CAfile", ""},
        {"tls_CApath", ""}, {"tls_chain_files", ""}, {"tls_cert_file", ""}, {"tls_key_file", ""}, {"tls_eccert_file", ""}, {"tls_eckey_file", ""},
        {"tls_dcert_file", ""}, {"tls_dkey_file", ""}, {"tls_ciphers", "medium"}, {"tls_mandatory_ciphers", "medium"}, {"tls_exclude_ciphers", ""},
        {"tls_mandatory_exclude_ciphers", ""}, {"tls_protocols", ">=TLSv1"}, {"tls_mandatory_protocols", ">=TLSv1"}, {"tls_servername", ""},
        {"tls_loglevel", "routine,certmatch"}, {"tls_session_cache_database", ""}, {"tls_wrappermode", "no"}, {"tls_trust_anchor_file", ""},
        {"tls_force_insecure_host_tlsa_lookup", "no"}, {"tls_connection_reuse", "no"}, {"address_preference", "any"},
    };

    r->finger = (struct finger){.probe = true, .level = TLS_DANE, .connect_timeout = 30 * MICROSECONDS, .command_timeout = 30 * MICROSECONDS,
                                .reconnect_count = 5};
    r->insecure_mx = "dane";
    for (size_t i = 0; i < COUNT_OF(settings); i++)
        set(r, settings[i].suffix, settings[i].value);
}

static void apply(struct config *config, const char *name, const char *value)
{
    if (parameter_find(slice_of(name)))
        config_set(config, slice_of(name), slice_of(value));
}

/* configure - main.cf with the options over it. */
static struct config *configure(struct request *r, const struct config *main_config)
{
    struct config *config = config_copy_quiet(main_config);
    char name[96];

    for (size_t i = 0; i < r->setting_count; i++) {
        snprintf(name, sizeof(name), "%s_%s", r->finger.lmtp ? "lmtp" : "smtp", r->settings[i].suffix);
        apply(config, name, r->settings[i].value);
    }
    apply(config, "smtp_tls_dane_insecure_mx_policy", r->insecure_mx);
    apply(config, "smtp_tls_mta_sts", "no");
    apply(config, "smtp_tls_reports", "no"); /* a look is no delivery */
    return config;
}

/* complete - what the options mean together. */
static void complete(struct request *r, int argc, char **argv)
{
    static const char *const lists[] = {"tls_verify_cert_match", "tls_secure_cert_match", "tls_fingerprint_cert_match"};

    r->finger.target = argv[0];
    for (int i = 1; i < argc; i++)
        add_word(&r->matches, argv[i]);
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        set(r, lists[i], r->matches.len ? buffer_string(&r->matches) : i == 0 ? "hostname" : i == 1 ? "nexthop, dot-nexthop" : "");
    if (r->anchors.len)
        set(r, "tls_trust_anchor_file", buffer_string(&r->anchors));
    if (r->chains.len)
        set(r, "tls_chain_files", buffer_string(&r->chains));
    if (r->finger.reconnect_delay > 0)
        set(r, "tls_session_cache_database", "internal:");
    r->finger.tell_plan = !r->none_logged || !r->finger.probe;
}

static void look(void *argument)
{
    struct finger *finger = argument;

    if (finger->probe)
        probe_run(finger);
    if (finger->tell_plan)
        plan_run(finger);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static struct request r;
    int letter;

    command_start("posttls-finger");
    command_help(argc, argv, help);
    signal(SIGPIPE, SIG_IGN);
    defaults(&r);
    while ((letter = getopt(argc, argv, letters)) > 0)
        take_option(&r, letter, optarg);
    if (optind >= argc)
        usage();
    complete(&r, argc - optind, argv + optind);
    if (dup2(STDOUT_FILENO, STDERR_FILENO) < 0) /* what is found is the output of this program: it goes where scripts look for Postfix's */
        log_fatal("dup2: %s", strerror(errno));
    struct config *config = command_config(NULL, false);
    for (size_t i = 0; i < r.override_count; i++)
        if (!config_set_argument(config, r.overrides[i]))
            log_fatal("-o option: bad parameter: %s", r.overrides[i]);
    r.finger.config = config;
    r.finger.options = configure(&r, config);
    r.finger.arena = arena_new(4096);
    struct dns_options dns = {.servers = config_string(config, "dns_servers"), .dnssec = true};
    dns_reply_filter_open(config, r.finger.lmtp ? "lmtp_dns_reply_filter" : "smtp_dns_reply_filter", &dns);
    dns_start(&dns);
    run_main(look, &r.finger);
    arena_free(r.finger.arena);
    config_free(r.finger.options);
    config_free(config);
    buffer_release(&r.anchors);
    buffer_release(&r.chains);
    buffer_release(&r.matches);
    return 0;
}
