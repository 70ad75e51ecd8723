/* tickets.c (tls) - see tickets.h

   The callback may run in a thread of the offload pool: it touches the shared memory with atomic operations and nothing else. */
#include "tls/tickets.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "tls/trace.h"

enum { RING = 4, NAME_SIZE = 16, KEY_SIZE = 32 };

struct ticket_key {
    uint64_t claimed; /* epoch for which somebody makes the key */
    uint64_t ready;   /* epoch of the key that is there; 0: none */
    unsigned char name[NAME_SIZE], cipher[KEY_SIZE], mac[KEY_SIZE];
};

_Static_assert(RING * sizeof(struct ticket_key) <= TLS_TICKETS_SHARED, "the ring fits in what is shared");

static struct ticket_key own[RING], *ring = own;
static int64_t epoch_length = 3600;
static EVP_CIPHER *ticket_cipher;

void tls_tickets_share(void *memory)
{
    ring = memory;
}

static uint64_t present_epoch(void)
{
    return (uint64_t)time(NULL) / (uint64_t)epoch_length + 1;
}

/* make - true when this process was the one to make it.  One that dies in between costs the tickets of an epoch. */
static bool make(struct ticket_key *key, uint64_t epoch)
{
    uint64_t before = __atomic_load_n(&key->claimed, __ATOMIC_ACQUIRE);

    if (before == epoch || !__atomic_compare_exchange_n(&key->claimed, &before, epoch, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return false;
    __atomic_store_n(&key->ready, 0, __ATOMIC_RELEASE);
    if (RAND_bytes(key->name, NAME_SIZE) != 1 || RAND_priv_bytes(key->cipher, KEY_SIZE) != 1 || RAND_priv_bytes(key->mac, KEY_SIZE) != 1)
        return false;
    __atomic_store_n(&key->ready, epoch, __ATOMIC_RELEASE);
    return true;
}

static const struct ticket_key *key_of(uint64_t epoch)
{
    struct ticket_key *key = &ring[epoch % RING];

    return __atomic_load_n(&key->ready, __ATOMIC_ACQUIRE) == epoch ? key : NULL;
}

static bool use(const struct ticket_key *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac, KEY_SIZE),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_CipherInit_ex2(cipher, ticket_cipher, key->cipher, iv, encrypt, NULL) == 1 && EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* on_ticket - OpenSSL wants to make (encrypt) or open a ticket: 1 done, 2 done but the ticket is old, 0 no ticket, -1 trouble. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
    uint64_t epoch = present_epoch();
    const struct ticket_key *key = key_of(epoch);

    if (encrypt) {
        if (!key && make(&ring[epoch % RING], epoch))
            key = key_of(epoch);
        if (!key)
            return 0;
        memcpy(name, key->name, NAME_SIZE);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(ticket_cipher)) != 1)
            return -1;
        tls_trace_add(ssl, "Issuing session ticket, key expiration: %lld", (long long)epoch * (long long)epoch_length);
        return use(key, iv, cipher, mac, 1) ? 1 : -1;
    }
    for (int age = 0; age < 2; age++) {
        key = key_of(epoch - (uint64_t)age);
        if (key && CRYPTO_memcmp(name, key->name, NAME_SIZE) == 0)
            return !use(key, iv, cipher, mac, 0) ? -1 : age == 0 && SSL_version(ssl) < TLS1_3_VERSION ? 1 : 2; /* TLS 1.3: each ticket is used once */
    }
    return 0;
}

bool tls_tickets_enable(SSL_CTX *ctx, int64_t lifetime, const char *cipher)
{
    if (!ticket_cipher)
        ticket_cipher = EVP_CIPHER_fetch(NULL, cipher, NULL);
    if (!ticket_cipher || EVP_CIPHER_get_key_length(ticket_cipher) > KEY_SIZE)
        return false;
    epoch_length = lifetime;
    SSL_CTX_set_timeout(ctx, (long)lifetime);
    SSL_CTX_set_num_tickets(ctx, 1);
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) == 1;
}
