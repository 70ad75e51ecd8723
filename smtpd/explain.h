/* explain.h - `smtpd --explain`: what access control would say of one mail, step by step, for `postfix explain` (which runs it) */
#ifndef POSTERN_SMTPD_EXPLAIN_H
#define POSTERN_SMTPD_EXPLAIN_H

/* explain_main - arguments: --explain [--client ADDRESS] [--sasl USER] [--helo NAME] [--sender ADDRESS] [--service NAME] RECIPIENT.  Addresses are in
   external form.  The story goes to standard output.  The exit status: 0 accepted, 1 refused, 2 it cannot be told. */
int explain_main(int argc, char **argv);

#endif
