/* test_layer.c - server and client with each other over a socket pair: data of all sizes, resumption, verification, DANE, ends of all kinds */
#include "testing.h"

#include <malloc.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include "base/log.h"
#include "run/run.h"
#include "tls/client.h"
#include "tls/server.h"

static char directory[] = "/tmp/tls-test-XXXXXX";
static unsigned char key_digest[SHA256_DIGEST_LENGTH];
static struct buffer log_text;

static void watch(enum log_severity severity UNUSED, const char *text, void *context UNUSED)
{
    buffer_printf(&log_text, "%s\n", text);
}

static bool logged(const char *text)
{
    return slice_search(buffer_slice(&log_text), slice_of(text)) < log_text.len;
}

static const char *path(const char *name)
{
    static char text[4][128];
    static unsigned turn;
    char *result = text[turn++ % 4];
    snprintf(result, sizeof(text[0]), "%s/%s", directory, name);
    return result;
}

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    ck_assert_ptr_nonnull(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

/* make_certificate - NAME.pem, key and certificate that signs itself. */
static void make_certificate(const char *name, const char *host)
{
    char file[64], san[128];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_version(certificate, 2);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)host, -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    snprintf(san, sizeof(san), "DNS:%s", host);
    add_extension(certificate, NID_subject_alt_name, san);
    add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
    X509_sign(certificate, key, EVP_sha256());
    snprintf(file, sizeof(file), "%s.pem", name);
    FILE *out = fopen(path(file), "w");
    PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
    PEM_write_X509(out, certificate);
    fclose(out);
    unsigned char *public = NULL;
    int size = i2d_PUBKEY(key, &public);
    SHA256(public, (size_t)size, key_digest);
    OPENSSL_free(public);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

/* ---- two ends ---- */

static struct config *config;
static struct tls_params server_params, client_params;
static struct tls_server *server;
static struct tls_client *client;

static void set_up(const char *more)
{
    struct buffer text = BUFFER_INIT;
    snprintf(directory, sizeof(directory), "/tmp/tls-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    make_certificate("other", "other.test");
    make_certificate("here", "here.test");
    log_set_watcher(watch, NULL);
    config = config_empty();
    buffer_printf(&text, "smtpd_tls_chain_files = %s\nsmtp_tls_CAfile = %s\nsmtpd_tls_loglevel = 1\nsmtp_tls_loglevel = 1\n"
                  "smtp_tls_session_cache_database = btree:x\nsmtp_tls_fingerprint_digest = sha256\n%s", path("here.pem"), path("here.pem"), more);
    ck_assert(config_parse(config, buffer_slice(&text), "test"));
    buffer_release(&text);
    tls_params_load(config, "smtpd", &server_params);
    tls_params_load(config, "smtp", &client_params);
    server = tls_server_new(config, &server_params, false, "smtp", NULL);
    client = tls_client_new(&client_params, NULL);
    ck_assert(tls_server_make_ready(server));
    ck_assert(tls_client_is_ready(client));
}

static void tear_down(void)
{
    tls_server_free(server);
    tls_client_free(client);
    config_free(config);
    unlink(path("here.pem"));
    unlink(path("other.pem"));
    rmdir(directory);
    buffer_release(&log_text);
    log_set_watcher(NULL, NULL);
}

struct end {
    struct stream *stream;
    struct arena *arena;
    struct tls_facts facts;
    bool good, over;
    void (*serve)(struct end *end);
};

static void run_server(void *arg)
{
    struct end *end = arg;
    bool timed_out;
    end->good = tls_server_accept(server, end->stream, "client.test[192.0.2.1]", 5 * MICROSECONDS, end->arena, &end->facts, &timed_out);
    if (end->good && end->serve)
        end->serve(end);
    end->over = true;
}

/* meet - a handshake; the server goes on with serve in a fiber of its own. */
static enum tls_connected meet(struct end *near, struct end *far, const struct tls_connect *connect, void (*serve)(struct end *end))
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    *near = (struct end){.stream = stream_new_fd(pair[0]), .arena = arena_new(0)};
    *far = (struct end){.stream = stream_new_fd(pair[1]), .arena = arena_new(0), .serve = serve};
    stream_set_deadline(near->stream, clock_after(10 * MICROSECONDS));
    stream_set_deadline(far->stream, clock_after(10 * MICROSECONDS));
    fiber_start("server", run_server, far);
    return tls_client_connect(client, near->stream, connect, 5 * MICROSECONDS, near->arena, &near->facts);
}

static void part(struct end *near, struct end *far)
{
    stream_free(near->stream);
    for (int i = 0; !far->over && i < 1000; i++)
        fiber_sleep(1000);
    ck_assert(far->over);
    stream_free(far->stream);
    arena_free(near->arena);
    arena_free(far->arena);
}

static struct tls_policy policy = {.level = TLS_MAY, .connection_reuse = -1};
static struct tls_connect to_here = {.policy = &policy, .peer = "here.test[192.0.2.2]:25", .host = "here.test", .next_hop = "here.test"};

/* ---- data ---- */

/* answer - lines "hello" are said back; after "end" how much came in the lines before. */
static void answer(struct end *end)
{
    size_t count = 0;
    struct slice line;
    while (stream_read_line(end->stream, 10000, &line) == LINE_LF || line.len) {
        if (line.len > 100) {
            count += line.len + 1;
            continue;
        }
        if (slice_equal(line, SLICE("end")))
            stream_printf(end->stream, "%zu\r\n", count);
        else
            stream_printf(end->stream, SLICE_FORMAT "\r\n", SLICE_ARGS(line));
        if (!stream_flush(end->stream))
            return;
    }
}

static void exchange(void *arg UNUSED)
{
    struct end near, far;
    struct slice line;
    ck_assert_int_eq(meet(&near, &far, &to_here, answer), TLS_CONNECTED);
    ck_assert_str_eq(near.facts.protocol, "TLSv1.3");
    ck_assert_str_eq(tls_facts_trust(&near.facts), "Trusted");
    stream_printf(near.stream, "hello\r\n");
    ck_assert(stream_flush(near.stream));
    ck_assert_int_eq(stream_read_line(near.stream, 100, &line), LINE_CRLF);
    ASSERT_SLICE(line, "hello");
    ck_assert(!stream_pending(near.stream)); /* the session ticket that came along is no data */
    char piece[5000];
    memset(piece, 'x', sizeof(piece));
    piece[sizeof(piece) - 1] = '\n';
    for (size_t sent = 0; sent < 3000000; sent += sizeof(piece)) {
        stream_write(near.stream, piece, sizeof(piece));
        if (sent % 50000 == 0)
            ck_assert(stream_flush(near.stream));
    }
    stream_printf(near.stream, "end\r\n");
    ck_assert(stream_flush(near.stream));
    ck_assert_int_eq(stream_read_line(near.stream, 100, &line), LINE_CRLF);
    ASSERT_SLICE(line, "3000000");
    ck_assert(!stream_pending(near.stream));
    part(&near, &far);
}

START_TEST(test_exchange)
{
    set_up("");
    run_main(exchange, NULL);
    ck_assert(logged("Trusted TLS connection established to here.test[192.0.2.2]:25: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) "
                     "key-exchange X25519 server-signature ECDSA (prime256v1) server-digest SHA256"));
    ck_assert(logged("Anonymous TLS connection established from client.test[192.0.2.1]: TLSv1.3 with cipher"));
    tear_down();
}
END_TEST

/* ---- resumption ---- */

static void resume(void *arg UNUSED)
{
    static struct tls_policy other = {.level = TLS_VERIFY, .match = {"here.test", 9}, .connection_reuse = -1};
    struct tls_connect stricter = to_here;
    struct end near, far;
    struct slice line;
    stricter.policy = &other;
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(meet(&near, &far, i == 2 ? &stricter : &to_here, answer), TLS_CONNECTED);
        ck_assert_int_eq(near.facts.reused, i == 1 || i == 3); /* other demands, another session */
        stream_printf(near.stream, "x\r\n");
        ck_assert(stream_flush(near.stream));
        ck_assert_int_eq(stream_read_line(near.stream, 100, &line), LINE_CRLF);
        part(&near, &far);
    }
}

static void handshake(void *arg)
{
    struct end near, far;
    const char *protocol = arg;
    ck_assert_int_eq(meet(&near, &far, &to_here, answer), TLS_CONNECTED);
    ck_assert_str_eq(near.facts.protocol, protocol);
    part(&near, &far);
}

/* Debian's Postfix takes a client that has only other curves than those of the grade, and with none ECDHE goes on. */
START_TEST(test_grades)
{
    static const struct {
        const char *settings, *protocol;
    } cases[] = {
        {"smtpd_tls_eecdh_grade = none\nsmtp_tls_exclude_ciphers = aNULL\nsmtp_tls_protocols = TLSv1.2\n", "TLSv1.2"},
        {"smtpd_tls_eecdh_grade = none\ntls_ffdhe_auto_groups =\n", "TLSv1.3"},
        {"smtpd_tls_eecdh_grade = strong\ntls_eecdh_auto_curves = X25519\ntls_ffdhe_auto_groups =\n", "TLSv1.3"},
        {"smtpd_tls_eecdh_grade = ultra\ntls_eecdh_auto_curves = secp384r1 X25519 X25519 nonsense\n", "TLSv1.3"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        set_up(cases[i].settings);
        run_main(handshake, (void *)cases[i].protocol);
        tear_down();
    }
}
END_TEST

START_TEST(test_chain_above_legacy)
{
    static const char said[] = "Both smtpd_tls_chain_files and one or more of the legacy  smtpd_tls_cert_file, smtpd_tls_eccert_file or "
                               "smtpd_tls_dcert_file are non-empty; the legacy  parameters will be ignored\n";
    set_up("");
    ck_assert(!logged("of the legacy"));
    tear_down();
    set_up("smtpd_tls_eccert_file = /nowhere.pem\n");
    ck_assert(logged(said));
    tear_down();
}
END_TEST

START_TEST(test_resumption)
{
    set_up("");
    run_main(resume, NULL);
    ck_assert(logged("Trusted TLS connection established to here.test"));
    ck_assert(logged("server-signature ECDSA (prime256v1)\n")); /* the resumed one: nobody signed anew */
    tear_down();
}
END_TEST

START_TEST(test_resumption_of_old_versions)
{
    set_up("smtp_tls_exclude_ciphers = aNULL\nsmtp_tls_protocols = TLSv1.2\nsmtp_tls_mandatory_protocols = TLSv1.2\n");
    run_main(resume, NULL);
    ck_assert(logged("Trusted TLS connection established to here.test[192.0.2.2]:25: TLSv1.2 with cipher ECDHE-ECDSA-AES256-GCM-SHA384 (256/256 bits)\n"));
    tear_down();
}
END_TEST

/* ---- who it is ---- */

static void verify(void *arg UNUSED)
{
    static const char digits[] = "0123456789ABCDEF";
    char fingerprint[SHA256_DIGEST_LENGTH * 3 + 1] = "", wrong[SHA256_DIGEST_LENGTH];
    for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++)
        snprintf(fingerprint + strlen(fingerprint), 4, "%s%c%c", i ? ":" : "", digits[key_digest[i] >> 4], digits[key_digest[i] & 15]);
    memset(wrong, 1, sizeof(wrong));
    struct tls_anchor good_anchor = {3, 1, 1, slice_make(key_digest, sizeof(key_digest))}, bad_anchor = {3, 1, 1, slice_make(wrong, sizeof(wrong))};
    const struct { enum tls_level level; const char *match, *host; const struct tls_anchor *anchor; enum tls_connected want; const char *trust; } rows[] = {
        {TLS_VERIFY, "", "here.test", NULL, TLS_CONNECTED, "Verified"},
        {TLS_VERIFY, "", "elsewhere.test", NULL, TLS_NOT_VERIFIED, "Untrusted"},
        {TLS_SECURE, "nexthop", "elsewhere.test", NULL, TLS_CONNECTED, "Verified"},
        {TLS_SECURE, ".test", "elsewhere.test", NULL, TLS_CONNECTED, "Verified"},
        {TLS_SECURE, "dot-nexthop", "here.test", NULL, TLS_NOT_VERIFIED, "Untrusted"},
        {TLS_FINGERPRINT, fingerprint, "elsewhere.test", NULL, TLS_CONNECTED, "Verified"},
        {TLS_FINGERPRINT, "AA:BB", "here.test", NULL, TLS_NOT_VERIFIED, "Untrusted"},
        {TLS_DANE, "", "elsewhere.test", &good_anchor, TLS_CONNECTED, "Verified"},
        {TLS_DANE_ONLY, "", "here.test", &bad_anchor, TLS_NOT_VERIFIED, "Untrusted"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tls_policy demanded = {.level = rows[i].level, .match = slice_of(rows[i].match), .connection_reuse = -1};
        struct tls_connect connect = {.policy = &demanded, .peer = "peer", .host = rows[i].host, .next_hop = "here.test",
                                      .anchors = rows[i].anchor, .anchor_count = rows[i].anchor != NULL, .anchor_domain = rows[i].host};
        struct end near, far;
        ck_assert_msg(meet(&near, &far, &connect, NULL) == rows[i].want, "row %zu", i);
        ck_assert_str_eq(tls_facts_trust(&near.facts), rows[i].trust);
        part(&near, &far);
    }
}

START_TEST(test_verification)
{
    set_up("");
    run_main(verify, NULL);
    ck_assert(logged("server certificate verification failed for peer: num=62:hostname mismatch"));
    ck_assert(logged("server certificate verification failed for peer: num=65:no matching DANE TLSA records"));
    tear_down();
}
END_TEST

/* ---- what goes wrong ---- */

static void talk_nonsense(void *arg UNUSED)
{
    int pair[2];
    struct slice line;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    struct end far = {.stream = stream_new_fd(pair[1]), .arena = arena_new(0)};
    struct stream *plain = stream_new_fd(pair[0]);
    stream_set_deadline(plain, clock_after(5 * MICROSECONDS));
    fiber_start("server", run_server, &far);
    stream_printf(plain, "EHLO is no handshake\r\n");
    ck_assert(stream_flush(plain));
    while (!far.over)
        fiber_sleep(1000);
    ck_assert(!far.good);
    stream_free(far.stream);
    ck_assert_int_eq(stream_read_line(plain, 100, &line), LINE_NONE);
    stream_free(plain);
    arena_free(far.arena);
}

START_TEST(test_nonsense)
{
    set_up("");
    run_main(talk_nonsense, NULL);
    ck_assert(logged("SSL_accept error from client.test[192.0.2.1]: -1"));
    ck_assert(logged("TLS library problem: error:0A00010B:SSL routines::wrong version number:"));
    tear_down();
}
END_TEST

static void sit(struct end *end)
{
    struct slice line;
    stream_set_deadline(end->stream, clock_after(20 * MICROSECONDS));
    (void)!stream_read_line(end->stream, 100, &line);
}

/* hold_many - what idle sessions cost, both ends in this process. */
static void hold_many(void *arg UNUSED)
{
    enum { SESSIONS = 200 };
    static struct end near[SESSIONS], far[SESSIONS];
    struct end first_near, first_far;
    ck_assert_int_eq(meet(&first_near, &first_far, &to_here, sit), TLS_CONNECTED);
    fiber_sleep(1000);
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < SESSIONS; i++)
        ck_assert_int_eq(meet(&near[i], &far[i], &to_here, sit), TLS_CONNECTED);
    fiber_sleep(10000);
    struct mallinfo2 after = mallinfo2();
    size_t each = (after.uordblks - before.uordblks) / SESSIONS;
    ck_assert_msg(each < 80000, "a pair of idle ends takes %zu bytes", each);
    fprintf(stderr, "a pair of idle ends takes %zu bytes\n", each);
    for (int i = 0; i < SESSIONS; i++)
        part(&near[i], &far[i]);
    part(&first_near, &first_far);
}

START_TEST(test_memory)
{
    set_up("");
    run_main(hold_many, NULL);
    tear_down();
}
END_TEST

TEST_MAIN("tls/layer", test_exchange, test_grades, test_chain_above_legacy, test_resumption, test_resumption_of_old_versions, test_verification, test_nonsense, test_memory)
