/* test_parsers.c - base64, what Dovecot says, SCRAM messages, verifiers, security options */
#include "testing.h"

#include "sasl/base64.h"
#include "sasl/dovecot_reply.h"
#include "sasl/mechanism.h"
#include "sasl/scram.h"
#include "sasl/verifier.h"

START_TEST(test_base64)
{
    static const struct { const char *plain, *encoded; } rows[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"Username:", "VXNlcm5hbWU6"}};
    static const char *const bad[] = {"Zg", "Zg=", "Zg===", "Z===", "====", "Zh==", "Zm9=", "Zm9v\n", "Zm 9v", "!!!!", "Zg==Zg==", "Zm9v="};

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buffer out = BUFFER_INIT;
        base64_encode(&out, slice_of(rows[i].plain));
        ASSERT_SLICE(buffer_slice(&out), rows[i].encoded);
        buffer_clear(&out);
        ck_assert(base64_decode(slice_of(rows[i].encoded), &out));
        ASSERT_SLICE(buffer_slice(&out), rows[i].plain);
        buffer_release(&out);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        ck_assert_msg(!base64_decode(slice_of(bad[i]), NULL), "\"%s\" was taken", bad[i]);
}
END_TEST

START_TEST(test_dovecot_replies)
{
    struct arena *arena = arena_new(0);
    struct dovecot_reply r;

    ck_assert(dovecot_reply_parse(SLICE("MECH\tcram-md5\tdictionary\tactive\tnew-word"), arena, &r));
    ck_assert_int_eq(r.verb, DOVECOT_MECH);
    ASSERT_SLICE(r.mechanism, "cram-md5");
    ck_assert_uint_eq(r.properties, SASL_DICTIONARY | SASL_ACTIVE);
    ck_assert(dovecot_reply_parse(SLICE("CONT\t7\tVXNlcm5hbWU6"), arena, &r));
    ck_assert_int_eq(r.verb, DOVECOT_CONT);
    ck_assert_uint_eq(r.id, 7);
    ASSERT_SLICE(r.challenge, "VXNlcm5hbWU6");
    ck_assert(dovecot_reply_parse(SLICE("CONT\t7\t"), arena, &r));
    ASSERT_SLICE(r.challenge, "");
    ck_assert(dovecot_reply_parse(SLICE("FAIL\t8\tuser=a\0011b\001tc\treason=no\tuser_disabled"), arena, &r));
    ASSERT_SLICE(r.user, "a\001b\tc");
    ASSERT_SLICE(r.reason, "no");
    ck_assert(r.disabled && !r.temporary);
    ck_assert(dovecot_reply_parse(SLICE("FAIL\t8\tuser=a\tcode=temp_fail"), arena, &r) && r.temporary);
    ck_assert(dovecot_reply_parse(SLICE("OK\t8\tuser=alice\tfoo"), arena, &r) && r.verb == DOVECOT_OK);
    ck_assert(dovecot_reply_parse(SLICE("VERSION\t1\t2"), arena, &r) && r.id == 1);
    ck_assert(dovecot_reply_parse(SLICE("WHAT\tever"), arena, &r) && r.verb == DOVECOT_UNKNOWN);
    ck_assert(dovecot_reply_parse(SLICE(""), arena, &r) && r.verb == DOVECOT_UNKNOWN);
    ck_assert(!dovecot_reply_parse(SLICE("OK\tx\tuser=a"), arena, &r));
    ck_assert(!dovecot_reply_parse(SLICE("FAIL"), arena, &r));
    ck_assert(dovecot_reply_parse(SLICE("MECH\tA B"), arena, &r) && r.verb == DOVECOT_UNKNOWN);
    ck_assert(dovecot_reply_parse(SLICE("MECH\tA-NAME-OF-TOO-MANY-BYTES\tplaintext"), arena, &r) && r.verb == DOVECOT_UNKNOWN);
    ck_assert(dovecot_reply_parse(SLICE("MECH"), arena, &r) && r.verb == DOVECOT_UNKNOWN);
    arena_free(arena);
}
END_TEST

/* The example of RFC 7677 section 3. */
START_TEST(test_scram_example)
{
    struct arena *arena = arena_new(0);
    struct scram_client_first first;
    struct scram_server_first server;
    struct scram_client_final final;
    struct scram_key salted, client, stored, server_key, signature;

    ck_assert(scram_parse_client_first(SLICE("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"), arena, &first));
    ASSERT_SLICE(first.user, "user");
    ck_assert(scram_parse_server_first(SLICE("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"), arena, &server));
    ck_assert(scram_parse_client_final(SLICE("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), arena, &final));
    ck_assert(slice_equal(final.header, first.header) && slice_equal(final.nonce, server.nonce));
    ck_assert(scram_salt(SCRAM_SHA_256, SLICE("pencil"), server.salt, server.iterations, &salted));
    scram_derive(SCRAM_SHA_256, &salted, &client, &stored, &server_key);
    struct slice text = SLICE("n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
                              "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    scram_sign(SCRAM_SHA_256, &stored, text, &signature);
    scram_xor(&signature, &client);
    ck_assert(scram_equal(&signature, &final.proof));
    scram_sign(SCRAM_SHA_256, &server_key, text, &signature);
    struct buffer proof = BUFFER_INIT;
    base64_encode(&proof, slice_make(signature.bytes, signature.len));
    ASSERT_SLICE(buffer_slice(&proof), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    buffer_release(&proof);
    arena_free(arena);
}
END_TEST

START_TEST(test_scram_hostile)
{
    static const char *const first[] = {"", "n,,", "p=tls-unique,,n=u,r=x", "n,a=,n=u", "n,,n=u,r=", "n,,n=u=2D,r=x", "n,,m=ext,n=u,r=x", "n,x,n=u,r=x", "x"};
    static const char *const server[] = {"", "r=x", "r=x,s=QQ==", "r=x,s=QQ==,i=0", "r=x,s=QQ==,i=99999999999", "r=x,s=,i=1", "m=x,r=x,s=QQ==,i=1", "e=other-error"};
    static const char *const final[] = {"", "c=biws,r=x", "c=biws,r=x,p=", "c=biws,r=x,p=!", "c=,r=x,p=QQ==", "p=QQ=="};
    struct arena *arena = arena_new(0);
    struct scram_client_first f;
    struct scram_server_first s;
    struct scram_client_final c;

    for (size_t i = 0; i < COUNT_OF(first); i++)
        ck_assert_msg(!scram_parse_client_first(slice_of(first[i]), arena, &f), "%s", first[i]);
    for (size_t i = 0; i < COUNT_OF(server); i++)
        ck_assert_msg(!scram_parse_server_first(slice_of(server[i]), arena, &s), "%s", server[i]);
    for (size_t i = 0; i < COUNT_OF(final); i++)
        ck_assert_msg(!scram_parse_client_final(slice_of(final[i]), arena, &c), "%s", final[i]);
    ck_assert(scram_parse_client_first(SLICE("y,a=x,n=a=2Cb=3Dc,r=x"), arena, &f));
    ASSERT_SLICE(f.user, "a,b=c");
    arena_free(arena);
}
END_TEST

START_TEST(test_verifiers)
{
    static const struct { const char *value, *password; enum verifier_kind kind; enum verifier_result result; } rows[] = {
        {"{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=", "pencil", VERIFIER_SCRAM, VERIFIER_FITS},
        {"{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=", "pencils", VERIFIER_SCRAM, VERIFIER_WRONG},
        {"{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==", "x", VERIFIER_UNUSABLE, VERIFIER_BROKEN},
        {"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO/O817G3uBnIFNjnQJuesI68OTLiBFdcbYEdFCoEOfaS35inz1", "Hello world!", VERIFIER_CRYPT, VERIFIER_WRONG /* cut off */},
        {"$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!", VERIFIER_CRYPT, VERIFIER_FITS},
        {"{SHA256-CRYPT}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!", VERIFIER_CRYPT, VERIFIER_FITS},
        {"{CRYPT}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "hello world!", VERIFIER_CRYPT, VERIFIER_WRONG},
        {"$zz$nothing", "x", VERIFIER_CRYPT, VERIFIER_BROKEN},
        {"!$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!", VERIFIER_DISABLED, VERIFIER_BROKEN},
        {"secret", "secret", VERIFIER_UNUSABLE, VERIFIER_BROKEN},
        {"{PLAIN}secret", "secret", VERIFIER_UNUSABLE, VERIFIER_BROKEN},
        {"{CRYPT}", "", VERIFIER_UNUSABLE, VERIFIER_BROKEN},
        {"", "", VERIFIER_UNUSABLE, VERIFIER_BROKEN},
    };
    struct arena *arena = arena_new(0);

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct verifier v;
        verifier_parse(slice_of(rows[i].value), arena, &v);
        ck_assert_msg(v.kind == rows[i].kind, "%s: kind %d", rows[i].value, v.kind);
        ck_assert_msg(verifier_check(&v, slice_of(rows[i].password)) == rows[i].result, "%s", rows[i].value);
    }
    arena_free(arena);
}
END_TEST

START_TEST(test_security)
{
    struct sasl_security s = sasl_security_parse("noplaintext, noanonymous", "x");

    ck_assert(!sasl_security_allows(s, sasl_mechanism_properties(SLICE("plain"))));
    ck_assert(!sasl_security_allows(s, sasl_mechanism_properties(SLICE("ANONYMOUS"))));
    ck_assert(sasl_security_allows(s, sasl_mechanism_properties(SLICE("CRAM-MD5"))));
    ck_assert(!sasl_security_allows(s, SASL_PRIVATE));
    s = sasl_security_parse("mutual_auth", "x");
    ck_assert(sasl_security_allows(s, sasl_mechanism_properties(SLICE("SCRAM-SHA-256"))));
    ck_assert(!sasl_security_allows(s, sasl_mechanism_properties(SLICE("PLAIN"))));
    ck_assert(sasl_mechanism_is_name(SLICE("SCRAM-SHA-256")));
    ck_assert(!sasl_mechanism_is_name(SLICE("")) && !sasl_mechanism_is_name(SLICE("A\tB")) && !sasl_mechanism_is_name(SLICE("ABCDEFGHIJKLMNOPQRSTU")));
}
END_TEST

TEST_MAIN("sasl/parsers", test_base64, test_dovecot_replies, test_scram_example, test_scram_hostile, test_verifiers, test_security)
