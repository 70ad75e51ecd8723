/* enqueue.c - read a message from standard input, hand it to postdrop */
#include <pwd.h>

#include "address/mail_address.h"
#include "base/log.h"
#include "ipc/message.h"
#include "sendmail.h"
#include "service/postdrop_client.h"

enum { ADDRESSES_MAX = 10240, HEADER_MAX = 1024 * 1024 };

/* One submission. */
struct submission_state {
    struct config *config;
    const struct options *options;
    struct arena *arena;
    struct postdrop *postdrop;
    struct slice sender;             /* internal form */
    struct recipient_list arguments; /* recipients of the command line */
    struct recipient_list extracted; /* of the headers */
    size_t line_limit;
    int strip_cr;                    /* -1: not known yet, 0, 1 */
    bool in_header;
    struct buffer header;            /* logical header so far */
};

static void fail(const struct submission_state *state, const char *text)
{
    log_fatal(SLICE_FORMAT "(%ld): %s", SLICE_ARGS(state->sender), (long)getuid(), text);
}

/* ---- who sends ---------------------------------------------------------------------------------------------------- */

static const char *login_name(void)
{
    const char *claimed = getenv("LOGNAME");
    const struct passwd *entry = claimed && *claimed ? getpwnam(claimed) : NULL;
    if (!entry || entry->pw_uid != getuid())
        entry = getpwuid(getuid());
    if (!entry)
        log_fatal("no login name found for user ID %ld", (long)getuid());
    return entry->pw_name;
}

/* put_gecos - the name part of the password entry; "&" is the login name with a capital. */
static void put_gecos(struct buffer *out, const struct passwd *entry)
{
    struct slice name = slice_of(entry->pw_gecos);
    name = slice_first(name, slice_find_any(name, ",;%"));
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] != '&') {
            buffer_append_byte(out, name.data[i]);
            continue;
        }
        if (*entry->pw_name)
            buffer_append_byte(out, (char)toupper((unsigned char)*entry->pw_name));
        buffer_append_string(out, *entry->pw_name ? entry->pw_name + 1 : "");
    }
}

/* without_controls - one line, however it was given. */
static const char *without_controls(struct arena *arena, const char *text)
{
    char *copy = arena_strdup(arena, text);

    for (char *at = copy; *at != '\0'; at++)
        if (*at == '\n' || *at == '\r')
            *at = ' ';
    return copy;
}

static const char *full_name(const struct submission_state *state)
{
    const char *given = state->options->full_name ? state->options->full_name : getenv("NAME");
    if (given && (*given || state->options->full_name))
        return without_controls(state->arena, given);
    const struct passwd *entry = getpwuid(getuid());
    struct buffer name = BUFFER_INIT;
    if (entry)
        put_gecos(&name, entry);
    const char *text = arena_strdup(state->arena, buffer_string(&name));
    buffer_release(&name);
    return text;
}

/* parse_sender - the first address of -f; nothing in it: the null sender. */
static void parse_sender(struct submission_state *state)
{
    struct slice *found;
    if (!state->options->sender) {
        state->sender = slice_of(arena_strdup(state->arena, login_name()));
        return;
    }
    state->sender = slice_of("");
    size_t count = address_list_addresses(slice_of(state->options->sender), ADDRESSES_MAX, state->arena, &found);
    if (count > 1)
        log_warning("-f option specified malformed sender: %s", state->options->sender);
    if (count > 0)
        state->sender = arena_slice(state->arena, mail_address_internal(found[0], state->arena));
}

static void parse_arguments(struct submission_state *state)
{
    struct buffer header = BUFFER_INIT;
    for (int i = 0; i < state->options->word_count; i++) {
        buffer_clear(&header);
        buffer_printf(&header, "To:%s", state->options->words[i]);
        extract_recipients(buffer_slice(&header), &state->arguments, state->arena);
    }
    buffer_release(&header);
}

/* ---- records ------------------------------------------------------------------------------------------------------ */

static void put_attribute(struct submission_state *state, const char *name, const char *value)
{
    postdrop_put_text(state->postdrop, MAILDROP_ATTRIBUTE, "%s=%s", name, value);
}

static void put_number(struct submission_state *state, const char *name, int value)
{
    postdrop_put_text(state->postdrop, MAILDROP_ATTRIBUTE, "%s=%d", name, value);
}

static void put_recipients(struct submission_state *state, const struct recipient_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (state->options->notify)
            put_number(state, "notify_flags", state->options->notify);
        postdrop_put(state->postdrop, MAILDROP_RECIPIENT, list->addresses[i]);
    }
}

static void put_envelope(struct submission_state *state)
{
    const struct options *options = state->options;
    const char *name = full_name(state);
    if (options->verify_only || options->verbose)
        put_number(state, "trace_flags", options->verify_only ? MAILDROP_TRACE_VERIFY : MAILDROP_TRACE_REPORT);
    put_attribute(state, "rewrite_context", options->remote_rewrite ? "remote" : "local");
    if (options->envelope_id)
        put_attribute(state, "envelope_id", options->envelope_id);
    if (options->ret)
        put_number(state, "ret_flags", options->ret);
    if (options->require_tls)
        put_attribute(state, "requiretls", "yes");
    if (*name)
        postdrop_put(state->postdrop, MAILDROP_FULL_NAME, slice_of(name));
    postdrop_put(state->postdrop, MAILDROP_SENDER, state->sender);
    if (options->encoding)
        put_attribute(state, "encoding", options->encoding);
    if (options->verp)
        postdrop_put(state->postdrop, MAILDROP_VERP,
                     slice_of(*options->verp ? options->verp : config_string(state->config, "default_verp_delimiters")));
    put_recipients(state, &state->arguments);
}

/* put_line - a line of any length: pieces of line_length_limit that go on, then the rest. */
static void put_line(struct submission_state *state, struct slice line, bool ended)
{
    while (line.len > state->line_limit) {
        postdrop_put(state->postdrop, MAILDROP_UNFINISHED, slice_first(line, state->line_limit));
        line = slice_from(line, state->line_limit);
    }
    postdrop_put(state->postdrop, ended ? MAILDROP_LINE : MAILDROP_UNFINISHED, line);
}

/* ---- the message -------------------------------------------------------------------------------------------------- */

static void header_done(struct submission_state *state)
{
    if (state->header.len)
        extract_recipients(buffer_slice(&state->header), &state->extracted, state->arena);
    buffer_clear(&state->header);
}

/* look_at_header - gather logical header lines for -t, until what comes is no header. */
static void look_at_header(struct submission_state *state, struct slice line)
{
    bool folded = line.len && (line.data[0] == ' ' || line.data[0] == '\t');
    if (folded && state->header.len) {
        buffer_append_byte(&state->header, '\n');
        buffer_append_slice(&state->header, line);
        return;
    }
    header_done(state);
    size_t colon = slice_find_any(line, ": \t");
    if (line.len == 0 || colon == line.len || colon == 0) {
        state->in_header = false;
        return;
    }
    buffer_append_slice(&state->header, line);
}

static bool is_mailbox_separator(struct slice line)
{
    return slice_starts(line, SLICE("From ")) || slice_starts(line, SLICE(">From "));
}

/* Postfix strips CR when the first line has it, or always. */
static struct slice fix_line_end(struct submission_state *state, struct slice line)
{
    bool has_cr = line.len && line.data[line.len - 1] == '\r';
    if (state->strip_cr < 0)
        state->strip_cr = has_cr || strcasecmp(config_string(state->config, "sendmail_fix_line_endings"), "always") == 0;
    if (strcasecmp(config_string(state->config, "sendmail_fix_line_endings"), "never") == 0)
        return line;
    return has_cr && state->strip_cr ? slice_first(line, line.len - 1) : line;
}

static void read_message(struct submission_state *state)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t n;
    bool first = true, extract = state->options->extract;
    state->in_header = true;
    state->strip_cr = -1;
    while ((n = getline(&text, &room, stdin)) >= 0) {
        bool ended = n && text[n - 1] == '\n';
        struct slice line = slice_make(text, (size_t)n - ended);
        if (ended)
            line = fix_line_end(state, line);
        if (first && is_mailbox_separator(line))
            continue;
        first = false;
        if (!state->options->dot_is_data && slice_equal(line, SLICE(".")))
            break;
        if (extract && state->in_header)
            look_at_header(state, line);
        put_line(state, line, ended);
    }
    if (ferror(stdin))
        fail(state, "error reading input");
    if (extract && state->in_header)
        header_done(state);
    free(text);
}

/* make_probe - -bv asks about the recipients; the message is only a carrier. */
static void make_probe(struct submission_state *state)
{
    struct buffer to = BUFFER_INIT;
    for (size_t i = 0; i < state->arguments.count; i++)
        buffer_printf(&to, "%s" SLICE_FORMAT, i ? ", " : "To: ", SLICE_ARGS(state->arguments.addresses[i]));
    postdrop_put_text(state->postdrop, MAILDROP_LINE, "From: " SLICE_FORMAT, SLICE_ARGS(state->sender));
    postdrop_put(state->postdrop, MAILDROP_LINE, SLICE("Subject: probe"));
    put_line(state, buffer_slice(&to), true);
    buffer_release(&to);
}

static void check_delimiters(const struct submission_state *state)
{
    const char *verp = state->options->verp, *allowed = config_string(state->config, "verp_delimiter_filter");

    if (verp && *verp && (strlen(verp) != 2 || !strchr(allowed, verp[0]) || !strchr(allowed, verp[1])))
        log_fatal("-V requires two characters from %s", allowed);
}

static void check_recipients(const struct submission_state *state)
{
    if (state->options->extract && !state->options->verify_only)
        return;
    if (state->arguments.count == 0)
        fail(state, "Recipient addresses must be specified on the command line or via the -t option");
}

static void report_to_come(const struct submission_state *state)
{
    if (state->options->verify_only || state->options->verbose)
        printf("Mail Delivery Status Report will be mailed to <" SLICE_FORMAT ">.\n", SLICE_ARGS(state->sender));
}

void enqueue(struct config *config, const struct options *options)
{
    struct submission_state state = {.config = config, .options = options, .arena = arena_new(0)};
    struct buffer reason = BUFFER_INIT;
    state.line_limit = (size_t)config_int(config, "line_length_limit");
    buffer_init(&state.header, HEADER_MAX);
    check_delimiters(&state);
    parse_sender(&state);
    parse_arguments(&state);
    check_recipients(&state);
    state.postdrop = postdrop_start(config);
    if (!state.postdrop)
        fail(&state, "unable to execute postdrop");
    put_envelope(&state);
    postdrop_put(state.postdrop, MAILDROP_CONTENT_BEGINS, slice_of(""));
    if (options->verify_only)
        make_probe(&state);
    else
        read_message(&state);
    if (options->extract && state.arguments.count + state.extracted.count == 0) {
        postdrop_cancel(state.postdrop);
        fail(&state, "No recipient addresses found in message header");
    }
    postdrop_put(state.postdrop, MAILDROP_CONTENT_ENDS, slice_of(""));
    put_recipients(&state, &state.extracted);
    postdrop_put(state.postdrop, MAILDROP_END, slice_of(""));
    if (!postdrop_finish(state.postdrop, &reason)) {
        if (!slice_starts(buffer_slice(&reason), SLICE("not authorized ")))
            log_warning("mail_stream_cleanup: close error"); /* what scripts know of Postfix's sendmail */
        fail(&state, buffer_string(&reason));
    }
    report_to_come(&state);
    buffer_release(&reason);
    buffer_release(&state.header);
    free(state.arguments.addresses);
    free(state.extracted.addresses);
    arena_free(state.arena);
}
