/* session.c - a session with all filters: each stage is told to one after the other until one objects */
#include "milter/private.h"

/* ---- beginning and end ---- */

static void add(struct milters *m, struct milter *f)
{
    m->filters = memory_resize(m->filters, (m->count + 1) * sizeof(struct milter *));
    m->filters[m->count++] = f;
}

struct milters *milters_new(struct milter_list *list, milter_macro_value *macro, void *context)
{
    struct milters *m = memory_zalloc(1, sizeof(*m));

    m->list = list;
    m->macro = macro;
    m->context = context;
    for (size_t i = 0; list && i < list->count; i++) {
        const struct milter_endpoint *e = &list->endpoints[i];
        struct milter *f = milter_new(m, e->text);
        f->endpoint = e;
        f->command_timeout = e->command_timeout;
        f->content_timeout = e->content_timeout;
        f->default_action = memory_string(e->default_action);
        add(m, f);
    }
    return m;
}

void milters_free(struct milters *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->count; i++)
        milter_free(m->filters[i]);
    free(m->filters);
    free(m);
}

/* ---- one stage ---- */

struct stage {
    char command;
    enum milter_stage macros;
    uint32_t no, silent;   /* STEP_ bits: not told; told and not answered */
    uint32_t version;      /* of the protocol, that knows it */
    bool for_session;
};

static const struct stage connect_stage = {'C', STAGE_CONNECT, STEP_NO_CONNECT, STEP_SILENT_CONNECT, 2, true},
                          helo_stage = {'H', STAGE_HELO, STEP_NO_HELO, STEP_SILENT_HELO, 2, true},
                          mail_stage = {'M', STAGE_MAIL, STEP_NO_MAIL, STEP_SILENT_MAIL, 2, false},
                          rcpt_stage = {'R', STAGE_RCPT, STEP_NO_RCPT, STEP_SILENT_RCPT, 2, false},
                          data_stage = {'T', STAGE_DATA, STEP_NO_DATA, STEP_SILENT_DATA, 4, false},
                          unknown_stage = {'U', STAGE_UNKNOWN, STEP_NO_UNKNOWN, STEP_SILENT_UNKNOWN, 3, false};

/* is_deaf - the filter is not told; it may have an answer for all times. */
static bool is_deaf(const struct milter *f, const struct stage *stage, struct milter_outcome *outcome)
{
    if (f->state == MILTER_HAS_LEFT && f->settled)
        *outcome = *f->settled;
    return f->state != MILTER_IS_OPEN || f->version < stage->version || (f->skipped & stage->no);
}

static void tell(struct milter *f, const struct stage *stage, struct slice data, struct milter_outcome *outcome)
{
    struct buffer macros = BUFFER_INIT_MAX(65536);
    bool skip = false;

    outcome->verdict = MILTER_CONTINUE;
    if (f->state == MILTER_IS_NEW && stage == &connect_stage)
        milter_open(f, outcome); /* a failure is settled: is_deaf tells */
    if (is_deaf(f, stage, outcome))
        return;
    milter_macros(f, stage->macros, &macros);
    if (f->steps & stage->no) {
        milter_send_macros(f, stage->command, &macros); /* the reference tells them also where nothing else is told of the stage */
    } else {
        milter_send(f, stage->command, &macros, data);
        if (!(f->steps & stage->silent))
            milter_await(f, stage->command, f->command_timeout, stage->for_session, &skip, outcome);
        f->skipped |= skip ? stage->no : 0;
    }
    buffer_release(&macros);
}

/* tell_all - a refusal ends the round; a message that goes on hold is shown to the others nevertheless. */
static void tell_all(struct milters *m, const struct stage *stage, struct slice data, struct milter_outcome *outcome)
{
    struct milter_outcome one;

    outcome->verdict = MILTER_CONTINUE;
    for (size_t i = 0; i < m->count; i++) {
        tell(m->filters[i], stage, data, &one);
        if (one.verdict == MILTER_CONTINUE)
            continue;
        *outcome = one;
        if (one.verdict != MILTER_HOLD)
            return;
    }
}

void milters_connect(struct milters *m, struct slice name, char family, uint16_t port, struct slice address, struct milter_outcome *outcome)
{
    struct buffer data = BUFFER_INIT_MAX(65536);

    milter_put_text(&data, name);
    buffer_append_byte(&data, family);
    if (family != 'U') {
        buffer_append_byte(&data, (char)(port >> 8));
        buffer_append_byte(&data, (char)port);
        milter_put_text(&data, address);
    }
    tell_all(m, &connect_stage, buffer_slice(&data), outcome);
    buffer_release(&data);
}

void milters_helo(struct milters *m, struct slice name, struct milter_outcome *outcome)
{
    struct buffer data = BUFFER_INIT_MAX(65536);

    milter_put_text(&data, name);
    tell_all(m, &helo_stage, buffer_slice(&data), outcome);
    buffer_release(&data);
}

/* put_address - the address and each ESMTP parameter, a string each. */
static void put_address(struct buffer *data, struct slice address, struct slice parameters)
{
    struct slice word;

    milter_put_text(data, address);
    while (slice_next_token(&parameters, " \t", &word))
        milter_put_text(data, word);
}

void milters_mail(struct milters *m, struct slice address, struct slice parameters, struct milter_outcome *outcome)
{
    struct buffer data = BUFFER_INIT_MAX(65536);

    m->in_mail = true;
    put_address(&data, address, parameters);
    tell_all(m, &mail_stage, buffer_slice(&data), outcome);
    buffer_release(&data);
}

void milters_rcpt(struct milters *m, struct slice address, struct slice parameters, struct milter_outcome *outcome)
{
    struct buffer data = BUFFER_INIT_MAX(65536);

    put_address(&data, address, parameters);
    tell_all(m, &rcpt_stage, buffer_slice(&data), outcome);
    buffer_release(&data);
}

void milters_rejected_rcpt(struct milters *m, struct slice address, struct slice parameters)
{
    struct buffer data = BUFFER_INIT_MAX(65536);
    struct milter_outcome ignored;

    put_address(&data, address, parameters);
    for (size_t i = 0; i < m->count; i++)
        if (m->filters[i]->steps & STEP_REJECTED_RCPT)
            tell(m->filters[i], &rcpt_stage, buffer_slice(&data), &ignored);
    buffer_release(&data);
}

void milters_data(struct milters *m, struct milter_outcome *outcome)
{
    tell_all(m, &data_stage, (struct slice){0}, outcome);
}

void milters_unknown(struct milters *m, struct slice line, struct milter_outcome *outcome)
{
    struct buffer data = BUFFER_INIT_MAX(65536);

    milter_put_text(&data, line);
    tell_all(m, &unknown_stage, buffer_slice(&data), outcome);
    for (size_t i = 0; i < m->count; i++)
        if (m->filters[i]->state == MILTER_HAS_DECIDED && !m->in_mail)
            m->filters[i]->state = MILTER_IS_OPEN; /* there is no message that "accept" could be about */
    buffer_release(&data);
}

void milters_settled(struct milters *m, struct milter_outcome *outcome)
{
    outcome->verdict = MILTER_CONTINUE;
    for (size_t i = 0; i < m->count && outcome->verdict != MILTER_REJECT; i++)
        if (m->filters[i]->state == MILTER_HAS_LEFT && m->filters[i]->settled)
            *outcome = *m->filters[i]->settled;
}

/* ---- ends ---- */

static void say(struct milter *f, char command, int64_t timeout)
{
    milter_send(f, command, NULL, (struct slice){0});
    stream_set_deadline(f->stream, clock_after(timeout));
    stream_flush(f->stream);
}

void milters_lose_content(struct milters *m)
{
    struct milter_outcome settled;

    for (size_t i = 0; i < m->count; i++) {
        struct milter *f = m->filters[i];
        if (f->state != MILTER_IS_OPEN)
            continue;
        log_warning("milter %s: its dialogue about a message broke off: ending its session", f->name);
        shutdown(stream_fd(f->stream), SHUT_RDWR); /* who has a descriptor of it still shall see that too */
        milter_fail(f, &settled);
    }
}

void milters_abort(struct milters *m)
{
    m->in_mail = false;
    for (size_t i = 0; i < m->count; i++) {
        struct milter *f = m->filters[i];
        if (!f->stream)
            continue;
        say(f, 'A', f->command_timeout);
        f->state = MILTER_IS_OPEN;
        f->skipped = 0;
    }
}

void milters_quit(struct milters *m)
{
    for (size_t i = 0; i < m->count; i++) {
        struct milter *f = m->filters[i];
        if (f->stream)
            say(f, 'Q', MICROSECONDS);
        milter_leave(f, NULL);
    }
}

void milters_restart(struct milters *m)
{
    milters_quit(m);
    for (size_t i = 0; i < m->count; i++)
        m->filters[i]->state = MILTER_IS_NEW;
}

/* ---- from smtpd to cleanup ---- */

static void hand_over(struct milter *f, void (*send)(void *context, const struct submit_milter *message, int fd), void *context)
{
    struct buffer header = BUFFER_INIT, message = BUFFER_INIT;

    milter_macros(f, STAGE_END_OF_HEADER, &header);
    milter_macros(f, STAGE_END_OF_MESSAGE, &message);
    struct submit_milter m = {.endpoint = slice_of(f->name), .steps = f->steps, .command_timeout = f->command_timeout,
                              .content_timeout = f->content_timeout, .default_action = slice_of(f->default_action),
                              .header_macros = buffer_slice(&header), .message_macros = buffer_slice(&message)};
    stream_set_deadline(f->stream, clock_after(f->command_timeout));
    stream_flush(f->stream); /* an error shows itself in cleanup, or at the next command */
    bool in_step = stream_buffered(f->stream) == 0;
    if (!in_step)
        log_warning("milter %s: speaks without being asked", f->name);
    send(context, &m, in_step ? stream_fd(f->stream) : -1);
    buffer_release(&header);
    buffer_release(&message);
}

void milters_hand_over(struct milters *m, void (*send)(void *context, const struct submit_milter *message, int fd), void *context)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->filters[i]->state == MILTER_IS_OPEN)
            hand_over(m->filters[i], send, context);
}

void milters_take(struct milters *m, const struct submit_milter *message, int fd)
{
    char *name = slice_string(message->endpoint);
    struct milter *f = milter_new(m, name);
    struct milter_outcome failed;

    free(name);
    f->steps = (uint32_t)message->steps;
    f->command_timeout = message->command_timeout;
    f->content_timeout = message->content_timeout;
    f->default_action = slice_string(message->default_action);
    buffer_append_slice(&f->header_macros, message->header_macros);
    buffer_append_slice(&f->message_macros, message->message_macros);
    add(m, f);
    f->state = MILTER_IS_OPEN;
    if (fd < 0) {
        milter_fail(f, &failed);
        return;
    }
    net_set_nonblocking(fd);
    f->stream = stream_new_fd(fd);
}
