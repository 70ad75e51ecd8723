/* test_containers.c - buffers, arenas, maps, lists, cursors */
#include "testing.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "base/cursor.h"
#include "base/list.h"
#include "base/map.h"

/* ---- buffer ---------------------------------------------------------------------------------------------------------- */

START_TEST(buffers_grow)
{
    struct buffer b = BUFFER_INIT;
    ck_assert_str_eq(buffer_string(&b), "");
    for (int i = 0; i < 1000; i++)
        ck_assert(buffer_printf(&b, "%d,", i));
    ck_assert_uint_eq(b.len, 3890);
    ck_assert_uint_eq(strlen(buffer_string(&b)), b.len);
    buffer_consume(&b, 3886);
    ck_assert_str_eq(buffer_string(&b), "999,");
    buffer_truncate(&b, 3);
    ck_assert(buffer_append_lower(&b, SLICE("ABC\xc4")));
    ck_assert_str_eq(buffer_string(&b), "999abc\xc4");
    buffer_consume(&b, 100);
    ck_assert_uint_eq(b.len, 0);
    ck_assert(buffer_append_byte(&b, 'x'));
    char *stolen = buffer_steal(&b);
    ck_assert_str_eq(stolen, "x");
    free(stolen);
    stolen = buffer_steal(&b);
    ck_assert_str_eq(stolen, "");
    free(stolen);
    buffer_release(&b);
}
END_TEST

START_TEST(buffers_stop_at_their_limit)
{
    struct buffer b = BUFFER_INIT_MAX(10);
    ck_assert(buffer_append_string(&b, "12345678"));
    ck_assert(!buffer_append_string(&b, "9ab"));
    ck_assert(b.overflow);
    ck_assert_str_eq(buffer_string(&b), "12345678");
    ck_assert(!buffer_printf(&b, "%s", "9ab"));
    ck_assert_str_eq(buffer_string(&b), "12345678");
    ck_assert(buffer_append_string(&b, "9a"));
    ck_assert(b.overflow); /* sticky */
    ck_assert_ptr_null(buffer_reserve(&b, SIZE_MAX));
    ck_assert_ptr_null(buffer_reserve(&b, 1));
    ck_assert_ptr_nonnull(buffer_reserve(&b, 0));
    buffer_clear(&b);
    ck_assert(!b.overflow);
    buffer_release(&b);
    ck_assert_uint_eq(b.max, 10);
}
END_TEST

/* ---- arena ----------------------------------------------------------------------------------------------------------- */

START_TEST(arenas_hold_many_sizes)
{
    struct arena *arena = arena_new(100);
    char *kept[200];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT_OF(kept); i++) {
            kept[i] = arena_alloc(arena, i * 37);
            ck_assert_uint_eq((uintptr_t)kept[i] % 16, 0);
            for (size_t n = 0; n < i * 37; n++)
                if (kept[i][n])
                    ck_abort_msg("not zeroed");
            memset(kept[i], (int)i, i * 37);
        }
        for (size_t i = 0; i < COUNT_OF(kept); i++)
            for (size_t n = 0; n < i * 37; n++)
                if (kept[i][n] != (char)i)
                    ck_abort_msg("overwritten");
        arena_reset(arena);
    }
    ck_assert_uint_le(arena_size(arena), 70000);
    arena_alloc(arena, 1000000);
    ck_assert_uint_ge(arena_size(arena), 1000000);
    arena_reset(arena);
    ck_assert_uint_le(arena_size(arena), 70000); /* a giant block is not kept */
    arena_free(arena);
    arena_free(NULL);
}
END_TEST

START_TEST(arenas_copy_and_format)
{
    struct arena *arena = arena_new(0);
    ASSERT_SLICE(arena_slice(arena, SLICE("abc")), "abc");
    ASSERT_SLICE(arena_slice(arena, slice_of(NULL)), "");
    ASSERT_SLICE(arena_lower(arena, SLICE("ABC.Example")), "abc.example");
    ck_assert_str_eq(arena_string(arena, SLICE("abc")), "abc");
    ck_assert_str_eq(arena_strdup(arena, "abc"), "abc");
    ck_assert_str_eq(arena_printf(arena, "%d-%s", 5, "x"), "5-x");
    ASSERT_SLICE(arena_format(arena, "%s", ""), "");
    ck_assert_int_eq(memcmp(arena_copy(arena, "a\0b", 3), "a\0b", 3), 0);
    arena_free(arena);
}
END_TEST

/* ---- map ------------------------------------------------------------------------------------------------------------- */

static int released;

static void count_release(void *value UNUSED)
{
    released++;
}

START_TEST(maps_keep_order)
{
    struct map *map = map_new(count_release);
    char key[20];
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof(key), "key%d", i);
        map_set(map, slice_of(key), key + i % 7);
    }
    ck_assert_uint_eq(map_count(map), 5000);
    for (int i = 0; i < 5000; i += 2) {
        snprintf(key, sizeof(key), "key%d", i);
        ck_assert(map_remove(map, slice_of(key)));
        ck_assert(!map_remove(map, slice_of(key)));
    }
    ck_assert_int_eq(released, 2500);
    size_t position = 0;
    struct slice at;
    void *value;
    for (int i = 1; map_next(map, &position, &at, &value); i += 2) {
        snprintf(key, sizeof(key), "key%d", i);
        ASSERT_SLICE(at, key);
        ck_assert_ptr_eq(value, key + i % 7);
    }
    map_set(map, SLICE("key1"), key);
    ck_assert_int_eq(released, 2501); /* the replaced one */
    ck_assert_ptr_eq(map_get(map, SLICE("key1")), key);
    ck_assert_ptr_null(map_get(map, SLICE("key0")));
    ck_assert_ptr_null(map_get(map, SLICE("")));
    map_free(map);
    ck_assert_int_eq(released, 5001);
}
END_TEST

START_TEST(maps_survive_coming_and_going)
{
    struct map *map = map_new(NULL);
    char key[20];
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        map_set(map, slice_of(key), map);
        snprintf(key, sizeof(key), "%d", i - 10);
        ck_assert(map_remove(map, slice_of(key)) == (i >= 10));
    }
    ck_assert_uint_eq(map_count(map), 10);
    map_set(map, slice_make("a\0b", 3), map);
    ck_assert_ptr_null(map_get(map, slice_make("a\0c", 3)));
    ck_assert_ptr_eq(map_get(map, slice_make("a\0b", 3)), map);
    map_free(map);
    map_free(NULL);
}
END_TEST

/* ---- list ------------------------------------------------------------------------------------------------------------ */

START_TEST(lists_link)
{
    struct list head, a, b, c;
    list_init(&head);
    list_init(&a);
    ck_assert(list_is_empty(&head));
    list_append(&head, &b);
    list_append(&head, &c);
    list_prepend(&head, &a);
    struct list *want[] = {&a, &b, &c};
    size_t n = 0;
    LIST_EACH(&head, at) {
        ck_assert_ptr_eq(at, want[n++]);
        list_remove(at);
        list_remove(at);
    }
    ck_assert_uint_eq(n, 3);
    ck_assert(list_is_empty(&head));
}
END_TEST

/* ---- cursor ---------------------------------------------------------------------------------------------------------- */

START_TEST(cursors_read_what_was_put)
{
    struct buffer b = BUFFER_INIT;
    static const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX};
    put_u8(&b, 0x12);
    put_u16(&b, 0x1234);
    put_u32(&b, 0x12345678);
    put_u64(&b, UINT64_C(0x123456789abcdef0));
    put_counted(&b, SLICE("text"));
    for (size_t i = 0; i < COUNT_OF(values); i++)
        put_varint(&b, values[i]);
    ck_assert_int_eq(b.data[1], 0x34); /* little-endian */
    struct cursor c = cursor_of(buffer_slice(&b));
    ck_assert(cursor_u8(&c) == 0x12);
    ck_assert(cursor_u16(&c) == 0x1234);
    ck_assert(cursor_u32(&c) == 0x12345678);
    ck_assert(cursor_u64(&c) == UINT64_C(0x123456789abcdef0));
    ASSERT_SLICE(cursor_counted(&c), "text");
    for (size_t i = 0; i < COUNT_OF(values); i++)
        ck_assert(cursor_varint(&c) == values[i]);
    ck_assert(!c.failed);
    ck_assert_uint_eq(cursor_left(&c), 0);
    ck_assert(cursor_u8(&c) == 0 && c.failed);
    buffer_release(&b);
}
END_TEST

START_TEST(cursors_fail_for_good)
{
    static const struct slice bad_varints[] = {
        {"", 0}, {"\x80", 1}, {"\x80\x00", 2}, {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11}};
    for (size_t i = 0; i < COUNT_OF(bad_varints); i++) {
        struct cursor c = cursor_of(bad_varints[i]);
        ck_assert(cursor_varint(&c) == 0);
        ck_assert_msg(c.failed, "row %zu", i);
    }
    struct cursor c = cursor_of(SLICE("abcdef"));
    ASSERT_SLICE(cursor_bytes(&c, 2), "ab");
    ck_assert(cursor_bytes(&c, 5).len == 0);
    ck_assert(cursor_u8(&c) == 0); /* although bytes are left */
    ck_assert_uint_eq(cursor_left(&c), 0);
    c = cursor_of(slice_make("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" "abc", 13));
    ck_assert(cursor_counted(&c).len == 0);
    ck_assert(c.failed);
}
END_TEST

TEST_MAIN("base/containers", buffers_grow, buffers_stop_at_their_limit, arenas_hold_many_sizes, arenas_copy_and_format,
          maps_keep_order, maps_survive_coming_and_going, lists_link, cursors_read_what_was_put, cursors_fail_for_good)
