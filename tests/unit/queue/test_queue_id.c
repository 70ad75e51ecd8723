/* queue ids: shape, uniqueness, order */
#include "testing.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "base/map.h"
#include "queue/queue_id.h"

static bool all_in(struct slice s, const char *set)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!strchr(set, s.data[i]))
            return false;
    }
    return true;
}

START_TEST(short_form_is_upper_case_hex)
{
    struct queue_id_maker maker;
    char text[QUEUE_ID_MAX];
    queue_id_maker_init(&maker, 5, false);
    struct slice id = queue_id_make(&maker, text);
    ck_assert(id.len == 10 && all_in(id, "0123456789ABCDEF"));
    ck_assert(queue_id_is_valid(id));
}
END_TEST

START_TEST(long_form_is_base_52)
{
    struct queue_id_maker maker;
    char text[QUEUE_ID_MAX];
    queue_id_maker_init(&maker, 60, true);
    struct slice id = queue_id_make(&maker, text);
    ck_assert(all_in(id, "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"));
    ck_assert_uint_eq(slice_find_last(id, 'z'), 10);
    ck_assert_uint_eq(id.len, 13); /* worker 60 is "19" in base 51 */
    ck_assert(queue_id_is_valid(id));
}
END_TEST

static void make_many(bool long_form)
{
    static struct queue_id_maker makers[QUEUE_ID_WORKERS];
    struct map *seen = map_new(NULL);
    char text[QUEUE_ID_MAX];
    for (unsigned w = 0; w < QUEUE_ID_WORKERS; w++)
        queue_id_maker_init(&makers[w], w, long_form);
    for (int round = 0; round < 1000; round++) {
        for (unsigned w = 0; w < QUEUE_ID_WORKERS; w++) {
            struct slice id = queue_id_make(&makers[w], text);
            ck_assert_ptr_null(map_get(seen, id));
            map_set(seen, id, text);
        }
    }
    ck_assert_uint_eq(map_count(seen), 1000 * QUEUE_ID_WORKERS);
    map_free(seen);
}

START_TEST(ids_of_64_workers_are_unique)
{
    make_many(false);
    make_many(true);
}
END_TEST

START_TEST(a_clock_set_back_repeats_nothing)
{
    struct queue_id_maker maker;
    char a[QUEUE_ID_MAX], b[QUEUE_ID_MAX];
    queue_id_maker_init(&maker, 1, true);
    maker.last = INT64_C(4000000000) * 1000000;
    ck_assert(!slice_equal(queue_id_make(&maker, a), queue_id_make(&maker, b)));
}
END_TEST

/* Processes that share a queue directory: many more ids than fit into one block, and the file lost in between. */
START_TEST(processes_share_blocks)
{
    char spool[] = "/tmp/postern-ids-XXXXXX", path[64], id[QUEUE_ID_MAX];
    struct queue_id_maker makers[4];
    struct map *seen = map_new(NULL);
    ck_assert_ptr_nonnull(mkdtemp(spool));
    queue_id_maker_init(&makers[0], 0, false);
    ck_assert(!queue_id_maker_share(&makers[0], spool));
    snprintf(path, sizeof(path), "%s/segment", spool);
    mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/segment/.ids", spool);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned w = 0; w < 4; w++) {
            queue_id_maker_init(&makers[w], w, false);
            ck_assert(queue_id_maker_share(&makers[w], spool));
        }
        for (int i = 0; i < 70000; i++) {
            for (unsigned w = 0; w < 4; w++) {
                struct slice text = queue_id_make(&makers[w], id);
                ck_assert_msg(!map_get(seen, text), "%s again", id);
                map_set(seen, text, id);
            }
        }
        for (unsigned w = 0; w < 4; w++)
            queue_id_maker_release(&makers[w]);
        if (round == 1)
            ck_assert_int_eq(truncate(path, 3), 0); /* then only the time helps: */
        if (round == 1)
            break;
    }
    uint64_t before = makers[0].block;
    queue_id_maker_init(&makers[0], 0, false);
    ck_assert(queue_id_maker_share(&makers[0], spool));
    queue_id_make(&makers[0], id);
    ck_assert_uint_le(makers[0].block, before); /* it was far ahead of the time */
    queue_id_maker_release(&makers[0]);
    map_free(seen);
    unlink(path);
    snprintf(path, sizeof(path), "%s/segment", spool);
    rmdir(path);
    rmdir(spool);
}
END_TEST

START_TEST(sort_keys_follow_time)
{
    for (int long_form = 0; long_form < 2; long_form++) {
        struct queue_id_maker maker;
        char id[QUEUE_ID_MAX], key[QUEUE_ID_MAX], last[QUEUE_ID_MAX] = "";
        queue_id_maker_init(&maker, 3, long_form);
        for (int i = 0; i < 200000; i++) {
            maker.last += 12345;
            struct slice k = queue_id_sort_key(queue_id_make(&maker, id), key);
            ck_assert_msg(strcmp(last, key) < 0, "%s then %s", last, key);
            memcpy(last, key, k.len + 1);
        }
    }
}
END_TEST

START_TEST(sort_keys_are_one_to_one)
{
    static const char *const ids[] = {"AF5BFAD8949", "AD8949AF5BF", "0123456789", "5678901234", "ABCDEF", "FABCDE", "4bXyZ1z2K9zq", "123456"};
    char a[QUEUE_ID_MAX], b[QUEUE_ID_MAX];
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        for (size_t j = 0; j < i; j++)
            ck_assert(!slice_equal(queue_id_sort_key(slice_of(ids[i]), a), queue_id_sort_key(slice_of(ids[j]), b)));
    }
    ASSERT_SLICE(queue_id_sort_key(SLICE("AF5BFAD8949"), a), "AD8949AF5BF");
    ASSERT_SLICE(queue_id_sort_key(SLICE("1C94320017"), a), "1C94320017");
}
END_TEST

START_TEST(the_time_can_be_read)
{
    struct queue_id_maker maker;
    char id[QUEUE_ID_MAX];
    queue_id_maker_init(&maker, 63, true);
    for (int i = 0; i < 1000; i++) {
        struct slice text = queue_id_make(&maker, id);
        ck_assert_int_eq(queue_id_time(text), maker.last);
        maker.last += 987654321;
    }
    queue_id_maker_init(&maker, 63, false);
    int64_t distance = clock_wall() - queue_id_time(queue_id_make(&maker, id));
    ck_assert(distance > -60 * MICROSECONDS && distance < 60 * MICROSECONDS);
    ck_assert_int_eq(queue_id_time(SLICE("")), 0);
    ck_assert_int_eq(queue_id_time(SLICE("hello world")), 0);
    ck_assert_int_eq(queue_id_time(SLICE("AF5BFAD8949")), 0);
}
END_TEST

START_TEST(validity)
{
    static const struct { const char *text; bool valid; } cases[] = {
        {"ABCDEF0123", true}, {"4bXyZ1z2K9zq", true}, {"", false}, {"ABC", false}, {"ABCDEF0123*", false}, {"ABCDEF0123 ", false},
        {"../../etc/passwd", false}, {"ABCDEF012345678901234567890", false}, {"ABC-DEF", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        ck_assert_msg(queue_id_is_valid(slice_of(cases[i].text)) == cases[i].valid, "%s", cases[i].text);
}
END_TEST

TEST_MAIN("queue/queue_id", short_form_is_upper_case_hex, long_form_is_base_52, ids_of_64_workers_are_unique,
          a_clock_set_back_repeats_nothing, processes_share_blocks, sort_keys_follow_time, sort_keys_are_one_to_one, the_time_can_be_read, validity)
