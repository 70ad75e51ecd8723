/* test_maildrop.c - records of maildrop files */
#include "testing.h"

#include "queue/maildrop.h"

START_TEST(reads_what_was_put)
{
    struct buffer file = BUFFER_INIT, large = BUFFER_INIT;
    char type;
    struct slice data;
    for (int i = 0; i < 70000; i++)
        buffer_append_byte(&large, (char)i);
    maildrop_put(&file, MAILDROP_SENDER, SLICE("bob"));
    maildrop_put(&file, MAILDROP_CONTENT_BEGINS, slice_of(""));
    maildrop_put(&file, MAILDROP_LINE, buffer_slice(&large));
    maildrop_put_text(&file, MAILDROP_ATTRIBUTE, "%s=%d", "n", 128);
    ck_assert_mem_eq(file.data, "S\003bobM\000N\360\242\004", 11);
    struct maildrop_reader reader;
    maildrop_reader_memory(&reader, buffer_slice(&file));
    ck_assert_int_eq(maildrop_read(&reader, &type, &data), MAILDROP_RECORD);
    ck_assert_int_eq(type, 'S');
    ASSERT_SLICE(data, "bob");
    ck_assert_int_eq(maildrop_read(&reader, &type, &data), MAILDROP_RECORD);
    ck_assert_int_eq(maildrop_read(&reader, &type, &data), MAILDROP_RECORD);
    ck_assert(slice_equal(data, buffer_slice(&large)));
    ck_assert_int_eq(maildrop_read(&reader, &type, &data), MAILDROP_RECORD);
    ASSERT_SLICE(data, "n=128");
    ck_assert_int_eq(maildrop_read(&reader, &type, &data), MAILDROP_NO_MORE);
    maildrop_reader_release(&reader);
    buffer_release(&file);
    buffer_release(&large);
}
END_TEST

START_TEST(reads_pipes_in_pieces)
{
    int pair[2];
    char type;
    struct slice data;
    struct maildrop_reader reader;
    ck_assert_int_eq(pipe(pair), 0);
    ck_assert_int_eq(write(pair[1], "R\005al", 4), 4);
    ck_assert_int_eq(write(pair[1], "iceX\000", 5), 5);
    close(pair[1]);
    maildrop_reader_open(&reader, pair[0]);
    ck_assert_int_eq(maildrop_read(&reader, &type, &data), MAILDROP_RECORD);
    ASSERT_SLICE(data, "alice");
    ck_assert_int_eq(maildrop_read(&reader, &type, &data), MAILDROP_RECORD);
    ck_assert_int_eq(type, 'X');
    ck_assert_int_eq(maildrop_read(&reader, &type, &data), MAILDROP_NO_MORE);
    maildrop_reader_release(&reader);
    close(pair[0]);
}
END_TEST

START_TEST(refuses_bad_lengths)
{
    static const struct slice bad[] = {SLICE("S"), SLICE("S\005bob"), SLICE("S\377\377\377\377\377\001x"), SLICE("S\200\200\200\200\200\200"),
                                       SLICE("S\377\377\377\377\017")};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct maildrop_reader reader;
        char type;
        struct slice data;
        maildrop_reader_memory(&reader, bad[i]);
        ck_assert_msg(maildrop_read(&reader, &type, &data) == MAILDROP_MALFORMED, "case %zu", i);
        maildrop_reader_release(&reader);
    }
}
END_TEST

START_TEST(knows_the_order)
{
    enum maildrop_phase phase = MAILDROP_ENVELOPE;
    ck_assert(!maildrop_step(&phase, 'N', true));
    ck_assert(!maildrop_step(&phase, 'T', true));
    ck_assert(maildrop_step(&phase, 'T', false));
    ck_assert(!maildrop_step(&phase, '\0', true));
    ck_assert(maildrop_step(&phase, 'M', true));
    ck_assert(!maildrop_step(&phase, 'R', true));
    ck_assert(maildrop_step(&phase, 'N', true));
    ck_assert(maildrop_step(&phase, 'X', true));
    ck_assert(maildrop_step(&phase, 'R', true));
    ck_assert(maildrop_step(&phase, 'E', true));
    ck_assert(!maildrop_step(&phase, 'E', true));
}
END_TEST

TEST_MAIN("queue/maildrop", reads_what_was_put, reads_pipes_in_pieces, refuses_bad_lengths, knows_the_order)
