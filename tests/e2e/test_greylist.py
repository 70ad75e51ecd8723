"""check_greylist: triplets, networks that are known, the store in a file and in Redis, the store away."""
import os
import signal
import time

import pytest
import table_servers
from harness import wait_until

MAIN_CF = """
local_recipient_maps =
home_mailbox = Maildir/
mailbox_command = /bin/true
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = check_greylist
greylist_delay = 2s
"""


def attempt(here, client, sender="a@sender.test", recipients=("user@here.test",), message="Subject: x\n\nx\n"):
    """The replies to RCPT of a message that is sent on when one is accepted."""
    with here.smtp() as smtp:
        smtp.say("EHLO outside.test")
        smtp.say(f"XCLIENT ADDR={client} NAME=[UNAVAILABLE]")
        smtp.say("EHLO outside.test")
        smtp.say(f"MAIL FROM:<{sender}>")
        replies = [smtp.say(f"RCPT TO:<{recipient}>") for recipient in recipients]
        if any(reply.startswith("250") for reply in replies):
            assert smtp.data(message).startswith("250")
        return replies


def test_triplets(make):
    here = make(main_cf=MAIN_CF + "greylist_delay = 5s\n")
    first = attempt(here, "192.0.2.1")[0]
    assert first == "450 4.2.0 <user@here.test>: Recipient address rejected: Greylisted, try again in 5 seconds"
    here.wait_log(r"NOQUEUE: reject: RCPT from unknown\[192.0.2.1\]: 450 4.2.0 <user@here.test>: Recipient address rejected: Greylisted, "
                  r"try again in 5 seconds; from=<a@sender.test> to=<user@here.test> proto=ESMTP helo=<outside.test>")
    assert attempt(here, "192.0.2.1")[0].startswith("450 4.2.0 ")
    time.sleep(5.1)
    assert attempt(here, "192.0.2.99")[0].startswith("250"), "another machine of the same network"
    here.wait_log(r"greylist: RCPT from unknown\[192.0.2.99\]: passed after [0-9]+ seconds; from=<a@sender.test> to=<user@here.test>")
    assert attempt(here, "192.0.2.1")[0].startswith("250"), "the triplet is known"
    assert attempt(here, "192.0.3.1")[0].startswith("450"), "another network"
    assert attempt(here, "192.0.2.1", sender="b@sender.test")[0].startswith("450"), "another sender"
    assert attempt(here, "192.0.2.1", recipients=["other@here.test"])[0].startswith("450"), "another recipient"
    assert attempt(here, "IPv6:2001:db8::1")[0].startswith("450")


def test_known_clients_and_reload(make):
    here = make(main_cf=MAIN_CF + "greylist_client_allow_count = 2\ngreylist_delay = 1s\n")
    # both recipients of one message count once
    attempt(here, "192.0.2.1", recipients=["u1@here.test", "u2@here.test"])
    attempt(here, "192.0.2.1", recipients=["u3@here.test"])
    time.sleep(1.1)
    assert all(r.startswith("250") for r in attempt(here, "192.0.2.1", recipients=["u1@here.test", "u2@here.test"]))
    assert attempt(here, "192.0.2.1", recipients=["u4@here.test"])[0].startswith("450")
    assert attempt(here, "192.0.2.1", recipients=["u3@here.test"])[0].startswith("250")
    assert attempt(here, "192.0.2.1", recipients=["u5@here.test"])[0].startswith("250"), "two messages have passed"
    here.reload()
    assert attempt(here, "192.0.2.1", recipients=["u6@here.test"])[0].startswith("250"), "what is known outlives a reload"
    here.stop()
    here.start()
    assert attempt(here, "192.0.2.1", recipients=["u7@here.test"])[0].startswith("250"), "and the system"
    assert attempt(here, "192.0.3.1", recipients=["u7@here.test"])[0].startswith("450")


def test_crash_loses_seconds(make):
    here = make(main_cf=MAIN_CF)
    attempt(here, "192.0.2.1")
    time.sleep(2.5)  # written every two seconds
    anvil = [pid for pid, name in here.pids() if name == "anvil"]
    assert len(anvil) >= 2, "anvil and the keeper of its files"
    for pid in anvil:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not set(anvil) & {pid for pid, _ in here.pids()}, "the end of anvil")
    assert attempt(here, "192.0.2.1")[0].startswith("250")


def test_other_restrictions(make):
    here = make(main_cf=MAIN_CF.replace("smtpd_recipient_restrictions = check_greylist", "smtpd_recipient_restrictions = "
                                        "check_client_access inline:{{192.0.2.7=permit}}, check_greylist, "
                                        "check_recipient_access inline:{{no@here.test=reject}}"))
    assert attempt(here, "192.0.2.7")[0].startswith("250"), "permitted before"
    assert attempt(here, "192.0.2.1", recipients=["no@here.test"])[0].startswith("554 5.7.1"), "a refusal for good goes before one for now"
    assert attempt(here, "192.0.2.1")[0].startswith("450")


@pytest.mark.parametrize("where", ["smtpd_sender_restrictions", "smtpd_client_restrictions", "smtpd_data_restrictions"])
def test_other_lists(make, where):
    here = make(main_cf=MAIN_CF.replace("smtpd_recipient_restrictions", where) + "smtpd_recipient_restrictions =\n")
    with here.smtp() as smtp:
        smtp.say("EHLO outside.test")
        smtp.say("MAIL FROM:<a@sender.test>")
        reply = smtp.say("RCPT TO:<user@here.test>")
        if where == "smtpd_data_restrictions":
            assert reply.startswith("250")
            reply = smtp.say("DATA")
        assert reply.startswith("450 4.2.0 <user@here.test>: Recipient address rejected: Greylisted")


def test_warn_and_text(make):
    here = make(main_cf=MAIN_CF.replace("= check_greylist", "= warn_if_reject, check_greylist") + "greylist_reply_text = come again\n")
    assert attempt(here, "192.0.2.1")[0].startswith("250")
    here.wait_log(r"reject_warning: RCPT from unknown\[192.0.2.1\]: 450 4.2.0 <user@here.test>: Recipient address rejected: come again;")


def test_store_away(make):
    here = make(main_cf=MAIN_CF)
    here.write("master.cf", open(os.path.join(here.directory, "etc/master.cf")).read().replace("anvil     unix", "#anvil     unix"))
    here.reload()
    wait_until(lambda: "anvil" not in [name for _, name in here.pids()], "the end of anvil")
    assert attempt(here, "192.0.2.1")[0].startswith("250")
    here.wait_log(r"going on without cache greylist|cache greylist does not answer")


def test_check_knows_it(make):
    here = make(main_cf=MAIN_CF, started=False)
    done = here.command("postfix", "check")
    assert "check_greylist" not in done.stdout + done.stderr
    assert "greylist_" not in done.stdout + done.stderr


def test_redis(make):
    redis = table_servers.Redis()
    try:
        cf = f"greylist_cache_map = redis:shared\nshared_hosts = 127.0.0.1:{redis.port}\nshared_password = secret\nanvil_counter_map = redis:shared\n"
        one, two = make("one", main_cf=MAIN_CF + cf), make("two", main_cf=MAIN_CF + cf)
        user = ["user@one.test"]
        for here in (one, two):
            here.write("main.cf", open(os.path.join(here.directory, "etc/main.cf")).read() + "mydestination = one.test\n")
            here.reload()
        assert attempt(one, "192.0.2.1", recipients=user)[0].startswith("450")
        time.sleep(2.1)
        assert attempt(two, "192.0.2.1", recipients=user)[0].startswith("250"), "the other machine knows"
        assert "t:192.0.2.0/24 a@sender.test user@one.test" in redis.command("--scan")
        redis.stop()
        assert attempt(one, "192.0.2.2", recipients=["u2@one.test"])[0].startswith("250"), "without the server nobody is greylisted"
        one.wait_log(r"cache greylist does not answer")
    finally:
        redis.remove()
