/* environment.c - what external commands see of the message; values from outside are cleaned */
#include <paths.h>

#include "address/mail_address.h"
#include "command.h"

void environment_init(struct environment *environment, struct arena *arena, const char *filter)
{
    *environment = (struct environment){.arena = arena, .filter = filter};
}

static void add(struct environment *environment, const char *entry)
{
    if (environment->count + 1 >= environment->capacity) {
        size_t capacity = environment->capacity ? environment->capacity * 2 : 32;
        const char **entries = arena_alloc(environment->arena, capacity * sizeof(*entries));
        if (environment->count > 0)
            memcpy(entries, environment->entries, environment->count * sizeof(*entries));
        environment->entries = entries;
        environment->capacity = capacity;
    }
    environment->entries[environment->count++] = entry;
    environment->entries[environment->count] = NULL;
}

void environment_set(struct environment *environment, const char *name, struct slice value)
{
    if (value.len == 0)
        return;
    char *entry = arena_printf(environment->arena, "%s=" SLICE_FORMAT, name, SLICE_ARGS(value));
    if (environment->filter != NULL)
        for (char *at = entry + strlen(name) + 1; *at != '\0'; at++)
            if (strchr(environment->filter, *at) == NULL)
                *at = '_';
    add(environment, entry);
}

static void add_listed(struct environment *environment, const char *list)
{
    struct slice rest = slice_of(list), word, name, value;

    while (config_list_next(&rest, &word)) {
        config_braced(word, &word);
        if (slice_cut(word, '=', &name, &value)) {
            add(environment, arena_printf(environment->arena, SLICE_FORMAT "=" SLICE_FORMAT, SLICE_ARGS(slice_trim(name)), SLICE_ARGS(slice_trim(value))));
            continue;
        }
        const char *text = arena_string(environment->arena, word), *current = getenv(text);
        if (current != NULL)
            add(environment, arena_printf(environment->arena, "%s=%s", text, current));
    }
}

void environment_add_exported(struct environment *environment, const char *export_environment)
{
    add_listed(environment, export_environment);
    add(environment, "PATH=" _PATH_DEFPATH);
}

void environment_add_standard(struct environment *environment, const struct delivery *delivery, const char *export_environment, struct slice sender,
                              struct slice recipient, struct slice original)
{
    const struct envelope *envelope = &delivery->request->envelope;

    environment_add_exported(environment, export_environment);
    environment_set(environment, "SENDER", sender.len > 0 ? sender : SLICE("MAILER-DAEMON"));
    environment_set(environment, "RECIPIENT", recipient);
    environment_set(environment, "DOMAIN", mail_address_domain(recipient));
    environment_set(environment, "ORIGINAL_RECIPIENT", original);
    environment_set(environment, "ENVID", envelope->envelope_id);
    if (envelope->source != SOURCE_PICKUP) { /* a local submission has no client; what is said of one is for policies and filters */
        environment_set(environment, "CLIENT_HOSTNAME", envelope->client_name);
        environment_set(environment, "CLIENT_ADDRESS", envelope->client_address);
        environment_set(environment, "CLIENT_HELO", envelope->helo_name);
    }
    environment_set(environment, "CLIENT_PROTOCOL", envelope->protocol_name);
    environment_set(environment, "SASL_METHOD", envelope->sasl_method);
    environment_set(environment, "SASL_SENDER", envelope->sasl_sender);
    environment_set(environment, "SASL_USERNAME", envelope->sasl_username);
}

const char *const *environment_list(struct environment *environment)
{
    static const char *const none[] = {NULL};

    return environment->count > 0 ? environment->entries : none;
}
