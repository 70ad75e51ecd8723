"""Address verification: probes go out, the client hears what came of them, results are kept; nothing is ever delivered."""
import time

from harness import wait_until

RECIPIENTS = """\
relay_domains = far.test
relay_transport = smtp:[127.0.0.1]:{sink}
smtpd_relay_restrictions = permit_auth_destination reject
smtpd_recipient_restrictions = reject_unverified_recipient
unverified_recipient_reject_code = 550
address_verify_poll_delay = 1s
minimal_backoff_time = 1s
"""
REPLIES = {"RCPT TO:<no": "550 5.1.1 nobody", "RCPT TO:<later": "450 4.2.0 come back"}


def settings(sink, more=""):
    return RECIPIENTS.replace("{sink}", str(sink.port)) + more


def rcpt(here, *recipients, sender="a@client.test"):
    """The replies to RCPT TO in one session."""
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        smtp.say(f"MAIL FROM:<{sender}>")
        return [smtp.say(f"RCPT TO:<{recipient}>") for recipient in recipients]


def probes(sink):
    return [line for session in sink.sessions for line in session if line.startswith("RCPT")]


def test_good_bad_and_temporary(make, sink):
    server = sink(replies=REPLIES)
    here = make(main_cf=settings(server), aliases="alice nobody\n")
    assert rcpt(here, "yes@far.test", "no@far.test", "later@far.test", "alice@here.test", "nouser@here.test") == [
        "250 2.1.5 Ok",
        "550 5.1.1 <no@far.test>: Recipient address rejected: undeliverable address: host 127.0.0.1[127.0.0.1] said: "
        "550 5.1.1 nobody (in reply to RCPT TO command)",
        "450 4.1.1 <later@far.test>: Recipient address rejected: unverified address: host 127.0.0.1[127.0.0.1] said: "
        "450 4.2.0 come back (in reply to RCPT TO command)",
        "250 2.1.5 Ok",
        '550 5.1.1 <nouser@here.test>: Recipient address rejected: undeliverable address: unknown user: "nouser"']
    here.wait_queue_empty()
    assert server.messages == [] and here.maildir("alice") == []
    assert here.log_lines("status=sent|status=bounced|status=deferred") == []
    assert len(here.wait_log("from=<double-bounce@here.test>", 5)) == 5
    assert here.wait_log(r"to=<yes@far.test>, relay=.*status=deliverable \(250 2.0.0 ok\)")
    assert all("DATA" not in session for session in server.sessions)
    assert here.wait_log(r"to=<alice@here.test>, .*status=deliverable \(aliased to nobody\)")   # which is far enough
    before = probes(server)
    assert [reply[:3] for reply in rcpt(here, "yes@far.test", "no@far.test", "later@far.test")] == ["250", "550", "450"]
    assert probes(server) == before == ["RCPT TO:<yes@far.test>", "RCPT TO:<no@far.test>", "RCPT TO:<later@far.test>"]


def test_results_survive_a_restart(make, sink):
    server = sink(replies=REPLIES)
    here = make(main_cf=settings(server))
    rcpt(here, "yes@far.test", "no@far.test")
    here.stop()
    server.sessions.clear()
    here.start()
    assert [reply[:3] for reply in rcpt(here, "yes@far.test", "no@far.test")] == ["250", "550"]
    assert probes(server) == []


def test_old_results_are_probed_again(make, sink):
    server = sink(replies={"RCPT TO:<turns": ["250 ok", "550 5.1.1 gone"]})
    here = make(main_cf=settings(server, "address_verify_positive_refresh_time = 1s\naddress_verify_positive_expire_time = 10s\n"))
    assert rcpt(here, "turns@far.test") == ["250 2.1.5 Ok"]
    time.sleep(1.5)
    # A failure does not undo a success that has not expired.
    assert rcpt(here, "turns@far.test") == ["250 2.1.5 Ok"]
    wait_until(lambda: len(probes(server)) == 2, "a second probe")
    here.wait_log("turns@far.test.*undeliverable")
    assert rcpt(here, "turns@far.test") == ["250 2.1.5 Ok"]
    time.sleep(10)
    assert rcpt(here, "turns@far.test")[0].startswith("550 5.1.1")


def test_slow_answer(make, sink):
    server = sink(replies={"RCPT TO:<slow": "HANG"})
    here = make(main_cf=settings(server, "address_verify_poll_count = 2\nsmtp_rcpt_timeout = 3s\n"))
    began = time.monotonic()
    assert rcpt(here, "slow@far.test") == ["450 4.1.1 <slow@far.test>: Recipient address rejected: unverified address: "
                                           "Address verification in progress"]
    assert time.monotonic() - began > 0.9
    rcpt(here, "slow@far.test")
    assert len(here.wait_log("queue active")) == 1   # one that is under way is enough
    here.wait_log("slow@far.test.*undeliverable .conversation with 127.0.0.1.127.0.0.1. timed out while sending RCPT TO")
    here.wait_queue_empty()
    assert "timed out while sending RCPT TO" in rcpt(here, "slow@far.test")[0]


def test_senders(make, sink):
    server = sink(replies=REPLIES)
    here = make(main_cf=settings(server, "smtpd_recipient_restrictions =\nsmtpd_sender_restrictions = reject_unverified_sender\n"
                                 "unverified_sender_reject_code = 551\nunverified_sender_reject_reason = who are you?\n"))
    assert rcpt(here, "alice@here.test", sender="yes@far.test") == ["250 2.1.5 Ok"]
    assert rcpt(here, "alice@here.test", sender="") == ["250 2.1.5 Ok"]
    assert rcpt(here, "alice@here.test", sender="no@far.test") == [
        "551 5.1.7 <no@far.test>: Sender address rejected: undeliverable address: who are you?"]


def test_sender_of_probes(make, sink):
    server = sink()
    here = make(main_cf=settings(server, "address_verify_sender = probe@here.test\naddress_verify_sender_ttl = 1h\n"))
    assert rcpt(here, "yes@far.test") == ["250 2.1.5 Ok"]
    (sender,) = [line[11:-1] for line in server.sessions[0] if line.startswith("MAIL")]
    assert sender.startswith("probe") and sender.endswith("@here.test") and len(sender) == len("probeXXXX@here.test")
    # It takes mail; what is like it does not.
    here.write("main.cf", open(f"{here.directory}/etc/main.cf").read() + "smtpd_recipient_restrictions =\nlocal_recipient_maps = inline:{probe=x}\n")
    here.reload()
    other = sender.replace(sender[5], "Z" if sender[5] != "Z" else "Y", 1)
    replies = rcpt(here, sender, other)
    assert replies[0] == "250 2.1.5 Ok" and replies[1].startswith("550 5.1.1")


def test_routes_of_their_own(make, sink):
    server, other = sink(), sink(replies=REPLIES)
    here = make(main_cf=settings(server, f"address_verify_relay_transport = smtp:[127.0.0.1]:{other.port}\n"))
    assert [reply[:3] for reply in rcpt(here, "yes@far.test", "no@far.test")] == ["250", "550"]
    assert probes(server) == [] and len(probes(other)) == 2


def test_aliases(make, sink):
    server = sink(replies=REPLIES)
    here = make(main_cf=settings(server, "virtual_alias_domains = alias.test\nvirtual_alias_maps = inline:{{{{one@alias.test=yes@far.test}} "
                                 "{{two@alias.test=yes@far.test no@far.test}} {{bad@alias.test=no@far.test}}}}\n"))
    assert [reply[:3] for reply in rcpt(here, "one@alias.test", "two@alias.test", "bad@alias.test")] == ["250", "250", "550"]
    assert here.wait_log(r"postfix/cleanup.*to=<two@alias.test>, relay=none,.*status=deliverable \(aliased to multiple recipients\)")


def test_failures_not_remembered(make, sink):
    server = sink(replies=REPLIES)
    here = make(main_cf=settings(server, "address_verify_negative_cache = no\naddress_verify_poll_count = 2\n"))
    assert rcpt(here, "yes@far.test") == ["250 2.1.5 Ok"]
    for _ in range(2):
        assert "Address verification in progress" in rcpt(here, "no@far.test")[0]
    assert len(probes(server)) == 3


def test_the_store_is_away(make, sink):
    server = sink()
    here = make(main_cf=settings(server), master_cf="")
    here.write("master.cf", "".join(line for line in open(f"{here.directory}/etc/master.cf") if not line.startswith("anvil")))
    here.reload()
    assert rcpt(here, "yes@far.test") == ["450 4.1.1 <yes@far.test>: Recipient address rejected: address verification problem"]
    assert here.queue() == []
