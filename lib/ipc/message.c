/* message.c - one codec for all records, driven by tables made from messages.def */
#include "base/cursor.h"
#include "ipc/message.h"

/* More items than that in one list are no honest message: an item of 2 bytes becomes a struct of 100 and more. */
enum { LIST_ITEMS_MAX = 1000 * 1000 };

enum field_kind { FIELD_STRING, FIELD_NUMBER, FIELD_FLAG, FIELD_NESTED, FIELD_LIST };

struct field {
    enum field_kind kind;
    uint8_t tag;
    size_t offset;       /* of the member */
    size_t count_offset; /* FIELD_LIST: of the member that counts */
    const struct message_record *other;
};

struct message_record {
    const char *name;
    size_t size;
    const struct field *fields; /* tags ascend */
    size_t field_count;
};

/* ---- the tables ----------------------------------------------------------------------------------------------------- */

/* The empty first row lets a record without fields compile; it is not counted. */
#define RECORD_BEGIN(record) static const struct field fields_##record[] = { {0},
#define RECORD_END(record) };                                                                                   \
    const struct message_record message_record_##record = {#record, sizeof(struct record), fields_##record + 1, \
                                                           COUNT_OF(fields_##record) - 1};
#define FIELD(record, tag, field) tag, offsetof(struct record, field)
#define STRING(record, tag, field) {FIELD_STRING, FIELD(record, tag, field), 0, NULL},
#define NUMBER(record, tag, field) {FIELD_NUMBER, FIELD(record, tag, field), 0, NULL},
#define FLAG(record, tag, field) {FIELD_FLAG, FIELD(record, tag, field), 0, NULL},
#define NESTED(record, tag, field, other) {FIELD_NESTED, FIELD(record, tag, field), 0, &message_record_##other},
#define LIST(record, tag, field, other) \
    {FIELD_LIST, FIELD(record, tag, field), offsetof(struct record, field##_count), &message_record_##other},
#define MESSAGE(id, record)
#include "ipc/messages.def"
#undef RECORD_BEGIN
#undef RECORD_END
#undef FIELD
#undef STRING
#undef NUMBER
#undef FLAG
#undef NESTED
#undef LIST
#undef MESSAGE

#define RECORD_BEGIN(record)
#define RECORD_END(record)
#define STRING(record, tag, field)
#define NUMBER(record, tag, field)
#define FLAG(record, tag, field)
#define NESTED(record, tag, field, other)
#define LIST(record, tag, field, other)
#define MESSAGE(id, record) [id] = &message_record_##record,
static const struct message_record *const messages[] = {
#include "ipc/messages.def"
};
#undef MESSAGE

const struct message_record *message_record_of(enum message_type type)
{
    return (size_t)type < COUNT_OF(messages) ? messages[type] : NULL;
}

const char *message_name(enum message_type type)
{
    const struct message_record *record = message_record_of(type);
    return record ? record->name : NULL;
}

size_t message_struct_size(const struct message_record *record)
{
    return record->size;
}

/* ---- members -------------------------------------------------------------------------------------------------------- */

/* The table is the only one who knows where members lie; these give them back their types. */
static inline const void *member(const void *value, size_t offset)
{
    return (const char *)value + offset;
}

static inline void *member_of(void *value, size_t offset)
{
    return (char *)value + offset;
}

static size_t list_count(const struct field *f, const void *value)
{
    return *(const size_t *)member(value, f->count_offset);
}

static const char *list_items(const struct field *f, const void *value)
{
    return *(const char *const *)member(value, f->offset);
}

/* ---- encoding ------------------------------------------------------------------------------------------------------- */

static void encode_record(const struct message_record *record, const void *value, struct buffer *out);

/* Numbers are zigzag coded, so that small negative ones are short too. */
static uint64_t zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1 ^ (0 - (v & 1)));
}

static size_t varint_size(uint64_t v)
{
    size_t n = 1;
    for (; v > 0x7f; v >>= 7)
        n++;
    return n;
}

/* encode_counted - a record preceded by its length, which is known only afterwards: one byte is left for it, and the record
   moved when that is not enough. */
static void encode_counted(const struct message_record *record, const void *value, struct buffer *out)
{
    size_t start = out->len;
    put_u8(out, 0);
    encode_record(record, value, out);
    if (out->overflow)
        return;
    size_t len = out->len - start - 1, extra = varint_size(len) - 1;
    if (extra) {
        if (!buffer_reserve(out, extra))
            return;
        memmove(out->data + start + 1 + extra, out->data + start + 1, len);
        buffer_commit(out, extra);
    }
    for (char *at = out->data + start; ; at++, len >>= 7) {
        *at = (char)(len > 0x7f ? len | 0x80 : len);
        if (len <= 0x7f)
            break;
    }
}

static void encode_nested(const struct field *f, const void *value, struct buffer *out)
{
    size_t start = out->len;
    put_u8(out, f->tag);
    encode_counted(f->other, member(value, f->offset), out);
    if (out->len == start + 2) /* nothing in it: left out, like an empty string */
        buffer_truncate(out, start);
}

static void encode_list(const struct field *f, const void *value, struct buffer *out)
{
    const char *items = list_items(f, value);
    for (size_t i = 0; i < list_count(f, value); i++) {
        put_u8(out, f->tag);
        encode_counted(f->other, items + i * f->other->size, out);
    }
}

static void encode_number(uint8_t tag, uint64_t coded, struct buffer *out)
{
    if (coded == 0)
        return;
    put_u8(out, tag);
    put_u8(out, (uint8_t)varint_size(coded));
    put_varint(out, coded);
}

static void encode_string(uint8_t tag, struct slice s, struct buffer *out)
{
    if (s.len == 0)
        return;
    put_u8(out, tag);
    put_counted(out, s);
}

static void encode_record(const struct message_record *record, const void *value, struct buffer *out)
{
    for (size_t i = 0; i < record->field_count; i++) {
        const struct field *f = &record->fields[i];
        const void *at = member(value, f->offset);
        switch (f->kind) {
        case FIELD_STRING:
            encode_string(f->tag, *(const struct slice *)at, out);
            break;
        case FIELD_NUMBER:
            encode_number(f->tag, zigzag(*(const int64_t *)at), out);
            break;
        case FIELD_FLAG:
            encode_number(f->tag, *(const bool *)at, out);
            break;
        case FIELD_NESTED:
            encode_nested(f, value, out);
            break;
        case FIELD_LIST:
            encode_list(f, value, out);
            break;
        }
    }
}

bool message_encode(const struct message_record *record, const void *value, struct buffer *out)
{
    size_t start = out->len;
    bool overflow = out->overflow;
    out->overflow = false;
    encode_record(record, value, out);
    bool ok = !out->overflow;
    if (!ok)
        buffer_truncate(out, start);
    out->overflow |= overflow;
    return ok;
}

/* ---- decoding ------------------------------------------------------------------------------------------------------- */

/* Nesting is bounded by the tables: no record contains itself. */

static const struct field *find_field(const struct message_record *record, uint8_t tag)
{
    for (size_t i = 0; i < record->field_count; i++) {
        if (record->fields[i].tag == tag)
            return &record->fields[i];
    }
    return NULL;
}

/* next_field - the next known field and its bytes; false at the end, or when malformed (then c->failed). */
static bool next_field(const struct message_record *record, struct cursor *c, const struct field **f, struct slice *bytes)
{
    while (cursor_left(c)) {
        uint8_t tag = cursor_u8(c);
        *bytes = cursor_counted(c);
        if (c->failed)
            return false;
        *f = find_field(record, tag);
        if (*f)
            return true;
    }
    return false;
}

/* list_room - make room for all items of the list: counted when the first one is met. */
static bool list_room(const struct message_record *record, const struct field *f, struct cursor rest, struct arena *arena,
                      void *value)
{
    const struct field *other;
    struct slice bytes;
    size_t count = 1;
    while (next_field(record, &rest, &other, &bytes))
        count += other == f;
    if (rest.failed || count > LIST_ITEMS_MAX)
        return false;
    *(void **)member_of(value, f->offset) = arena_alloc(arena, count * f->other->size);
    return true;
}

static bool decode_record(const struct message_record *record, struct slice bytes, struct arena *arena, void *value);

static bool decode_item(const struct message_record *record, const struct field *f, struct slice bytes, const struct cursor *rest,
                        struct arena *arena, void *value)
{
    size_t *count = member_of(value, f->count_offset);
    if (*count == 0 && !list_room(record, f, *rest, arena, value))
        return false;
    char *items = *(char **)member_of(value, f->offset);
    return decode_record(f->other, bytes, arena, items + (*count)++ * f->other->size);
}

static bool decode_number(struct slice bytes, uint64_t *coded)
{
    struct cursor c = cursor_of(bytes);
    *coded = cursor_varint(&c);
    return !c.failed && cursor_left(&c) == 0;
}

static bool decode_field(const struct message_record *record, const struct field *f, struct slice bytes,
                         const struct cursor *rest, struct arena *arena, void *value)
{
    void *at = member_of(value, f->offset);
    uint64_t coded;
    switch (f->kind) {
    case FIELD_STRING:
        *(struct slice *)at = bytes;
        return true;
    case FIELD_NUMBER:
        if (!decode_number(bytes, &coded))
            return false;
        *(int64_t *)at = unzigzag(coded);
        return true;
    case FIELD_FLAG:
        if (!decode_number(bytes, &coded) || coded > 1)
            return false;
        *(bool *)at = coded;
        return true;
    case FIELD_NESTED:
        return decode_record(f->other, bytes, arena, at);
    case FIELD_LIST:
        return decode_item(record, f, bytes, rest, arena, value);
    }
    return false;
}

static bool decode_record(const struct message_record *record, struct slice bytes, struct arena *arena, void *value)
{
    struct cursor c = cursor_of(bytes);
    const struct field *f;
    struct slice field_bytes;
    memset(value, 0, record->size);
    while (next_field(record, &c, &f, &field_bytes)) {
        if (!decode_field(record, f, field_bytes, &c, arena, value))
            return false;
    }
    return !c.failed;
}

bool message_decode(const struct message_record *record, struct slice bytes, struct arena *arena, void *value)
{
    if (decode_record(record, bytes, arena, value))
        return true;
    memset(value, 0, record->size); /* nobody shall see half a message */
    return false;
}

/* ---- copying -------------------------------------------------------------------------------------------------------- */

static void copy_list(const struct field *f, const void *from, struct arena *arena, void *to)
{
    size_t count = list_count(f, from), size = f->other->size;
    const char *items = list_items(f, from);
    char *copies = count ? arena_alloc(arena, count * size) : NULL;
    for (size_t i = 0; i < count; i++)
        message_copy(f->other, items + i * size, arena, copies + i * size);
    *(void **)member_of(to, f->offset) = copies;
}

void message_copy(const struct message_record *record, const void *from, struct arena *arena, void *to)
{
    memmove(to, from, record->size);
    for (size_t i = 0; i < record->field_count; i++) {
        const struct field *f = &record->fields[i];
        struct slice *s = member_of(to, f->offset);
        if (f->kind == FIELD_STRING && s->len)
            *s = arena_slice(arena, *s);
        else if (f->kind == FIELD_NESTED)
            message_copy(f->other, member(from, f->offset), arena, member_of(to, f->offset));
        else if (f->kind == FIELD_LIST)
            copy_list(f, from, arena, to);
    }
}
