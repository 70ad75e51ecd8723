/* source.c - asking the services, or reading the disk */
#include "source.h"

#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "direct.h"
#include "net/address.h"
#include "queue/ask.h"
#include "queue/census.h"
#include "run/run.h"
#include "service/sandbox.h"

enum { PIECE = 64 * 1024 };

/* ---- while the system is down ------------------------------------------------------------------------------------- */

/* may_read_disk - root, or the one user as whom everything runs, without privilege separation. */
static bool may_read_disk(struct config *config)
{
    struct sandbox_owner owner;
    return geteuid() == 0 || (sandbox_owner_find(config, &owner) && owner.uid == geteuid() && owner.uid == getuid());
}

static void check_disk(struct config *config, const char *service, int error)
{
    char why[512];
    snprintf(why, sizeof(why), "Connect to the %s %s service: %s", config_string(config, "mail_name"), service, strerror(error));
    if (!may_read_disk(config))
        log_fatal("Queue report unavailable - mail system is down (%s)", why);
    log_warning("Mail system is down -- accessing queue directly (%s)", why);
}

/* ---- the showq service -------------------------------------------------------------------------------------------- */

/* showq_connect - a descriptor, or -1 with errno. */
static int showq_connect(struct config *config)
{
    struct net_address address;
    char path[256];
    snprintf(path, sizeof(path), "public/%s", config_string(config, "showq_service_name"));
    if (!net_address_unix(&address, slice_of(path))) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, &address.u.any, address.len) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static void malformed(void) NO_RETURN;
static void malformed(void)
{
    fflush(stdout);
    log_fatal("malformed showq server response");
}

static void read_listing(int fd, const struct queue_handler *handler)
{
    struct queue_parser *parser = queue_parser_new(handler);
    char *piece = memory_alloc(PIECE);
    bool ok = true;
    while (ok && !queue_parser_is_complete(parser)) {
        ssize_t n = read(fd, piece, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        ok = n > 0 && queue_parser_push(parser, slice_make(piece, (size_t)n));
    }
    if (!queue_parser_is_complete(parser))
        malformed();
    free(piece);
    queue_parser_free(parser);
}

struct direct_listing {
    struct config *config;
    const struct queue_handler *handler;
    const char *empty_sender;
};

static void tell_item(void *context, const struct queue_item *item)
{
    const struct direct_listing *direct = context;
    direct_tell(item, direct->handler, direct->empty_sender);
}

static void list_from_disk(void *arg)
{
    struct direct_listing *direct = arg;
    direct_each(direct->config, tell_item, direct);
}

void source_listing(struct config *config, const struct queue_handler *handler)
{
    struct direct_listing direct = {config, handler, config_string(config, "empty_address_recipient")};
    int fd = showq_connect(config);
    if (fd >= 0) {
        read_listing(fd, handler);
        close(fd);
        return;
    }
    check_disk(config, config_string(config, "showq_service_name"), errno);
    run_main(list_from_disk, &direct);
}

/* ---- questions ---------------------------------------------------------------------------------------------------- */

struct question {
    struct config *config;
    const struct queue_query *query;
    const struct source_handler *handler;
    struct queue_answer *total;
    struct queue_parser *parser;
    struct selection *selection; /* from the disk */
    struct census *census;
    const char *empty_sender;
};

static void take_text(void *context, struct slice text)
{
    struct question *question = context;
    if (question->query->form == QUEUE_QUERY_IDS)
        question->handler->ids(question->handler->context, text);
    else if (!queue_parser_push(question->parser, text))
        malformed();
}

static void take_group(void *context, const struct queue_group *group)
{
    struct question *question = context;
    if (question->handler->group)
        question->handler->group(question->handler->context, group);
}

static void look_at_item(void *context, const struct queue_item *item)
{
    struct question *question = context;
    if (!selection_fits(question->selection, item, NULL, NULL))
        return;
    census_add(question->census, item);
    if (question->query->form == QUEUE_QUERY_LISTING) {
        direct_tell(item, question->handler->listing, question->empty_sender);
    } else if (question->query->form == QUEUE_QUERY_IDS) {
        struct buffer line = BUFFER_INIT;
        buffer_printf(&line, SLICE_FORMAT "\n", SLICE_ARGS(item->entry.queue_id));
        question->handler->ids(question->handler->context, buffer_slice(&line));
        buffer_release(&line);
    }
}

static void ask_disk(struct question *question)
{
    struct queue_group group;
    question->census = census_new(question->query, clock_wall());
    direct_each(question->config, look_at_item, question);
    for (size_t position = 0; census_next(question->census, &position, &group);)
        take_group(question, &group);
    census_total(question->census, question->total);
    census_free(question->census);
}

static void ask(void *arg)
{
    struct question *question = arg;
    const struct queue_ask_handler handler = {take_text, take_group, question};
    const char *service = config_string(question->config, "queue_service_name");
    char *why = NULL;
    if (question->query->form == QUEUE_QUERY_LISTING)
        question->parser = queue_parser_new(question->handler->listing);
    switch (queue_ask(service, question->query, &handler, question->total, &why)) {
    case QUEUE_ASK_DONE:
        break;
    case QUEUE_ASK_DOWN:
        check_disk(question->config, service, errno);
        ask_disk(question);
        break;
    case QUEUE_ASK_FAILED:
        log_fatal("%s", why ? why : "the queue manager does not answer");
    }
    queue_parser_free(question->parser);
}

void source_query(struct config *config, const struct queue_query *query, const struct source_handler *handler, struct queue_answer *total)
{
    struct question question = {.config = config, .query = query, .handler = handler, .total = total,
                                .empty_sender = config_string(config, "empty_address_recipient")};
    char *why = NULL;
    question.selection = selection_new(&query->selection, &why); /* tells of mistakes before anybody is asked */
    if (!question.selection)
        log_fatal("%s", why);
    run_main(ask, &question);
    selection_free(question.selection);
}
