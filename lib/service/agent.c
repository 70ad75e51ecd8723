/* agent.c - delivery agents: requests from qmgr on lanes, a result for every recipient

   The message's content comes as an open file.  Segments are large and shared by many messages, so the open files are kept, one per
   segment however many lanes use it. */
#include <sys/stat.h>

#include "base/log.h"
#include "service/agent.h"
#include "service/statistics.h"
#include "service/status_filter.h"

static const int64_t hello_timeout = 10 * MICROSECONDS, reply_timeout = 100 * MICROSECONDS;

/* An open content file, shared by the lanes of this process. */
struct content_file {
    struct list link;
    dev_t device;
    ino_t inode;
    int fd;
    unsigned users;
};

/* What one lane keeps between its requests. */
struct agent_lane {
    struct service_client *client;
    struct service_context *context;
    struct lane *lane;
    void *state;
    int64_t content_key;
    struct content_file *content;
};

static struct agent agent;     /* a copy, with serve filled in */
static bool soft_bounce;
static struct list content_files = {&content_files, &content_files};

/* ---- content files ------------------------------------------------------------------------------------------------ */

static void content_release(struct content_file *file)
{
    if (!file || --file->users)
        return;
    list_remove(&file->link);
    close(file->fd);
    free(file);
}

/* content_take - the shared entry of this file; takes the descriptor over. */
static struct content_file *content_take(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return NULL;
    }
    LIST_EACH(&content_files, link) {
        struct content_file *file = LIST_ENTRY(link, struct content_file, link);
        if (file->inode == st.st_ino && file->device == st.st_dev) {
            close(fd);
            file->users++;
            return file;
        }
    }
    struct content_file *file = memory_zalloc(1, sizeof(*file));
    *file = (struct content_file){.device = st.st_dev, .inode = st.st_ino, .fd = fd, .users = 1};
    list_append(&content_files, &file->link);
    return file;
}

/* lane_content - the content file of this request; false when qmgr and we do not agree. */
static bool lane_content(struct agent_lane *lane, const struct delivery_request *request)
{
    if (request->content_attached) {
        int fd = lane_take_fd(lane->lane);
        content_release(lane->content);
        lane->content = fd < 0 ? NULL : content_take(fd);
        lane->content_key = request->content_key;
    }
    return lane->content && lane->content_key == request->content_key;
}

bool content_read(const struct delivery *delivery, int64_t position, size_t max, struct buffer *out)
{
    if (position < 0 || position > delivery->content_length) {
        errno = EINVAL;
        return false;
    }
    if ((int64_t)max > delivery->content_length - position)
        max = (size_t)(delivery->content_length - position);
    while (max) {
        char *room = buffer_reserve(out, max);
        if (!room) {
            errno = ENOMEM;
            return false;
        }
        ssize_t n = pread(delivery->content_fd, room, max, delivery->content_offset + position);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n < 0 ? errno : EIO;
            return false;
        }
        buffer_commit(out, (size_t)n);
        position += n;
        max -= (size_t)n;
    }
    return true;
}

/* ---- results ------------------------------------------------------------------------------------------------------ */

static const char *default_action(int outcome)
{
    switch (outcome) {
    case OUTCOME_SENT: return "relayed";
    case OUTCOME_BOUNCED: return "failed";
    case OUTCOME_DELIVERABLE: return "deliverable";
    case OUTCOME_UNDELIVERABLE: return "undeliverable";
    default: return "delayed";
    }
}

/* softened - with soft_bounce=yes a failure is a delay, and its status code says so. */
static const char *softened(struct delivery *delivery, struct delivery_status *status)
{
    if (!soft_bounce || status->outcome != OUTCOME_BOUNCED)
        return status->status;
    status->outcome = OUTCOME_DEFERRED;
    status->soft_bounced = true;
    status->action = NULL;
    char *code = arena_strdup(delivery->arena, status->status);
    if (*code == '5')
        *code = '4';
    return code;
}

/* probe_outcome - a probe or sendmail -bv asks whether it could be delivered; "not now" counts as no. */
static int probe_outcome(int outcome)
{
    return outcome == OUTCOME_SENT ? OUTCOME_DELIVERABLE : outcome == OUTCOME_DELIVERABLE ? outcome : OUTCOME_UNDELIVERABLE;
}

static void log_result(const struct delivery *delivery, const struct recipient *recipient, const struct delivery_status *status)
{
    const struct delivery_request *request = delivery->request;
    struct delivery_times times = {.arrival = request->envelope.arrival_time,
                                   .active = request->active_time,
                                   .agent = delivery->agent_time,
                                   .connected = delivery->connected_time,
                                   .done = clock_wall()};
    delivery_log(request->envelope.queue_id, recipient, &times, delivery->connection_use, status);
    if (status->outcome >= OUTCOME_SENT && status->outcome <= OUTCOME_BOUNCED)
        statistics_add(STATISTIC_recipients_sent + status->outcome - OUTCOME_SENT, 1);
}

/* result_room - places made at first: a power of two, at least one per recipient. */
static size_t result_room(size_t recipients)
{
    size_t room = 1;
    while (room < recipients)
        room *= 2;
    return room;
}

/* make_room - an expansion gives more results than there are recipients: double at every power of two. */
static void make_room(struct delivery *delivery)
{
    size_t count = delivery->reply.results_count;
    if (count < result_room(delivery->recipient_count) || (count & (count - 1)) != 0)
        return;
    struct delivery_result *larger = arena_alloc(delivery->arena, 2 * count * sizeof(*larger));
    memcpy(larger, delivery->reply.results, count * sizeof(*larger));
    delivery->reply.results = larger;
}

static void add_result(struct delivery *delivery, const struct recipient *recipient, const struct delivery_status *status)
{
    struct arena *arena = delivery->arena;
    const char *action = status->action ? status->action : default_action(status->outcome);
    make_room(delivery);
    delivery->reply.results[delivery->reply.results_count++] = (struct delivery_result){
        .index = recipient->index,
        .outcome = status->outcome,
        .status = arena_slice(arena, slice_of(status->status)),
        .action = slice_of(arena_strdup(arena, action)),
        .reason = arena_slice(arena, slice_trim_right(status->reason)), /* the log has it as the command printed it */
        .relay = arena_slice(arena, slice_of(status->relay ? status->relay : "none")),
        .remote_mta = arena_slice(arena, slice_of(status->remote_mta)),
        .diagnostic_type = arena_slice(arena, slice_of(status->diagnostic_type)),
        .diagnostic = arena_slice(arena, status->diagnostic),
        .notice_passed_on = status->notice_passed_on,
        .address = arena_slice(arena, status->address),
    };
}

/* as_expanded - the recipient as it is shown when the agent's expansion gave another final address. */
static struct recipient as_expanded(const struct recipient *recipient, const struct delivery_status *status)
{
    struct recipient shown = *recipient;
    if (status->address.len > 0 && !slice_equal_case(status->address, recipient->address)) {
        shown.original = recipient_original(recipient);
        shown.address = status->address;
    }
    if (status->original_hidden)
        shown.original = (struct slice){0};
    return shown;
}

void delivery_result(struct delivery *delivery, size_t recipient, const struct delivery_status *status)
{
    if (recipient >= delivery->recipient_count || (delivery->settled[recipient] && status->address.len == 0))
        log_panic("delivery_result: recipient %zu of %zu", recipient, delivery->recipient_count);
    delivery->settled[recipient] = true;
    struct delivery_status final = *status;
    status_filter_apply(delivery->arena, &final);
    final.status = softened(delivery, &final);
    struct recipient shown_recipient = as_expanded(&delivery->recipients[recipient], status);
    if (delivery->request->flags & DELIVERY_PROBE) {
        struct delivery_status shown = final;
        shown.outcome = probe_outcome(final.outcome);
        log_result(delivery, &shown_recipient, &shown);
        /* A failure that may pass stays told apart for the verify cache. */
        if (final.outcome != OUTCOME_DEFERRED)
            final.outcome = shown.outcome;
        final.action = default_action(shown.outcome);
    } else {
        log_result(delivery, &shown_recipient, &final);
    }
    add_result(delivery, &delivery->recipients[recipient], &final);
}

void delivery_result_relay(struct delivery *delivery, size_t recipient, const struct delivery_result *result)
{
    if (recipient >= delivery->recipient_count)
        log_panic("delivery_result_relay: recipient %zu of %zu", recipient, delivery->recipient_count);
    delivery->settled[recipient] = true;
    make_room(delivery);
    struct delivery_result *copy = &delivery->reply.results[delivery->reply.results_count++];
    *copy = *result;
    copy->index = delivery->recipients[recipient].index;
}

void delivery_result_format(struct delivery *delivery, size_t recipient, int outcome, const char *status, const char *relay, const char *format, ...)
{
    struct buffer reason = BUFFER_INIT;
    va_list args;
    va_start(args, format);
    buffer_vprintf(&reason, format, args);
    va_end(args);
    delivery_result(delivery, recipient,
                    &(struct delivery_status){.outcome = outcome, .status = status, .relay = relay, .reason = buffer_slice(&reason)});
    buffer_release(&reason);
}

void delivery_written(struct delivery *delivery)
{
    if (!(delivery->request->flags & DELIVERY_TELL_WRITTEN) || delivery->recipient_count != 1)
        return;
    lane_send(delivery->lane, MESSAGE_delivery_written, &(struct delivery_written){0}, -1);
    if (!lane_flush(delivery->lane, clock_after(reply_timeout)))
        log_warning(SLICE_FORMAT ": qmgr went away in the middle of a delivery", SLICE_ARGS(delivery->request->envelope.queue_id));
}

/* settle_rest - nobody is forgotten. */
static void settle_rest(struct delivery *delivery, const char *why, bool warn)
{
    for (size_t i = 0; i < delivery->recipient_count; i++) {
        if (delivery->settled[i])
            continue;
        if (warn)
            log_warning(SLICE_FORMAT ": recipient " SLICE_FORMAT " was given no result", SLICE_ARGS(delivery->request->envelope.queue_id),
                        SLICE_ARGS(delivery->recipients[i].address));
        delivery_result_format(delivery, i, OUTCOME_DEFERRED, "4.3.0", "none", "%s", why);
    }
}

/* ---- one lane ----------------------------------------------------------------------------------------------------- */

static bool serve_request(struct agent_lane *lane, struct arena *arena, const struct delivery_request *request)
{
    size_t count = request->envelope.recipients_count;
    struct delivery delivery = {.request = request,
                                .recipients = request->envelope.recipients,
                                .recipient_count = count,
                                .arena = arena,
                                .content_fd = -1,
                                .content_offset = request->content_offset,
                                .content_length = request->content_length,
                                .context = lane->context,
                                .lane_state = lane->state,
                                .lane = lane->lane,
                                .agent_time = clock_wall(),
                                .connection_use = 1};
    delivery.reply.results = arena_alloc(arena, result_room(count) * sizeof(struct delivery_result));
    delivery.settled = arena_alloc(arena, count + 1);
    if (lane_content(lane, request)) {
        delivery.content_fd = lane->content->fd;
        agent.deliver(&delivery);
        settle_rest(&delivery, "unknown mail transport error", true);
    } else {
        log_warning(SLICE_FORMAT ": the message content did not come with the request", SLICE_ARGS(request->envelope.queue_id));
        settle_rest(&delivery, "message content is not available", false);
    }
    lane->state = delivery.lane_state;
    log_flush(); /* before qmgr can log what follows from it */
    lane_send(lane->lane, MESSAGE_delivery_reply, &delivery.reply, -1);
    return lane_flush(lane->lane, clock_after(reply_timeout));
}

/* next_request - as service_receive, with the agent's own idle hook in between.  The lane itself is given up after max_idle. */
static int next_request(struct agent_lane *lane, struct arena *arena, void **value)
{
    int64_t until = clock_after(config_time(lane->context->config, "max_idle"));
    for (;;) {
        bool has_hook = lane->state && agent.lane_patience && agent.lane_idle;
        int64_t patience = has_hook ? agent.lane_patience(lane->state) : CLOCK_NEVER;
        int64_t deadline = patience == CLOCK_NEVER ? until : clock_after(patience);
        bool last = deadline >= until;
        int type = service_receive(lane->client, lane->lane, arena, value, last ? until : deadline);
        if (type != 0 || last)
            return type;
        agent.lane_idle(lane->state);
    }
}

static void serve_lane(struct agent_lane *lane)
{
    struct arena *arena = arena_new(0);
    void *value;
    int type;
    while ((type = next_request(lane, arena, &value)) == MESSAGE_delivery_request) {
        if (!serve_request(lane, arena, value))
            break;
        arena_reset(arena);
    }
    if (type > 0 && type != MESSAGE_delivery_request)
        log_warning("unexpected message %s on the delivery socket", message_name((enum message_type)type));
    arena_free(arena);
}

static void agent_serve(struct service_context *context, struct service_client *client)
{
    struct agent_lane lane = {.client = client, .context = context};
    lane.lane = lane_accept(client->stream, clock_after(hello_timeout));
    client->stream = NULL;
    if (!lane.lane)
        return;
    serve_lane(&lane);
    if (lane.state && agent.lane_closed)
        agent.lane_closed(lane.state);
    content_release(lane.content);
    lane_free(lane.lane);
}

static void agent_open(struct service_context *context);
static void (*program_open)(struct service_context *context);

int agent_main(int argc, char **argv, const struct agent *program)
{
    agent = *program;
    program_open = agent.service.open;
    agent.service.open = agent_open;
    agent.service.serve = agent_serve;
    return service_main(argc, argv, &agent.service);
}

static void agent_open(struct service_context *context)
{
    soft_bounce = config_bool(context->config, "soft_bounce");
    status_filter_open(program_invocation_short_name, context->config);
    delivery_log_digits(config_int(context->config, "delay_logging_resolution_limit"));
    if (program_open)
        program_open(context);
}
