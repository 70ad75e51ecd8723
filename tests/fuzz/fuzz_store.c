/* fuzz_store.c - what the store reads back from its files and its clients, and what AUTH lets a client say about who it is
   uses: smtpd/anvil/ smtpd/greylist.c smtpd/auth_failures.c smtpd/client.c smtpd/network.c smtpd/text.c */
#include "base/log.h"
#include "conf/config.h"
#include "../../smtpd/anvil/cache.h"
#include "../../smtpd/anvil/keeper.h"
#include "../../smtpd/anvil/offenders.h"
#include "../../smtpd/anvil/store.h"
#include "../../smtpd/auth_failures.h"
#include "../../smtpd/greylist.h"
#include "sasl/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* records - a change that was read comes back the same. */
static void records(struct slice input)
{
    struct cache_change change, again;
    struct slice value;
    int64_t expires;

    if (keeper_parse(input, &expires, &value) && value.len > input.len)
        abort();
    for (struct slice rest = input; cache_change_next(&rest, &change);) {
        struct buffer copy = BUFFER_INIT;
        cache_change_put(&copy, &change);
        struct slice bytes = buffer_slice(&copy);
        if (!cache_change_next(&bytes, &again) || bytes.len || again.expires != change.expires || !slice_equal(again.key, change.key) ||
            !slice_equal(again.value, change.value))
            abort();
        buffer_release(&copy);
    }
}

/* cache - the changes are done to a small cache, which stays within its limits. */
static void cache(struct slice input)
{
    struct cache *cache = cache_new((struct cache_limits){.entries = 8, .bytes = 4096});
    struct cache_change change;
    struct buffer list = BUFFER_INIT;

    cache_track(cache);
    while (cache_change_next(&input, &change)) {
        if (change.key.len == 0)
            continue;
        if (change.is_delete)
            (void)cache_delete(cache, change.key);
        else
            cache_put(cache, change.key, change.value, change.expires);
        if (cache_count(cache) > 8)
            abort();
    }
    (void)offenders_text(cache, 0, &list);
    if (list.len && list.data[list.len - 1] != '\n')
        abort();
    buffer_clear(&list);
    while (cache_take_changes(cache, 512, &list))
        buffer_clear(&list);
    buffer_release(&list);
    cache_free(cache);
}

static void texts(struct slice input)
{
    struct greylist_entry entry;
    struct greylist_client client;
    struct buffer key = BUFFER_INIT;
    struct slice sender, recipient;

    (void)greylist_parse(input, &entry);
    (void)greylist_client_parse(input, &client);
    (void)slice_cut(input, '\n', &sender, &recipient);
    greylist_key(SLICE("192.0.2.0/24"), sender, recipient, &key);
    if (key.len > 1024 || slice_find(buffer_slice(&key), '\0') < key.len)
        abort();
    buffer_release(&key);
}

static void users(struct slice input)
{
    static const char *const mechanisms[] = {"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "XOAUTH2", "GSSAPI"};
    struct buffer encoded = BUFFER_INIT, user = BUFFER_INIT;

    base64_encode(&encoded, input);
    for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
        auth_failures_user(slice_of(mechanisms[i]), buffer_slice(&encoded), &user);
        auth_failures_user(slice_of(mechanisms[i]), input, &user);
    }
    buffer_release(&encoded);
    buffer_release(&user);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_make(data, size);

    records(input);
    cache(input);
    texts(input);
    users(input);
    return 0;
}
