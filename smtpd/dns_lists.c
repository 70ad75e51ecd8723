/* dns_lists.c - questions to DNS lists: each in a fiber of its own, so that a chain of lists takes hardly longer than the slowest of them */
#include "dns_lists.h"

#include "base/log.h"
#include "run/run.h"

enum { REMEMBERED_MAX = 100 /* questions of one session */ };

/* Belongs to the session that asks and to the fiber that is at work on it. */
struct question {
    unsigned users;
    bool answered;
    struct condition answer_came;
    struct arena *arena;
    struct slice query;
    struct dns_list_answer answer;
};

static void leave(void *value)
{
    struct question *question = value;

    if (--question->users)
        return;
    arena_free(question->arena);
    free(question);
}

static struct slice join_texts(const struct dns_answer *answer, struct arena *arena)
{
    struct slice text = {0};

    for (size_t i = 0; answer->status == DNS_FOUND && i < answer->count; i++)
        text = i ? arena_format(arena, SLICE_FORMAT " / " SLICE_FORMAT, SLICE_ARGS(text), SLICE_ARGS(answer->records[i].text))
                 : answer->records[i].text;
    return text;
}

static void find_answer(struct question *question)
{
    struct dns_list_answer *answer = &question->answer;

    answer->addresses = dns_query(question->query, DNS_A, question->arena);
    enum dns_status status = answer->addresses.status;
    if (status == DNS_TRY_AGAIN || status == DNS_MALFORMED) {
        log_warning(SLICE_FORMAT ": RBL lookup error: Host or domain name not found. Name service error for name=" SLICE_FORMAT " type=A: %s",
                    SLICE_ARGS(question->query), SLICE_ARGS(question->query), dns_status_text(status));
        answer->failed = true;
    }
    if (status != DNS_FOUND)
        return;
    struct dns_answer text = dns_query(question->query, DNS_TXT, question->arena);
    answer->text = join_texts(&text, question->arena);
    if (text.status >= DNS_FILTERED)
        log_warning(SLICE_FORMAT ": TXT lookup error: %s", SLICE_ARGS(question->query), dns_status_text(text.status));
}

static void question_fiber(void *arg)
{
    struct question *question = arg;

    find_answer(question);
    question->answered = true;
    condition_broadcast(&question->answer_came);
    leave(question);
}

static struct question *begin(struct session *s, struct slice query)
{
    struct question *question;

    if (s->dns_lists && (question = map_get(s->dns_lists, query)) != NULL)
        return question;
    if (s->dns_lists && map_count(s->dns_lists) >= REMEMBERED_MAX)
        dns_lists_forget(s);
    if (!s->dns_lists)
        s->dns_lists = map_new(leave);
    question = memory_zalloc(1, sizeof(*question));
    question->users = 2;
    question->arena = arena_new(0);
    question->query = arena_slice(question->arena, query);
    condition_init(&question->answer_came);
    map_set(s->dns_lists, query, question);
    fiber_start("DNS list", question_fiber, question);
    return question;
}

bool dns_list_begin(struct session *s, struct slice query, int64_t patience)
{
    struct question *question = begin(s, query);

    if (!question->answered && patience > 0)
        condition_wait(&question->answer_came, clock_after(patience));
    return question->answered;
}

const struct dns_list_answer *dns_list_ask(struct session *s, struct slice query)
{
    struct question *question = begin(s, query);

    while (!question->answered)
        condition_wait(&question->answer_came, CLOCK_NEVER); /* DNS has its own timeouts */
    return &question->answer;
}

void dns_lists_forget(struct session *s)
{
    map_free(s->dns_lists);
    s->dns_lists = NULL;
}
