"""Smuggling: whatever stands around the end of data, one message in is one message out, and nothing that leaves could be taken for an end of data.

What ends a message is told here once more, by a model that is two lines long, and compared with what the server does.
"""
import re
import socket
import threading

import pytest

import harness

ENDS = {"crlf": b"\r\n", "lf": b"\n", "cr": b"\r", "crcrlf": b"\r\r\n", "lfcr": b"\n\r", "lfcrlf": b"\n\r\n", "crlfcr": b"\r\n\r", "crcr": b"\r\r",
        "nulcrlf": b"\0\r\n", "crnullf": b"\r\0\n", "crlfnul": b"\r\n\0", "nullf": b"\0\n", "lfnul": b"\n\0", "nulcr": b"\0\r", "crnul": b"\r\0", "lflf": b"\n\n"}
DOTS = (b".", b"..", b"\0.", b".\0")
MODES = ("no", "yes", "normalize", "reject")
BEFORE = {"body": b"Subject: t\r\n\r\nbody", "header": b"X-Header: value"}

SETTINGS = """\
default_transport = smtp:[127.0.0.1]:{port}
mydestination =
smtpd_forbid_bare_newline = {mode}
smtpd_forbid_bare_newline_exclusions =
smtpd_forbid_unauth_pipelining = no
smtpd_client_connection_count_limit = 0
message_size_limit = 0
header_size_limit = 100000
smtp_destination_concurrency_limit = 5
"""


class Recorder:
    """An SMTP server that keeps the bytes it gets, and takes exactly CRLF . CRLF for the end of data."""

    def __init__(self, ehlo=("PIPELINING", "8BITMIME")):
        self.ehlo = ehlo
        self.messages = []     # (sender, bytes up to the final dot)
        self.strange = []      # commands that are none
        self.server = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        try:
            self.server.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.server.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.sendall(b"220 recorder ESMTP\r\n")
                self._dialogue(connection)
        except OSError:
            pass

    def _dialogue(self, connection):
        waiting, sender, in_data = b"", None, False
        while True:
            if in_data and (b"\r\n" + waiting).find(b"\r\n.\r\n") >= 0:
                end = (b"\r\n" + waiting).find(b"\r\n.\r\n")
                self.messages.append((sender, waiting[:end]))
                waiting, in_data = waiting[end + 3:], False
                connection.sendall(b"250 stored\r\n")
            elif not in_data and b"\r\n" in waiting:
                line, waiting = waiting.split(b"\r\n", 1)
                if line.startswith(b"MAIL FROM:<"):
                    sender = line[11:line.index(b">")].decode()
                in_data = line == b"DATA"
                connection.sendall(self._answer(line))
                if line == b"QUIT":
                    return
            else:
                more = connection.recv(65536)
                if not more:
                    return
                waiting += more

    def _answer(self, line):
        if line.startswith((b"EHLO ", b"HELO ")):
            return "".join(f"250-{word}\r\n" for word in self.ehlo).encode() + b"250 recorder\r\n"
        if line == b"DATA":
            return b"354 go ahead\r\n"
        if not re.match(rb"MAIL FROM:<[^>\r\n]*>|RCPT TO:<[^>\r\n]*>|QUIT$|RSET$", line):
            self.strange.append(line)
        return b"250 ok\r\n"


def cases():
    """(number, what, bytes around) - everything before, a dot, everything after."""
    number = 0
    for x, before in ENDS.items():
        for dot in DOTS:
            for y, after in ENDS.items():
                yield number, f"{x} {dot!r} {y}", before + dot + after
                number += 1


def attack(number, before, around):
    """What follows DATA: a message with commands in it that want to be a second one."""
    return (before + around + b"MAIL FROM:<smuggled-%d@x.test>\r\nRCPT TO:<r@x.test>\r\nDATA\r\nSubject: s\r\n\r\nsmuggled\r\n.\r\n" % number)


def model(payload, mode):
    """(content, rest) as smtpd_forbid_bare_newline says (RFC 5321 4.1.1.4, compat.md d.10)."""
    text = b"\r\n" + payload
    found = re.search(rb"\n\.\r*\n", text) if mode == "no" else re.search(rb"\r\n\.\r\n", text)
    return text[2:found.start() + 1] if found.start() >= 1 else b"", text[found.end():]


def expected(payload, sender, smuggled, mode):
    """Who may have sent something when all is said."""
    content, rest = model(payload, mode)
    commands = [line.rstrip(b"\r") for line in rest.split(b"\n")]
    senders = []
    bare = re.search(rb"(?<!\r)\n", content) is not None
    if mode != "reject" or not bare:
        senders.append(sender)
    if b"MAIL FROM:<%s>" % smuggled.encode() in commands and not (mode == "reject" and re.search(rb"(?<!\r)\n", rest)):
        senders.append(smuggled)   # no smuggling: the first message had ended by the rules in force
    return senders


def say_all(port, lines, last):
    """A session: everything of lines, each awaiting its reply, then last and QUIT; all replies to what came last."""
    with harness.Dialogue("127.0.0.1", port) as smtp:
        for line in lines:
            reply = smtp.say(line)
            assert reply[:3] in ("250", "354"), (line, reply)
        smtp.send(last + b"QUIT\r\n")
        replies = []
        while reply := smtp.reply():
            replies.append(reply)
        return replies


def check_leaving(recorder, senders):
    harness.wait_until(lambda: len(recorder.messages) >= len(senders), f"{len(senders)} messages at the recorder (have {len(recorder.messages)})", 60)
    assert not recorder.strange
    assert sorted(sender for sender, _ in recorder.messages) == sorted(senders)
    for sender, content in recorder.messages:
        assert not re.search(rb"\r(?!\n)|(?<!\r)\n", content), (sender, content)
        assert b"\r\n.\r\n" not in content and not content.startswith(b".\r\n"), (sender, content)


@pytest.fixture
def recorder():
    made = []

    def start(**settings):
        made.append(Recorder(**settings))
        return made[-1]

    yield start
    for server in made:
        server.close()


def run_data(here, mode, where):
    senders, wrong = [], []
    for number, what, around in cases():
        sender, payload = f"case-{number}@x.test", attack(number, BEFORE[where], around)
        want = expected(payload, sender, f"smuggled-{number}@x.test", mode)
        replies = say_all(here.port, ["EHLO c.test", f"MAIL FROM:<{sender}>", "RCPT TO:<r@x.test>", "DATA"], payload)
        accepted = sum(reply.startswith("250 2.0.0 Ok: queued") for reply in replies)
        if accepted != len(want):
            wrong.append((what, want, replies))
        senders += want
    assert not wrong, f"{len(wrong)} of {number + 1}: {wrong[:5]}"
    return senders


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("where", BEFORE)
def test_data(make, recorder, mode, where):
    server = recorder()
    here = make(main_cf=SETTINGS.format(port=server.port, mode=mode))
    check_leaving(server, run_data(here, mode, where))


@pytest.mark.parametrize("mode", MODES)
def test_chunks(make, recorder, mode):
    """BDAT counts: nothing in it can end the message; the chunks are cut in the midst of the sequence."""
    server = recorder()
    here = make(main_cf=SETTINGS.format(port=server.port, mode=mode))
    senders = []
    for number, what, around in cases():
        sender, before = f"case-{number}@x.test", BEFORE["body" if number % 3 else "header"]
        payload = attack(number, before, around)
        cut = len(before) + number % (len(around) + 1)
        replies = say_all(here.port, ["EHLO c.test", f"MAIL FROM:<{sender}>", "RCPT TO:<r@x.test>"],
                          b"BDAT %d\r\n" % cut + payload[:cut] + b"BDAT %d LAST\r\n" % (len(payload) - cut) + payload[cut:])
        refused = mode == "reject" and re.search(rb"(?<!\r)\n", payload)
        early = refused and re.search(rb"(?<!\r)\n", payload[:cut])   # the first chunk shows it
        assert [reply[:3] for reply in replies] == (["550", "551", "221"] if early else ["250", "550" if refused else "250", "221"]), (what, replies)
        senders += [] if refused else [sender]
    check_leaving(server, senders)


@pytest.mark.parametrize("settings", ["cleanup_replace_stray_cr_lf = no\n",
                                      "cleanup_replace_stray_cr_lf = no\nmessage_strip_characters = \\0\n",
                                      "message_strip_characters = \\0\\r\n",
                                      "smtp_line_length_limit = 5\n",
                                      "smtp_header_checks = inline:{ { X=WARN } }\nsmtp_body_checks = inline:{ { X=WARN } }\ncleanup_replace_stray_cr_lf = no\n"])
def test_other_ways_out(make, recorder, settings):
    server = recorder()
    here = make(main_cf=SETTINGS.format(port=server.port, mode="normalize") + settings.replace("{", "{{").replace("}", "}}"))
    check_leaving(server, run_data(here, "normalize", "body"))


def test_before_queue_filter(make, recorder):
    """smtpd_proxy_filter takes the content as it comes: it too must find one message in it."""
    server = recorder()
    here = make(main_cf=SETTINGS.format(port=server.port, mode="normalize") + f"smtpd_proxy_filter = 127.0.0.1:{server.port}\n")
    senders = []
    for number, what, around in cases():
        sender = f"case-{number}@x.test"
        payload = attack(number, BEFORE["body"], around)
        want = expected(payload, sender, f"smuggled-{number}@x.test", "normalize")
        replies = say_all(here.port, ["EHLO c.test", f"MAIL FROM:<{sender}>", "RCPT TO:<r@x.test>", "DATA"], payload)
        assert sum(reply.startswith("250 stored") for reply in replies) == len(want), (what, replies)
        senders += want
    check_leaving(server, senders)


def test_commands_with_strays(make, recorder):
    """A command is a line that ends in CRLF (or LF, if that is allowed), and has neither CR nor NUL in it."""
    server = recorder()
    here = make(main_cf=SETTINGS.format(port=server.port, mode="normalize"))
    with here.smtp() as smtp:
        smtp.say("EHLO c.test")
        for command in ("\0MAIL FROM:<a@x.test>", "NOOP\0", "RSET\0MAIL"):
            assert smtp.say(command) == "500 5.5.2 Error: bad syntax"
        assert smtp.say("NO\rOP") == "500 5.5.2 Error: command not recognized"
        assert smtp.say('MAIL FROM:<"a\rb"@x.test>') == "501 5.1.7 Bad sender address syntax"
        assert smtp.say("RCPT TO:<r@x.test>") == "503 5.5.1 Error: need MAIL command"
        assert smtp.mail("a\r@x.test", ["r@x.test"], "Subject: x\n").startswith("250 ")   # a blank like others, and gone
        check_leaving(server, ["a@x.test"])
        assert smtp.say("\rMAIL FROM:<a@x.test>") == "221 2.7.0 Error: I can break rules, too. Goodbye."


def test_downgrade(make, recorder):
    """Content that is made quoted-printable on the way out."""
    server = recorder(ehlo=("PIPELINING",))
    here = make(main_cf=SETTINGS.format(port=server.port, mode="normalize"))
    senders = []
    for number, what, around in cases():
        payload = attack(number, b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nb\xc3\xb6dy", around)
        sender = f"case-{number}@x.test"
        say_all(here.port, ["EHLO c.test", f"MAIL FROM:<{sender}> BODY=8BITMIME", "RCPT TO:<r@x.test>", "DATA"], payload)
        senders += expected(payload, sender, f"smuggled-{number}@x.test", "normalize")
    check_leaving(server, senders)
