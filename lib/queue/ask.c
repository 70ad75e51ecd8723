/* ask.c - a question and the pieces of its answer */
#include "queue/ask.h"

#include "base/clock.h"
#include "ipc/lane.h"

static const int64_t connect_time = 100 * MICROSECONDS, answer_time = 3600 * MICROSECONDS;

static void take_answer(const struct queue_answer *answer, const struct queue_ask_handler *handler)
{
    if (answer->text.len && handler->text)
        handler->text(handler->context, answer->text);
    for (size_t i = 0; i < answer->groups_count && handler->group; i++)
        handler->group(handler->context, &answer->groups[i]);
}

enum queue_ask_result queue_ask(const char *service, const struct queue_query *query, const struct queue_ask_handler *handler,
                                struct queue_answer *total, char **why)
{
    char path[256];
    snprintf(path, sizeof(path), "public/%s", service);
    struct lane *lane = lane_connect(path, clock_after(connect_time));
    if (!lane)
        return QUEUE_ASK_DOWN;
    struct arena *arena = arena_new(0);
    enum queue_ask_result result = QUEUE_ASK_FAILED;
    const struct queue_answer *answer = lane_call(lane, MESSAGE_queue_query, query, -1, MESSAGE_queue_answer, arena, clock_after(answer_time));
    while (answer && !answer->error.len) {
        take_answer(answer, handler);
        if (!answer->more) {
            *total = (struct queue_answer){.messages = answer->messages, .recipients = answer->recipients, .bytes = answer->bytes};
            result = QUEUE_ASK_DONE;
            break;
        }
        arena_reset(arena);
        void *value;
        answer = lane_receive(lane, arena, &value, clock_after(answer_time)) == MESSAGE_queue_answer ? value : NULL;
    }
    if (answer && answer->error.len)
        *why = slice_string(answer->error);
    arena_free(arena);
    lane_free(lane);
    return result;
}
