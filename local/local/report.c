/* report.c - results, duplicates, accounts, macros: what the parts of local(8) share */
#include "local.h"

#include "address/mail_address.h"
#include "base/log.h"

void report(struct job *job, struct slice address, const struct delivery_status *status)
{
    struct delivery_status shown = *status;

    shown.relay = "local";
    shown.address = address.len > 0 ? address : job->delivery->recipients[job->recipient].address;
    if (shown.action == NULL && shown.outcome == OUTCOME_SENT)
        shown.action = "delivered";
    shown.original_hidden = !slice_equal(job->sender, job->delivery->request->envelope.sender);
    if (shown.outcome == OUTCOME_BOUNCED && owner_hears(job, shown.address, &shown))
        return;
    if (shown.outcome == OUTCOME_SENT)
        shown.notice_passed_on = job->expanded;
    if (shown.outcome == OUTCOME_DEFERRED)
        job->deferred = true;
    delivery_result(job->delivery, job->recipient, &shown);
}

void report_format(struct job *job, struct slice address, int outcome, const char *code, const char *format, ...)
{
    struct buffer reason = BUFFER_INIT;
    va_list args;

    va_start(args, format);
    buffer_vprintf(&reason, format, args);
    va_end(args);
    struct delivery_status status = {.outcome = outcome, .status = code, .reason = arena_slice(job->arena, buffer_slice(&reason))};
    buffer_release(&reason);
    report(job, address, &status);
}

bool report_expansion_begin(struct job *job)
{
    bool begins = !job->probe && !job->expanded && (job->delivery->recipients[job->recipient].notify & NOTIFY_SUCCESS);

    job->expanded = job->expanded || begins;
    return begins;
}

void report_expansion_end(struct job *job, struct slice address, const char *action)
{
    struct delivery_result result = {.outcome = OUTCOME_SENT, .status = SLICE("2.0.0"), .action = slice_of(action), .reason = SLICE("alias expanded"),
                                     .relay = SLICE("local"), .address = address};

    if (!job->deferred) /* else all of it is tried again, and told of then */
        delivery_result_relay(job->delivery, job->recipient, &result);
}

bool seen(struct job *job, const char *kind, struct slice what, uid_t uid)
{
    struct buffer key = BUFFER_INIT;
    bool known;

    buffer_printf(&key, "%s %u ", kind, (unsigned)uid);
    buffer_append_slice(&key, what);
    known = map_get(job->done, buffer_slice(&key)) != NULL;
    if (!known && (job->params->duplicate_filter_limit == 0 || (int64_t)map_count(job->done) < job->params->duplicate_filter_limit))
        map_set(job->done, buffer_slice(&key), job);
    buffer_release(&key);
    return known;
}

int account_find(struct job *job, struct slice user, struct account *account)
{
    struct passwd entry, *found = NULL;

    if (job->account.exists && slice_equal(slice_of(job->account.name), user)) {
        *account = job->account;
        return 1;
    }
    char *name = arena_string(job->arena, user), *memory = arena_bytes(job->arena, 16384);
    memset(account, 0, sizeof(*account));
    if (user.len == 0 || memchr(user.data, '\0', user.len) != NULL || memchr(user.data, '/', user.len) != NULL)
        return 0;
    int error = getpwnam_r(name, &entry, memory, 16384, &found);
    if (found == NULL)
        return error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM ? 0 : -1;
    job->account = *account = (struct account){name, entry.pw_dir, entry.pw_shell, entry.pw_uid, entry.pw_gid, true};
    return 1;
}

struct macros {
    struct job *job;
    const struct target *target;
    const struct account *account;
    const char *filter;
    bool undefined;
};

static const char *macro_value(struct macros *m, struct slice name)
{
    struct arena *arena = m->job->arena;

    if (slice_equal(name, SLICE("user")))
        return arena_string(arena, m->target->user);
    if (slice_equal(name, SLICE("home")))
        return m->account != NULL && m->account->home != NULL ? m->account->home : "";
    if (slice_equal(name, SLICE("shell")))
        return m->account != NULL && m->account->shell != NULL ? m->account->shell : "";
    if (slice_equal(name, SLICE("recipient")))
        return arena_string(arena, m->target->address);
    if (slice_equal(name, SLICE("extension")))
        return arena_string(arena, m->target->extension);
    if (slice_equal(name, SLICE("domain")))
        return arena_string(arena, mail_address_domain(m->target->address));
    if (slice_equal(name, SLICE("local")))
        return arena_string(arena, m->target->local);
    if (slice_equal(name, SLICE("recipient_delimiter"))) {
        /* the delimiter that was used, when there is an extension */
        if (m->target->extension.len > 0 && m->target->local.len > m->target->user.len)
            return arena_string(arena, slice_first(slice_from(m->target->local, m->target->user.len), 1));
        return arena_string(arena, slice_first(slice_of(m->job->params->recipient_delimiter), 1));
    }
    return NULL;
}

static const char *macro_lookup(void *context, struct slice name)
{
    struct macros *m = context;
    const char *value = macro_value(m, name);

    if (value == NULL)
        return NULL;
    if (value[0] == '\0')
        m->undefined = true;
    if (m->filter == NULL)
        return value;
    char *clean = arena_strdup(m->job->arena, value);
    for (char *at = clean; *at != '\0'; at++)
        if (strchr(m->filter, *at) == NULL)
            *at = '_';
    return clean;
}

char *macro_expand(struct job *job, const struct target *target, const struct account *account, const char *text, const char *filter, bool *undefined)
{
    struct macros m = {job, target, account, filter, false};
    struct buffer out = BUFFER_INIT, error = BUFFER_INIT;
    char *result = NULL;

    if (config_expand_with(slice_of(text), macro_lookup, &m, &out, &error))
        result = arena_string(job->arena, buffer_slice(&out));
    else
        log_warning("bad macro in \"%s\": %s", text, buffer_string(&error));
    if (undefined != NULL)
        *undefined = m.undefined;
    buffer_release(&out);
    buffer_release(&error);
    return result;
}
