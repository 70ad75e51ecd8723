/* chain.c - the certificates that a server showed (posttls-finger -C) */
#include <openssl/pem.h>

#include "finger.h"

static void show_digest(const char *what, const unsigned char *bytes, unsigned len)
{
    printf("  %s digest=", what);
    for (unsigned i = 0; i < len; i++)
        printf("%s%02X", i ? ":" : "", bytes[i]);
    putchar('\n');
}

static void show_name(const char *format, const X509_NAME *name)
{
    char *text = X509_NAME_oneline(name, NULL, 0); /* escapes what is not printable */

    printf(format, text ? text : "");
    OPENSSL_free(text);
}

static void show_certificate(X509 *certificate, int at, const EVP_MD *method)
{
    unsigned char bytes[EVP_MAX_MD_SIZE], *key = NULL;
    unsigned len;

    printf("%2d ", at);
    show_name("subject: %s\n", X509_get_subject_name(certificate));
    show_name("    issuer: %s\n", X509_get_issuer_name(certificate));
    if (method && X509_digest(certificate, method, bytes, &len) == 1)
        show_digest(" cert", bytes, len);
    int size = i2d_PUBKEY(X509_get0_pubkey(certificate), &key);
    if (method && size > 0 && EVP_Digest(key, (size_t)size, bytes, &len, method, NULL) == 1)
        show_digest(" pkey", bytes, len);
    OPENSSL_free(key);
    PEM_write_X509(stdout, certificate);
}

void show_chain(SSL *ssl, const char *digest)
{
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    EVP_MD *method = EVP_MD_fetch(NULL, digest, NULL);

    if (!chain || sk_X509_num(chain) == 0)
        chain = SSL_get_peer_cert_chain(ssl);
    printf("\n---\nCertificate chain\n");
    for (int i = 0; chain && i < sk_X509_num(chain); i++)
        show_certificate(sk_X509_value(chain, i), i, method);
    fflush(stdout);
    EVP_MD_free(method);
}
