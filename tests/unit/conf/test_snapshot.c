/* test_snapshot.c - an accepted configuration travels by descriptor, and nothing else passes for one */
#include "testing.h"

#include <sys/mman.h>

#include "conf/master_cf.h"
#include "conf/snapshot.h"

static char directory[] = "/tmp/conf-snapshot-XXXXXX";

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void count_problem(void *context, bool fatal, const char *file, int line, const char *text)
{
    *(int *)context += fatal;
}

START_TEST(what_was_read_once_stays)
{
    struct arena *arena = arena_new(0);
    struct master_cf lines;
    ck_assert_ptr_nonnull(mkdtemp(directory));
    write_file("main.cf", "mydomain = one.test\n");
    write_file("master.cf", "smtp inet n - n - - smtpd\n");
    struct config *config = config_load_whole(directory, NULL, NULL);
    ck_assert_ptr_nonnull(config);
    int fd = config_snapshot_create(config);
    ck_assert_int_gt(fd, 2);
    ck_assert_int_lt(write(fd, "x", 1), 0); /* sealed */
    config_free(config);
    write_file("main.cf", "broken\n");
    write_file("master.cf", "broken\n");
    for (int i = 0; i < 2; i++) { /* the descriptor serves many */
        config = config_load_snapshot(directory, fd, NULL, NULL);
        ck_assert_ptr_nonnull(config);
        ck_assert_str_eq(config_string(config, "mydomain"), "one.test");
        ck_assert(master_cf_load(directory, config, arena, NULL, NULL, &lines));
        ck_assert_uint_eq(lines.count, 1);
        ck_assert_str_eq(lines.services[0].command, "smtpd");
        config_free(config);
    }
    close(fd);
    int problems = 0;
    ck_assert_ptr_null(config_load_whole(directory, count_problem, &problems));
    ck_assert_int_eq(problems, 1);
    arena_free(arena);
}
END_TEST

START_TEST(other_files_are_refused)
{
    static const char *const texts[] = {"", "postern 1 5 5\n12345", "postern 1 99999999999999999999 0\n", "postern 1 18446744073709551615 7\n123456",
                                        "postern 2 1 1\n12", "mydomain = x\n", "postern 1 1\n1"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        int problems = 0, fd = memfd_create("test", MFD_CLOEXEC);
        ck_assert_int_eq(write(fd, texts[i], strlen(texts[i])), (ssize_t)strlen(texts[i]));
        ck_assert_ptr_null(config_load_snapshot("/nowhere", fd, count_problem, &problems));
        ck_assert_int_eq(problems, 1);
        close(fd);
    }
    int problems = 0;
    ck_assert_ptr_null(config_load_snapshot("/nowhere", 999, count_problem, &problems));
    ck_assert_int_eq(problems, 1);
}
END_TEST

TEST_MAIN("conf/snapshot", what_was_read_once_stays, other_files_are_refused)
