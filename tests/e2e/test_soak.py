"""Everything at once: filters, the gate, the store, verification, limits and TLS, while processes die, settings change, disks fill; and nothing grows."""
import collections
import os
import random
import socket
import subprocess
import threading
import time

import pytest

from harness import Dialogue, wait_until
from milter_server import MilterServer
from test_survival import QUICK, kill_while, wait_arrived
from test_tls_server import Authority, context

SANITIZED = "ASAN_OPTIONS" in os.environ # which is slow, and keeps freed memory
KILL_MESSAGES = int(os.environ.get("POSTERN_SOAK_KILL_MESSAGES", "3000"))
STORM_SECONDS = float(os.environ.get("POSTERN_SOAK_STORM_SECONDS", "15"))
LEAK_MESSAGES = int(os.environ.get("POSTERN_SOAK_LEAK_MESSAGES", "4000" if SANITIZED else "20000"))
PEERS = 40 # recipients that are verified

ALL = QUICK + """
relay_domains = far.test
smtpd_client_connection_count_limit = 0
smtpd_recipient_restrictions = reject_unverified_recipient
address_verify_poll_delay = 1s
address_verify_positive_refresh_time = 3s
unverified_recipient_reject_code = 550
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_relay_restrictions = permit_sasl_authenticated, permit_auth_destination, reject
smtpd_user_limit_messages_per_hour = 1000000
smtpd_user_limit_recipients_per_day = 1000000
milter_default_action = tempfail
"""
GATE = """
mynetworks = 127.0.0.1/32
postscreen_greet_wait = 1s
postscreen_access_list = permit_mynetworks
postscreen_cache_map = btree:{directory}/data/postscreen_cache
"""
PASS = "smtpd pass - - n - - smtpd\n"
MANAGER = "tlsmgr unix - - n 1000? 1 tlsmgr\n"


class Forgetful(MilterServer):
    """A filter that keeps nothing of what it was told."""

    def _serve(self, connection):
        super()._serve(connection)
        self.sessions.clear()
        self.connections.remove(connection)

    def _event(self, connection, session, letter, data):
        super()._event(connection, session, letter, data)
        session.events.clear()
        session.macros.clear()
        session.body = b""


def mark(session, event):
    """Adds a field to each message, and a recipient to some."""
    if event != "END":
        return "continue"
    return ["add X-Soak: yes"] + (["recipient <extra@far.test>"] if random.random() < 0.1 else []) + ["continue"]


class Client(Dialogue):
    """A client that may come from elsewhere, may turn to TLS, and says a message's commands at once."""

    def __init__(self, port, tls=None, user=None, address="127.0.0.1", host="127.0.0.1", timeout=20): # pylint: disable=super-init-not-called
        self.socket = socket.create_connection((host, port), timeout, source_address=(address, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        try:
            self._begin(tls, user)
        except BaseException:
            self.close()
            raise

    def _begin(self, tls, user):
        self.greeting = self.reply()
        if not self.greeting.startswith("220"):
            raise OSError(f"greeted with {self.greeting!r}")
        offers = self.say("EHLO client.test")
        if tls and "STARTTLS" in offers:
            if not self.say("STARTTLS").startswith("220"):
                raise OSError("no STARTTLS after all")
            self.file.close()
            self.socket = tls.wrap_socket(self.socket)
            self.file = self.socket.makefile("rb")
            self.say("EHLO client.test")
        if user:
            if not self.say(f"XCLIENT LOGIN={user}").startswith("220"):
                raise OSError("no XCLIENT")
            self.say("EHLO client.test")

    def message(self, name, peer, size=0):
        """The reply that counts."""
        self.send(f"MAIL FROM:<s@client.test>\r\nRCPT TO:<r{peer}@far.test>\r\nDATA\r\n")
        replies = [self.reply() for _ in range(3)]
        if not replies[2].startswith("354"):
            return next((reply for reply in replies if not reply.startswith("250")), "")
        self.send(f"Subject: {name}\r\n\r\nbody of {name}\r\n" + ("x" * 70 + "\r\n") * (size // 72) + ".\r\n")
        return self.reply()


class Feeder(threading.Thread):
    """Sends messages in sessions of some each until `enough` says so; each again until it got 250."""

    def __init__(self, number, connect, accepted, enough, per_session=20, tag=""):
        super().__init__(daemon=True)
        self.number, self.connect, self.accepted, self.enough, self.per_session, self.tag = number, connect, accepted, enough, per_session, tag
        self.broken = []      # what a session said instead of 250
        self.start()

    def run(self):
        client, told, i = None, 0, 0
        while not self.enough(self, i):
            name = f"m{self.tag}{self.number}-{i}."
            try:
                if client is None:
                    client, told = self.connect(self), 0
                reply = client.message(name, (self.number + i) % PEERS)
                if reply.startswith("250"):
                    self.accepted.add(name)
                    i += 1
                    told += 1
                    if told == self.per_session:
                        if not (bye := client.say("QUIT")).startswith("221"):
                            self.broken.append(f"QUIT: {bye}")
                        client.close()
                        client = None
                    continue
                self.broken.append(reply)
            except OSError as error:
                self.broken.append(f"{type(error).__name__} {error} after {told}")
            if client is not None:
                client.close()
                client = None
            time.sleep(0.05)
        if client is not None:
            client.close()


def join(feeders):
    for feeder in feeders:
        feeder.join()


def gate_in_front(here):
    """The port is postscreen's."""
    path = os.path.join(here.directory, "etc", "master.cf")
    with open(path, encoding="utf8") as file:
        lines = file.read().split("\n", 1)
    here.write(path, lines[0].replace("- - smtpd", "- 1 postscreen") + "\n" + lines[1])


def measure(here):
    """{program: (processes, most descriptors of one, greatest PSS in KiB of one)}"""
    found = {}
    for pid, name in here.pids():
        try:
            files = len(os.listdir(f"/proc/{pid}/fd"))
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
                pss = next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        except (OSError, StopIteration):
            continue
        count, most, greatest = found.get(name, (0, 0, 0))
        found[name] = (count + 1, max(most, files), max(greatest, pss))
    return found


def descriptors(here):
    """What each process has open, for the report of a failure."""
    lines = []
    for pid, name in here.pids():
        kinds = collections.Counter()
        try:
            for entry in os.listdir(f"/proc/{pid}/fd"):
                kinds[os.readlink(f"/proc/{pid}/fd/{entry}").split("[")[0].split("(")[0]] += 1
        except OSError:
            continue
        lines.append(f"{name} {pid}: {dict(kinds)}")
    return "\n".join(lines)


def table(*figures):
    return "".join(f"  {name:12}" + "".join("  %3d proc. %4d fds %7d KiB" % one.get(name, (0, 0, 0)) for one in figures) + "\n"
                   for name in sorted(set().union(*figures)))


def grown(before, after, files=20, factor=1.3, slack=3000):
    """What has more descriptors or memory than it may."""
    return [f"{name}: {before[name]} {after[name]}" for name in after if name in before
            and (after[name][1] > before[name][1] + files or (not SANITIZED and after[name][2] > before[name][2] * factor + slack))]


def arrivals(remote):
    """How often each message came to its own recipient."""
    with remote.lock:
        messages = list(remote.messages)
    return collections.Counter(text.split("Subject: ", 1)[1].split("\r\n", 1)[0] for _, recipients, text in messages
                               for recipient in recipients if recipient != "extra@far.test")


def all_arrived(here, remote, accepted, seconds):
    return wait_arrived(here, lambda: arrivals(remote), accepted, seconds)


def of_some_program(generator, candidates):
    """Anvil as often as smtpd, of which there are many."""
    kind = generator.choice(sorted({name for _, name in candidates}))
    return generator.choice([one for one in candidates if one[1] == kind])


def quiet(here, remote, accepted, tag, tls=None):
    """A small load without trouble, then rest: what processes are like."""
    join([Feeder(n, lambda feeder: Client(here.port, tls, user="ann@here.test"), accepted, lambda feeder, i: i >= 16, per_session=16, tag=tag)
          for n in range(15)])
    all_arrived(here, remote, accepted, 30)
    here.wait_queue_empty(30)
    time.sleep(3) # kept connections end, the keeper writes
    return measure(here)


def test_kill(make, sink, dns, filter):
    """Each message that got 250 arrives, with the filter's field, whatever was killed; and nothing is left of it."""
    remote, server = sink(), filter(mark, kind=Forgetful)
    names = dns("far.test MX 10 mx.far.test.\nmx.far.test A 127.0.0.1\n")
    here = make(started=False, dns_port=names.port, master_cf=PASS + MANAGER, main_cf=ALL + GATE +
                f"relay_transport = smtp:far.test:{remote.port}\nsmtp_tls_mta_sts = yes\nsmtp_tls_security_level = may\nsmtp_host_lookup = dns\n"
                f"smtpd_milters = {server.endpoint}\n")
    gate_in_front(here)
    here.start()
    accepted = set()
    before = quiet(here, remote, accepted, "before")
    started = time.monotonic()
    feeders = [Feeder(n, lambda feeder: Client(here.port, user=f"user{feeder.number}@here.test"), accepted, lambda feeder, i: i >= KILL_MESSAGES // 15,
                      per_session=40) for n in range(15)]
    kills = kill_while(here, feeders, of_some_program)
    seconds = time.monotonic() - started
    counts = all_arrived(here, remote, accepted, 60)
    after = quiet(here, remote, accepted, "after")
    duplicates = sum(counts.values()) - len(counts)
    print(f"\nkills: {len(accepted)} accepted in {seconds:.0f} s, 0 lost, {duplicates} duplicates, {sum(kills.values())} kills: {dict(kills)}\n" + table(before, after))
    assert len(accepted) == KILL_MESSAGES // 15 * 15 + 2 * 240
    for _, recipients, text in remote.messages:
        assert text.count("X-Soak: yes\r\n") == 1, text
    assert not here.log_lines("panic:|killed by signal (4|6|7|8|11)\\b")
    assert grown(before, after) == [], descriptors(here)
    with Client(here.port) as client:
        assert client.message("m-last.", 1).startswith("250")
    wait_until(lambda: set(before) <= {name for _, name in here.pids()}, f"each of {set(before)} to be at work again")
    here.stop()
    assert here.pids() == []


def test_reload_storm(make, sink, filter, base):
    """Settings change twice a second; no session notices, no message is lost, nothing grows."""
    remote, server = sink(), filter(mark, kind=Forgetful)
    authority = Authority(base + "/ca")
    authority.sign("here", "here.test")
    common = ALL + GATE + f"relay_transport = smtp:[127.0.0.1]:{remote.port}\nsmtpd_tls_chain_files = {authority.path('here.chain')}\n"
    here = make(started=False, master_cf=PASS + MANAGER + "127.0.0.2:{port} inet n - n - - smtpd\n", main_cf=common)
    gate_in_front(here)
    with open(f"{here.directory}/etc/main.cf", encoding="utf8") as file:
        text = file.read()
    full = [f"smtpd_milters = {server.endpoint}\n", "smtpd_tls_security_level = may\n"]
    lists = ["postscreen_access_list = permit_mynetworks\n", "postscreen_access_list = cidr:{ { 127.0.0.0/24 permit } }\n",
             "postscreen_access_list = permit_mynetworks\npostscreen_greet_wait = 2s\npostscreen_denylist_action = enforce\n"]
    here.write("main.cf", text + "".join(full))
    here.start()
    tls = context()
    accepted = set()
    before = quiet(here, remote, accepted, "before", tls)
    end = time.monotonic() + STORM_SECONDS
    connects = [lambda feeder: Client(here.port), lambda feeder: Client(here.port, tls, user="ann@here.test"),
                lambda feeder: Client(here.port, address=f"127.0.0.{feeder.number + 50}"), lambda feeder: Client(here.port, host="127.0.0.2"), lambda feeder: Client(here.port, tls, host="127.0.0.2")]
    feeders = [Feeder(n, connects[n % len(connects)], accepted, lambda feeder, i: time.monotonic() > end, per_session=1 + n % 7 * 10) for n in range(10)]
    reloads = 0
    while time.monotonic() < end:
        here.write("main.cf", text + (full[0] if reloads & 1 else "") + (full[1] if reloads & 2 else "") + lists[reloads % 3])
        here.command("postfix", "reload", check=True)
        reloads += 1
        time.sleep(max(0.0, 0.5 - (time.monotonic() - end) % 0.5))
    join(feeders)
    here.write("main.cf", text + "".join(full))
    here.reload()
    broken = [f"{feeder.number}: {what}" for feeder in feeders for what in feeder.broken
              if "450 4.1.1" not in what]  # a probe may be asked for again
    counts = all_arrived(here, remote, accepted, 30)
    after = quiet(here, remote, accepted, "after", tls)
    print(f"\nreloads: {reloads}, {len(accepted)} messages, {sum(counts.values()) - len(counts)} duplicates, {len(broken)} sessions broken\n" + table(before, after))
    assert broken == [], here.log_lines("warning|error|fatal|queue file")[-30:]
    assert sum(counts.values()) == len(counts)
    assert not here.log_lines("panic:|fatal:|killed by signal")
    assert grown(before, after) == [], descriptors(here)


def test_leaks(make, filter, base):
    """What a fifth of the messages needs is enough for all."""
    server = filter(mark, kind=Forgetful, steps=0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x200)
    authority = Authority(base + "/ca")
    for name in ("here", "there"):
        authority.sign(name, name + ".test")
    tls = "smtpd_tls_security_level = may\nsmtpd_tls_chain_files = " + authority.path("{name}.chain") + "\n"
    there = make("there", main_cf=tls.format(name="there") + "local_transport = discard\nsmtpd_client_connection_count_limit = 0\n"
                 "relay_domains = far.test\nrelay_transport = discard:\n")
    here = make("here", main_cf=ALL + tls.format(name="here") + f"relay_transport = smtp:[127.0.0.1]:{there.port}\nsmtp_tls_security_level = encrypt\n"
                f"smtp_tls_connection_reuse = yes\nsmtpd_milters = {server.endpoint}\n", master_cf=MANAGER)
    client_tls = context()

    def load(tag, messages):
        accepted = set()
        began = time.monotonic()
        join([Feeder(n, lambda feeder: Client(here.port, client_tls, user=f"user{feeder.number}@here.test"), accepted,
                     lambda feeder, i: i >= messages // 20, per_session=25, tag=tag) for n in range(20)])
        assert len(accepted) == messages // 20 * 20
        here.wait_queue_empty(60)
        there.wait_queue_empty(60)
        return time.monotonic() - began

    first = load("a", LEAK_MESSAGES // 5)
    time.sleep(3)
    before, before_there = measure(here), measure(there)
    second = load("b", LEAK_MESSAGES // 5 * 4)
    time.sleep(3)
    after, after_there = measure(here), measure(there)
    print(f"\nleaks: {LEAK_MESSAGES // 5} messages in {first:.0f} s, {LEAK_MESSAGES // 5 * 4} more in {second:.0f} s\n" + table(before, after) +
          "  there:\n" + table(before_there, after_there))
    assert grown(before, after, slack=1500) == [] and grown(before_there, after_there, slack=1500) == []
    assert not here.log_lines("status=(bounced|deferred)|panic:|fatal:|killed by signal")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
@pytest.mark.parametrize("when", ["before there are files", "when there are files"])
def test_full_disks(make, sink, filter, when):
    """No room in the queue, none for the store: 452 and 451, and work goes on with what is in memory."""
    remote = sink(replies={"DATA": "451 4.2.0 later", "RCPT": "250 2.1.5 " + "taken " * 60}) # which fills the file of results
    large = "body " + ("filtered " * 7 + "\n") * 900

    def script(session, event):
        if event != "END":
            return "continue"
        return ["add X-Soak: yes"] + ([large] * 8 if random.random() < 0.5 else []) + ["continue"]

    server = filter(script, kind=Forgetful)
    here = make(started=False, main_cf=ALL + f"relay_transport = smtp:[127.0.0.1]:{remote.port}\nqueue_minfree = 0\nmessage_size_limit = 1000000\n"
                f"smtpd_milters = {server.endpoint}\naddress_verify_positive_refresh_time = 1d\n")
    mounts = [(os.path.join(here.directory, name), size) for name, size in (("spool", "24m"), ("data", "2m"))]
    for path, size in mounts:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},uid={here.uid},gid={here.gid},mode=0755", "tmpfs", path], check=True)
    try:
        here.start()
        accepted = set()
        with Client(here.port, user="ann@here.test") as client:
            assert client.message("m-first.", 1).startswith("250")
            accepted.add("m-first.")
        anvil = sorted(pid for pid, name in here.pids() if name == "anvil")
        if when == "when there are files":
            wait_until(lambda: os.path.exists(os.path.join(here.directory, "data", "verify_cache.db")), "the file of the store")
            time.sleep(0.5)
        filler = os.path.join(here.directory, "data", "filler")
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], check=False, capture_output=True)
        replies = collections.Counter()
        for i in range(400):
            name = f"m-{i}."
            with Client(here.port, user="ann@here.test") as client:
                reply = client.message(name, i % 200, size=(1000, 150_000, 400_000)[i % 3])
            replies[reply[:9]] += 1
            assert reply[:3] in ("250", "450", "451", "452"), reply # 450: a probe found no room
            if reply.startswith("250"):
                accepted.add(name)
            if sum(count for what, count in replies.items() if what[0] == "4") >= 30:
                break
        print(f"\nfull disks: {dict(replies)}, data: {os.listdir(os.path.join(here.directory, 'data'))}")
        assert len(accepted) > 20 and i < 399
        assert sorted(pid for pid, name in here.pids() if name == "anvil") == anvil, "anvil goes on"
        os.unlink(filler)
        remote.replies.clear()
        counts = all_arrived(here, remote, accepted, 60)
        here.wait_queue_empty(30)
        assert all("X-Soak: yes\r\n" in text for _, _, text in remote.messages)
        print(f"  {len(accepted)} accepted, {sum(counts.values()) - len(counts)} duplicates")

        def again():
            with Client(here.port, user="ann@here.test") as last:
                return last.message("m-last.", 1, size=400_000).startswith("250")

        def again_and_look(where):
            with Client(here.port) as other:   # a result that changes, so that there is something to write
                other.message("m-more.", 200 + random.randrange(10000))
            return here.command("postmap", "-s", where).stdout

        wait_until(again, "room again", 30)
        accepted.add("m-last.")
        all_arrived(here, remote, accepted, 30)
        assert sorted(pid for pid, name in here.pids() if name == "anvil") == anvil
        # What was in memory only is written now, and nothing was taken for damaged.
        assert len(here.wait_log(r"anvil\[\d+\]: warning: cache verify: .*: no room on the disk: going on in memory until there is")) == 1
        where = f"btree:{here.directory}/data/verify_cache"
        wait_until(lambda: all(f"r{n}@far.test\t" in again_and_look(where) for n in (1, 5, 25)), f"what was in memory only, in {where}", 15)
        assert not [name for name in os.listdir(os.path.join(here.directory, "data")) if "damaged" in name]
        assert not here.log_lines("panic:|killed by signal")
    finally:
        here.stop()
        here.kill_all()
        time.sleep(0.3)
        for path, _ in mounts:
            subprocess.run(["umount", "-l", path], check=True)
