/* template.c - $names in texts for the client */
#include "template.h"

#include "address/mail_address.h"
#include "base/log.h"

struct expansion {
    struct session *session;
    const struct macro *macros;
    size_t macro_count;
    struct buffer value; /* the last one looked up */
    bool allowed[256];
};

void template_filter(const char *filter, bool allowed[256])
{
    static const char letters[] = "abfnrtv", meanings[] = "\a\b\f\n\r\t\v";

    for (const char *at = filter; *at; at++) {
        unsigned char byte = (unsigned char)*at;
        if (byte == '\\' && at[1] >= '0' && at[1] <= '7') {
            unsigned value = 0;
            for (int digits = 0; digits < 3 && at[1] >= '0' && at[1] <= '7'; digits++)
                value = value * 8 + (unsigned)(*++at - '0');
            byte = (unsigned char)value;
        } else if (byte == '\\' && at[1]) {
            const char *letter = strchr(letters, *++at);
            byte = (unsigned char)(letter && *letter ? meanings[letter - letters] : *at);
        }
        allowed[byte] = true;
    }
}

static struct slice text_of(const char *text)
{
    return slice_of(text ? text : "");
}

/* address_part - "sender", "sender_name", "sender_domain": 0, 1, 2 */
static struct slice address_part(struct slice address, int part)
{
    return part == 0 ? address : part == 1 ? mail_address_local(address) : mail_address_domain(address);
}

static bool take_name(struct slice name, const char *base, int *part)
{
    static const char *const suffixes[] = {"", "_name", "_domain"};

    for (int i = 0; i < 3; i++) {
        struct slice wanted = slice_of(base);
        if (slice_starts(name, wanted) && slice_equal(slice_from(name, wanted.len), slice_of(suffixes[i]))) {
            *part = i;
            return true;
        }
    }
    return false;
}

/* find - the value of a name, false when it is unknown. */
static bool find(struct session *s, struct slice name, struct slice *value)
{
    const struct { const char *name; const char *value; } rows[] = {
        {"client", s->client.text}, {"client_address", s->client.address}, {"client_name", s->client.name}, {"client_port", s->client.port},
        {"helo_name", s->helo}, {"server_name", s->server->params.myhostname},
    };
    int part;

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (slice_equal(name, slice_of(rows[i].name))) {
            *value = text_of(rows[i].value);
            return true;
        }
    if (take_name(name, "sender", &part)) {
        bool given = s->mail && s->mail->accepted;
        *value = !given ? SLICE("") : s->mail->sender.len == 0 && part < 2 ? SLICE("<>") : address_part(s->mail->sender, part);
        return true;
    }
    if (take_name(name, "recipient", &part)) {
        *value = s->mail && s->mail->recipient_count ? address_part(s->mail->recipients[0].address, part) : SLICE("");
        return true;
    }
    return false;
}

static const char *look_up(void *context, struct slice name)
{
    struct expansion *e = context;
    struct slice value;

    buffer_clear(&e->value);
    for (size_t i = 0; i < e->macro_count; i++)
        if (slice_equal(name, slice_of(e->macros[i].name))) {
            if (!e->macros[i].value)
                return NULL;
            buffer_append_string(&e->value, e->macros[i].value);
            return buffer_string(&e->value);
        }
    if (slice_equal(name, SLICE("localtime")))
        clock_syslog(&e->value, clock_wall());
    else if (find(e->session, name, &value))
        buffer_append_slice(&e->value, value);
    else {
        log_warning("unknown macro name \"" SLICE_FORMAT "\" in expansion request", SLICE_ARGS(name));
        return NULL;
    }
    for (size_t i = 0; i < e->value.len; i++)
        if (!e->allowed[(unsigned char)e->value.data[i]])
            e->value.data[i] = '_';
    return buffer_string(&e->value);
}

bool template_expand(struct session *s, const char *template, const struct macro *macros, size_t count, struct buffer *out)
{
    struct expansion e = {.session = s, .macros = macros, .macro_count = count};
    struct buffer error = BUFFER_INIT;

    template_filter(s->server->params.smtpd_expansion_filter, e.allowed);
    bool good = config_expand_with(slice_of(template), look_up, &e, out, &error);
    if (!good)
        log_warning("bad reply template \"%s\": %s", template, buffer_string(&error));
    buffer_release(&e.value);
    buffer_release(&error);
    return good;
}
