/* test_offenders.c - the list for the firewall */
#include "testing.h"

#include <sys/stat.h>

#include "../../../smtpd/anvil/offenders.h"

START_TEST(texts)
{
    struct cache *cache = cache_new((struct cache_limits){.entries = 100, .bytes = 1 << 20});
    struct buffer text = BUFFER_INIT;

    ck_assert_int_eq(offenders_text(cache, 50, &text), INT64_MAX);
    ck_assert_uint_eq(text.len, 0);
    cache_put(cache, SLICE("192.0.2.1"), SLICE("1"), 100);
    cache_put(cache, SLICE("192.0.2.2"), SLICE("1"), 40);
    cache_put(cache, SLICE("2001:db8::1"), SLICE("1"), 90);
    cache_put(cache, SLICE("192.0.2.3; rm -rf /"), SLICE("1"), 100);
    cache_put(cache, SLICE("unknown"), SLICE("1"), 100);
    cache_put(cache, SLICE("192.0.2.1\n0.0.0.0"), SLICE("1"), 100);
    ck_assert_int_eq(offenders_text(cache, 50, &text), 90);
    ASSERT_SLICE(buffer_slice(&text), "192.0.2.1\n2001:db8::1\n");
    buffer_release(&text);
    cache_free(cache);
}
END_TEST

START_TEST(files)
{
    char directory[] = "/tmp/offendersXXXXXX", path[64], text[64] = "";
    struct stat info;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/list", directory);
    offenders_write(path, SLICE(""));
    ck_assert_int_lt(access(path, F_OK), 0); /* nothing to tell: no file */
    umask(077);
    offenders_write(path, SLICE("192.0.2.1\n"));
    offenders_write(path, SLICE("192.0.2.2\n"));
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(text, sizeof(text), file));
    fclose(file);
    ck_assert_str_eq(text, "192.0.2.2\n");
    ck_assert(stat(path, &info) == 0 && (info.st_mode & 0777) == 0644);
    offenders_write(path, SLICE(""));
    ck_assert(stat(path, &info) == 0 && info.st_size == 0);
    unlink(path);
    mkdir(path, 0700); /* nothing takes its place, and nothing is left over of the attempt */
    offenders_write(path, SLICE("192.0.2.3\n"));
    rmdir(path);
    ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

TEST_MAIN("anvil/offenders", texts, files)
