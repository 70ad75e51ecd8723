"""harness.py - private instances of Postern for tests and the demonstration: own directory, own ports, no root.

When the caller is root, the instance runs as an ordinary user all the same (the programs are copied to a place
that this user can reach), because that is what these tests are about; the lab covers the system with privilege separation.
"""
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

BUILD = os.environ.get("POSTERN_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build"))
TIMEOUT = 20.0

MAIN_CF = """\
compatibility_level = 3.6
daemon_directory = {programs}/sbin
command_directory = {programs}/bin
sendmail_path = {programs}/bin/sendmail
queue_directory = {directory}/spool
data_directory = {directory}/data
meta_directory = {directory}/etc
mail_owner = {user}
setgid_group = {group}
default_privs = {user}
maillog_file = {directory}/log
maillog_file_prefixes = {directory}
myhostname = {name}.test
mydomain = {name}.test
myorigin = {name}.test
mydestination = {name}.test, localhost
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_bind_address = 127.0.0.1
alias_maps = texthash:{directory}/etc/aliases
alias_database =
local_recipient_maps =
append_dot_mydomain = no
biff = no
dns_servers = 127.0.0.1:{dns_port}
"""

# Sanitizer builds: where their reports go (log_path) must reach the daemons, whose standard error is closed.
if "ASAN_OPTIONS" in os.environ:
    MAIN_CF += "import_environment = MAIL_CONFIG TZ LANG=C ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS\n"

MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n  -  n  60     1  pickup
cleanup   unix  n  -  n  -      0  cleanup
qmgr      unix  n  -  n  300    1  qmgr
bounce    unix  -  -  n  -      0  bounce
defer     unix  -  -  n  -      0  bounce
trace     unix  -  -  n  -      0  bounce
flush     unix  n  -  n  1000?  0  flush
showq     unix  n  -  n  -      -  showq
smtp      unix  -  -  n  -      -  smtp
relay     unix  -  -  n  -      -  smtp
lmtp      unix  -  -  n  -      -  lmtp
error     unix  -  -  n  -      -  error
retry     unix  -  -  n  -      -  error
discard   unix  -  -  n  -      -  discard
local     unix  -  n  n  -      -  local
virtual   unix  -  n  n  -      -  virtual
anvil     unix  -  -  n  -      1  anvil
postlog   unix-dgram n - n -    1  postlogd
"""


def free_port():
    """A TCP port on loopback that nothing listens on just now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, what, timeout=TIMEOUT):
    """Poll until condition() is true; its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"timed out after {timeout} s: {what}")
        time.sleep(0.02)


def merge(base, changes):
    """Lines of main.cf: those of base whose name is not set in changes, then changes."""
    changed = {line.split("=")[0].strip() for line in changes.splitlines() if "=" in line and not line[0].isspace()}
    return "".join(line + "\n" for line in base.splitlines() if line.split("=")[0].strip() not in changed) + changes


class Instance:
    """One mail system in a directory of its own."""

    def __init__(self, name="here", main_cf="", master_cf="", base=None, dns_port=None, aliases="", files=None):
        self.name = name
        self.own_base = base is None
        self.base = base or tempfile.mkdtemp(prefix="postern-")
        self.directory = os.path.join(self.base, name)
        self.port = free_port()
        self.dns_port = dns_port or free_port()
        self.as_root = os.geteuid() == 0
        account = pwd.getpwnam("nobody") if self.as_root else pwd.getpwuid(os.geteuid())
        self.user, self.uid, self.gid = account.pw_name, account.pw_uid, account.pw_gid
        self.programs = os.path.join(self.base, "programs")
        self._install()
        for sub in ("etc", "spool", "data", "mail"):
            os.makedirs(os.path.join(self.directory, sub), exist_ok=True)
        import grp
        values = dict(directory=self.directory, programs=self.programs, user=self.user, group=grp.getgrgid(self.gid).gr_name,
                      name=name, port=self.port, dns_port=self.dns_port)
        self.write("main.cf", merge(MAIN_CF.format(**values), main_cf.format(**values)))
        self.write("master.cf", MASTER_CF.format(**values) + master_cf.format(**values))
        self.write("aliases", aliases)
        for path, text in (files or {}).items():
            self.write(path, text)
        self._give_away()

    def _install(self):
        if os.path.isdir(self.programs):
            return
        for kind in ("sbin", "bin"):
            shutil.copytree(os.path.join(BUILD, kind), os.path.join(self.programs, kind), symlinks=True)
        if self.as_root:
            os.chmod(self.base, 0o755)

    def _give_away(self):
        if self.as_root:
            subprocess.run(["chown", "-R", f"{self.uid}:{self.gid}", self.directory], check=True)

    def write(self, path, text):
        """A file below the configuration directory (or an absolute path)."""
        full = os.path.join(self.directory, "etc", path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w") as out:
            out.write(text)
        if self.as_root:
            os.chown(full, self.uid, self.gid)

    def reload(self):
        """postfix reload; until master has reloaded and its workers have been told."""
        before = len(self.log_lines(r"master\[\d+\]: reload -- "))
        self.command("postfix", "reload", check=True)
        self.wait_log(r"master\[\d+\]: reload -- ", before + 1)
        time.sleep(0.3)

    def command(self, *argv, input=None, check=False, timeout=60):
        """Run a command of this instance as its user; the CompletedProcess."""
        environment = {"PATH": f"{self.programs}/bin:{self.programs}/sbin:/usr/bin:/bin:/usr/sbin:/sbin",
                       "MAIL_CONFIG": os.path.join(self.directory, "etc"), "TZ": "UTC"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        extra = {}
        if self.as_root:
            extra = dict(user=self.uid, group=self.gid, extra_groups=[])
        done = subprocess.run(argv, input=input, capture_output=True, text=not isinstance(input, bytes), env=environment, cwd="/",
                              timeout=timeout, **extra)
        if check and done.returncode:
            raise AssertionError(f"{argv}: exit {done.returncode}: {done.stdout}{done.stderr}\n{self.log()[-3000:]}")
        return done

    def start(self):
        self.command("postfix", "start", check=True)
        wait_until(self.listening, f"{self.name} listening at port {self.port}\n{self.log()[-2000:]}")
        return self

    def listening(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        return self.command("postfix", "stop")

    def master_pid(self):
        with open(os.path.join(self.directory, "spool/pid/master.pid")) as f:
            return int(f.read())

    def pids(self):
        """Processes whose program is this instance's: (pid, name) pairs."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    program = os.readlink(f"/proc/{entry}/exe")
                except OSError:
                    continue
                if program.startswith(self.programs + "/sbin/") and self._works_here(entry):
                    found.append((int(entry), os.path.basename(program)))
        return found

    def _works_here(self, pid):
        try:
            return os.path.realpath(f"/proc/{pid}/cwd").startswith(self.directory)
        except OSError:
            return False

    def kill_all(self):
        """The end, whatever state it is in (only processes of this instance)."""
        for pid, _ in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def cleanup(self, keep=False):
        try:
            self.stop()
        except (subprocess.TimeoutExpired, AssertionError):
            pass
        self.kill_all()
        if not keep:
            shutil.rmtree(self.base if self.own_base else self.directory, ignore_errors=True)

    # ---- looking at it ----

    def log(self):
        try:
            with open(os.path.join(self.directory, "log"), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def log_lines(self, pattern):
        return [line for line in self.log().splitlines() if re.search(pattern, line)]

    def wait_log(self, pattern, count=1, timeout=TIMEOUT):
        try:
            return wait_until(lambda: (lambda l: l if len(l) >= count else None)(self.log_lines(pattern)), f"log line /{pattern}/ x{count}", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()[-40000:]}") from None

    def queue(self):
        done = self.command("postqueue", "-j", check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wait_queue_empty(self, timeout=TIMEOUT):
        wait_until(lambda: not self.queue(), f"queue of {self.name} empty\n{self.log()[-3000:]}", timeout)

    def maildir(self, path):
        """Texts of the messages in a Maildir below mail/."""
        new = os.path.join(self.directory, "mail", path, "new")
        try:
            names = sorted(os.listdir(new))
        except FileNotFoundError:
            return []
        texts = []
        for name in names:
            with open(os.path.join(new, name), errors="replace") as f:
                texts.append(f.read())
        return texts

    def smtp(self, port=None):
        return Dialogue("127.0.0.1", port or self.port)

    def inject(self, sender, recipients, message="Subject: test\r\n\r\nHello.\r\n"):
        """One message over SMTP; the last reply."""
        with self.smtp() as smtp:
            smtp.say("EHLO client.test")
            return smtp.mail(sender, [recipients] if isinstance(recipients, str) else recipients, message)


class Dialogue:
    """An SMTP client that says what it is told, byte for byte."""

    def __init__(self, host, port, timeout=TIMEOUT):
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.file = self.socket.makefile("rb")
        self.greeting = self.reply()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def reply(self):
        """One reply, its lines joined with newlines; "" when the peer closed."""
        lines = []
        while True:
            line = self.file.readline().decode("utf-8", "replace")
            if not line:
                return "\n".join(lines)
            lines.append(line.rstrip("\r\n"))
            if len(line) < 4 or line[3] != "-":
                return "\n".join(lines)

    def send(self, text):
        self.socket.sendall(text if isinstance(text, bytes) else text.encode())

    def say(self, line):
        self.send(line + "\r\n")
        return self.reply()

    def data(self, message):
        reply = self.say("DATA")
        if not reply.startswith("354"):
            return reply
        text = message.replace("\r\n", "\n").replace("\n", "\r\n")
        text = re.sub(r"(?m)^\.", "..", text)
        if not text.endswith("\r\n"):
            text += "\r\n"
        self.send(text + ".\r\n")
        return self.reply()

    def mail(self, sender, recipients, message):
        reply = self.say(f"MAIL FROM:<{sender}>")
        if not reply.startswith("250"):
            return reply
        replies = [self.say(f"RCPT TO:<{recipient}>") for recipient in recipients]
        if not any(reply.startswith("250") for reply in replies):
            return replies[-1]
        return self.data(message)


class Sink:
    """An SMTP server of a test: takes mail, or answers as its script says.

    replies: {"RCPT TO:<a@": "550 no", "DATA": [..one per use..], "CONNECT": "421 busy"}; the value "DROP" closes the connection, "HANG" stays silent.
    """

    def __init__(self, replies=None, ehlo=("PIPELINING", "8BITMIME"), port=0, delay=0.0, lmtp=False, host="127.0.0.1"):
        self.replies = dict(replies or {})
        self.ehlo = ehlo
        self.delay = delay
        self.lmtp = lmtp
        self.messages = []   # (sender, [recipients], text)
        self.sessions = []   # lists of command lines
        self.lock = threading.Lock()
        self.server = socket.create_server((host, port), backlog=128)
        self.port = self.server.getsockname()[1]
        self.closing = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.closing = True
        try:
            self.server.shutdown(socket.SHUT_RDWR)   # ends the accept() of the thread, which would keep the port open
        except OSError:
            pass
        self.server.close()

    def wait_messages(self, count, timeout=TIMEOUT):
        wait_until(lambda: len(self.messages) >= count, f"{count} messages at the sink (have {len(self.messages)})", timeout)
        return self.messages

    def _accept(self):
        while not self.closing:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _scripted(self, line):
        for prefix, value in self.replies.items():
            if line.upper().startswith(prefix.upper()):
                with self.lock:
                    if isinstance(value, list):
                        return value.pop(0) if len(value) > 1 else value[0]
                return value
        return None

    def _serve(self, connection):
        try:
            with connection, connection.makefile("rb") as lines:
                self._dialogue(connection, lines)
        except OSError:
            pass

    def _dialogue(self, connection, lines):
        commands, sender, recipients = [], "", []
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sessions.append(commands)

        def answer(text):
            if text == "DROP":
                connection.close()
                raise OSError
            if text == "HANG":
                time.sleep(60)
                raise OSError
            connection.sendall(text.replace("\n", "\r\n").encode(errors="surrogateescape") + b"\r\n")

        answer(self._scripted("CONNECT") or "220 sink ESMTP")
        while line := lines.readline().decode("utf-8", "replace").rstrip("\r\n"):
            commands.append(line)
            verb = line.split(" ")[0].upper()
            scripted = self._scripted(line)
            if verb == "DATA" and scripted is None and not recipients:
                answer("554 5.5.1 no valid recipients")
                continue
            if verb == "DATA" and scripted is None:
                answer("354 go ahead")
                text = self._content(lines)
                if self.delay:
                    time.sleep(self.delay)
                final = self._scripted(".") or "250 2.0.0 stored"
                if final.startswith("2"):
                    with self.lock:
                        self.messages.append((sender, list(recipients), text))
                for _ in recipients if self.lmtp else [0]:
                    answer(final)
                continue
            if scripted is not None:
                answer(scripted)
            elif verb in ("EHLO", "LHLO"):
                answer("\n".join([f"250{'-' if self.ehlo else ' '}sink"] +
                                 [f"250{'-' if i + 1 < len(self.ehlo) else ' '}{word}" for i, word in enumerate(self.ehlo)]))
            elif verb == "QUIT":
                answer("221 2.0.0 bye")
                return
            else:
                answer("250 2.0.0 ok")
            accepted = scripted is None or scripted.startswith("2")
            if verb == "MAIL" and accepted:
                sender, recipients = line[line.index("<") + 1:line.index(">")], []
            elif verb == "RCPT" and accepted:
                recipients.append(line[line.index("<") + 1:line.index(">")])

    @staticmethod
    def _content(lines):
        text = []
        while (line := lines.readline()) != b".\r\n":
            if not line.endswith(b"\n"):
                raise OSError("the client went away in the middle of a message")   # which is no message then
            text.append(line[1:] if line.startswith(b".") else line)
        return b"".join(text).decode("utf-8", "replace")


class Dns:
    """A name server on loopback: zone text lines "name TYPE data"; a name with the type SERVFAIL or DROP misbehaves.  ALIAS is a CNAME that is not
    followed: whoever asked has to ask for where it leads."""

    def __init__(self, zone="", port=0):
        self.records = {}
        self.queries = []
        for line in zone.strip().splitlines():
            name, kind, *data = line.split()
            self.records.setdefault(name.lower().rstrip("."), []).append((kind.upper(), " ".join(data)))
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.closing = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def close(self):
        """The thread must not wait for the socket any more: it would read from the next one that gets the same number."""
        self.closing = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join(5)
        self.socket.close()

    def _serve(self):
        import dnslib
        while True:
            try:
                packet, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            if self.closing:
                return
            question = dnslib.DNSRecord.parse(packet)
            answer = self._answer(dnslib, question)
            if answer is not None:
                self.socket.sendto(answer.pack(), peer)

    def _answer(self, dnslib, question):
        name = str(question.q.qname).lower().rstrip(".")
        kind = dnslib.QTYPE[question.q.qtype]
        self.queries.append(f"{name} {kind}")
        reply = question.reply()
        reply.header.ad = 0  # dnslib copies it from the question
        rows = self.records.get(name)
        if rows is None:
            reply.header.rcode = dnslib.RCODE.NXDOMAIN
            return reply
        while kind != "CNAME" and rows and rows[0][0] == "CNAME":  # as a recursive server, with what the alias leads to
            reply.add_answer(*dnslib.RR.fromZone(f"{name}. 60 IN CNAME {rows[0][1]}."))
            name = rows[0][1].rstrip(".")
            rows = self.records.get(name, [])
        for row_kind, data in rows:
            if row_kind == "DROP":
                return None
            if row_kind == "SERVFAIL":
                reply.header.rcode = dnslib.RCODE.SERVFAIL
                return reply
            if row_kind == "ALIAS":
                reply.add_answer(*dnslib.RR.fromZone(f"{name}. 60 IN CNAME {data}."))
            if row_kind == kind:
                reply.add_answer(*dnslib.RR.fromZone(f"{name}. 60 IN {kind} {data}"))
        return reply
