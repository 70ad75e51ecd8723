/* test_environment.c - what external commands see: cleaned values, listed names */
#include "testing.h"

#include "../../../local/common/command.h"

static const char *value_of(struct environment *environment, const char *name)
{
    const char *const *at = environment_list(environment);
    size_t len = strlen(name);
    for (; *at; at++)
        if (strncmp(*at, name, len) == 0 && (*at)[len] == '=')
            return *at + len + 1;
    return NULL;
}

START_TEST(values_are_cleaned)
{
    struct arena *arena = arena_new(0);
    struct environment e;
    environment_init(&e, arena, "abcdefghijklmnopqrstuvwxyz@.-");
    ck_assert_ptr_null(*environment_list(&e));
    environment_set(&e, "SENDER", SLICE("a@b.test;`rm -rf /`\n$(x)"));
    environment_set(&e, "EMPTY", SLICE(""));
    ck_assert_str_eq(value_of(&e, "SENDER"), "a@b.test__rm_-rf______x_");
    ck_assert_ptr_null(value_of(&e, "EMPTY"));
    environment_init(&e, arena, NULL);
    environment_set(&e, "X", SLICE("a b;c"));
    ck_assert_str_eq(value_of(&e, "X"), "a b;c");
    arena_free(arena);
}
END_TEST

START_TEST(only_what_is_listed_is_exported)
{
    struct arena *arena = arena_new(0);
    struct environment e;
    setenv("TZ", "UTC", 1);
    setenv("LD_PRELOAD_OF_TEST", "x", 1);
    unsetenv("NOT_SET");
    environment_init(&e, arena, NULL);
    environment_add_exported(&e, "TZ MAIL_CONFIG, NOT_SET { LANG = C.UTF-8 } A=b");
    ck_assert_str_eq(value_of(&e, "TZ"), "UTC");
    ck_assert_str_eq(value_of(&e, "LANG"), "C.UTF-8");
    ck_assert_str_eq(value_of(&e, "A"), "b");
    ck_assert_ptr_nonnull(value_of(&e, "PATH"));
    ck_assert_ptr_null(value_of(&e, "NOT_SET"));
    ck_assert_ptr_null(value_of(&e, "LD_PRELOAD_OF_TEST"));
    arena_free(arena);
}
END_TEST

START_TEST(the_envelope_is_told)
{
    struct arena *arena = arena_new(0);
    struct environment e;
    struct delivery_request request = {.envelope = {.client_name = SLICE("c.test"), .client_address = SLICE("192.0.2.1"), .helo_name = SLICE("evil`")}};
    struct delivery delivery = {.request = &request, .arena = arena};
    environment_init(&e, arena, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@.+-");
    environment_add_standard(&e, &delivery, "", SLICE(""), SLICE("user+x@d.test"), SLICE("o@d.test"));
    ck_assert_str_eq(value_of(&e, "SENDER"), "MAILER-DAEMON");
    ck_assert_str_eq(value_of(&e, "RECIPIENT"), "user+x@d.test");
    ck_assert_str_eq(value_of(&e, "DOMAIN"), "d.test");
    ck_assert_str_eq(value_of(&e, "ORIGINAL_RECIPIENT"), "o@d.test");
    ck_assert_str_eq(value_of(&e, "CLIENT_ADDRESS"), "192.0.2.1");
    ck_assert_str_eq(value_of(&e, "CLIENT_HELO"), "evil_");
    ck_assert_ptr_null(value_of(&e, "SASL_USERNAME"));
    arena_free(arena);
}
END_TEST

START_TEST(it_grows)
{
    struct arena *arena = arena_new(0);
    struct environment e;
    char name[20];
    environment_init(&e, arena, NULL);
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "N%d", i);
        environment_set(&e, name, SLICE("x"));
    }
    ck_assert_uint_eq(e.count, 1000);
    ck_assert_ptr_null(environment_list(&e)[1000]);
    ck_assert_str_eq(environment_list(&e)[0], "N0=x");
    ck_assert_str_eq(environment_list(&e)[999], "N999=x");
    arena_free(arena);
}
END_TEST

TEST_MAIN("local/environment", values_are_cleaned, only_what_is_listed_is_exported, the_envelope_is_told, it_grows)
