"""milter_server.py - a mail filter (milter protocol 2-6) that does what its script says, and remembers what it was told.

    filter = MilterServer({"MAIL <bad@": "reject", "END": ["add X-Seen: yes", "continue"]})
    ... f"smtpd_milters = {filter.endpoint}" ...
    filter.sessions[0].events == ["CONNECT localhost 4 127.0.0.1", "HELO client.test", "MAIL <a@b.test>", ...]

The script is a dict from the beginning of an event, as in `events`, to what the filter answers, or a function of (session, event) that gives that; the longest
beginning counts, without one the answer is "continue".  An answer is a step or a list of steps:

    continue accept reject tempfail discard skip progress shutdown (421)    the reply of one letter
    reply 550 5.7.1 text       a reply of its own
    add NAME: VALUE, insert INDEX NAME: VALUE, change INDEX NAME: VALUE, delete INDEX NAME
    body TEXT                  replace the body (with "\\n" as CRLF)
    sender <a@b> [WORDS], recipient <a@b> [WORDS], remove <a@b>, quarantine REASON
    bytes                      a packet of these bytes: letter and data
    ("raw", bytes)             bytes without a packet around them
    ("wait", seconds), "hang", "drop"
"""
import os
import socket
import struct
import threading
import time

from harness import TIMEOUT, wait_until

EVENTS = {"C": "CONNECT", "H": "HELO", "M": "MAIL", "R": "RCPT", "T": "DATA", "L": "HEADER", "N": "EOH", "B": "BODY", "E": "END", "U": "UNKNOWN",
          "A": "ABORT", "Q": "QUIT", "K": "QUIT_NC"}
LETTERS = {"continue": b"c", "accept": b"a", "reject": b"r", "tempfail": b"t", "discard": b"d", "skip": b"s", "progress": b"p", "shutdown": b"4"}
SILENT = "DAQK"


class Session:
    """One connection: what came."""

    def __init__(self):
        self.events = []
        self.macros = []       # (letter of the event, {name: value})
        self.offered = None    # (version, actions, steps) of the mail system
        self.body = b""        # of the last message

    def macros_of(self, letter):
        return [values for event, values in self.macros if event == letter]

    def has(self, event):
        return any(line.startswith(event) for line in self.events)


class MilterServer:
    def __init__(self, script=None, path=None, version=6, actions=0x1ff, steps=0, macros=None, negotiate=None):
        """steps: SMFIP_ bits to answer with (as far as they are offered); macros: {class number: "i {x}"}; negotiate: bytes instead of the O packet."""
        self.script = script or {}
        self.version, self.actions, self.steps, self.macro_lists, self.negotiate = version, actions, steps, macros or {}, negotiate
        self.sessions = []
        self.closing = False
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            os.chmod(path, 0o777)
            self.endpoint = f"unix:{path}"
        else:
            self.listener = socket.socket()
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(("127.0.0.1", 0))
            self.endpoint = "inet:127.0.0.1:%d" % self.listener.getsockname()[1]
        self.listener.listen(50)
        self.connections = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.closing = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def mail_session(self, number=1, event="MAIL", timeout=TIMEOUT):
        """The number-th session with a message (harness.Instance.start tries the port before), when it has that event."""
        def find():
            sessions = [session for session in self.sessions if session.has("MAIL")]
            return len(sessions) >= number and sessions[number - 1].has(event) and sessions[number - 1]

        return wait_until(find, f"{event} in session {number} with mail of the filter", timeout)

    def _accept(self):
        while not self.closing:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        session = Session()
        self.sessions.append(session)
        try:
            self._dialogue(connection, session)
        except OSError:
            pass
        connection.close()

    def _dialogue(self, connection, session):
        stream = connection.makefile("rb")
        while True:
            head = stream.read(4)
            if len(head) < 4:
                return
            packet = stream.read(struct.unpack("!I", head)[0])
            letter, data = packet[:1].decode("latin-1"), packet[1:]
            if letter == "O":
                session.offered = struct.unpack("!III", data[:12])
                self._send(connection, self.negotiate if self.negotiate is not None else self._options(session))
            elif letter == "D":
                words = [word.decode("latin-1") for word in data[1:].split(b"\0")]
                session.macros.append((data[:1].decode(), dict(zip(words[0::2], words[1::2]))))
            else:
                self._event(connection, session, letter, data)
            if letter in "QK":
                return

    def _options(self, session):
        version, actions, steps = session.offered
        packet = b"O" + struct.pack("!III", min(version, self.version), actions & self.actions, steps & self.steps)
        for number, names in self.macro_lists.items():
            packet += struct.pack("!I", number) + names.encode() + b"\0"
        return packet

    def _event(self, connection, session, letter, data):
        name = EVENTS.get(letter, letter)
        if letter == "M":
            session.body = b""
        if letter == "B":
            session.body += data
            detail = f"{len(data)} bytes"
        elif letter == "C":
            detail = _peer(data)
        else:
            detail = " ".join(part.decode("latin-1") for part in data.split(b"\0") if part)
        event = f"{name} {detail}".rstrip()
        session.events.append(event)
        if letter in SILENT:
            return
        for step in self._answer(session, event):
            self._do(connection, step)

    def _answer(self, session, event):
        if callable(self.script):
            answer = self.script(session, event)
        else:
            keys = [key for key in self.script if event.startswith(key)]
            answer = self.script[max(keys, key=len)] if keys else "continue"
            if callable(answer):
                answer = answer(session, event)
        return answer if isinstance(answer, list) else [answer or "continue"]

    def _do(self, connection, step):
        if isinstance(step, tuple):
            if step[0] == "wait":
                time.sleep(step[1])
            else:
                connection.sendall(step[1])
        elif step == "hang":
            while not self.closing:
                time.sleep(0.05)
        elif step == "drop":
            connection.shutdown(socket.SHUT_RDWR)
            raise OSError("dropped")
        else:
            self._send(connection, step if isinstance(step, bytes) else packet(step))

    @staticmethod
    def _send(connection, payload):
        connection.sendall(struct.pack("!I", len(payload)) + payload)


def packet(step):
    """Letter and data of a step in words."""
    word, _, rest = step.partition(" ")
    if word in LETTERS:
        return LETTERS[word]
    if word == "reply":
        return b"y" + rest.encode() + b"\0"
    if word == "add":
        return b"h" + _field(rest)
    if word in ("insert", "change"):
        index, _, field = rest.partition(" ")
        return (b"i" if word == "insert" else b"m") + struct.pack("!I", int(index)) + _field(field)
    if word == "delete":
        index, _, name = rest.partition(" ")
        return b"m" + struct.pack("!I", int(index)) + name.encode() + b"\0\0"
    if word == "body":
        return b"b" + rest.replace("\n", "\r\n").encode("latin-1")
    address, _, words = rest.partition(" ") if word in ("sender", "recipient") else (rest, "", "")
    letter = {"sender": b"e", "recipient": b"2" if words else b"+", "remove": b"-", "quarantine": b"q"}[word]
    return letter + address.encode() + b"\0" + (words.encode() + b"\0" if words else b"")


def _field(field):
    name, _, value = field.partition(":")
    return name.encode() + b"\0" + value.removeprefix(" ").encode() + b"\0"


def _peer(data):
    host, _, rest = data.partition(b"\0")
    family = rest[:1].decode("latin-1")
    return f"{host.decode()} {family} {rest[3:].rstrip(bytes(1)).decode()}".rstrip()
