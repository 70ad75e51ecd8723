/* sessions.c (tls) - see sessions.h */
#include "tls/sessions.h"

#include "base/map.h"

enum { SESSIONS_MAX = 2000 };

struct tls_sessions {
    struct map *map; /* key -> SSL_SESSION */
    int64_t lifetime;
};

/* What a connection carries (ex data of its SSL). */
struct remembering {
    struct tls_sessions *sessions;
    char *key;
    size_t key_len;
    SSL_SESSION *fresh; /* given during the handshake, maybe in another thread: kept aside until it is over */
    bool over, good;
};

static int data_index = -1;

static void release_session(void *session)
{
    SSL_SESSION_free(session);
}

static void free_remembering(void *parent UNUSED, void *data, CRYPTO_EX_DATA *all UNUSED, int index UNUSED, long number UNUSED,
                             void *pointer UNUSED)
{
    struct remembering *r = data;

    if (!r)
        return;
    SSL_SESSION_free(r->fresh);
    free(r->key);
    free(r);
}

struct tls_sessions *tls_sessions_new(int64_t lifetime)
{
    struct tls_sessions *sessions = memory_zalloc(1, sizeof(*sessions));

    if (data_index < 0)
        data_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_remembering);
    sessions->lifetime = lifetime;
    sessions->map = map_new(release_session);
    return sessions;
}

void tls_sessions_free(struct tls_sessions *sessions)
{
    if (!sessions)
        return;
    map_free(sessions->map);
    free(sessions);
}

/* keep - takes over the session.  When there are many the oldest make room. */
static void keep(struct remembering *r, SSL_SESSION *session)
{
    struct slice key;
    void *oldest;
    size_t position = 0;

    if (map_count(r->sessions->map) >= SESSIONS_MAX && map_next(r->sessions->map, &position, &key, &oldest)) {
        char *copy = slice_string(key);
        map_remove(r->sessions->map, slice_make(copy, key.len));
        free(copy);
    }
    map_set(r->sessions->map, slice_make(r->key, r->key_len), session);
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct remembering *r = SSL_get_ex_data(ssl, data_index);

    if (!r || (r->over && !r->good) || !SSL_SESSION_is_resumable(session))
        return 0;
    if (r->over) {
        keep(r, session);
        return 1;
    }
    SSL_SESSION_free(r->fresh);
    r->fresh = session;
    return 1;
}

void tls_sessions_enable(struct tls_sessions *sessions, SSL_CTX *ctx)
{
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_timeout(ctx, (long)sessions->lifetime);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
}

void tls_sessions_begin(struct tls_sessions *sessions, SSL *ssl, struct slice key)
{
    struct remembering *r = memory_zalloc(1, sizeof(*r));

    r->sessions = sessions;
    r->key = slice_string(key);
    r->key_len = key.len;
    SSL_set_ex_data(ssl, data_index, r);
    SSL_SESSION *session = map_get(sessions->map, key);
    if (!session)
        return;
    int64_t age = (int64_t)time(NULL) - (int64_t)SSL_SESSION_get_time(session), limit = (int64_t)SSL_SESSION_get_timeout(session);
    if (age < 0 || age > sessions->lifetime || age > limit)
        map_remove(sessions->map, key);
    else
        SSL_set_session(ssl, session);
}

void tls_sessions_end(struct tls_sessions *sessions, SSL *ssl, bool good)
{
    struct remembering *r = SSL_get_ex_data(ssl, data_index);

    r->over = true;
    r->good = good;
    if (good && r->fresh) {
        keep(r, r->fresh);
        r->fresh = NULL;
    }
    if (!good)
        map_remove(sessions->map, slice_make(r->key, r->key_len));
}
