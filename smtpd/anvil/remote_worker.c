/* remote_worker.c - one request after the other becomes a command of Redis

   A key is PREFIX CACHE ":" KEY; the server ends entries by itself.  Each request is one command, an EVAL where it takes more than one step, so that machines
   that count together do not miss each other. */
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "child.h"
#include "remote_worker.h"
#include "service/store.h"
#include "table/redis.h"

#define KEY_PREFIX "postern:"
#define LIFETIME_MAX (3650 * 86400 * MICROSECONDS)

/* A machine that died is no longer counted among the connections after that many seconds; living ones say so more often (remote_counters). */
#define MACHINE_STALE "180"

static const char get_script[] = "return {redis.call('GET',KEYS[1]),redis.call('PTTL',KEYS[1])}";
static const char add_script[] =
    "local o=redis.call('GET',KEYS[1]) "
    "if ARGV[1]~='0' and (o or tonumber(ARGV[2])>0) then redis.call('INCRBY',KEYS[1],ARGV[1]) "
    "if not o then redis.call('PEXPIRE',KEYS[1],ARGV[2]) end end "
    "return {redis.call('GET',KEYS[1]) or '0',redis.call('PTTL',KEYS[1]),o and 1 or 0}";
/* KEYS: rate, connections; ARGV: unit in ms, count the rate?, this machine, its connections. */
static const char count_script[] =
    "local r=0 "
    "if ARGV[2]=='1' then r=redis.call('INCR',KEYS[1]) if r==1 then redis.call('PEXPIRE',KEYS[1],ARGV[1]) end end "
    "local now=tonumber(redis.call('TIME')[1]) "
    "if tonumber(ARGV[4])>0 then redis.call('HSET',KEYS[2],ARGV[3],ARGV[4]..':'..now) redis.call('EXPIRE',KEYS[2]," MACHINE_STALE ") "
    "else redis.call('HDEL',KEYS[2],ARGV[3]) end "
    "local c,f=0,redis.call('HGETALL',KEYS[2]) "
    "for i=2,#f,2 do local n,t=string.match(f[i],'^(%d+):(%d+)$') if n and now-tonumber(t)<" MACHINE_STALE " then c=c+tonumber(n) end end "
    "return {r,c}";

static int service_fd;
static const char *machine; /* this instance, among all that share the counters */

void remote_put_head(uint8_t head[REMOTE_HEAD], uint32_t serial, size_t number)
{
    memcpy(head, &serial, sizeof(serial));
    head[sizeof(serial)] = (uint8_t)number;
}

bool remote_take_head(struct slice *message, uint32_t *serial, size_t *number)
{
    if (message->len < REMOTE_HEAD)
        return false;
    memcpy(serial, message->data, sizeof(*serial));
    *number = (uint8_t)message->data[sizeof(*serial)];
    *message = slice_from(*message, REMOTE_HEAD);
    return true;
}

void remote_worker_line(enum log_severity severity, const char *text, void *context UNUSED)
{
    uint8_t head[REMOTE_HEAD];

    remote_put_head(head, 0, severity);
    (void)child_send(service_fd, slice_make(head, sizeof(head)), slice_of(text));
}

/* ---- requests ------------------------------------------------------------------------------------------------------- */

static struct slice milliseconds(struct arena *arena, int64_t lifetime)
{
    int64_t time = (lifetime > LIFETIME_MAX ? LIFETIME_MAX : lifetime) / 1000;

    return arena_format(arena, "%lld", (long long)(lifetime > 0 && time == 0 ? 1 : time));
}

/* number - of an element; false when it is none. */
static bool number(const struct redis_element *element, int64_t *value)
{
    return !element->is_nil && slice_to_i64(element->text, value);
}

/* expiry - from what PTTL said. */
static int64_t expiry(const struct redis_element *element)
{
    int64_t left;

    return number(element, &left) && left > 0 ? clock_wall() + left * 1000 : 0;
}

/* run - fixed words; false when there is no reply of that many elements. */
static bool run(struct table *table, struct arena *arena, const struct slice *words, size_t word_count, struct redis_element *elements, size_t wanted)
{
    size_t count;

    return redis_command(table, word_count, words, arena, elements, wanted, &count) && count == wanted;
}
#define RUN(words, elements) run(table, arena, words, COUNT_OF(words), elements, COUNT_OF(elements))

static void get(struct table *table, struct arena *arena, struct slice key, struct store_reply *reply)
{
    struct slice words[] = {SLICE("EVAL"), slice_of(get_script), SLICE("1"), key};
    struct redis_element elements[2];

    if (!RUN(words, elements))
        return;
    reply->outcome = elements[0].is_nil ? STORE_OUTCOME_MISSING : STORE_OUTCOME_FOUND;
    reply->value = elements[0].text;
    reply->expires = elements[0].is_nil ? 0 : expiry(&elements[1]);
}

static void drop(struct table *table, struct arena *arena, struct slice key, struct store_reply *reply)
{
    struct slice words[] = {SLICE("DEL"), key};
    struct redis_element elements[1];

    if (RUN(words, elements))
        reply->outcome = slice_equal(elements[0].text, SLICE("0")) ? STORE_OUTCOME_MISSING : STORE_OUTCOME_FOUND;
}

static void put(struct table *table, struct arena *arena, struct slice key, const struct store_request *request, struct store_reply *reply)
{
    struct slice words[] = {SLICE("SET"), key, request->value, SLICE("PX"), milliseconds(arena, request->lifetime)};
    struct redis_element elements[1];

    if (request->lifetime <= 0) {
        drop(table, arena, key, reply);
    } else if (RUN(words, elements)) {
        reply->outcome = STORE_OUTCOME_FOUND;
        reply->expires = clock_wall() + request->lifetime;
    }
}

static void add(struct table *table, struct arena *arena, struct slice key, const struct store_request *request, struct store_reply *reply)
{
    struct slice words[] = {SLICE("EVAL"), slice_of(add_script), SLICE("1"), key, arena_format(arena, "%lld", (long long)request->amount),
                            milliseconds(arena, request->lifetime)};
    struct redis_element elements[3];

    if (!RUN(words, elements) || !number(&elements[0], &reply->sum))
        return;
    reply->expires = expiry(&elements[1]);
    reply->outcome = slice_equal(elements[2].text, SLICE("1")) ? STORE_OUTCOME_FOUND : STORE_OUTCOME_MISSING;
}

static void count_event(struct table *table, struct arena *arena, struct slice key, const struct store_request *request, struct store_reply *reply)
{
    struct slice words[] = {SLICE("EVAL"),
                            slice_of(count_script),
                            SLICE("2"),
                            arena_format(arena, SLICE_FORMAT ":" SLICE_FORMAT, SLICE_ARGS(key), SLICE_ARGS(request->value)),
                            key,
                            milliseconds(arena, request->lifetime),
                            request->value.len ? SLICE("1") : SLICE("0"),
                            slice_of(machine),
                            arena_format(arena, "%lld", (long long)request->amount)};
    struct redis_element elements[2];

    if (RUN(words, elements) && number(&elements[0], &reply->sum) && number(&elements[1], &reply->expires))
        reply->outcome = STORE_OUTCOME_FOUND;
}

static void answer(struct table *table, const char *cache, const struct store_request *request, struct arena *arena, struct store_reply *reply)
{
    struct slice key = arena_format(arena, KEY_PREFIX "%s:" SLICE_FORMAT, cache, SLICE_ARGS(request->key));

    *reply = (struct store_reply){.outcome = STORE_OUTCOME_FAILED};
    switch (request->verb) {
    case STORE_GET:
        get(table, arena, key, reply);
        break;
    case STORE_PUT:
        put(table, arena, key, request, reply);
        break;
    case STORE_DELETE:
        drop(table, arena, key, reply);
        break;
    case STORE_ADD:
        add(table, arena, key, request, reply);
        break;
    case REMOTE_COUNT:
        count_event(table, arena, key, request, reply);
        break;
    default:
        break;
    }
}

/* ---- the process ---------------------------------------------------------------------------------------------------- */

static void take_request(struct table *const *tables, const struct remote_place *places, size_t count, struct slice message, struct arena *arena)
{
    struct store_request request = {0};
    struct store_reply reply = {.outcome = STORE_OUTCOME_FAILED};
    struct buffer encoded = BUFFER_INIT;
    uint8_t head[REMOTE_HEAD];
    uint32_t serial;
    size_t place;

    if (!remote_take_head(&message, &serial, &place))
        return;
    if (place < count && tables[place] && MESSAGE_DECODE(store_request, message, arena, &request))
        answer(tables[place], places[place].cache, &request, arena, &reply);
    MESSAGE_ENCODE(store_reply, &reply, &encoded);
    if (encoded.len > REMOTE_MESSAGE_MAX - REMOTE_HEAD) { /* somebody else's record */
        buffer_clear(&encoded);
        reply = (struct store_reply){.outcome = STORE_OUTCOME_MISSING};
        MESSAGE_ENCODE(store_reply, &reply, &encoded);
    }
    remote_put_head(head, serial, place);
    (void)child_send(service_fd, slice_make(head, sizeof(head)), buffer_slice(&encoded));
    buffer_release(&encoded);
}

void remote_worker_main(int socket, struct config *config, const struct remote_place *places, size_t count)
{
    static char message[REMOTE_MESSAGE_MAX];
    struct table **tables = memory_zalloc(count, sizeof(struct table *));
    struct arena *arena = arena_new(4096);
    struct buffer name = BUFFER_INIT;
    ssize_t got;

    service_fd = socket;
    buffer_printf(&name, "%s:%s", config_string(config, "myhostname"), config_string(config, "data_directory"));
    machine = buffer_string(&name);
    for (size_t i = 0; i < count; i++)
        if (*places[i].where)
            tables[i] = table_open(slice_of(places[i].where), 0, config);
    while ((got = recv(socket, message, sizeof(message), 0)) > 0 || (got < 0 && errno == EINTR)) {
        if (got > 0)
            take_request(tables, places, count, slice_make(message, (size_t)got), arena);
        arena_reset(arena);
    }
    _exit(0);
}
