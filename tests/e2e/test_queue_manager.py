"""qmgr: fairness, deferral and retries, flush, expiry, restart, reload; postqueue's forms of the queue."""
import json
import os
import signal
import time

import pytest
from harness import Instance, Sink, wait_until

FAST_RETRIES = "minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\n"


@pytest.fixture
def made():
    """A function that makes instances and sinks which go away at the end."""
    things = []

    def make(kind, *args, **kwargs):
        things.append(kind(*args, **kwargs))
        return things[-1]

    yield make
    for thing in things:
        thing.cleanup() if isinstance(thing, Instance) else thing.close()


def relay(made, sinks, main_cf="", name="qm"):
    """An instance whose domains N.test go to sinks[N]."""
    table = "".join(f"{domain} smtp:[127.0.0.1]:{sink.port}\n" for domain, sink in sinks.items())
    return made(Instance, name, main_cf="transport_maps = texthash:{directory}/etc/transport\n" + main_cf, files={"transport": table})


def inject_many(it, recipient, count):
    with it.smtp() as smtp:
        smtp.say("EHLO client.test")
        for _ in range(count):
            assert smtp.mail("a@qm.test", [recipient], "Subject: x\r\n\r\nx\r\n").startswith("250")


def test_slow_destination_does_not_delay_others(made):
    slow, healthy = made(Sink, delay=20), made(Sink)
    it = relay(made, {"slow.test": slow, "healthy.test": healthy}).start()
    inject_many(it, "x@slow.test", 1500)
    it.inject("a@qm.test", "x@healthy.test")
    healthy.wait_messages(1)
    assert slow.messages == []


def test_spilled_mail_is_delivered(made):
    sink = made(Sink, delay=0.02)
    it = relay(made, {"x.test": sink}, "qmgr_message_active_limit = 150\n").start()
    inject_many(it, "x@x.test", 1000)
    sink.wait_messages(1000, timeout=60)
    it.wait_queue_empty()
    assert len(sink.messages) == 1000


def test_deferred_and_tried_again(made):
    sink = made(Sink, {"RCPT TO:<late@": ["451 4.2.1 first", "451 4.2.1 second", "250 ok"]})
    it = relay(made, {"x.test": sink}, FAST_RETRIES).start()
    it.inject("a@qm.test", ["late@x.test", "now@x.test"])
    sink.wait_messages(2)
    assert sorted(m[1] for m in sink.messages) == [["late@x.test"], ["now@x.test"]]
    it.wait_queue_empty()
    assert len(it.wait_log("to=<late@x.test>.*status=deferred", 2)) == 2


def test_flush(made):
    sink = made(Sink, {"RCPT TO:<late@": ["451 4.2.1 first", "250 ok"]})
    it = relay(made, {"x.test": sink}).start()
    it.inject("a@qm.test", "late@x.test")
    it.wait_log("status=deferred")
    entry = wait_until(lambda: [e for e in it.queue() if e["queue_name"] == "deferred"], "deferred")[0]
    assert entry["recipients"][0]["delay_reason"].endswith("said: 451 4.2.1 first (in reply to RCPT TO command)")
    assert it.command("postqueue", "-f").returncode == 0
    sink.wait_messages(1)
    it.wait_queue_empty()


def test_expired_mail_is_returned(made):
    sink = made(Sink, {"RCPT TO:<never@": "451 4.2.1 never"})
    it = relay(made, {"x.test": sink, "back.test": sink}, FAST_RETRIES + "maximal_queue_lifetime = 2s\n").start()
    it.inject("a@back.test", "never@x.test")
    sink.wait_messages(1)
    assert sink.messages[0][:2] == ("", ["a@back.test"]) and "Action: failed" in sink.messages[0][2]
    it.wait_log("from=<a@back.test>, status=expired, returned to sender")
    it.wait_queue_empty()


def test_unreachable_destination_is_suspended(made):
    sink = made(Sink)
    it = relay(made, {"x.test": sink}, "initial_destination_concurrency = 1\n")
    sink.close()
    it.start()
    it.inject("a@qm.test", "one@x.test")
    it.wait_log("to=<one@x.test>.*status=deferred .connect to")
    it.inject("a@qm.test", "two@x.test")
    it.wait_log("to=<two@x.test>, relay=none,.*dsn=4.4.1, status=deferred .delivery temporarily suspended: connect to")


def test_transport_that_does_not_exist(made):
    it = made(Instance, "qm", main_cf="default_transport = nowhere\n").start()
    it.inject("a@qm.test", "x@x.test")
    it.wait_log("to=<x@x.test>, relay=none,.*dsn=4.3.0, status=deferred .mail transport unavailable")
    it.wait_log("warning: connect to transport private/nowhere: No such file or directory")


def test_transport_that_does_not_start(made):
    """Its mail does not wait in memory until patience ends; when it starts again, it gets its mail."""
    sink = made(Sink)
    it = relay(made, {"good.test": sink}, "service_throttle_time = 2s\ntransport_retry_time = 1s\n" + FAST_RETRIES)
    master_cf = open(f"{it.directory}/etc/master.cf").read()
    it.write("master.cf", master_cf + "broken unix - n n - - pipe\n flags=Z user=nobody argv=/bin/true\n")
    it.write("transport", open(f"{it.directory}/etc/transport").read() + "x.test broken:\n")
    it.start()
    it.inject("a@qm.test", "x@x.test")
    it.wait_log("to=<x@x.test>, relay=none,.*dsn=4.3.0, status=deferred .mail transport unavailable", timeout=10)
    assert it.inject("a@qm.test", "y@good.test").startswith("250")
    sink.wait_messages(1)
    it.write("master.cf", master_cf + f"broken unix - - n - - smtp\n -o smtp_tcp_port={sink.port} -o smtp_host_lookup=native\n")
    it.write("transport", open(f"{it.directory}/etc/transport").read().replace("broken:", "broken:[127.0.0.1]"))
    it.reload()
    sink.wait_messages(2)


def test_killed_qmgr_loses_nothing(made):
    sink = made(Sink)
    it = relay(made, {"x.test": sink}, FAST_RETRIES).start()
    with it.smtp() as smtp:
        smtp.say("EHLO client.test")
        for number in range(300):
            assert smtp.mail("a@qm.test", [f"x{number}@x.test"], "Subject: x\r\n\r\nx\r\n").startswith("250")
            if number % 100 == 50:
                os.kill(wait_until(lambda: [pid for pid, name in it.pids() if name == "qmgr"], "a qmgr")[0], signal.SIGKILL)
    wait_until(lambda: {m[1][0] for m in sink.messages} == {f"x{n}@x.test" for n in range(300)}, "all messages", 30)
    it.wait_queue_empty()


def test_deferred_mail_survives_a_restart(made):
    sink = made(Sink, {"RCPT TO:<late@": ["451 4.2.1 first", "250 ok"]})
    it = relay(made, {"x.test": sink}).start()
    it.inject("a@qm.test", "late@x.test")
    wait_until(lambda: [e for e in it.queue() if e["queue_name"] == "deferred"], "deferred")
    it.stop()
    down = it.command("postqueue", "-p")
    assert "Mail system is down -- accessing queue directly" in down.stderr and "451 4.2.1 first" in down.stdout
    it.start()
    assert it.queue()[0]["recipients"][0]["address"] == "late@x.test"
    it.command("postqueue", "-f")
    sink.wait_messages(1)


def test_reload_takes_new_routes(made):
    first, second = made(Sink), made(Sink)
    it = relay(made, {"x.test": first}).start()
    it.inject("a@qm.test", "x@x.test")
    first.wait_messages(1)
    it.write("transport", f"x.test smtp:[127.0.0.1]:{second.port}\n")
    assert it.command("postfix", "reload").returncode == 0
    wait_until(lambda: it.inject("a@qm.test", "y@x.test").startswith("250") and second.messages, "mail at the new place")


def test_flush_of_one_message_and_of_a_site(made):
    sink = made(Sink, {"RCPT TO:<later": ["451 4.2.1 first"] * 3 + ["250 ok"]})
    it = relay(made, {"x.test": sink, "sub.y.test": sink}, "fast_flush_domains = y.test\nparent_domain_matches_subdomains = fast_flush_domains\n").start()
    for recipient in ("later1@x.test", "later2@x.test", "later3@sub.y.test"):
        it.inject("a@qm.test", recipient)
    it.wait_log("status=deferred", 3)
    entries = wait_until(lambda: (lambda q: q if len([e for e in q if e["queue_name"] == "deferred"]) == 3 else None)(it.queue()), "three deferred")
    ids = {e["recipients"][0]["address"]: e["queue_id"] for e in entries}
    assert it.command("postqueue", "-i", ids["later2@x.test"]).returncode == 0
    sink.wait_messages(1)
    assert sink.messages[0][1] == ["later2@x.test"]
    refused = it.command("postqueue", "-s", "x.test")
    assert refused.returncode != 0 and 'Flush service is not configured for destination "x.test"' in refused.stderr
    assert it.command("postqueue", "-s", "sub.y.test").returncode == 0
    sink.wait_messages(2)
    assert sink.messages[1][1] == ["later3@sub.y.test"]
    wait_until(lambda: [e["recipients"][0]["address"] for e in it.queue()] == ["later1@x.test"], "the one that nobody asked for is left")


def test_large_mailing_lets_a_single_message_through(made):
    sink = made(Sink, delay=0.2)
    it = relay(made, {"x.test": sink}, "smtp_destination_concurrency_limit = 1\nsmtpd_recipient_limit = 2000\n").start()
    it.inject("list@qm.test", [f"member{n}@x.test" for n in range(1500)])   # thirty deliveries, six seconds
    sink.wait_messages(1)
    it.inject("a@qm.test", "single@x.test")
    wait_until(lambda: any(m[1] == ["single@x.test"] for m in list(sink.messages)), "the single message")
    assert len(sink.messages) < 12


def test_rate_delay(made):
    sink = made(Sink)
    it = relay(made, {"x.test": sink}, "smtp_destination_rate_delay = 1s\n").start()
    begin = time.monotonic()
    inject_many(it, "x@x.test", 3)
    sink.wait_messages(3)
    assert time.monotonic() - begin > 1.9


def test_listings(made):
    it = made(Instance, "qm", main_cf="defer_transports = smtp\n").start()
    assert it.command("postqueue", "-p").stdout == "Mail queue is empty\n"
    it.inject("a@qm.test", ["x@x.test", "y@y.test"])
    wait_until(lambda: [e for e in it.queue() if e["queue_name"] == "deferred"], "deferred")
    lines = it.command("postqueue", "-p").stdout.splitlines()
    assert lines[0] == "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------"
    assert lines[2] == " " * 58 + "(deferred transport)" and lines[3] == " " * 41 + "x@x.test" and lines[4] == " " * 41 + "y@y.test"
    assert lines[-1] == "-- 0 Kbytes in 1 Request."
    entry = json.loads(it.command("postqueue", "-j").stdout)
    assert list(entry) == ["queue_name", "queue_id", "arrival_time", "message_size", "forced_expire", "sender", "recipients"]
    assert it.command("qshape", "deferred").stdout.splitlines()[1].split()[:3] == ["TOTAL", "2", "2"]
    bad = it.command("postqueue", "-Z")
    assert bad.returncode == 69 and bad.stderr.startswith("postqueue: invalid option -- 'Z'\npostqueue: fatal: usage: postqueue -f |")
    bad = it.command("postqueue", "-i", "../x")
    assert bad.returncode == 69 and "invalid name" in bad.stderr
    for short in ("ABC", "xyz", "0123456789"):   # no such message: as in Postfix no reason to fail
        assert it.command("postqueue", "-i", short).returncode == 0


def test_watchdog(made):
    """A queue manager that is stuck ends, and the next one goes on: SIGALRM is how it notices."""
    sink = made(Sink)
    it = relay(made, {"remote.test": sink}, "qmgr_daemon_timeout = 900s\n")
    it.start()
    it.inject("a@qm.test", "b@remote.test")
    sink.wait_messages(1)
    (pid,) = [pid for pid, name in it.pids() if name == "qmgr"]
    os.kill(pid, signal.SIGALRM)
    it.wait_log("qmgr.*fatal: watchdog timeout")
    it.inject("a@qm.test", "c@remote.test")
    sink.wait_messages(2)
