/* print.c - settings on standard output: "name = value", folded, or JSON */
#include <jansson.h>

#include "postconf.h"

#define BLANKS " \t\r\n\v\f"

size_t print_words(struct slice text, size_t column, bool fold)
{
    struct slice word;
    while (slice_next_token(&text, BLANKS, &word)) {
        if (column > 0 && fold && column + 1 + word.len > FOLD_COLUMN) {
            printf("\n%*s", FOLD_INDENT, "");
            column = FOLD_INDENT;
        } else if (column > 0) {
            putchar(' ');
            column++;
        }
        fwrite(word.data, 1, word.len, stdout);
        column += word.len;
    }
    return column;
}

static void print_json(const char *name, struct slice value)
{
    json_t *object = json_object();
    json_t *text = json_stringn(value.data != NULL ? value.data : "", value.len);
    json_object_set_new(object, name, text != NULL ? text : json_string(""));
    char *line = json_dumps(object, 0);
    if (line != NULL)
        puts(line);
    free(line);
    json_decref(object);
}

void print_setting(const struct postconf *pc, const char *name, struct slice value)
{
    size_t column = 0;
    if (pc->options & OPTION_j) {
        print_json(name, value);
        return;
    }
    if (!(pc->options & OPTION_h)) {
        fputs(name, stdout);
        column = strlen(name);
    }
    if (!(pc->options & (OPTION_h | OPTION_H))) {
        fputs(" =", stdout);
        column += 2;
    }
    if (!(pc->options & OPTION_H))
        print_words(value, column, (pc->options & OPTION_f) != 0);
    putchar('\n');
}
