/* gate_lists.c - DNS lists with weights */
#include "gate_lists.h"

#include "access_private.h"
#include "base/list.h"
#include "base/log.h"

enum { QUESTIONS_MAX = 4096 /* on their way at once: the name server client has 65536 numbers for them */ };

struct site {
    size_t domain;
    struct dnsbl *filter;
    int64_t weight;
};

struct gate_lists {
    struct arena *arena;
    struct slice *domains;
    struct site *sites;
    size_t domain_count, site_count;
};

/* ---- configuration ---- */

static size_t domain_index(struct gate_lists *lists, struct slice domain)
{
    for (size_t i = 0; i < lists->domain_count; i++)
        if (slice_equal_case(lists->domains[i], domain))
            return i;
    lists->domains = memory_resize(lists->domains, (lists->domain_count + 1) * sizeof(domain));
    lists->domains[lists->domain_count] = arena_slice(lists->arena, domain);
    return lists->domain_count++;
}

static void add_site(struct gate_lists *lists, struct slice text)
{
    struct site site = {.weight = 1};
    size_t star = slice_find_last(text, '*');
    struct slice place = slice_first(text, star), domain, pattern;

    if (star < text.len && (!slice_to_i64(slice_from(text, star + 1), &site.weight) || site.weight > INT32_MAX || site.weight < -INT32_MAX)) {
        log_warning("bad DNSBL weight factor in \"" SLICE_FORMAT "\"", SLICE_ARGS(text));
        return;
    }
    site.filter = dnsbl_parse(place, lists->arena);
    if (!site.filter)
        return;
    slice_cut(place, '=', &domain, &pattern);
    site.domain = domain_index(lists, domain);
    lists->sites = memory_resize(lists->sites, (lists->site_count + 1) * sizeof(site));
    lists->sites[lists->site_count++] = site;
}

struct gate_lists *gate_lists_new(struct slice sites)
{
    struct gate_lists *lists = memory_zalloc(1, sizeof(*lists));
    struct slice text;

    lists->arena = arena_new(0);
    while (slice_next_token(&sites, ", \t\r\n", &text))
        add_site(lists, text);
    if (lists->site_count)
        return lists;
    gate_lists_free(lists);
    return NULL;
}

void gate_lists_free(struct gate_lists *lists)
{
    if (!lists)
        return;
    arena_free(lists->arena);
    free(lists->domains);
    free(lists->sites);
    free(lists);
}

size_t gate_lists_count(const struct gate_lists *lists)
{
    return lists->domain_count;
}

struct slice gate_lists_domain(const struct gate_lists *lists, size_t index)
{
    return lists->domains[index];
}

/* ---- weighing ---- */

void gate_lists_weigh(const struct gate_lists *lists, size_t index, const struct dns_answer *answer, struct gate_score *score)
{
    int64_t seconds = answer->status == DNS_FOUND || answer->status == DNS_NO_DOMAIN || answer->status == DNS_NO_DATA ? answer->seconds : 0;

    if (score->seconds < 0 || seconds < score->seconds)
        score->seconds = seconds;
    for (size_t i = 0; answer->status == DNS_FOUND && i < lists->site_count; i++) {
        const struct site *site = &lists->sites[i];
        if (site->domain != index || !dnsbl_matches(site->filter, answer))
            continue;
        score->rank += site->weight;
        if (site->weight > score->heaviest) {
            score->heaviest = site->weight;
            score->listed_by = lists->domains[index];
        }
    }
}

/* ---- asking ---- */

struct question {
    struct gate_asking *asking;
    size_t index;
};

struct gate_asking {
    struct gate_lists *lists;
    struct net_address address;
    struct gate_score score;
    size_t asked, answered;
    bool unwanted, starting;
    void (*done)(void *context);
    void *context;
    struct list link; /* of those that wait for their turn */
    struct question questions[];
};

static size_t questions; /* on their way */
static struct list turns = {&turns, &turns};

static void log_answer(const struct gate_asking *asking, size_t index, const struct dns_answer *answer, struct slice query)
{
    struct buffer text = BUFFER_INIT, value = BUFFER_INIT;

    log_speak_for("dnsblog");
    net_address_text(&asking->address, &text);
    for (size_t i = 0; answer->status == DNS_FOUND && i < answer->count; i++) {
        buffer_clear(&value);
        net_address_text(&answer->records[i].address, &value);
        log_info("addr %s listed by domain " SLICE_FORMAT " as %s", buffer_string(&text), SLICE_ARGS(asking->lists->domains[index]),
                 buffer_string(&value));
    }
    if (answer->status == DNS_TRY_AGAIN || answer->status == DNS_MALFORMED)
        log_warning("dnsblog_query: lookup error for DNS query " SLICE_FORMAT ": Host or domain name not found. Name service error for name="
                    SLICE_FORMAT " type=A: %s", SLICE_ARGS(query), SLICE_ARGS(query), dns_status_text(answer->status));
    log_speak_for(NULL);
    buffer_release(&text);
    buffer_release(&value);
}

static void query_of(const struct gate_asking *asking, size_t index, struct buffer *name)
{
    dns_reverse_name(&asking->address, ".", ".", name);
    buffer_append_slice(name, asking->lists->domains[index]);
}

static void asking_free(struct gate_asking *asking)
{
    list_remove(&asking->link);
    free(asking);
}

static void ask_more(struct gate_asking *asking);

static void next_turn(void)
{
    while (!list_is_empty(&turns) && questions < QUESTIONS_MAX) {
        struct gate_asking *asking = LIST_ENTRY(turns.next, struct gate_asking, link);
        ask_more(asking);
        if (gate_asking_is_complete(asking)) /* all was known */
            asking->done(asking->context);
    }
}

static void on_answer(void *context, const struct dns_answer *answer)
{
    struct question *question = context;
    struct gate_asking *asking = question->asking;
    struct buffer query = BUFFER_INIT;

    questions--;
    asking->answered++;
    if (!asking->unwanted) {
        query_of(asking, question->index, &query);
        log_answer(asking, question->index, answer, buffer_slice(&query));
        gate_lists_weigh(asking->lists, question->index, answer, &asking->score);
        buffer_release(&query);
    }
    if (!asking->starting) {
        if (asking->unwanted && asking->answered == asking->asked)
            asking_free(asking);
        else if (!asking->unwanted && gate_asking_is_complete(asking))
            asking->done(asking->context);
        next_turn();
    }
}

/* ask_more - as many of its questions as may be on their way; the others wait for their turn. */
static void ask_more(struct gate_asking *asking)
{
    struct buffer name = BUFFER_INIT;

    asking->starting = true;
    list_remove(&asking->link);
    while (asking->asked < asking->lists->domain_count && questions < QUESTIONS_MAX) {
        struct question *question = &asking->questions[asking->asked];
        *question = (struct question){asking, asking->asked};
        buffer_clear(&name);
        query_of(asking, asking->asked, &name);
        asking->asked++;
        questions++;
        dns_ask(buffer_slice(&name), DNS_A, on_answer, question);
    }
    if (asking->asked < asking->lists->domain_count)
        list_append(&turns, &asking->link);
    asking->starting = false;
    buffer_release(&name);
}

struct gate_asking *gate_asking_start(struct gate_lists *lists, const struct net_address *address, void (*done)(void *context), void *context)
{
    struct gate_asking *asking = memory_zalloc(1, sizeof(*asking) + lists->domain_count * sizeof(struct question));

    asking->lists = lists;
    asking->address = *address;
    asking->score.seconds = -1;
    asking->done = done;
    asking->context = context;
    list_init(&asking->link);
    ask_more(asking);
    return asking;
}

const struct gate_score *gate_asking_score(const struct gate_asking *asking)
{
    return &asking->score;
}

bool gate_asking_is_complete(const struct gate_asking *asking)
{
    return asking->answered == asking->lists->domain_count;
}

void gate_asking_end(struct gate_asking *asking)
{
    if (!asking)
        return;
    asking->unwanted = true;
    list_remove(&asking->link);
    if (asking->answered == asking->asked)
        asking_free(asking);
}
