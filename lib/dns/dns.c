/* dns.c - the resolver: c-ares on our event loop; a fiber starts a query and waits for its answer */
#include "dns/dns.h"

#include <ares.h>
#include <ares_nameser.h>
#include <idn2.h>

#include "base/log.h"
#include "base/map.h"
#include "dns/dns_filter.h"
#include "dns/dns_hosts.h"
#include "run/run.h"

#define CACHE_SECONDS_MAX 60   /* positive answers are kept at most that long */
#define ALIASES_MAX 10         /* that are asked for one after the other */
#define CACHE_ENTRIES_MAX 4096 /* then the cache starts anew: simple, and bounded */
#define UDP_SIZE 1232          /* EDNS buffer that needs no fragments */
#define SOCKETS_MAX 64

/* One query on its way.  It outlives neither the fiber that waits for it nor the call: c-ares always calls back. */
struct query {
    void (*told)(struct query *query); /* NULL: a fiber waits for done */
    struct condition done;
    bool finished;
    int ares_status;
    struct buffer packet;
};

struct cached {
    int64_t expires;
    struct buffer packet;
};

static struct {
    bool started;
    ares_channel channel;
    struct run_timer *timer;
    struct { int fd; struct run_watch *watch; } sockets[SOCKETS_MAX];
    struct map *cache;
    bool dnssec;
    dns_filter_function *filter;
    void *filter_context;
} resolver;

static void cached_free(void *value)
{
    struct cached *cached = value;

    buffer_release(&cached->packet);
    free(cached);
}

static void set_timer(void)
{
    struct timeval longest = {3600, 0}, next;

    if (ares_timeout(resolver.channel, &longest, &next) == &longest)
        run_timer_stop(resolver.timer);
    else
        run_timer_set(resolver.timer, next.tv_sec * MICROSECONDS + next.tv_usec + 1000, 0);
}

static void on_timer(void *arg UNUSED)
{
    ares_process_fd(resolver.channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    set_timer();
}

static void on_socket(void *arg, int events)
{
    int fd = (int)(intptr_t)arg;

    ares_process_fd(resolver.channel, events & WAIT_READ ? fd : ARES_SOCKET_BAD, events & WAIT_WRITE ? fd : ARES_SOCKET_BAD);
    set_timer();
}

/* on_socket_state - c-ares opened, changed or is about to close a socket. */
static void on_socket_state(void *data UNUSED, ares_socket_t fd, int readable, int writable)
{
    int events = (readable ? WAIT_READ : 0) | (writable ? WAIT_WRITE : 0);
    size_t i, unused = SOCKETS_MAX;

    for (i = 0; i < SOCKETS_MAX; i++) {
        if (resolver.sockets[i].watch != NULL && resolver.sockets[i].fd == fd)
            break;
        if (resolver.sockets[i].watch == NULL && unused == SOCKETS_MAX)
            unused = i;
    }
    if (i < SOCKETS_MAX && events != 0) {
        run_watch_change(resolver.sockets[i].watch, events);
    } else if (i < SOCKETS_MAX) {
        run_unwatch(resolver.sockets[i].watch);
        resolver.sockets[i].watch = NULL;
    } else if (events != 0 && unused < SOCKETS_MAX) {
        resolver.sockets[unused].fd = fd;
        resolver.sockets[unused].watch = run_watch(fd, events, on_socket, (void *)(intptr_t)fd);
    } else if (events != 0) {
        log_warning("too many sockets to name servers"); /* the query times out and is a temporary failure */
    }
}

/* resolver_options - "options timeout:n attempts:n" of resolv.conf(5), which c-ares knows under other names. */
static void resolver_options(struct ares_options *settings)
{
    char line[512];
    FILE *file = fopen("/etc/resolv.conf", "re");

    settings->timeout = 5000;
    settings->tries = 2;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        struct slice rest = slice_of(line), word;
        uint64_t number;
        if (!slice_next_token(&rest, " \t\r\n", &word) || !slice_equal(word, SLICE("options")))
            continue;
        while (slice_next_token(&rest, " \t\r\n", &word)) {
            if (slice_starts(word, SLICE("timeout:")) && slice_to_u64(slice_from(word, 8), &number) && number > 0 && number <= 30)
                settings->timeout = (int)number * 1000;
            else if (slice_starts(word, SLICE("attempts:")) && slice_to_u64(slice_from(word, 9), &number) && number > 0 && number <= 5)
                settings->tries = (int)number;
        }
    }
    if (file != NULL)
        fclose(file);
}

void dns_start(const struct dns_options *options)
{
    struct ares_options settings = {.sock_state_cb = on_socket_state};
    int mask = ARES_OPT_SOCK_STATE_CB | ARES_OPT_FLAGS | ARES_OPT_DOMAINS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES;

    if (resolver.started)
        return;
    settings.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES;
    resolver_options(&settings);
    if (options != NULL && options->timeout > 0)
        settings.timeout = (int)(options->timeout / 1000);
    if (options != NULL && options->tries > 0)
        settings.tries = options->tries;
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS || ares_init_options(&resolver.channel, &settings, mask) != ARES_SUCCESS)
        log_fatal("cannot set up the name server client");
    if (options != NULL && options->servers != NULL && options->servers[0] != '\0' &&
        ares_set_servers_ports_csv(resolver.channel, options->servers) != ARES_SUCCESS)
        log_fatal("bad parameter value: dns_servers = %s", options->servers);
    resolver.dnssec = options != NULL && options->dnssec;
    resolver.filter = options != NULL ? options->filter : NULL;
    resolver.filter_context = options != NULL ? options->filter_context : NULL;
    resolver.timer = NULL;
    resolver.cache = map_new(cached_free);
    dns_hosts_load("/etc/hosts");
    resolver.started = true;
}

void dns_stop(void)
{
    if (!resolver.started)
        return;
    ares_destroy(resolver.channel);
    ares_library_cleanup();
    if (resolver.timer != NULL)
        run_timer_free(resolver.timer);
    map_free(resolver.cache);
    dns_hosts_unload();
    memset(&resolver, 0, sizeof(resolver));
}

static void on_answer(void *arg, int status, int timeouts UNUSED, unsigned char *packet, int length)
{
    struct query *query = arg;

    query->ares_status = status;
    if (packet != NULL && length > 0)
        buffer_append(&query->packet, packet, (size_t)length);
    query->finished = true;
    if (query->told != NULL)
        query->told(query);
    else
        condition_broadcast(&query->done);
}

/* wire_name - the name as DNS has it: U-labels become A-labels (RFC 5891).  False: it is no name (with a NUL, too long, not convertible). */
static bool wire_name(struct slice name, char *text, size_t room)
{
    if (name.len == 0 || name.len >= room || memchr(name.data, '\0', name.len) != NULL)
        return false;
    memcpy(text, name.data, name.len);
    text[name.len] = '\0';
    if (slice_is_ascii(name))
        return true;
    char *ascii = NULL;
    bool good = idn2_to_ascii_8z(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK && strlen(ascii) < room;
    if (good)
        snprintf(text, room, "%s", ascii);
    idn2_free(ascii);
    return good;
}

/* query_start - told is called when the answer is there, even if that is at once; NULL: query_wait. */
static void query_start(struct query *query, struct slice name, enum dns_type type, void (*told)(struct query *query))
{
    char text[512];
    unsigned char *wire = NULL;
    int length = 0;

    memset(query, 0, sizeof(*query));
    condition_init(&query->done);
    buffer_init(&query->packet, 65536);
    /* What is no name: the answer is "malformed" without asking. */
    query->finished = true;
    query->ares_status = ARES_EBADNAME;
    query->told = told;
    /* The number must not be guessed: who forges answers would need only the port. */
    if (!wire_name(name, text, sizeof(text)) ||
        ares_create_query(text, ns_c_in, type, (unsigned short)arc4random(), 1, &wire, &length, UDP_SIZE) != ARES_SUCCESS) {
        if (told != NULL)
            told(query);
        return;
    }
    if (resolver.dnssec)
        wire[3] |= 0x20; /* AD in the question: tell us whether you validated (RFC 6840 5.7) */
    if (resolver.timer == NULL)
        resolver.timer = run_timer_new(on_timer, NULL);
    query->finished = false;
    ares_send(resolver.channel, wire, length, on_answer, query);
    ares_free_string(wire);
    set_timer();
}

static void query_wait(struct query *query)
{
    while (!query->finished)
        condition_wait(&query->done, CLOCK_NEVER); /* c-ares has its own time limit */
}

static void cache_key(struct buffer *key, struct slice name, enum dns_type type)
{
    buffer_printf(key, "%d ", (int)type);
    buffer_append_lower(key, name);
}

static const struct cached *cache_find(struct slice name, enum dns_type type)
{
    struct buffer key = BUFFER_INIT;

    cache_key(&key, name, type);
    struct cached *cached = map_get(resolver.cache, buffer_slice(&key));
    if (cached != NULL && cached->expires <= clock_monotonic()) {
        map_remove(resolver.cache, buffer_slice(&key));
        cached = NULL;
    }
    buffer_release(&key);
    return cached;
}

static void cache_keep(struct slice name, enum dns_type type, const struct dns_answer *answer, struct slice packet)
{
    struct buffer key = BUFFER_INIT;
    uint32_t ttl = answer->seconds < CACHE_SECONDS_MAX ? answer->seconds : CACHE_SECONDS_MAX;

    if (answer->status != DNS_FOUND || ttl == 0)
        return;
    if (map_count(resolver.cache) >= CACHE_ENTRIES_MAX) {
        map_free(resolver.cache);
        resolver.cache = map_new(cached_free);
    }
    struct cached *cached = memory_zalloc(1, sizeof(*cached));
    cached->expires = clock_after(ttl * MICROSECONDS);
    buffer_append_slice(&cached->packet, packet);
    cache_key(&key, name, type);
    map_set(resolver.cache, buffer_slice(&key), cached);
    buffer_release(&key);
}

/* query_unfiltered - what came back, in the arena; gives the query's memory back. */
static struct dns_answer query_unfiltered(struct query *query, struct slice name, enum dns_type type, struct arena *arena)
{
    struct dns_answer answer = {.status = DNS_TRY_AGAIN};

    if (query->ares_status == ARES_EBADNAME) {
        answer.status = DNS_MALFORMED;
    } else if (query->packet.len > 0) {
        struct slice packet = arena_slice(arena, buffer_slice(&query->packet));
        dns_parse(packet, type, arena, &answer);
        cache_keep(name, type, &answer, packet);
    }
    if (!resolver.dnssec)
        answer.authentic = false;
    buffer_release(&query->packet);
    return answer;
}

static struct dns_answer query_answer(struct query *query, struct slice name, enum dns_type type, struct arena *arena)
{
    struct dns_answer answer = query_unfiltered(query, name, type, arena);

    dns_filter_answer(resolver.filter, resolver.filter_context, &answer);
    return answer;
}

static bool cached_unfiltered(struct slice name, enum dns_type type, struct arena *arena, struct dns_answer *answer)
{
    const struct cached *cached = cache_find(name, type);

    if (cached == NULL)
        return false;
    dns_parse(arena_slice(arena, buffer_slice(&cached->packet)), type, arena, answer);
    answer->authentic = answer->authentic && resolver.dnssec;
    return true;
}

static bool cached_answer(struct slice name, enum dns_type type, struct arena *arena, struct dns_answer *answer)
{
    if (!cached_unfiltered(name, type, arena, answer))
        return false;
    dns_filter_answer(resolver.filter, resolver.filter_context, answer);
    return true;
}

/* query_once - without following what the server did not follow. */
static struct dns_answer query_once(struct slice name, enum dns_type type, struct arena *arena)
{
    struct dns_answer answer;
    struct query query;

    if (cached_answer(name, type, arena, &answer))
        return answer;
    query_start(&query, name, type, NULL);
    query_wait(&query);
    return query_answer(&query, name, type, arena);
}

/* follow_aliases - ask for what an answer of nothing but aliases leads to. */
static void follow_aliases(struct slice name, enum dns_type type, struct arena *arena, struct dns_answer *answer)
{
    for (int links = 0; answer->status == DNS_NO_DATA && answer->alias.len > 0; links++) {
        struct slice alias = answer->alias;
        bool authentic = answer->authentic;
        answer->endless = links == ALIASES_MAX;
        if (answer->endless)
            break;
        *answer = query_once(name = alias, type, arena);
        answer->authentic = answer->authentic && authentic;
        if (answer->status == DNS_NO_DATA && answer->alias.len == 0) {
            answer->alias = alias;
            break;
        }
    }
    if (!answer->endless)
        return;
    answer->alias = name;
    log_warning("dns_lookup: Name server loop for " SLICE_FORMAT, SLICE_ARGS(name));
}

struct dns_answer dns_query(struct slice name, enum dns_type type, struct arena *arena)
{
    struct dns_answer answer = query_once(name, type, arena);

    follow_aliases(name, type, arena, &answer);
    return answer;
}

/* A question that no fiber waits for. */
struct asked {
    struct query query;
    enum dns_type type;
    dns_done *done;
    void *context;
    char name[];
};

static void asked_answered(struct query *query)
{
    struct asked *asked = CONTAINER_OF(query, struct asked, query);
    struct arena *arena = arena_new(1024);
    struct dns_answer answer = query_unfiltered(query, slice_of(asked->name), asked->type, arena);

    asked->done(asked->context, &answer);
    arena_free(arena);
    free(asked);
}

void dns_ask(struct slice name, enum dns_type type, dns_done *done, void *context)
{
    struct arena *arena = arena_new(0);
    struct dns_answer answer;

    if (cached_unfiltered(name, type, arena, &answer)) {
        done(context, &answer);
    } else {
        struct asked *asked = memory_zalloc(1, sizeof(*asked) + name.len + 1);
        memcpy(asked->name, name.data, name.len);
        asked->type = type;
        asked->done = done;
        asked->context = context;
        query_start(&asked->query, name, type, asked_answered);
    }
    arena_free(arena);
}

struct dns_answer dns_reverse(const struct net_address *address, struct arena *arena)
{
    struct dns_answer answer = {.status = DNS_FOUND};
    struct buffer question = BUFFER_INIT;
    struct slice name;

    if (dns_hosts_name(address, arena, &name)) {
        answer.records = arena_alloc(arena, sizeof(*answer.records));
        answer.records[0] = (struct dns_record){.type = DNS_PTR, .name = name};
        answer.count = 1;
        return answer;
    }
    dns_reverse_name(address, ".in-addr.arpa", ".ip6.arpa", &question);
    answer = dns_query(buffer_slice(&question), DNS_PTR, arena);
    buffer_release(&question);
    return answer;
}

/* join_answers - A and AAAA together: found if either is, temporary if either is and none was found. */
static struct dns_answer join_answers(struct dns_answer a, struct dns_answer b, struct arena *arena)
{
    struct dns_answer joined = {.authentic = a.authentic && b.authentic};

    if (a.count + b.count == 0 && (a.status >= DNS_FILTERED || b.status >= DNS_FILTERED)) {
        joined.status = a.status > b.status ? a.status : b.status;
        return joined;
    }
    if (a.count + b.count == 0) {
        joined.status = a.status == DNS_TRY_AGAIN || b.status == DNS_TRY_AGAIN ? DNS_TRY_AGAIN : a.status == DNS_NO_DATA ? b.status : a.status;
        if (a.status == DNS_NO_DATA || b.status == DNS_NO_DATA)
            joined.status = joined.status == DNS_TRY_AGAIN ? DNS_TRY_AGAIN : DNS_NO_DATA;
        joined.alias = b.alias.len > 0 ? b.alias : a.alias;
        joined.endless = a.endless || b.endless;
        return joined;
    }
    joined.status = DNS_FOUND;
    if (a.count == 0 || b.count == 0)
        joined.authentic = a.count ? a.authentic : b.authentic;
    joined.records = arena_alloc(arena, (a.count + b.count) * sizeof(*joined.records));
    if (a.count > 0)
        memcpy(joined.records, a.records, a.count * sizeof(*a.records));
    if (b.count > 0)
        memcpy(joined.records + a.count, b.records, b.count * sizeof(*b.records));
    joined.count = a.count + b.count;
    return joined;
}

static struct dns_answer hosts_of_families(struct slice name, int families, struct arena *arena)
{
    struct dns_answer answer = dns_hosts_lookup(name, arena);
    size_t kept = 0;

    for (size_t i = 0; i < answer.count; i++)
        if (families & (answer.records[i].type == DNS_A ? 1 : 2))
            answer.records[kept++] = answer.records[i];
    answer.count = kept;
    return answer;
}

struct dns_answer dns_addresses(struct slice name, int families, bool use_hosts, struct arena *arena)
{
    static const enum dns_type types[] = {DNS_A, DNS_AAAA};
    struct dns_answer answers[2];
    struct query queries[2];
    bool asked[2] = {false, false};

    if (use_hosts) {
        struct dns_answer local = hosts_of_families(name, families, arena);
        if (local.count > 0)
            return local;
    }
    for (int i = 0; i < 2; i++) {
        answers[i] = (struct dns_answer){.status = DNS_NO_DATA};
        if ((families & (1 << i)) && !cached_answer(name, types[i], arena, &answers[i])) {
            query_start(&queries[i], name, types[i], NULL);
            asked[i] = true;
        }
    }
    for (int i = 0; i < 2; i++) {
        if (asked[i]) {
            query_wait(&queries[i]);
            answers[i] = query_answer(&queries[i], name, types[i], arena);
        }
        follow_aliases(name, types[i], arena, &answers[i]);
    }
    if (!(families & 2))
        return answers[0];
    return families & 1 ? join_answers(answers[0], answers[1], arena) : answers[1];
}

static int compare_preference(const void *a, const void *b)
{
    const struct dns_record *left = a, *right = b;

    return (left->preference > right->preference) - (left->preference < right->preference);
}

/* shuffle - so that hosts of equal preference share the load (RFC 5321 5.1); the sort after it is stable on insertion. */
static void shuffle(struct dns_record *records, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = arc4random_uniform((uint32_t)i);
        struct dns_record kept = records[i - 1];
        records[i - 1] = records[j];
        records[j] = kept;
    }
}

struct dns_answer dns_mx(struct slice domain, bool randomize, struct arena *arena)
{
    struct dns_answer answer = dns_query(domain, DNS_MX, arena);

    if (answer.status != DNS_FOUND || answer.count < 2)
        return answer;
    if (randomize)
        shuffle(answer.records, answer.count);
    /* insertion sort keeps the shuffled (or the name server's) order of equals; qsort would not promise it */
    for (size_t i = 1; i < answer.count; i++) {
        struct dns_record moving = answer.records[i];
        size_t j = i;
        for (; j > 0 && compare_preference(&answer.records[j - 1], &moving) > 0; j--)
            answer.records[j] = answer.records[j - 1];
        answer.records[j] = moving;
    }
    return answer;
}

const char *dns_status_text(enum dns_status status)
{
    switch (status) {
    case DNS_FOUND:
        return "Success";
    case DNS_NO_DOMAIN:
        return "Host not found";
    case DNS_NO_DATA:
        return "Host found but no data record of requested type";
    case DNS_TRY_AGAIN:
        return "Host not found, try again";
    case DNS_FILTERED:
        return "DNS reply filter drops all results";
    case DNS_FILTER_FAULT:
        return "Invalid DNS reply filter syntax";
    default:
        return "Malformed or unexpected name server reply";
    }
}

const char *dns_type_name(enum dns_type type)
{
    switch (type) {
    case DNS_A: return "A";
    case DNS_NS: return "NS";
    case DNS_CNAME: return "CNAME";
    case DNS_PTR: return "PTR";
    case DNS_MX: return "MX";
    case DNS_TXT: return "TXT";
    case DNS_AAAA: return "AAAA";
    case DNS_SRV: return "SRV";
    case DNS_TLSA: return "TLSA";
    }
    return "?";
}

void dns_reverse_name(const struct net_address *address, const char *suffix4, const char *suffix6, struct buffer *out)
{
    if (address->u.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&address->u.v6.sin6_addr)) {
        const uint8_t *b = address->u.v6.sin6_addr.s6_addr + 12;
        buffer_printf(out, "%u.%u.%u.%u%s", b[3], b[2], b[1], b[0], suffix4);
    } else if (address->u.any.sa_family == AF_INET6) {
        const uint8_t *b = address->u.v6.sin6_addr.s6_addr;
        for (int i = 15; i >= 0; i--)
            buffer_printf(out, "%s%x.%x", i == 15 ? "" : ".", b[i] & 15u, b[i] >> 4);
        buffer_append_string(out, suffix6);
    } else {
        const uint8_t *b = (const uint8_t *)&address->u.v4.sin_addr;
        buffer_printf(out, "%u.%u.%u.%u%s", b[3], b[2], b[1], b[0], suffix4);
    }
}
