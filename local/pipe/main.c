/* main.c - pipe(8): delivery to an external command named in master.cf (compat.md g.4) */
#include <grp.h>
#include <pwd.h>

#include "../common/command.h"
#include "address/mail_address.h"
#include "base/log.h"
#include "table/address_lookup.h"

enum { FLAG_EMPTY_LINE = 1, FLAG_DELIVERED_TO = 2, FLAG_FROM = 4, FLAG_ORIGINAL_TO = 8, FLAG_RETURN_PATH = 16, FLAG_FINAL = 32, FLAG_FOLD_HOST = 64,
       FLAG_FOLD_USER = 128, FLAG_QUOTE = 256, FLAG_DOT = 512, FLAG_QUOTE_FROM = 1024 };
#define SUCCESS_OUTPUT_MAX 100

/* The arguments of the service, parsed once. */
static struct {
    int flags;
    uid_t uid;
    gid_t gid;
    const char *const *argv; /* NULL terminated, in the service's arguments */
    const char *directory, *root, *null_sender;
    struct slice end_of_line;
    int64_t size_limit, time_limit;
    const char *export_environment;
    char delimiter[16];
} pipe_service;

/* ---- master.cf arguments ---- */

static void parse_flags(const char *text)
{
    static const struct { char letter; int flag; } letters[] = {
        {'B', FLAG_EMPTY_LINE}, {'D', FLAG_DELIVERED_TO}, {'F', FLAG_FROM}, {'O', FLAG_ORIGINAL_TO}, {'R', FLAG_RETURN_PATH}, {'X', FLAG_FINAL},
        {'h', FLAG_FOLD_HOST}, {'u', FLAG_FOLD_USER}, {'q', FLAG_QUOTE}, {'.', FLAG_DOT}, {'>', FLAG_QUOTE_FROM}};

    for (; *text != '\0'; text++) {
        size_t i = 0;
        while (i < COUNT_OF(letters) && letters[i].letter != *text)
            i++;
        if (i == COUNT_OF(letters))
            log_fatal("unknown flag: %c", *text);
        pipe_service.flags |= letters[i].flag;
    }
}

static void parse_user(const char *text)
{
    struct slice name, group;
    char *user;
    uint64_t number;

    bool with_group = slice_cut(slice_of(text), ':', &name, &group);
    user = slice_string(name);
    struct passwd *entry = getpwnam(user);
    if (entry == NULL && slice_to_u64(name, &number))
        entry = getpwuid((uid_t)number);
    if (entry == NULL)
        log_fatal("unknown username: %s", user);
    pipe_service.uid = entry->pw_uid;
    pipe_service.gid = entry->pw_gid;
    free(user);
    if (with_group) {
        char *group_name = slice_string(group);
        struct group *found = getgrnam(group_name);
        if (found == NULL)
            log_fatal("unknown group: %s", group_name);
        pipe_service.gid = found->gr_gid;
        free(group_name);
    }
}

/* end_of_line - the C escapes \r \n \t \\ of eol=. */
static struct slice end_of_line(const char *text)
{
    struct buffer out = BUFFER_INIT;

    for (; *text != '\0'; text++) {
        if (*text == '\\' && text[1] != '\0') {
            text++;
            buffer_append_byte(&out, *text == 'r' ? '\r' : *text == 'n' ? '\n' : *text == 't' ? '\t' : *text);
        } else {
            buffer_append_byte(&out, *text);
        }
    }
    size_t length = out.len;
    return slice_make(buffer_steal(&out), length); /* kept for the life of the process */
}

static void parse_argument(const char *argument, const char *const *rest)
{
    struct slice value;
    struct slice text = slice_of(argument), name;

    if (!slice_cut(text, '=', &name, &value))
        log_fatal("unknown attribute: %s", argument);
    if (slice_equal(name, SLICE("flags"))) {
        parse_flags(value.data);
    } else if (slice_equal(name, SLICE("user"))) {
        parse_user(value.data);
    } else if (slice_equal(name, SLICE("argv"))) {
        const char **words = memory_zalloc(1026, sizeof(*words));
        size_t count = 0;
        words[count++] = value.data;
        for (; *rest != NULL && count < 1024; rest++)
            words[count++] = *rest;
        pipe_service.argv = words;
    } else if (slice_equal(name, SLICE("directory"))) {
        pipe_service.directory = value.data;
    } else if (slice_equal(name, SLICE("chroot"))) {
        pipe_service.root = value.data;
    } else if (slice_equal(name, SLICE("eol"))) {
        pipe_service.end_of_line = end_of_line(value.data);
    } else if (slice_equal(name, SLICE("null_sender"))) {
        pipe_service.null_sender = value.data;
    } else if (slice_equal(name, SLICE("size"))) {
        if (!slice_to_i64(value, &pipe_service.size_limit) || pipe_service.size_limit < 0)
            log_fatal("bad size limit: %s", argument);
    } else {
        log_fatal("unknown attribute: %s", argument);
    }
}

static void check_identity(struct service_context *context)
{
    struct passwd *owner = getpwnam(config_string(context->config, "mail_owner"));

    if (!context->running_as_root)
        return;
    if (pipe_service.uid == 0)
        log_fatal("user= command-line attribute specifies root privileges");
    if (owner != NULL && (pipe_service.uid == owner->pw_uid || pipe_service.gid == owner->pw_gid))
        log_fatal("user= command-line attribute specifies mail system owner %s", owner->pw_name);
    struct group *drop = getgrnam(config_string(context->config, "setgid_group"));
    if (drop != NULL && pipe_service.gid == drop->gr_gid)
        log_fatal("user= command-line attribute specifies mail system setgid_group %s", drop->gr_name);
}

static void open_service(struct service_context *context)
{
    struct config *config = context->config;

    pipe_service.null_sender = "MAILER-DAEMON";
    pipe_service.end_of_line = SLICE("\n");
    pipe_service.uid = (uid_t)-1;
    for (size_t i = 0; i < context->argument_count && pipe_service.argv == NULL; i++)
        parse_argument(context->arguments[i], context->arguments + i + 1);
    if (pipe_service.argv == NULL)
        log_fatal("missing argv= command-line attribute");
    if (pipe_service.uid == (uid_t)-1)
        log_fatal("missing user= command-line attribute");
    check_identity(context);
    pipe_service.time_limit = config_transport_time(config, context->transport, "time_limit");
    pipe_service.export_environment = config_string(config, "export_environment");
    snprintf(pipe_service.delimiter, sizeof(pipe_service.delimiter), "%s", config_string(config, "recipient_delimiter"));
    int64_t limit = config_transport_int(config, context->transport, "destination_recipient_limit");
    if ((pipe_service.flags & (FLAG_DELIVERED_TO | FLAG_ORIGINAL_TO)) && limit != 1)
        log_fatal("\"flags=%c\" requires %s_destination_recipient_limit = 1", pipe_service.flags & FLAG_DELIVERED_TO ? 'D' : 'O', context->transport);
}

/* ---- macros ---- */

struct macros {
    struct delivery *delivery;
    size_t recipient;
    bool per_recipient; /* a macro that differs between recipients was used */
};

static struct slice folded(struct arena *arena, struct slice text, int flag)
{
    return pipe_service.flags & flag ? arena_lower(arena, text) : text;
}

static struct slice recipient_value(struct macros *m, struct slice name, bool *known)
{
    struct arena *arena = m->delivery->arena;
    const struct recipient *to = &m->delivery->recipients[m->recipient];
    struct mail_address parts;
    struct slice user, extension, local;

    *known = true;
    mail_address_split(to->address, arena, &parts);
    local = pipe_service.flags & FLAG_QUOTE ? mail_address_local(to->address) : parts.local_part;
    local = folded(arena, local, FLAG_FOLD_USER);
    address_split_extension(local, slice_of(pipe_service.delimiter), true, &user, &extension);
    struct slice domain = folded(arena, parts.domain, FLAG_FOLD_HOST);
    if (slice_equal(name, SLICE("recipient")))
        return domain.len > 0 ? arena_format(arena, SLICE_FORMAT "@" SLICE_FORMAT, SLICE_ARGS(local), SLICE_ARGS(domain)) : local;
    if (slice_equal(name, SLICE("user")))
        return user;
    if (slice_equal(name, SLICE("extension")))
        return slice_from(extension, 1);
    if (slice_equal(name, SLICE("mailbox")))
        return local;
    if (slice_equal(name, SLICE("domain")))
        return domain;
    if (slice_equal(name, SLICE("original_recipient")))
        return to->original.len > 0 ? to->original : to->address;
    *known = false;
    return (struct slice){0};
}

static struct slice sender_value(const struct macros *m)
{
    struct slice sender = m->delivery->request->envelope.sender;

    if (sender.len == 0)
        return slice_of(pipe_service.null_sender);
    return pipe_service.flags & FLAG_QUOTE ? sender : mail_address_internal(sender, m->delivery->arena);
}

static struct slice message_value(const struct macros *m, struct slice name, bool *known)
{
    const struct envelope *e = &m->delivery->request->envelope;
    struct arena *arena = m->delivery->arena;

    *known = true;
    const struct { const char *name; struct slice value; } values[] = {
        {"client_address", e->client_address}, {"client_helo", e->helo_name}, {"client_hostname", e->client_name}, {"client_port", e->client_port},
        {"client_protocol", e->protocol_name}, {"envid", e->envelope_id}, {"nexthop", folded(arena, m->delivery->request->next_hop, FLAG_FOLD_HOST)},
        {"queue_id", e->queue_id}, {"sasl_method", e->sasl_method}, {"sasl_sender", e->sasl_sender}, {"sasl_username", e->sasl_username}};
    for (size_t i = 0; i < COUNT_OF(values); i++)
        if (slice_equal(name, slice_of(values[i].name)))
            return values[i].value;
    if (slice_equal(name, SLICE("sender")))
        return sender_value(m);
    if (slice_equal(name, SLICE("size")))
        return arena_format(arena, "%lld", (long long)e->message_size);
    *known = false;
    return (struct slice){0};
}

static const char *lookup(void *context, struct slice name)
{
    struct macros *m = context;
    bool known;
    struct slice value = message_value(m, name, &known);

    if (!known) {
        value = recipient_value(m, name, &known);
        m->per_recipient = m->per_recipient || known;
    }
    return known ? arena_string(m->delivery->arena, value) : NULL;
}

static char *expand_word(struct macros *m, const char *word)
{
    struct buffer out = BUFFER_INIT, error = BUFFER_INIT;
    char *result = NULL;

    if (config_expand_with(slice_of(word), lookup, m, &out, &error))
        result = arena_string(m->delivery->arena, buffer_slice(&out));
    else
        log_warning("pipe: bad macro in argument \"%s\": %s", word, buffer_string(&error));
    buffer_release(&out);
    buffer_release(&error);
    return result;
}

/* expand_words - an argument that names something of a recipient is repeated for each. */
static const char *const *expand_words(struct delivery *delivery)
{
    size_t count = 0, limit = 0;

    while (pipe_service.argv[limit] != NULL)
        limit++;
    const char **words = arena_alloc(delivery->arena, (limit * (delivery->recipient_count + 1) + 1) * sizeof(*words));
    for (size_t i = 0; i < limit; i++) {
        struct macros m = {.delivery = delivery};
        do {
            if ((words[count] = expand_word(&m, pipe_service.argv[i])) == NULL)
                return NULL;
            count++;
        } while (m.per_recipient && ++m.recipient < delivery->recipient_count);
    }
    return words;
}

/* ---- delivery ---- */

static bool loops(const struct delivery *delivery)
{
    struct buffer head = BUFFER_INIT;
    struct slice rest, line;
    bool found = false;

    content_read(delivery, 0, 256 * 1024, &head);
    rest = buffer_slice(&head);
    while (!found && slice_next_line(&rest, &line) && slice_trim_right(line).len > 0)
        found = slice_starts_case(line, SLICE("Delivered-To:")) && slice_equal_case(slice_trim(slice_from(line, 13)), delivery->recipients[0].address);
    buffer_release(&head);
    return found;
}

static void settle_all(struct delivery *delivery, const struct delivery_status *status)
{
    for (size_t i = 0; i < delivery->recipient_count; i++)
        delivery_result(delivery, i, status);
}

static void prepare_copy(struct delivery *delivery, struct copy *copy)
{
    const struct recipient *first = &delivery->recipients[0];
    int f = pipe_service.flags;

    struct slice sender = delivery->request->envelope.sender;
    *copy = (struct copy){.delivery = delivery, .sender = sender.len > 0 ? sender : slice_of(pipe_service.null_sender), .end_of_line = pipe_service.end_of_line,
                          .delivered_to = first->address, .original_to = first->original.len > 0 ? first->original : first->address};
    copy->flags = (f & FLAG_FROM ? COPY_FROM_LINE : 0) | (f & FLAG_RETURN_PATH ? COPY_RETURN_PATH : 0) | (f & FLAG_ORIGINAL_TO ? COPY_ORIGINAL_TO : 0) |
                  (f & FLAG_DELIVERED_TO ? COPY_DELIVERED_TO : 0) | (f & FLAG_QUOTE_FROM ? COPY_QUOTE_FROM : 0) | (f & FLAG_DOT ? COPY_DOT_STUFF : 0) |
                  (f & FLAG_EMPTY_LINE ? COPY_EMPTY_LINE : 0);
}

static void set_success(struct delivery *delivery, const struct buffer *output, struct delivery_status *status)
{
    struct slice printed = slice_trim(slice_first(buffer_slice(output), SUCCESS_OUTPUT_MAX));

    status->action = pipe_service.flags & FLAG_FINAL ? "delivered" : "relayed";
    status->reason = printed.len > 0 ? arena_format(delivery->arena, "delivered via %s service (" SLICE_FORMAT ")", delivery->context->service_name, SLICE_ARGS(printed))
                                     : arena_format(delivery->arena, "delivered via %s service", delivery->context->service_name);
}

static void run(struct delivery *delivery, struct delivery_status *status)
{
    struct environment environment;
    struct buffer output = BUFFER_INIT;
    struct copy copy;
    const char *const *words = expand_words(delivery);

    if (words == NULL) {
        *status = (struct delivery_status){.outcome = OUTCOME_DEFERRED, .status = "4.3.5", .reason = SLICE("mail system configuration error")};
        return;
    }
    prepare_copy(delivery, &copy);
    environment_init(&environment, delivery->arena, NULL);
    environment_add_exported(&environment, pipe_service.export_environment);
    struct command command = {.text = words[0], .argv = words, .environment = environment_list(&environment), .directory = pipe_service.directory,
                              .root = pipe_service.root, .uid = pipe_service.uid, .gid = pipe_service.gid, .time_limit = pipe_service.time_limit,
                              .running_as_root = delivery->context->running_as_root};
    command_run(&copy, &command, (struct slice){0}, &output, status);
    if (status->outcome == OUTCOME_SENT)
        set_success(delivery, &output, status);
    buffer_release(&output);
}

static void deliver(struct delivery *delivery)
{
    struct delivery_status status = {0};

    delivery->connected_time = delivery->agent_time;
    if (delivery->recipient_count == 0)
        return;
    if (pipe_service.size_limit > 0 && delivery->request->envelope.message_size > pipe_service.size_limit)
        status = (struct delivery_status){.outcome = OUTCOME_BOUNCED, .status = "5.2.3", .reason = SLICE("message too large")};
    else if ((pipe_service.flags & FLAG_DELIVERED_TO) && loops(delivery))
        status = (struct delivery_status){.outcome = OUTCOME_BOUNCED, .status = "5.4.6",
                                          .reason = arena_format(delivery->arena, "mail forwarding loop for " SLICE_FORMAT, SLICE_ARGS(delivery->recipients[0].address))};
    else if (delivery->request->flags & DELIVERY_PROBE)
        status = (struct delivery_status){.outcome = OUTCOME_SENT, .status = "2.0.0",
                                          .reason = arena_format(delivery->arena, "delivers to command: %s", pipe_service.argv[0])};
    else
        run(delivery, &status);
    status.relay = delivery->context->service_name;
    settle_all(delivery, &status);
}

int main(int argc, char **argv)
{
    static const struct agent agent = {.service = {.name = "pipe", .flags = SERVICE_PRIVILEGED, .open = open_service}, .deliver = deliver};

    return agent_main(argc, argv, &agent);
}
