/* options.c - which options of postconf go together */
#include "base/log.h"
#include "postconf.h"

struct letter {
    enum postconf_option bit;
    char letter;
};

static const struct letter modes[] = {{OPTION_a, 'a'}, {OPTION_A, 'A'}, {OPTION_b, 'b'}, {OPTION_F, 'F'}, {OPTION_l, 'l'}, {OPTION_m, 'm'},
                                      {OPTION_M, 'M'}, {OPTION_p, 'p'}, {OPTION_P, 'P'}, {OPTION_t, 't'}, {OPTION_T, 'T'}};

static const struct letter details[] = {{OPTION_d, 'd'}, {OPTION_e, 'e'}, {OPTION_f, 'f'}, {OPTION_h, 'h'}, {OPTION_H, 'H'}, {OPTION_n, 'n'},
                                        {OPTION_o, 'o'}, {OPTION_x, 'x'}, {OPTION_X, 'X'}, {OPTION_HASH, '#'}};

#define LISTS (OPTION_a | OPTION_A | OPTION_b | OPTION_l | OPTION_m | OPTION_t | OPTION_T)
#define ALL_DETAILS (OPTION_d | OPTION_e | OPTION_f | OPTION_h | OPTION_H | OPTION_n | OPTION_o | OPTION_x | OPTION_X | OPTION_HASH)
#define EDITS (OPTION_e | OPTION_X | OPTION_HASH)

/* What may not be said together with a mode. */
static unsigned refused_by(enum postconf_option mode)
{
    if (mode & LISTS)
        return ALL_DETAILS;
    switch (mode) {
    case OPTION_M: return OPTION_d | OPTION_h | OPTION_H | OPTION_n;
    case OPTION_F: return OPTION_d | OPTION_n | OPTION_X | OPTION_HASH;
    case OPTION_P: return OPTION_d | OPTION_n | OPTION_HASH;
    default: return 0;
    }
}

static bool clash(unsigned a, unsigned b)
{
    unsigned both = a | b;
    if (both == (OPTION_d | OPTION_n) || both == (OPTION_d | OPTION_o) || both == (OPTION_h | OPTION_H))
        return true;
    return (both & EDITS) != 0; /* an edit with another edit or with anything that is about printing */
}

void options_check(unsigned options)
{
    if ((options & OPTION_b) && (options & OPTION_t))
        log_fatal("specify one of -b and -t");
    for (size_t i = 0; i < COUNT_OF(modes); i++)
        for (size_t k = i + 1; k < COUNT_OF(modes); k++)
            if ((options & modes[i].bit) && (options & modes[k].bit))
                log_fatal("specify one of -%c -%c", modes[i].letter, modes[k].letter);
    for (size_t i = 0; i < COUNT_OF(modes); i++)
        for (size_t k = 0; k < COUNT_OF(details); k++)
            if ((options & modes[i].bit) && (options & details[k].bit) && (refused_by(modes[i].bit) & details[k].bit))
                log_fatal("with option -%c, do not specify -%c", modes[i].letter, details[k].letter);
    for (size_t i = 0; i < COUNT_OF(details); i++)
        for (size_t k = i + 1; k < COUNT_OF(details); k++)
            if ((options & details[i].bit) && (options & details[k].bit) && clash(details[i].bit, details[k].bit))
                log_fatal("specify one of -%c -%c", details[i].letter, details[k].letter);
}
