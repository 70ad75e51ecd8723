/* ldap.c - ldap: tables, OpenLDAP's client library (compat.md c.1)

   One search per key.  Entries that special_result_attribute names (by DN or LDAP URL) are read in turn, recursion_limit deep at most. */
#include <sys/time.h>

#include "table/client.h"
#include "table/library.h"

#if __has_include(<ldap.h>)
#include <ldap.h>
#if __has_include(<sasl/sasl.h>)
#include <sasl/sasl.h>
#define HAVE_SASL 1
#endif

#define FUNCTIONS(X) X(ldap_initialize) X(ldap_set_option) X(ldap_get_option) X(ldap_start_tls_s) X(ldap_sasl_bind_s) X(ldap_sasl_interactive_bind_s) \
    X(ldap_unbind_ext_s) X(ldap_search_ext_s) X(ldap_msgfree) X(ldap_first_entry) X(ldap_next_entry) X(ldap_first_attribute) \
    X(ldap_next_attribute) X(ldap_get_values_len) X(ldap_value_free_len) X(ldap_memfree) X(ldap_err2string) X(ldap_is_ldap_url) \
    X(ldap_url_parse) X(ldap_free_urldesc) X(ber_free) X(ber_pvt_opt_on)
static struct { FUNCTIONS(LIBRARY_MEMBER) } ldap;
#define SYMBOL(name) {#name, &ldap.name},
static const struct library_symbol symbols[] = {FUNCTIONS(SYMBOL) {0}};
static const struct library library = {"libldap-2.5.so.0", "libldap-2.5-0", symbols};

enum bind_kind { BIND_NONE, BIND_SIMPLE, BIND_SASL };
enum attribute_kind { ATTRIBUTE_OTHER, ATTRIBUTE_RESULT, ATTRIBUTE_SPECIAL, ATTRIBUTE_LEAF, ATTRIBUTE_TERMINAL };
enum { ATTRIBUTES_MAX = 100 };

struct ldap_table {
    struct client_settings *settings;
    struct query query;
    char *uri;
    const char *base, *bind_dn, *bind_password;
    const char *mechanisms, *realm, *authorization;
    int version, scope, dereference, minimum_ssf;
    enum bind_kind bind;
    bool start_tls, chase_referrals, require_certificate;
    struct timeval timeout;
    int64_t recursion_limit, size_limit;
    char *attributes[ATTRIBUTES_MAX + 1]; /* what is asked for; NULL ends it */
    enum attribute_kind kinds[ATTRIBUTES_MAX];
    size_t attribute_count;
    LDAP *connection;
    struct backoff backoff;
};

static void disconnect(struct ldap_table *l)
{
    if (l->connection)
        ldap.ldap_unbind_ext_s(l->connection, NULL, NULL);
    l->connection = NULL;
}

static void close_table(void *state)
{
    struct ldap_table *l = state;
    disconnect(l);
    for (size_t i = 0; i < l->attribute_count; i++)
        free(l->attributes[i]);
    free(l->uri);
    query_release(&l->query);
    client_settings_free(l->settings);
    free(l);
}

/* ---- the definition ----------------------------------------------------------------------------------------------- */

/* make_uri - server_host is a list of hosts, hosts with ports, or URLs. */
static void make_uri(struct ldap_table *l)
{
    struct slice rest = slice_of(client_string(l->settings, "server_host", "localhost")), host;
    int64_t port = client_number(l->settings, "server_port", 389, 1, 65535);
    struct buffer uri = BUFFER_INIT;
    while (config_list_next(&rest, &host)) {
        if (uri.len)
            buffer_append_byte(&uri, ' ');
        if (slice_search(host, SLICE("://")) < host.len)
            buffer_append_slice(&uri, host);
        else if (slice_find(host, ':') < host.len)
            buffer_printf(&uri, "ldap://" SLICE_FORMAT, SLICE_ARGS(host));
        else
            buffer_printf(&uri, "ldap://" SLICE_FORMAT ":%d", SLICE_ARGS(host), (int)port);
    }
    l->uri = buffer_steal(&uri);
}

static void add_attributes(struct ldap_table *l, const char *list, enum attribute_kind kind)
{
    struct slice rest = slice_of(list), name;
    while (l->attribute_count < ATTRIBUTES_MAX && config_list_next(&rest, &name)) {
        l->kinds[l->attribute_count] = kind;
        l->attributes[l->attribute_count++] = slice_string(name);
    }
}

/* choose - the position of a word in a NULL-ended list; -1 after table_fail. */
static int choose(struct table *table, const char *name, const char *value, const char *const *words)
{
    for (int i = 0; words[i]; i++)
        if (strcasecmp(value, words[i]) == 0)
            return i;
    table_fail(table, "%s: %s: bad value \"%s\"", table->name, name, value);
    return -1;
}

static bool read_words(struct ldap_table *l, struct table *table)
{
    static const char *const scopes[] = {"base", "one", "sub", NULL};
    static const int scope_numbers[] = {LDAP_SCOPE_BASE, LDAP_SCOPE_ONELEVEL, LDAP_SCOPE_SUBTREE};
    static const char *const binds[] = {"no", "none", "yes", "simple", "sasl", NULL};
    static const enum bind_kind bind_kinds[] = {BIND_NONE, BIND_NONE, BIND_SIMPLE, BIND_SIMPLE, BIND_SASL};
    int scope = choose(table, "scope", client_string(l->settings, "scope", "sub"), scopes);
    int bind = scope < 0 ? -1 : choose(table, "bind", client_string(l->settings, "bind", "yes"), binds);
    if (bind < 0)
        return false;
    l->scope = scope_numbers[scope];
    l->bind = bind_kinds[bind];
#ifndef HAVE_SASL
    if (l->bind == BIND_SASL)
        return table_fail(table, "%s: bind = sasl: this program was built without libsasl2-dev", table->name), false;
#endif
    return true;
}

static void read_settings(struct ldap_table *l)
{
    struct client_settings *settings = l->settings;
    make_uri(l);
    l->base = client_string(settings, "search_base", "");
    l->bind_dn = client_string(settings, "bind_dn", "");
    l->bind_password = client_string(settings, "bind_pw", "");
    l->mechanisms = client_string(settings, "sasl_mechs", "");
    l->realm = client_string(settings, "sasl_realm", "");
    l->authorization = client_string(settings, "sasl_authz_id", "");
    l->minimum_ssf = (int)client_number(settings, "sasl_minssf", 0, 0, 4096);
    l->version = (int)client_number(settings, "version", 2, 2, 3);
    l->dereference = (int)client_number(settings, "dereference", 0, 0, 3);
    l->start_tls = client_bool(settings, "start_tls", false);
    l->chase_referrals = client_bool(settings, "chase_referrals", false);
    l->require_certificate = client_bool(settings, "tls_require_cert", false);
    l->timeout.tv_sec = (time_t)client_number(settings, "timeout", 10, 0, 3600);
    l->recursion_limit = client_number(settings, "recursion_limit", 1000, 1, 10000);
    l->query.template = client_string(settings, "query_filter", "(mailacceptinggeneralid=%s)");
    add_attributes(l, client_string(settings, "terminal_result_attribute", ""), ATTRIBUTE_TERMINAL);
    add_attributes(l, client_string(settings, "leaf_result_attribute", ""), ATTRIBUTE_LEAF);
    add_attributes(l, client_string(settings, "result_attribute", "maildrop"), ATTRIBUTE_RESULT);
    add_attributes(l, client_string(settings, "special_result_attribute", ""), ATTRIBUTE_SPECIAL);
}

static bool open_table(struct table *table)
{
    struct ldap_table *l = memory_zalloc(1, sizeof(*l));
    bool ok = library_load(table, &library) && (l->settings = client_settings_open(table)) != NULL;
    if (ok) {
        read_settings(l);
        query_open(&l->query, table, l->settings, client_string(l->settings, "result_filter", "%s"));
        l->size_limit = client_number(l->settings, "size_limit", l->query.expansion_limit, 0, INT32_MAX);
        ok = read_words(l, table) && client_settings_good(l->settings, table);
    }
    if (ok && l->start_tls && l->version < 3) {
        log_warning("%s start_tls requires protocol version 3", table->name);
        l->version = 3;
    }
    if (ok)
        table->state = l;
    else
        close_table(l);
    return ok;
}

/* ---- connecting --------------------------------------------------------------------------------------------------- */

static void set_string(LDAP *connection, int option, struct client_settings *settings, const char *name)
{
    const char *value = client_string(settings, name, "");
    if (*value)
        ldap.ldap_set_option(connection, option, value);
}

static void set_options(const struct ldap_table *l, LDAP *connection)
{
    int debug = (int)client_number(l->settings, "debuglevel", 0, 0, INT32_MAX), zero = 0;
    int require = l->require_certificate ? LDAP_OPT_X_TLS_DEMAND : LDAP_OPT_X_TLS_NEVER;
    ldap.ldap_set_option(connection, LDAP_OPT_PROTOCOL_VERSION, &l->version);
    ldap.ldap_set_option(connection, LDAP_OPT_NETWORK_TIMEOUT, &l->timeout);
    ldap.ldap_set_option(connection, LDAP_OPT_TIMEOUT, &l->timeout);
    ldap.ldap_set_option(connection, LDAP_OPT_DEREF, &l->dereference);
    ldap.ldap_set_option(connection, LDAP_OPT_REFERRALS, l->chase_referrals ? (void *)ldap.ber_pvt_opt_on : LDAP_OPT_OFF);
    if (debug)
        ldap.ldap_set_option(connection, LDAP_OPT_DEBUG_LEVEL, &debug);
    set_string(connection, LDAP_OPT_X_TLS_CACERTFILE, l->settings, "tls_ca_cert_file");
    set_string(connection, LDAP_OPT_X_TLS_CACERTDIR, l->settings, "tls_ca_cert_dir");
    set_string(connection, LDAP_OPT_X_TLS_CERTFILE, l->settings, "tls_cert");
    set_string(connection, LDAP_OPT_X_TLS_KEYFILE, l->settings, "tls_key");
    set_string(connection, LDAP_OPT_X_TLS_CIPHER_SUITE, l->settings, "tls_cipher_suite");
    ldap.ldap_set_option(connection, LDAP_OPT_X_TLS_REQUIRE_CERT, &require);
    ldap.ldap_set_option(connection, LDAP_OPT_X_TLS_NEWCTX, &zero);
}

#ifdef HAVE_SASL
static int answer_sasl(LDAP *connection UNUSED, unsigned flags UNUSED, void *context, void *questions)
{
    const struct ldap_table *l = context;
    for (sasl_interact_t *question = questions; question->id != SASL_CB_LIST_END; question++) {
        const char *answer = question->id == SASL_CB_AUTHNAME ? l->bind_dn : question->id == SASL_CB_PASS ? l->bind_password
                             : question->id == SASL_CB_GETREALM ? l->realm : question->id == SASL_CB_USER ? l->authorization : "";
        question->result = *answer || !question->defresult ? answer : question->defresult;
        question->len = (unsigned)strlen(question->result);
    }
    return LDAP_SUCCESS;
}

static int bind_by_sasl(struct ldap_table *l)
{
    if (l->minimum_ssf) {
        struct buffer properties = BUFFER_INIT;
        buffer_printf(&properties, "minssf=%d", l->minimum_ssf);
        ldap.ldap_set_option(l->connection, LDAP_OPT_X_SASL_SECPROPS, buffer_string(&properties));
        buffer_release(&properties);
    }
    return ldap.ldap_sasl_interactive_bind_s(l->connection, NULL, *l->mechanisms ? l->mechanisms : NULL, NULL, NULL, LDAP_SASL_QUIET, answer_sasl, l);
}
#else
static int bind_by_sasl(struct ldap_table *l UNUSED)
{
    return LDAP_NOT_SUPPORTED;
}
#endif

static int bind_now(struct ldap_table *l)
{
    if (l->bind == BIND_SASL)
        return bind_by_sasl(l);
    bool named = l->bind == BIND_SIMPLE;
    struct berval password = {.bv_len = named ? strlen(l->bind_password) : 0, .bv_val = (char *)(uintptr_t)(named ? l->bind_password : "")};
    if (!named && l->version >= 3)
        return LDAP_SUCCESS;
    return ldap.ldap_sasl_bind_s(l->connection, named ? l->bind_dn : "", LDAP_SASL_SIMPLE, &password, NULL, NULL, NULL);
}

/* connect_now - LDAP_SUCCESS, or why not; *what says what was tried. */
static int connect_now(struct ldap_table *l, const char **what)
{
    *what = "initialize";
    int error = ldap.ldap_initialize(&l->connection, l->uri);
    if (error == LDAP_SUCCESS) {
        set_options(l, l->connection);
        *what = "set up STARTTLS";
        error = l->start_tls ? ldap.ldap_start_tls_s(l->connection, NULL, NULL) : LDAP_SUCCESS;
    }
    if (error == LDAP_SUCCESS) {
        *what = "bind to server";
        error = bind_now(l);
    }
    return error;
}

/* ready - false after table_fail. */
static bool ready(struct table *table, struct ldap_table *l)
{
    const char *what = "";
    if (l->connection)
        return true;
    if (!backoff_may_try(&l->backoff))
        return table_fail(table, "%s: the server did not answer a moment ago", table->name), false;
    int error = connect_now(l, &what);
    if (error == LDAP_SUCCESS) {
        backoff_worked(&l->backoff);
        return true;
    }
    log_warning("%s: Unable to %s %s as %s: %d (%s)", table->name, what, l->uri, l->bind_dn, error, ldap.ldap_err2string(error));
    backoff_failed(&l->backoff);
    disconnect(l);
    return table_fail(table, "%s: %s", table->name, ldap.ldap_err2string(error)), false;
}

/* ---- quoting ------------------------------------------------------------------------------------------------------ */

/* quote_filter - RFC 4515. */
static void quote_filter(void *context, struct slice text, struct buffer *out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (memchr("*()\\", text.data[i], 5)) /* and NUL */
            buffer_printf(out, "\\%02x", (unsigned char)text.data[i]);
        else
            buffer_append_byte(out, text.data[i]);
    }
}

/* quote_dn - RFC 4514. */
static void quote_dn(void *context, struct slice text, struct buffer *out)
{
    for (size_t i = 0; i < text.len; i++) {
        bool at_edge = (i == 0 && (text.data[i] == ' ' || text.data[i] == '#')) || (i + 1 == text.len && text.data[i] == ' ');
        if (at_edge || memchr(",+\"\\<>;=", text.data[i], 8))
            buffer_append_byte(out, '\\');
        buffer_append_byte(out, text.data[i]);
    }
}

/* ---- searching ---------------------------------------------------------------------------------------------------- */

struct search {
    struct table *table;
    struct ldap_table *l;
    struct slice key;
    struct buffer *value;
    int64_t count;
    int error; /* of the server, not LDAP_SUCCESS: the connection is looked at */
};

static bool search_below(struct search *s, const char *base, int scope, const char *filter, char **attributes, int64_t depth);

static enum attribute_kind kind_of(const struct ldap_table *l, const char *name)
{
    for (size_t i = 0; i < l->attribute_count; i++)
        if (strcasecmp(name, l->attributes[i]) == 0)
            return l->kinds[i];
    return ATTRIBUTE_OTHER;
}

/* follow - the entries that a DN or a URL stands for.  False after table_fail. */
static bool follow(struct search *s, const char *target, int64_t depth)
{
    LDAPURLDesc *url;
    if (depth > s->l->recursion_limit) {
        log_warning("%s: %s: Recursion limit exceeded for key: '" SLICE_FORMAT "'", s->table->driver->type, s->table->argument, SLICE_ARGS(s->key));
        return table_fail(s->table, "recursion limit exceeded"), false;
    }
    if (!ldap.ldap_is_ldap_url(target))
        return search_below(s, target, LDAP_SCOPE_BASE, "(objectclass=*)", s->l->attributes, depth);
    if (ldap.ldap_url_parse(target, &url) != LDAP_SUCCESS) {
        log_warning("%s: %s is no good LDAP URL", s->table->name, target);
        return table_fail(s->table, "bad LDAP URL"), false;
    }
    bool ok = search_below(s, url->lud_dn ? url->lud_dn : "", url->lud_scope < 0 ? LDAP_SCOPE_BASE : url->lud_scope,
                           url->lud_filter ? url->lud_filter : "(objectclass=*)", url->lud_attrs ? url->lud_attrs : s->l->attributes, depth);
    ldap.ldap_free_urldesc(url);
    return ok;
}

static bool take_values(struct search *s, LDAPMessage *entry, const char *name, enum attribute_kind kind, int64_t depth)
{
    struct berval **values = ldap.ldap_get_values_len(s->l->connection, entry, name);
    bool ok = true;
    for (size_t i = 0; ok && values && values[i]; i++) {
        struct slice text = slice_make(values[i]->bv_val, values[i]->bv_len);
        if (kind == ATTRIBUTE_SPECIAL) {
            char *target = slice_string(text);
            ok = follow(s, target, depth + 1);
            free(target);
        } else {
            ok = query_add_result(&s->l->query, s->table, s->key, text, &s->count, s->value);
        }
    }
    ldap.ldap_value_free_len(values);
    return ok;
}

/* each_attribute - take what the entry has; wanted is a set of kinds (bits).  found collects the kinds that are there. */
static bool each_attribute(struct search *s, LDAPMessage *entry, unsigned wanted, int64_t depth, unsigned *found)
{
    BerElement *position = NULL;
    bool ok = true;
    char *name = ldap.ldap_first_attribute(s->l->connection, entry, &position);
    while (name) {
        enum attribute_kind kind = kind_of(s->l, name);
        *found |= 1U << kind;
        if (ok && kind != ATTRIBUTE_OTHER && (wanted & (1U << kind)))
            ok = take_values(s, entry, name, kind, depth);
        ldap.ldap_memfree(name);
        name = ldap.ldap_next_attribute(s->l->connection, entry, position);
    }
    if (position)
        ldap.ber_free(position, 0);
    return ok;
}

/* take_entry - a terminal attribute stands for the whole entry; a leaf attribute counts only where no special one leads on. */
static bool take_entry(struct search *s, LDAPMessage *entry, int64_t depth)
{
    unsigned found = 0, ignored = 0, wanted = 1U << ATTRIBUTE_RESULT | 1U << ATTRIBUTE_SPECIAL;
    (void)each_attribute(s, entry, 0, depth, &found);
    if (found & (1U << ATTRIBUTE_TERMINAL))
        wanted = 1U << ATTRIBUTE_TERMINAL;
    else if (!(found & (1U << ATTRIBUTE_SPECIAL)))
        wanted |= 1U << ATTRIBUTE_LEAF;
    return each_attribute(s, entry, wanted, depth, &ignored);
}

static bool refused(struct search *s, int error)
{
    if (error == LDAP_NO_SUCH_OBJECT)
        return true;
    if (error == LDAP_SIZELIMIT_EXCEEDED) {
        log_warning("%s: %s: more than %d entries for key: '" SLICE_FORMAT "'", s->table->driver->type, s->table->argument, (int)s->l->size_limit,
                    SLICE_ARGS(s->key));
        return table_fail(s->table, "size limit exceeded"), false;
    }
    s->error = error;
    return table_fail(s->table, "%s: %s", s->table->name, ldap.ldap_err2string(error)), false;
}

static bool search_below(struct search *s, const char *base, int scope, const char *filter, char **attributes, int64_t depth)
{
    struct timeval timeout = s->l->timeout;
    LDAPMessage *answer = NULL;
    int error = ldap.ldap_search_ext_s(s->l->connection, base, scope, filter, attributes, 0, NULL, NULL, &timeout, (int)s->l->size_limit, &answer);
    bool ok = error == LDAP_SUCCESS || refused(s, error);
    for (LDAPMessage *entry = ok ? ldap.ldap_first_entry(s->l->connection, answer) : NULL; ok && entry;
         entry = ldap.ldap_next_entry(s->l->connection, entry))
        ok = take_entry(s, entry, depth);
    ldap.ldap_msgfree(answer);
    return ok;
}

/* ask - twice when the first connection may have ended while nobody used it. */
static enum table_result ask(struct table *table, const char *base, const char *filter, struct slice key, struct buffer *value)
{
    struct ldap_table *l = table->state;
    for (;;) {
        struct search search = {.table = table, .l = l, .key = key, .value = value};
        bool is_old = l->connection != NULL;
        if (!ready(table, l))
            return TABLE_TRY_AGAIN;
        if (search_below(&search, base, l->scope, filter, l->attributes, 0))
            return value->len > 0 ? TABLE_FOUND : TABLE_NOT_FOUND;
        buffer_clear(value);
        if (search.error == LDAP_SUCCESS)
            return TABLE_TRY_AGAIN;
        disconnect(l);
        if (is_old && search.error == LDAP_SERVER_DOWN)
            continue;
        log_warning("%s: Search error %d: %s", table->name, search.error, ldap.ldap_err2string(search.error));
        backoff_failed(&l->backoff);
        return TABLE_TRY_AGAIN;
    }
}

static enum table_result lookup(struct table *table, struct slice key, struct buffer *value)
{
    struct ldap_table *l = table->state;
    struct buffer filter = BUFFER_INIT, base = BUFFER_INIT;
    enum table_result result = query_wanted(&l->query, table, key);
    if (result == TABLE_FOUND) {
        bool is_query = query_expand(l->query.template, key, quote_filter, NULL, &filter) && query_expand(l->base, key, quote_dn, NULL, &base);
        result = is_query ? ask(table, buffer_string(&base), buffer_string(&filter), key, value) : TABLE_NOT_FOUND;
    }
    buffer_release(&filter);
    buffer_release(&base);
    return result;
}

const struct table_driver table_driver_ldap = {"ldap", DRIVER_AS_IS | DRIVER_BLOCKS, open_table, close_table, lookup, NULL, NULL, NULL};

#else

static bool open_table(struct table *table)
{
    return library_not_built(table, "libldap-dev");
}

const struct table_driver table_driver_ldap = {"ldap", DRIVER_AS_IS | DRIVER_HIDDEN, open_table, NULL, NULL, NULL, NULL, NULL};
#endif
