/* words.c - the words of a pipe(8) command with what they stand for (compat.md g.4) */
#include "pipe.h"

#include "address/mail_address.h"
#include "base/log.h"
#include "table/address_lookup.h"

struct macros {
    const struct pipe_arguments *pipe;
    struct delivery *delivery;
    size_t recipient;
    bool unknown;
    bool per_recipient; /* a macro that differs between recipients was used */
};

static struct slice folded(const struct pipe_arguments *pipe, struct arena *arena, struct slice text, int flag)
{
    return pipe->flags & flag ? arena_lower(arena, text) : text;
}

/* written - an address as flag q wants it. */
static struct slice written(const struct macros *m, struct slice address)
{
    return m->pipe->flags & FLAG_QUOTE ? address : mail_address_internal(address, m->delivery->arena);
}

static struct slice recipient_value(struct macros *m, struct slice name, bool *known)
{
    struct arena *arena = m->delivery->arena;
    const struct recipient *to = &m->delivery->recipients[m->recipient];
    struct mail_address parts;
    struct slice user, extension, local;

    *known = true;
    mail_address_split(to->address, arena, &parts);
    local = folded(m->pipe, arena, parts.local_part, FLAG_FOLD_USER); /* flag q is about whole addresses */
    address_split_extension(local, slice_of(m->pipe->delimiter), m->pipe->owner_request_special, &user, &extension);
    struct slice domain = folded(m->pipe, arena, parts.domain, FLAG_FOLD_HOST);
    if (slice_equal(name, SLICE("recipient")) && (m->pipe->flags & FLAG_QUOTE))
        local = folded(m->pipe, arena, mail_address_local(to->address), FLAG_FOLD_USER);
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
        return written(m, recipient_original(to));
    *known = false;
    return (struct slice){0};
}

static struct slice sender_value(const struct macros *m)
{
    struct slice sender = m->delivery->request->envelope.sender;

    if (sender.len == 0)
        return slice_of(m->pipe->null_sender);
    return written(m, sender);
}

static struct slice message_value(const struct macros *m, struct slice name, bool *known)
{
    const struct envelope *e = &m->delivery->request->envelope;
    struct arena *arena = m->delivery->arena;

    *known = true;
    const struct { const char *name; struct slice value; } values[] = {
        {"client_address", e->client_address}, {"client_helo", e->helo_name}, {"client_hostname", e->client_name}, {"client_port", e->client_port},
        {"client_protocol", e->protocol_name}, {"envid", e->envelope_id}, {"nexthop", folded(m->pipe, arena, m->delivery->request->next_hop, FLAG_FOLD_HOST)},
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
    if (!known && !m->unknown)
        log_warning("file %s/master.cf: service %s: unknown macro name: \"" SLICE_FORMAT "\"", config_directory(m->delivery->context->config),
                    m->delivery->context->service_name, SLICE_ARGS(name));
    m->unknown = m->unknown || !known;
    return known ? arena_string(m->delivery->arena, value) : NULL;
}

static char *expand_word(struct macros *m, const char *word)
{
    struct buffer out = BUFFER_INIT, error = BUFFER_INIT;
    char *result = NULL;

    if (config_expand_with(slice_of(word), lookup, m, &out, &error) && !m->unknown)
        result = arena_string(m->delivery->arena, buffer_slice(&out));
    else if (!m->unknown)
        log_warning("pipe: bad macro in argument \"%s\": %s", word, buffer_string(&error));
    buffer_release(&out);
    buffer_release(&error);
    return result;
}

/* expand_words - an argument that names something of a recipient is repeated for each. */
const char *const *words_expand(const struct pipe_arguments *pipe, struct delivery *delivery)
{
    size_t count = 0, limit = 0;

    while (pipe->argv[limit] != NULL)
        limit++;
    const char **words = arena_alloc(delivery->arena, (limit * (delivery->recipient_count + 1) + 1) * sizeof(*words));
    for (size_t i = 0; i < limit; i++) {
        struct macros m = {.pipe = pipe, .delivery = delivery};
        do {
            if ((words[count] = expand_word(&m, pipe->argv[i])) == NULL)
                return NULL;
            count++;
        } while (m.per_recipient && ++m.recipient < delivery->recipient_count);
    }
    return words;
}
