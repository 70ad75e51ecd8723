/* srv.c - see srv.h */
#include "srv.h"

#include "conf/config.h"

bool srv_is_wanted(const struct client_params *params, const struct destination *destination)
{
    struct slice rest, element;
    struct net_address literal;

    if (!params->use_srv_lookup || !params->use_dns || destination->bracketed || destination->service.len == 0 || net_address_parse(&literal, destination->host, 0))
        return false;
    rest = slice_of(params->use_srv_lookup);
    while (config_list_next(&rest, &element))
        if (slice_equal_case(element, destination->service))
            return true;
    return false;
}

static void swap(struct dns_record *a, struct dns_record *b)
{
    struct dns_record other = *a;
    *a = *b;
    *b = other;
}

/* draw - RFC 2782: of records of one priority, those without weight in front, the first whose running sum reaches a random number. */
static size_t draw(const struct dns_record *records, size_t count, uint32_t (*random)(uint32_t limit))
{
    uint32_t total = 0, sum = 0;

    for (size_t i = 0; i < count; i++)
        total += records[i].weight;
    uint32_t wanted = random(total + 1);
    for (size_t i = 0; i < count; i++) {
        sum += records[i].weight;
        if (sum >= wanted)
            return i;
    }
    return 0;
}

/* comes_before - by priority; within one, those without weight first. */
static bool comes_before(const struct dns_record *a, const struct dns_record *b)
{
    return a->preference != b->preference ? a->preference < b->preference : a->weight == 0 && b->weight != 0;
}

void srv_order(struct dns_record *records, size_t count, uint32_t (*random)(uint32_t limit))
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = i; j > 0 && comes_before(&records[j], &records[j - 1]); j--)
            swap(&records[j], &records[j - 1]);
    for (size_t i = 0; i < count; i++) {
        size_t same = 1;
        while (i + same < count && records[i + same].preference == records[i].preference)
            same++;
        size_t chosen = i + draw(records + i, same, random);
        for (; chosen > i; chosen--) /* the others keep their order */
            swap(&records[chosen], &records[chosen - 1]);
    }
}

struct dns_answer srv_find(const struct destination *destination, struct arena *arena, struct slice *name)
{
    *name = arena_format(arena, "_" SLICE_FORMAT "._tcp." SLICE_FORMAT, SLICE_ARGS(destination->service), SLICE_ARGS(destination->host));
    struct dns_answer answer = dns_query(*name, DNS_SRV, arena);
    size_t kept = 0;

    for (size_t i = 0; i < answer.count; i++)
        if (answer.records[i].type == DNS_SRV)
            answer.records[kept++] = answer.records[i];
    answer.count = kept;
    if (answer.status == DNS_FOUND && kept == 0)
        answer.status = DNS_NO_DATA;
    srv_order(answer.records, answer.count, arc4random_uniform);
    return answer;
}

bool srv_is_refusal(const struct dns_answer *answer)
{
    return answer->count == 1 && answer->records[0].name.len == 0;
}
