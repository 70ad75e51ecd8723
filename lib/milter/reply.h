/* reply.h - inside the milter room: the bytes of the protocol (a filter's replies are hostile: everything is bounded and checked) */
#ifndef POSTERN_MILTER_REPLY_H
#define POSTERN_MILTER_REPLY_H

#include "base/buffer.h"

enum {
    MILTER_PACKET_MAX = 2 * 1024 * 1024, /* of a reply: code and data; a replaced body comes in many */
    MILTER_CHUNK = 65535,                /* bytes of body in a command */
    MILTER_REPLY_TEXT = 2000,            /* of "y" */
    MILTER_NAME_MAX = 512, MILTER_ADDRESS_MAX = 2048, MILTER_REASON_MAX = 512,
    MILTER_STAGES = 7
};

/* Commands: the letter, and the name that log lines have it by. */
#define MILTER_COMMANDS(X) \
    X('O', OPTNEG) X('D', MACRO) X('C', CONNECT) X('H', HELO) X('M', MAIL) X('R', RCPT) X('T', DATA) X('U', UNKNOWN) X('L', HEADER) X('N', EOH) \
    X('B', BODY) X('E', BODYEOB) X('A', ABORT) X('Q', QUIT) X('K', QUIT_NC)

/* Bits of the option negotiation (compat.md h.3). */
enum {
    STEP_NO_CONNECT = 1 << 0, STEP_NO_HELO = 1 << 1, STEP_NO_MAIL = 1 << 2, STEP_NO_RCPT = 1 << 3, STEP_NO_BODY = 1 << 4, STEP_NO_HEADERS = 1 << 5,
    STEP_NO_END_OF_HEADER = 1 << 6, STEP_SILENT_HEADER = 1 << 7, STEP_NO_UNKNOWN = 1 << 8, STEP_NO_DATA = 1 << 9, STEP_SKIP = 1 << 10,
    STEP_REJECTED_RCPT = 1 << 11, STEP_SILENT_CONNECT = 1 << 12, STEP_SILENT_HELO = 1 << 13, STEP_SILENT_MAIL = 1 << 14, STEP_SILENT_RCPT = 1 << 15,
    STEP_SILENT_DATA = 1 << 16, STEP_SILENT_UNKNOWN = 1 << 17, STEP_SILENT_END_OF_HEADER = 1 << 18, STEP_SILENT_BODY = 1 << 19,
    STEP_HEADER_BLANK = 1 << 20
};
enum {
    ACTION_ADD_HEADERS = 1 << 0, ACTION_CHANGE_BODY = 1 << 1, ACTION_ADD_RECIPIENT = 1 << 2, ACTION_DELETE_RECIPIENT = 1 << 3,
    ACTION_CHANGE_HEADERS = 1 << 4, ACTION_QUARANTINE = 1 << 5, ACTION_CHANGE_SENDER = 1 << 6, ACTION_ADD_RECIPIENT_PARAMETERS = 1 << 7,
    ACTION_SET_MACROS = 1 << 8
};
/* milter_actions_of, milter_steps_of - what a protocol version (2, 3, 4, 6) knows of. */
uint32_t milter_actions_of(int version);
uint32_t milter_steps_of(int version);

/* The stages that have macro lists, by their numbers in the protocol; the last one has none there. */
enum milter_stage { STAGE_CONNECT, STAGE_HELO, STAGE_MAIL, STAGE_RCPT, STAGE_DATA, STAGE_END_OF_MESSAGE, STAGE_END_OF_HEADER, STAGE_UNKNOWN, STAGE_COUNT };

struct milter_options {
    uint32_t version, actions, steps;
    struct slice macros[MILTER_STAGES]; /* lists that the filter wants; data NULL: as configured */
};
/* milter_parse_options - the data of an "O" reply.  False: malformed. */
bool milter_parse_options(struct slice data, struct milter_options *options) MUST_CHECK;

/* A reply, taken apart; slices point into the packet. */
enum milter_reply_kind {
    REPLY_IS_MALFORMED, REPLY_IS_CONTINUE, REPLY_IS_ACCEPT, REPLY_IS_REJECT, REPLY_IS_TEMPFAIL, REPLY_IS_DISCARD, REPLY_IS_SKIP, REPLY_IS_PROGRESS,
    REPLY_IS_SHUTDOWN, REPLY_IS_CONNECTION_FAILURE, REPLY_IS_CODE,
    REPLY_IS_EDIT, /* from here on: allowed at the end of the message only */
    REPLY_IS_ADD_HEADER, REPLY_IS_INSERT_HEADER, REPLY_IS_CHANGE_HEADER, REPLY_IS_BODY, REPLY_IS_ADD_RECIPIENT, REPLY_IS_DELETE_RECIPIENT,
    REPLY_IS_CHANGE_SENDER, REPLY_IS_QUARANTINE
};
struct milter_reply {
    enum milter_reply_kind kind;
    uint32_t index;
    struct slice name, value; /* of a header; value also: text of "y", body, address, reason */
    struct slice parameters;
};
/* milter_parse_reply - code and data of a packet.  kind REPLY_IS_MALFORMED when it cannot be. */
void milter_parse_reply(char code, struct slice data, struct milter_reply *reply);

/* milter_reply_text - the text of a "y" reply: "550 5.7.1 text", lines separated by CRLF or LF, each with the code.  Into code, status and
   *text (lines separated by LF, "%%" -> "%", a single "%" gone).  False: no 4yz or 5yz reply. */
bool milter_reply_text(struct slice reply, int *code, char status[12], struct buffer *text) MUST_CHECK;

/* Building commands. */
void milter_put_u32(struct buffer *out, uint32_t value);
/* milter_put_text - the string and its NUL; NULs in it become blanks. */
void milter_put_text(struct buffer *out, struct slice text);
/* milter_begin, milter_finish - around the data of one command: begin appends the header and gives its place. */
size_t milter_begin(struct buffer *out, char command);
void milter_finish(struct buffer *out, size_t place);
const char *milter_command_name(char command); /* "SMFIC_CONNECT" */

#endif
