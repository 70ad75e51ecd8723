/* field_list.h - the header of a message in memory, while mail filters change it

   Fields are kept in wire form (CRLF between folded lines, none at the end).  Texts are only ever appended to one buffer, so an edit costs a few words
   besides its text; both are bounded, whatever a filter asks for. */
#ifndef POSTERN_QMGR_CLEANUP_FIELD_LIST_H
#define POSTERN_QMGR_CLEANUP_FIELD_LIST_H

#include "base/buffer.h"

enum { FIELD_LIST_FIELDS_MAX = 20 * 1000, FIELD_LIST_TEXT_MAX = 32 << 20 };

struct field {
    size_t offset, len; /* in the text */
    size_t name_len;    /* before the colon (blanks before it left out); 0: the line is no field (what REPLACE may give) */
    bool own;           /* the Received: that was made here: not shown to filters, not counted in "the n-th Received:" */
};

struct field_list {
    struct buffer text;
    struct field *fields;
    size_t count, room;
};

void field_list_init(struct field_list *list);
void field_list_release(struct field_list *list);
/* field_list_parse - the fields of a header that was put into list->text, in wire form; own: offset of the field that was made here (UINT64_MAX: none).
   False: too much. */
bool field_list_parse(struct field_list *list, uint64_t own) MUST_CHECK;
/* The parts of a field: views, valid until the next change.  The value is what follows the colon, with its leading blank. */
struct slice field_text(const struct field_list *list, size_t index);
struct slice field_name(const struct field_list *list, size_t index);
struct slice field_value(const struct field_list *list, size_t index);

/* field_text_make - "name:value" in wire form: any line end in value becomes CRLF; a continuation that does not begin with a blank gets a tab, so that
   a value cannot become a field of its own.  stray: what becomes of a lone CR. */
void field_text_make(struct buffer *out, struct slice name, struct slice value, char stray);
/* field_list_find - place of the index-th field (from 1; 0 counts as 1) of that name, own fields not counted; list->count when there is none. */
size_t field_list_find(const struct field_list *list, struct slice name, size_t index);
/* field_list_insert - so that it has that place (from 0, own fields counted); behind the last one when there are not so many.  field_list_replace,
   field_list_delete.  text: one field or, one below the other, several; line ends are CRLF or LF, there need not be one at the end.  False: too much. */
bool field_list_insert(struct field_list *list, size_t place, struct slice text) MUST_CHECK;
bool field_list_replace(struct field_list *list, size_t place, struct slice text) MUST_CHECK;
void field_list_delete(struct field_list *list, size_t place);

#endif
