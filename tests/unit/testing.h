/* testing.h - what each Check suite includes: the framework and a main() that runs one suite

   Usage:  START_TEST(name) { ... } END_TEST   and at the end   TEST_MAIN("room/topic", test_a, test_b) */
#ifndef POSTERN_TESTING_H
#define POSTERN_TESTING_H

/* Check's own header needs functions that base.h bans: include it first. */
#include <check.h>

#include "base/base.h"
#include "base/slice.h"

/* ASSERT_SLICE - compare a slice with a C string. */
#define ASSERT_SLICE(got, want)                                                                               \
    do {                                                                                                      \
        struct slice got_ = (got);                                                                            \
        const char *want_ = (want);                                                                           \
        ck_assert_msg(slice_equal(got_, slice_of(want_)), "got \"" SLICE_FORMAT "\" want \"%s\"", SLICE_ARGS(got_), want_); \
    } while (0)

/* TEST_MAIN - each test runs in a process of its own (CK_FORK=no in the environment for a debugger). */
#define TEST_MAIN(name, ...)                                              \
    int main(void)                                                        \
    {                                                                     \
        const TTest *tests[] = {__VA_ARGS__};                             \
        Suite *suite = suite_create(name);                                \
        TCase *tcase = tcase_create(name);                                \
        tcase_set_timeout(tcase, 60);                                     \
        for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)     \
            tcase_add_test(tcase, tests[i]);                              \
        suite_add_tcase(suite, tcase);                                    \
        SRunner *runner = srunner_create(suite);                          \
        srunner_run_all(runner, CK_ENV);                                  \
        int failed = srunner_ntests_failed(runner);                       \
        srunner_free(runner);                                             \
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;                      \
    }

#endif
