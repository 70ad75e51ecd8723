"""Selections of messages: postqueue and postsuper with --sender, --domain, --reason and so on; counts and groups; with the system up and down."""
import json
import re
import subprocess

import pytest

from harness import wait_until

HELD = "relayhost = [127.0.0.1]:1\ntransport_maps = inline:{{ {{ slow.test = smtp:[127.0.0.1]:2 }} }}\n"


@pytest.fixture
def full(make):
    """Six deferred messages: three senders, three domains, one of them large."""
    here = make(main_cf=HELD)
    for i, (sender, recipients, size) in enumerate([("a@one.test", ["x@remote.test"], 10), ("a@one.test", ["y@other.test", "z@remote.test"], 10),
                                                    ("B@two.test", ["x@slow.test"], 10), ("", ["x@remote.test"], 10),
                                                    ("c@two.test", ["x@slow.test"], 50000), ("c@two.test", ["q@sub.remote.test"], 10)]):
        lines = "\n".join(["x" * 70] * (size // 70))
        reply = here.inject(sender, recipients, f"Subject: {i}\n\n{lines}\n")
        assert reply.startswith("250"), reply
    here.wait_log("status=deferred", 7)
    wait_until(lambda: all(entry["queue_name"] == "deferred" for entry in here.queue()), "all deferred")
    return here


def senders(here, *options):
    shown = here.command("postqueue", "-j", *options, check=True).stdout
    return sorted(json.loads(line)["sender"] for line in shown.splitlines())


CASES = [(["--sender", "a@ONE.test"], ["a@one.test"] * 2), (["--sender", "<>"], ["MAILER-DAEMON"]), (["--sender", ""], ["MAILER-DAEMON"]),
         (["--recipient", "z@remote.test"], ["a@one.test"]), (["--domain", "slow.test"], ["B@two.test", "c@two.test"]),
         (["--domain", "remote.test", "--sender", "a@one.test"], ["a@one.test"] * 2),
         (["--reason", r"127\.0\.0\.1]:2: CONN"], ["B@two.test", "c@two.test"]), (["--reason", "timed out", "--domain", "slow.test"], []),
         (["--size", "20k"], ["c@two.test"]), (["--size", "-20k", "--domain", "slow.test"], ["B@two.test"]),
         (["--older-than", "1h"], []), (["--newer-than", "1h", "--queue", "hold"], []),
         (["--newer-than", "1h", "--sender", "c@two.test"], ["c@two.test"] * 2), (["--queue", "deferred", "--limit", "2"], 2)]


def test_listings(full):
    def all_fit():
        for options, wanted in CASES:
            found = senders(full, *options)
            assert (len(found) if isinstance(wanted, int) else found) == wanted, options
            assert full.command("postqueue", "--count", *options, check=True).stdout == f"{len(found)}\n"
            assert len(full.command("postqueue", "--ids", *options, check=True).stdout.split()) == len(found)
    all_fit()
    text = full.command("postqueue", "-p", "--domain", "slow.test", check=True).stdout
    assert text.endswith("in 2 Requests.\n") and "]:2: Connection refused)" in text and "]:1: Conn" not in text
    assert full.command("postqueue", "--domain", "nowhere.test", check=True).stdout == "Mail queue is empty\n"
    full.stop()
    all_fit()


def test_wrong_selections(full):
    for options, text in [(["--reason", "("], "bad regular expression"), (["--queue", "nosuch"], "unknown queue: nosuch"),
                          (["--older-than", "x"], "bad time value"), (["--size", "5q"], "bad size value"), (["--limit", "1k"], "bad limit value")]:
        done = full.command("postqueue", "-p", *options)
        assert done.returncode != 0 and text in done.stderr, done.stderr
    assert "need --dry-run" in full.command("postsuper", "-d", "ALL", "--count").stderr
    assert len(full.queue()) == 6


def rows(text):
    return {line.split(None, 3)[3]: tuple(int(word) for word in line.split()[:2]) for line in text.splitlines()[1:]}


def test_groups(full):
    group = lambda what, *options: rows(full.command("postqueue", "--group-by", what, *options, check=True).stdout)
    def all_fit():
        assert group("domain") == {"remote.test": (3, 3), "slow.test": (2, 2), "other.test": (1, 1), "sub.remote.test": (1, 1)}
        assert group("sender") == {"a@one.test": (2, 3), "B@two.test": (1, 1), "MAILER-DAEMON": (1, 1), "c@two.test": (2, 2)}
        assert group("sender-domain") == {"one.test": (2, 3), "two.test": (3, 3), "MAILER-DAEMON": (1, 1)}
        assert group("domain", "--sender", "a@one.test") == {"remote.test": (2, 2), "other.test": (1, 1)}
        assert group("queue") == {"deferred": (6, 7)}
        reasons = group("reason")
        assert sorted(reasons.values()) == [(2, 2), (4, 5)] and any("refused" in reason for reason in reasons)
    all_fit()
    assert ("[127.0.0.1]:1" in " ".join(group("nexthop"))), group("nexthop")
    summary = full.command("postqueue", "--summary", check=True).stdout
    assert re.search(r"^ +6 +7 +\d+ +\dm  deferred$", summary, re.M) and re.search(r"^ +6 +7 +\d+ +total$", summary, re.M), summary
    assert "Recipient domain" in summary and "Reason" in summary
    full.stop()
    all_fit()


def test_json_with_more(full):
    entries = [json.loads(line) for line in full.command("postqueue", "--json", "--domain", "slow.test", check=True).stdout.splitlines()]
    assert [(entry["attempts"], entry["transport"], entry["recipients"][0]["status"]) for entry in entries] == [(1, "smtp", "4.4.1")] * 2
    assert all(entry["next_attempt"] > entry["last_attempt"] >= entry["arrival_time"] for entry in entries)
    assert all("attempts" not in entry for entry in full.queue())  # -j is as Postfix has it


def test_qshape(full):
    table = full.command("qshape", "deferred", check=True).stdout.splitlines()
    assert table[1].split()[:2] == ["TOTAL", "7"]
    assert [line.split()[:2] for line in table[2:]] == [["remote.test", "3"], ["slow.test", "2"], ["other.test", "1"], ["sub.remote.test", "1"]]
    assert full.command("qshape", check=True).stdout.splitlines()[1].split()[:2] == ["TOTAL", "0"]
    assert ["one.test", "2"] in [line.split()[:2] for line in full.command("qshape", "-s", "deferred", check=True).stdout.splitlines()]


def change(here, *options):
    return here.command("postsuper", *options).stderr


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_changes(full, up):
    if not up:
        full.stop()
    ids = full.command("postsuper", "-d", "ALL", "--domain", "slow.test", "--dry-run").stdout.split()
    assert len(ids) == 2 and len(full.queue()) == 6
    assert full.command("postsuper", "-d", "ALL", "--sender", "c@two.test", "--dry-run", "--count").stdout == "2\n"
    groups = full.command("postsuper", "-h", "ALL", "--sender", "c@two.test", "--dry-run", "--group-by", "domain").stdout
    assert rows(groups) == {"slow.test": (1, 1), "sub.remote.test": (1, 1)}
    assert "a selection needs ALL" in change(full, "-d", ids[0], "--domain", "slow.test")
    assert "Placed on hold: 2 messages" in change(full, "-h", "ALL", "--domain", "slow.test")
    assert {entry["queue_id"] for entry in full.queue() if entry["queue_name"] == "hold"} == set(ids)
    assert "Released from hold: 1 message\n" in change(full, "-H", "ALL", "--size", "-20k") + "\n"
    assert "Deleted: 1 message\n" in change(full, "-d", "ALL", "--queue", "hold", "--reason", "refused") + "\n"
    assert "Deleted: 1 message\n" in change(full, "-d", "ALL", "--sender", "a@one.test", "--limit", "1") + "\n"
    assert "Deleted: 0 messages" in change(full, "-d", "ALL", "--older-than", "1d")
    assert "Deleted: 1 message\n" in change(full, "-d", "ALL", "--sender", "<>") + "\n"
    assert senders(full) == ["B@two.test", "a@one.test", "c@two.test"]


def test_flush(full, sink):
    assert len(full.command("postqueue", "-f", "--domain", "slow.test", "--dry-run", check=True).stdout.split()) == 2
    attempts = lambda: {entry["sender"]: entry["attempts"] for entry in
                        map(json.loads, full.command("postqueue", "--json", "--queue", "deferred", check=True).stdout.splitlines())}
    before = attempts()
    full.command("postqueue", "-f", "--sender", "B@two.test", check=True)
    wait_until(lambda: attempts().get("B@two.test") == 2, "an attempt")
    assert {sender: n for sender, n in attempts().items() if sender != "B@two.test"} == {s: n for s, n in before.items() if s != "B@two.test"}


def test_many(make):
    """More than one batch: the queue manager changes and counts them itself."""
    here = make(main_cf="defer_transports = smtp\n")
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        for i in range(700):
            smtp.mail("bulk@one.test", ["x@remote.test"], f"Subject: {i}\n\nx\n")
    here.inject("other@one.test", "x@remote.test", "Subject: stays\n\nx\n")
    wait_until(lambda: here.command("postqueue", "--count", "--queue", "deferred").stdout == "701\n", "all deferred")
    assert here.command("postqueue", "--group-by", "domain").stdout.split()[-1] == "remote.test"
    assert "Placed on hold: 700 messages" in change(here, "-h", "ALL", "--sender", "bulk@one.test")
    assert here.command("postqueue", "--count", "--queue", "hold").stdout == "700\n"
    assert "Deleted: 300 messages" in change(here, "-d", "ALL", "--sender", "bulk@one.test", "--limit", "300")
    assert here.command("postqueue", "--count").stdout == "401\n"


def test_by_login(make):
    """A stolen password: everything that came with it is found, in the records themselves."""
    hashed = subprocess.run(["openssl", "passwd", "-6", "secret"], capture_output=True, text=True, check=True).stdout.strip()
    here = make(main_cf="relayhost = [127.0.0.1]:1\nsmtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = file\nsmtpd_sasl_path = texthash:{directory}/etc/users\n",
                files={"users": f"alice {hashed}\n"})
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        assert smtp.say("AUTH PLAIN AGFsaWNlAHNlY3JldA==").startswith("235")
        for i in range(3):
            smtp.mail("any@one.test", ["x@remote.test"], f"Subject: {i}\n\nx\n")
    here.inject("any@one.test", "x@remote.test")
    wait_until(lambda: [entry["queue_name"] for entry in here.queue()] == ["deferred"] * 4, "all deferred")
    count = lambda *options: here.command("postqueue", "--count", *options, check=True).stdout
    assert (count("--sasl-user", "alice"), count("--sasl-user", "bob"), count()) == ("3\n", "0\n", "4\n")
    assert "Placed on hold: 3 messages" in change(here, "-h", "ALL", "--sasl-user", "alice")
    here.stop()
    assert count("--sasl-user", "alice", "--queue", "hold") == "3\n"
    assert "Deleted: 3 messages" in change(here, "-d", "ALL", "--sasl-user", "alice")
    assert count() == "1\n"
