/* options.c - sendmail's options: thirty years of letters, most of them without effect */
#include <getopt.h>

#include "base/log.h"
#include "ipc/message.h"
#include "sendmail.h"

enum { ENVELOPE_ID_MAX = 100 }; /* RFC 3461 4.4 */

#define LETTERS "A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tvx"

static void unsupported(int letter, const char *value)
{
    log_fatal("unsupported: -%c%c", letter, value && *value ? *value : ' ');
}

static void take_mode(struct options *options, const char *value)
{
    switch (*value) {
    case 'm': options->mode = MODE_ENQUEUE; break;
    case 'v': options->verify_only = true; break;
    case 's': options->mode = MODE_SMTP; break;
    case 'p': options->mode = MODE_MAILQ; break;
    case 'i': options->mode = MODE_NEWALIASES; break;
    case 'd':
    case 'l': options->mode = MODE_DAEMON; break;
    case 'h':
    case 'H': options->mode = MODE_NOTHING; break;
    default: unsupported('b', value);
    }
}

static void take_body_type(struct options *options, const char *value)
{
    if (strcasecmp(value, "8BITMIME") == 0)
        options->encoding = "8bit";
    else if (strcasecmp(value, "7BIT") == 0)
        options->encoding = "7bit";
    else
        log_fatal("-B option needs 8BITMIME or 7BIT");
}

static void take_notify(struct options *options, const char *value)
{
    static const struct {
        const char *name;
        int bit;
    } names[] = {{"never", NOTIFY_NEVER}, {"success", NOTIFY_SUCCESS}, {"failure", NOTIFY_FAILURE}, {"delay", NOTIFY_DELAY}};
    struct slice rest = slice_of(value), token;
    int mask = 0;
    while (slice_next_token(&rest, ", ", &token)) {
        int bit = 0;
        for (size_t i = 0; i < COUNT_OF(names); i++)
            bit |= slice_equal_case(token, slice_of(names[i].name)) ? names[i].bit : 0;
        if (!bit) {
            log_warning("unknown DSN NOTIFY command value \"" SLICE_FORMAT "\" in \"%s\"", SLICE_ARGS(token), value);
            mask = 0;
            break;
        }
        mask |= bit;
    }
    if (mask == 0 || ((mask & NOTIFY_NEVER) && mask != NOTIFY_NEVER))
        log_warning("bad -N option value -- ignored");
    else
        options->notify = mask;
}

static void take_ret(struct options *options, const char *value)
{
    if (strcasecmp(value, "full") == 0)
        options->ret = 1;
    else if (strcasecmp(value, "hdrs") == 0)
        options->ret = 2;
    else
        log_warning("bad -R option value -- ignored");
}

/* take_setting - what is not known is none of our business: Sendmail has many. */
static void take_setting(struct options *options, const char *value)
{
    struct slice name, setting;

    if (slice_cut(slice_of(value), '=', &name, &setting) && slice_equal_case(slice_trim(name), SLICE("requiretls")))
        options->require_tls = slice_equal_case(slice_trim(setting), SLICE("yes"));
}

/* take_envelope_id - two bytes are delimiters, as before there were envelope ids. */
static void take_envelope_id(struct options *options, const char *value)
{
    if (strlen(value) == 2) {
        log_warning("option -V%s is deprecated with Postfix 2.3; specify -XV%s instead", value, value);
        options->verp = value;
    } else if (strlen(value) > ENVELOPE_ID_MAX) {
        log_warning("too long -V option value -- ignored");
    } else if (*value && slice_is_ascii(slice_of(value)) && !slice_has_control(slice_of(value))) {
        options->envelope_id = value;
    } else {
        log_warning("bad syntax in -V option value -- ignored");
    }
}

/* take_old_verp - "-V" before a word of two bytes (such as "-f"), which is not its argument. */
static void take_old_verp(struct options *options)
{
    log_warning("option -V is deprecated with Postfix 2.3; specify -XV instead");
    options->verp = "";
}

static void take_queue(struct options *options, const char *value)
{
    if (isdigit((unsigned char)*value)) { /* queue run interval: the queue manager needs none */
        if (options->mode == MODE_ENQUEUE)
            options->mode = MODE_INTERVAL;
        return;
    }
    if (options->mode == MODE_DAEMON) {
        log_warning("ignoring -q option in daemon mode");
        return;
    }
    switch (*value) {
    case '\0': options->mode = MODE_FLUSH; break;
    case 'I': options->mode = MODE_FLUSH_ID; break;
    case 'R': options->mode = MODE_FLUSH_SITE; break;
    default: log_fatal("-q%c is not implemented", *value);
    }
    if (*value) {
        if (!value[1])
            log_fatal("specify: -q%c%s", *value, *value == 'I' ? "queueid" : "sitename");
        options->flush_argument = value + 1;
    }
}

static void take_old_option(struct options *options, const char *value)
{
    switch (*value) {
    case 'i': options->dot_is_data = true; break;
    case 'A':
        if (!value[1])
            log_fatal("-oA requires pathname");
        options->aliases = value + 1;
        break;
    default: break;
    }
}

static void take_option(struct options *options, int letter, const char *value)
{
    switch (letter) {
    case 'B': take_body_type(options, value); break;
    case 'C': options->directory = value; break;
    case 'F': options->full_name = value; break;
    case 'G': options->remote_rewrite = true; break;
    case 'I': options->mode = MODE_NEWALIASES; break;
    case 'N': take_notify(options, value); break;
    case 'O': take_setting(options, value); break;
    case 'R': take_ret(options, value); break;
    case 'V': take_envelope_id(options, value); break;
    case 'X':
        if (*value != 'V')
            unsupported('X', value);
        options->verp = value + 1;
        break;
    case 'b': take_mode(options, value); break;
    case 'f':
    case 'r': options->sender = value; break;
    case 'i': options->dot_is_data = true; break;
    case 'n': log_fatal("-n option not supported");
    case 'o': take_old_option(options, value); break;
    case 'q': take_queue(options, value); break;
    case 't': options->extract = true; break;
    case 'v': options->verbose++; break;
    default: break; /* accepted, no effect */
    }
}

static const char *last_element(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

void options_parse(struct options *options, int argc, char **argv)
{
    const char *name = last_element(argv[0]);
    *options = (struct options){.mode = MODE_ENQUEUE};
    if (strcmp(name, "mailq") == 0)
        options->mode = MODE_MAILQ;
    else if (strcmp(name, "newaliases") == 0)
        options->mode = MODE_NEWALIASES;
    else if (strcmp(name, "smtpd") == 0)
        options->mode = MODE_DAEMON;
    optind = 1;
    opterr = 0;
    while (optind < argc) {
        bool is_queue = strcmp(argv[optind], "-q") == 0;
        bool is_verp = strcmp(argv[optind], "-V") == 0 && optind + 1 < argc && strlen(argv[optind + 1]) == 2;
        if (is_queue || is_verp) { /* getopt would take the next word for its argument */
            if (is_queue)
                take_queue(options, "");
            else
                take_old_verp(options);
            optind++;
            continue;
        }
        int letter = getopt(argc, argv, "+" LETTERS);
        if (letter < 0)
            break;
        if (letter == '?') {
            /* Twice, because Postfix reads its options twice. */
            for (int i = 0; i < 2; i++)
                fprintf(stderr, strchr(LETTERS, optopt) ? "%s: option requires an argument -- '%c'\n" : "%s: invalid option -- '%c'\n", name, optopt);
            log_fatal("usage: %s [options]", name);
        }
        take_option(options, letter, optarg);
    }
    options->words = argv + optind;
    options->word_count = argc - optind;
    if (options->extract && options->mode != MODE_ENQUEUE)
        log_fatal("-t can be used only in delivery mode");
    if (options->extract && options->verify_only)
        log_fatal("-t option cannot be used with -bv");
}
