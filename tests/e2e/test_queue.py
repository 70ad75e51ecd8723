"""The queue: listings, holding, deleting, requeueing, restarts, damage."""
import glob
import os
import re
import shutil

HELD = "relayhost = [127.0.0.1]:1\n"


def deferred(make, count=3):
    here = make(main_cf=HELD)
    for i in range(count):
        assert here.inject(f"s{i}@client.test", f"r{i}@remote.test", f"Subject: {i}\n\nbody\n").startswith("250")
    here.wait_log("status=deferred", count)
    return here


def test_listing(make):
    here = deferred(make, 2)
    text = here.command("postqueue", "-p", check=True).stdout
    assert text.startswith("-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n")
    assert re.search(r"^[0-9A-F]{10,}\s+\d+ \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d  s0@client\.test$", text, re.M)
    assert "(connect to 127.0.0.1[127.0.0.1]:1: Connection refused)" in text
    assert re.search(r"^ {41}r0@remote\.test$", text, re.M)
    assert re.search(r"^-- \d+ Kbytes in 2 Requests\.$", text, re.M)
    assert len(here.queue()) == 2


def test_hold_release_delete(make):
    here = deferred(make)
    ids = [entry["queue_id"] for entry in here.queue()]
    done = here.command("postsuper", "-h", ids[0])
    assert "Placed on hold: 1 message" in done.stderr, done.stderr
    assert {entry["queue_id"]: entry["queue_name"] for entry in here.queue()}[ids[0]] == "hold"
    assert "Released from hold: 1 message" in here.command("postsuper", "-H", ids[0]).stderr
    assert "Deleted: 1 message" in here.command("postsuper", "-d", ids[1]).stderr
    assert sorted(entry["queue_id"] for entry in here.queue()) == sorted([ids[0], ids[2]])
    assert "Deleted: 2 messages" in here.command("postsuper", "-d", "ALL").stderr
    assert here.queue() == []


def test_requeue(make, sink):
    here = deferred(make, 1)
    old = here.queue()[0]["queue_id"]
    remote = sink()
    here.write("main.cf", open(os.path.join(here.directory, "etc/main.cf")).read().replace("127.0.0.1]:1\n", f"127.0.0.1]:{remote.port}\n"))
    here.reload()
    here.command("postsuper", "-r", "ALL")
    remote.wait_messages(1, timeout=30)
    here.wait_queue_empty()
    assert here.wait_log(rf"{old}: (requeued|removed)")


def test_requeue_of_many_maps_addresses_again(make, sink):
    here = deferred(make, 30)
    ids = [entry["queue_id"] for entry in here.queue()]
    here.command("postsuper", *[word for one in ids[:10] for word in ("-h", one)], check=True)
    remote = sink()
    with open(os.path.join(here.directory, "etc/main.cf")) as f:
        text = f.read().replace("127.0.0.1]:1\n", f"127.0.0.1]:{remote.port}\n")
    here.write("main.cf", text + "virtual_alias_maps = static:new@remote.test\nvirtual_alias_domains =\n")
    here.reload()
    assert "Requeued: 30 messages" in here.command("postsuper", "-r", "ALL").stderr
    remote.wait_messages(30)
    here.wait_queue_empty()
    assert {tuple(recipients) for _, recipients, _ in remote.messages} == {("new@remote.test",)} and len(remote.messages) == 30
    assert all(here.wait_log(rf"{one}: requeued as ") for one in ids)


def test_restart_keeps_the_queue(make):
    here = deferred(make)
    before = sorted(entry["queue_id"] for entry in here.queue())
    here.stop()
    here.start()
    assert sorted(entry["queue_id"] for entry in here.queue()) == before


def test_a_lost_index_is_rebuilt(make):
    here = deferred(make)
    before = sorted(entry["queue_id"] for entry in here.queue())
    here.stop()
    for path in glob.glob(os.path.join(here.directory, "spool", "index*")):
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    here.start()
    here.wait_log("status=deferred", 3)
    assert sorted(entry["queue_id"] for entry in here.queue()) == before


def test_an_overwritten_index_is_rebuilt(make):
    here = deferred(make)
    before = sorted(entry["queue_id"] for entry in here.queue())
    here.stop()
    for root, _, files in os.walk(os.path.join(here.directory, "spool", "index")):
        for name in files:
            path = os.path.join(root, name)
            size = os.path.getsize(path)
            with open(path, "r+b") as f:
                f.write(os.urandom(min(size, 20000)))
    here.start()
    assert sorted(entry["queue_id"] for entry in here.queue()) == before


def test_postcat(make):
    here = deferred(make, 1)
    queue_id = here.queue()[0]["queue_id"]
    text = here.command("postcat", "-q", queue_id, check=True).stdout
    assert "*** ENVELOPE RECORDS" in text and "sender: s0@client.test" in text and "Subject: 0" in text


def test_postcat_shows_mail_in_any_queue(make, sink):
    slow = sink(delay=5)
    here = make(main_cf=f"relayhost = [127.0.0.1]:{slow.port}\n")
    here.inject("busy@client.test", "r@remote.test", "Subject: busy\n\nbody\n")
    busy = here.wait_log("from=<busy@client.test>.*queue active")[0].split()[5].rstrip(":")
    assert f"*** ENVELOPE RECORDS active/{busy} ***" in here.command("postcat", "-q", busy, check=True).stdout
    here.command("postsuper", "-h", busy, check=True)
    here.stop()
    text = here.command("postcat", "-q", busy, check=True).stdout
    assert re.search(rf"\*\*\* ENVELOPE RECORDS (deferred|hold|incoming)/{busy} \*\*\*", text) and "Subject: busy" in text


def test_mail_waits_in_maildrop_while_the_system_is_down(make):
    here = make(main_cf="alias_maps = inline:{{ {{ box = {directory}/mail/box }} }}\nallow_mail_to_files = alias\n", started=False)
    here.command("postfix", "check", check=True)
    here.command("sendmail", "-f", "a@b.test", "box", input="Subject: early\n\nx\n", check=True)
    here.start()
    here.wait_log(r"to=<box@here\.test>.*status=sent")
    assert "Subject: early" in open(os.path.join(here.directory, "mail/box")).read()


def test_expired_by_hand(make, sink):
    here = deferred(make, 1)
    done = here.command("postsuper", "-e", "ALL")
    assert "Force-expired: 1 message" in done.stderr, done.stderr
    here.command("postqueue", "-f", check=True)
    here.wait_log(r"status=force-expired, returned to sender|administratively expired")


def test_expired_and_released(make):
    here = make(main_cf="defer_transports = smtp\nrelayhost = [127.0.0.1]:1\n")
    here.inject("a@here.test", "b@remote.test")
    here.wait_log(r"deferred transport")
    here.command("postsuper", "-h", "ALL", check=True)
    assert here.command("postsuper", "-f", "ALL").stderr.splitlines()[-2:] == ["postsuper: Force-expired: 1 message", "postsuper: Released from hold: 1 message"]
    here.wait_log(r"from=<a@here\.test>, status=force-expired, returned to sender")
