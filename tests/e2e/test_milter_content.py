"""Mail filters and the content of messages: what they see, change and decide; what becomes of mail when they fail."""
import os
import re
import signal
import threading
import time

import pytest

from harness import wait_until

CONFIG = """
non_smtpd_milters = {filters}
smtpd_milters = {filters}
milter_default_action = tempfail
notify_classes =
milter_content_timeout = 2s
virtual_alias_maps = inline:{{{{ {{{{team@here.test = one@here.test, two@here.test}}}} }}}}
mailbox_size_limit = 0
message_size_limit = 20000000
home_mailbox = Maildir/
virtual_mailbox_domains = mail.test
virtual_mailbox_base = {{directory}}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
virtual_mailbox_limit = 0
"""
NO_SUCH_DOMAIN = "transport_maps = inline:{{ {{none.test = error:5.1.2 no such domain}} }}\n"


@pytest.fixture
def system(make):
    """system(filters, more main.cf) - mail for mail.test lies in one Maildir."""
    import pwd
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())

    def start(*filters, main_cf="", **settings):
        text = CONFIG.format(filters=", ".join(getattr(f, "endpoint", f) for f in filters), uid=account.pw_uid, gid=account.pw_gid)
        return make(main_cf=text + main_cf, **settings)

    return start


def by_sendmail(here, message, sender="a@mail.test", recipients=("b@mail.test",)):
    """The reply that a client would see: None."""
    assert here.command("sendmail", "-f", sender, *recipients, input=message).returncode == 0


def by_smtp(here, message, sender="a@mail.test", recipients=("b@mail.test",)):
    return here.inject(sender, list(recipients), message)


def delivered(here, count=1):
    """The texts in the Maildir, in any order, once there are so many."""
    return wait_until(lambda: len(here.maildir("all")) >= count and [str(text) for text in here.maildir("all")], f"{count} messages")


MESSAGE = "Received: from elsewhere\nX-Two: 1\nSubject: test\nX-Two: 2\nX-Folded: a\n\tb\nTo: b@mail.test\n\nfirst line\n.dot\n"


@pytest.mark.parametrize("send", [by_sendmail, by_smtp])
def test_what_filters_see_and_change(system, filter, send):
    first = filter({"END": ["add X-Added: 1", "insert 0 X-Top: 2", "insert 1 X-Second: 3", "change 2 X-Two: changed", "delete 1 X-Folded",
                            "change 1 X-New: 4", "change 1 Received: by a filter", "add X-Evil: a\nX-Smuggled: b", "body new\n.body\n", "continue"]})
    second = filter()
    here = system(first, second)
    send(here, MESSAGE)
    text = delivered(here)[0]
    header, _, body = text.partition("\n\n")
    assert body == "new\n.body\n"
    fields = re.sub(r"\n[ \t]+", " ", header).split("\n")
    assert "X-Smuggled: b" not in fields
    names = [line.partition(":")[0] for line in fields]
    at = names.index("X-Top")
    assert names[at:at + 4] == ["X-Top", "X-Second", "Received", "Received"]
    assert fields[at + 3:at + 7] == ["Received: by a filter", "X-Two: 1", "Subject: test", "X-Two: changed"]
    assert names[-3:] == ["X-Added", "X-New", "X-Evil"] and "X-Folded" not in names
    session = second.mail_session(event="END")
    seen = session.events
    assert [line for line in seen if line.startswith("HEADER")][:6] == \
        ["HEADER X-Top 2", "HEADER X-Second 3", "HEADER Received by a filter", "HEADER X-Two 1", "HEADER Subject test", "HEADER X-Two changed"]
    assert session.body == b"new\r\n.body\r\n" and seen[seen.index("EOH") + 1] == "BODY 12 bytes"
    session = first.mail_session(event="END")
    seen = session.events
    assert "HEADER X-Folded a\n\tb" in seen and not [line for line in seen if "by here.test" in line]
    assert session.body == b"first line\r\n.dot\r\n"


@pytest.mark.parametrize("send", [by_sendmail, by_smtp])
def test_the_envelope(system, filter, send):
    edits = filter({"HEADER Subject recipients": "continue",
                    "END": ["recipient <team@here.test>", "recipient <c@mail.test> NOTIFY=NEVER", "remove <b@mail.test>", "sender <new@mail.test>", "continue"]})
    here = system(edits, main_cf="transport_maps = inline:{{ {{here.test = hold:}} }}\n", master_cf="hold unix - - n - - error\n")
    send(here, MESSAGE)
    here.wait_log(r"from=<new@mail\.test>, size=\d+, nrcpt=3")
    for to in (r"to=<one@here\.test>, orig_to=<team@here\.test>", r"to=<two@here\.test>, orig_to=<team@here\.test>", r"to=<c@mail\.test>"):
        here.wait_log(to)
    assert not here.log_lines(r"to=<b@mail\.test>, relay")
    assert "Return-Path: <new@mail.test>" in delivered(here)[0]


def test_a_new_body_ends_with_a_line_end(system, filter):
    second = filter()
    here = system(filter({"END": ["body no end", "continue"]}), second)
    assert by_smtp(here, MESSAGE).startswith("250 ")
    assert second.mail_session(event="END").body == b"no end\r\n" and delivered(here)[0].endswith("\n\nno end\n")


def test_notices_of_smtpd_are_shown_when_they_should(system, filter):
    for name, classes, shown in (("off", "", False), ("on", "internal_mail_filter_classes = notify\n", True)):
        seen = filter()
        here = system(seen, name=name, main_cf="notify_classes = protocol\nerror_notice_recipient = p@mail.test\nsmtpd_milters =\n" + classes)
        with here.smtp() as smtp:
            smtp.say("NOSUCH")
            smtp.say("QUIT")
        assert "SMTP server: errors" in delivered(here)[0]
        assert any(session.has("HEADER Subject Postfix SMTP server: errors") for session in seen.sessions) == shown


def test_all_recipients_deleted(system, filter):
    here = system(filter({"END": ["remove <b@mail.test>", "continue"]}))
    assert by_smtp(here, MESSAGE).startswith("250 ")
    here.wait_log(r"milter-discard: END-OF-MESSAGE from localhost\[127\.0\.0\.1\]: all recipients were deleted; from=<a@mail\.test> to=<b@mail\.test>")
    here.wait_queue_empty()


def test_decisions_about_mail_from_clients(system, filter):
    decisions = {"reject": "550 5.7.1 Command rejected", "tempfail": "451 4.7.1 Service unavailable - try again later",
                 "reply 550 5.7.9 not %% here": "550 5.7.9 not % here", "reply 452 4.2.2 full": "452 4.2.2 full", "discard": "250 2.0.0 Ok: queued as ",
                 "accept": "250 2.0.0 Ok: queued as ", "quarantine": "250 2.0.0 Ok: queued as "}
    for at in ("END", "HEADER Subject", "BODY"):
        for number, (decision, want) in enumerate(decisions.items()):
            if decision == "quarantine" and at != "END":
                continue
            first = filter({at: ["quarantine why", "continue"] if decision == "quarantine" else decision})
            second = filter()
            here = system(first, second, name=f"n{at[0]}{number}")
            assert by_smtp(here, MESSAGE).startswith(want), (at, decision)
            verb = {"r": "reject", "t": "reject", "d": "discard", "q": "hold"}.get(decision[0])
            if verb:
                here.wait_log(rf"[0-9A-F]: milter-{verb}: END-OF-MESSAGE from localhost\[127\.0\.0\.1\]: \S.*; from=<a@mail\.test> to=<b@mail\.test> proto=ESMTP")
            assert bool(verb) != second.mail_session(event="DATA").has("END"), (at, decision)
            here.stop()


def test_decisions_about_other_mail(system, filter):
    script = {"HEADER Subject reject": "reject", "HEADER Subject later": "reply 451 4.7.9 not today", "HEADER Subject drop": "discard", "MAIL bad@": "reject",
              "RCPT no@": "reject", "END": lambda session, event: ["quarantine x", "continue"] if session.has("HEADER Subject hold") else "continue"}
    here = system(filter(script))

    def subject(word, **envelope):
        by_sendmail(here, f"Subject: {word}\n\nsecret body\n", **envelope)

    subject("reject")
    here.wait_log(r"milter-reject: END-OF-MESSAGE from localhost\[127\.0\.0\.1\]: 5\.7\.1 Command rejected; from=<a@mail\.test> to=<b@mail\.test>$")
    notice = delivered(here)[0]
    assert "<b@mail.test>: Command rejected" in notice and "text/rfc822-headers" in notice and "secret body" not in notice
    subject("later")
    here.wait_log(r"the message stays in maildrop: 4\.7\.9 not today")
    assert [entry["queue_name"] for entry in here.queue()] == ["maildrop"]
    subject("drop")
    here.wait_log("milter-discard: END-OF-MESSAGE")
    subject("hold")
    here.wait_log(r"milter-hold: END-OF-MESSAGE from localhost\[127\.0\.0\.1\]: milter triggers HOLD action")
    wait_until(lambda: sorted(entry["queue_name"] for entry in here.queue()) == ["hold", "maildrop"], "a held message")
    subject("sender", sender="bad@mail.test")
    here.wait_log(r"milter-reject: MAIL from localhost\[127\.0\.0\.1\]: 5\.7\.1 Command rejected; from=<bad@mail\.test>$")
    subject("recipient", recipients=("no@mail.test",))
    here.wait_log("milter configuration error: can't reject recipient in non-smtpd")
    here.wait_log("the message stays in maildrop: 4.3.5")


def test_what_the_session_of_other_mail_says(system, filter):
    seen = filter()
    here = system(seen, main_cf="internal_mail_filter_classes = bounce\n" + NO_SUCH_DOMAIN)
    by_sendmail(here, "Subject: x\n\nbody\n", recipients=("b@mail.test", "nobody@none.test"))
    session = seen.mail_session(event="END")
    assert session.events[:5] == ["CONNECT localhost 4 127.0.0.1", "HELO localhost", "MAIL a@mail.test", "RCPT b@mail.test", "RCPT nobody@none.test"]
    assert session.macros_of("C")[0]["j"] == "here.test" and session.macros_of("R")[1]["{rcpt_addr}"] == "nobody@none.test"
    assert session.macros_of("M")[0]["{mail_addr}"] == "a@mail.test" and re.fullmatch(r"\w+", session.macros_of("M")[0]["i"])
    session = seen.mail_session(2, event="END")
    assert session.events[2:4] == ["MAIL", "RCPT a@mail.test"] and session.has("HEADER Subject Undelivered Mail")


def test_notices_and_mail_without_filters_are_not_shown(system, filter):
    seen = filter()
    here = system(seen, main_cf="receive_override_options = no_milters\n" + NO_SUCH_DOMAIN)
    by_sendmail(here, "Subject: x\n\nbody\n", recipients=("nobody@none.test",))
    delivered(here)
    assert not [session for session in seen.sessions if session.has("MAIL")]


CHECKS = """
/^X-Check: reject/ REJECT 5.9.9 my text
/^X-Check: later/ REJECT 4.9.9 later
/^X-Check: defer/ DEFER not now
/^X-Check: discard/ DISCARD
/^X-Check: hold/ HOLD by check
/^X-Check: filter/ FILTER discard:here
/^X-Check: redirect/ REDIRECT r@mail.test
/^X-Check: bcc/ BCC copy@mail.test
/^X-Check: prepend/ PREPEND X-Before: this
/^X-Check: replace/ REPLACE X-Instead: of
/^X-Check: ignore/ IGNORE
/^X-Check: strip/ STRIP
/^X-Check: pass/ PASS
/^X-After:/ WARN after
"""


def test_milter_header_checks(system, filter):
    def end(session, event):
        word = next(line for line in reversed(session.events) if line.startswith("HEADER Subject ")).split()[-1]
        return ["delete 1 X-Check", f"insert 0 X-Check: {word}", "add X-After: it", "continue"]

    here = system(filter({"END": end}), main_cf="milter_header_checks = regexp:{directory}/etc/checks\n", files={"checks": CHECKS})

    def send(word, want="250 "):
        assert by_smtp(here, f"Subject: {word}\nX-Check: reject\nTo: x@y\n\nbody of {word}\n").startswith(want)

    def log(pattern):
        here.wait_log(pattern + r".* from localhost\[127\.0\.0\.1\]; from=<a@mail\.test> to=<b@mail\.test> proto=ESMTP helo=<\S+>")

    send("reject", "550 5.9.9 my text")
    log("milter-header-reject: header X-Check: reject")
    assert not here.log_lines("milter-reject")
    send("later", "451 4.9.9 later")
    send("defer", "451 4.7.1 not now")
    send("discard")
    send("filter")
    send("hold")
    send("bcc")
    send("redirect")
    log("milter-header-redirect: header X-Check: redirect")
    here.wait_log(r"to=<r@mail\.test>, orig_to=<b@mail\.test>")
    here.wait_log(r"to=<here>|to=<b@mail\.test>, relay=none.*discard|relay=discard|status=sent \(here\)|discard\[")
    assert [entry["queue_name"] for entry in here.queue()] == ["hold"]
    wait_until(lambda: len(here.maildir("all")) == 3, "two of bcc, one of redirect")
    for word in ("prepend", "replace", "ignore", "strip", "pass", "warn"):
        send(word)
    texts = delivered(here, 9)

    def head(word):
        return [line for line in next(text for text in texts if f"body of {word}" in text).split("\n") if line.startswith("X-") and "Original" not in line]

    assert head("prepend") == ["X-Before: this", "X-Check: prepend", "X-After: it"]
    assert head("replace") == ["X-Instead: of", "X-After: it"]
    assert head("ignore") == head("strip") == ["X-After: it"]
    assert head("pass") == ["X-Check: pass", "X-After: it"]
    before = len(here.wait_log("milter-header-warning: header X-After"))
    send("pass")
    log("milter-header-pass")
    assert len(here.log_lines("milter-header-warning: header X-After")) == before


def test_large_messages(system, filter):
    large = "".join(f"line {i} of many\n" for i in range(200000)) # 3 MB: a file of its own
    chunks = [("b" + f"new {i} " * 8000).encode()[:65000] + b"\r\n" for i in range(30)]
    edits = filter({"HEADER Subject header": "continue", "END": lambda session, event:
                    ["add X-Added: yes", "continue"] if session.has("HEADER Subject header") else [*chunks, "add X-Added: yes", "continue"]})
    here = system(edits)
    assert by_smtp(here, "Subject: header\n\n" + large).startswith("250 ")
    assert edits.mail_session(event="END").body == large.replace("\n", "\r\n").encode()
    text = delivered(here)[0]
    assert text.endswith("X-Added: yes\n\n" + large)
    assert by_smtp(here, "Subject: body\n\n" + large).startswith("250 ")
    new = b"".join(chunk[1:] for chunk in chunks).decode().replace("\r\n", "\n")
    assert wait_until(lambda: [t for t in delivered(here, 2) if "Subject: body" in t], "the second")[0].endswith("X-Added: yes\n\n" + new)
    size = int(re.search(r"size=(\d+)", here.wait_log("size=", 2)[1]).group(1))
    assert len(new) < size < len(new) + 2000
    assert by_smtp(here, "Subject: body\n\nsmall\n").startswith("250 ")
    here.wait_queue_empty()
    leftover = [name for _, _, names in os.walk(os.path.join(here.directory, "spool", "content")) for name in names]
    assert wait_until(lambda: len(leftover) <= 3, "no content file is left over") is not None


def memory_of(here, program):
    """Greatest resident set so far of the processes of a program, in KiB."""
    peaks = [0]
    for pid, name in here.pids():
        if name == program:
            with open(f"/proc/{pid}/status") as status:
                peaks.append(int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1)))
    return max(peaks)


@pytest.mark.parametrize("edit", ["add X-Large: ", "change 1 X-Large: ", "body ", "recipient <", "insert 0 a: "])
def test_a_filter_that_never_stops_editing(system, filter, edit):
    letter = {"add": b"h", "body": b"b", "change": b"m\0\0\0\1", "insert": b"i\0\0\0\0", "recipient": b"+"}[edit.split()[0]]
    data = {"add": b"X-Large\0" + b"x" * 60000 + b"\0", "change": b"X-Large\0" + b"x" * 60000 + b"\0", "body": b"x" * 60000 + b"\r\n",
            "insert": b"a\0b\0", "recipient": b"<%s@mail.test>\0" % (b"r" * 200)}[edit.split()[0]]
    packet = len(letter + data).to_bytes(4, "big") + letter + data
    endless = ("raw", packet * 200)
    here = system(filter({"END": [endless] * 20000}), main_cf="virtual_alias_maps =\n")
    started = time.monotonic()
    assert by_smtp(here, MESSAGE) == "552 5.3.4 Message file too big"
    assert time.monotonic() - started < 30
    assert 0 < memory_of(here, "cleanup") < (100 if "ASAN_OPTIONS" not in os.environ else 1000) * 1024
    assert not here.queue()


@pytest.mark.parametrize("answer", ["hang", "drop", b"zgarbage", b"h", b"hno NUL", ("raw", b"\xff\xff\xff\xff"), ("raw", b"\0\0\0\0"), b"m\0", b"yno code\0"])
@pytest.mark.parametrize("event", ["HEADER Subject", "END"])
def test_filters_that_fail(system, filter, event, answer):
    failing = filter({event: [answer, "hang"]})
    good = filter()
    here = system(failing, good)
    want = "451 4.3.5 Server configuration problem" if answer == b"yno code\0" else "451 4.7.1 Service unavailable"
    assert by_smtp(here, MESSAGE) == want + " - try again later"
    by_sendmail(here, MESSAGE)
    here.wait_log("the message stays in maildrop")
    assert [entry["queue_name"] for entry in here.queue()] == ["maildrop"]


def test_verdicts_stay_in_step_when_cleanup_dies(system, filter):
    """What a filter still answers about a message whose cleanup was killed is not taken for its verdict about the next one."""
    asked = threading.Event()

    def end(session, event):
        if session.has("HEADER Subject second"):
            return "reject"
        asked.set()
        return [("wait", 1), "continue"]

    here = system(filter({"END": end}))
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        for line in ("MAIL FROM:<a@mail.test>", "RCPT TO:<b@mail.test>", "DATA"):
            assert smtp.say(line)[0] in "23"
        smtp.send("Subject: first\r\n\r\nx\r\n.\r\n")
        assert asked.wait(10)
        for pid, name in here.pids():
            if name == "cleanup":
                os.kill(pid, signal.SIGKILL)
        assert smtp.reply().startswith("451 ")
        reply = smtp.mail("a@mail.test", ["b@mail.test"], "Subject: second\r\n\r\nx\r\n")
    assert reply[0] in "45", reply
    assert not here.maildir("all")


def test_default_action_accept_and_quarantine(system, filter):
    failing = filter({"END": lambda session, event: ["add X-First: 1", next(answers)]})
    answers = iter(["drop", b"zunknown", b"yno code\0", "reply 250 no refusal", "drop"])
    good = filter({"END": ["add X-Second: 2", "continue"]})
    here = system(failing, good, main_cf="milter_default_action = accept\n")
    for count in range(1, 5):
        assert by_smtp(here, MESSAGE).startswith("250 ")
        assert all("X-Second: 2" in text for text in delivered(here, count))
    here = system("inet:127.0.0.1:1", good, name="away", main_cf="milter_default_action = quarantine\n")
    by_sendmail(here, MESSAGE)
    here.wait_log(r"milter-hold: CONNECT from localhost\[127\.0\.0\.1\]: milter triggers HOLD action; from=<a@mail\.test>$")
    wait_until(lambda: [entry["queue_name"] for entry in here.queue()] == ["hold"], "held")
    assert len(here.wait_log("cleanup.*milter-hold")) == 1
    here = system(failing, name="held", main_cf="milter_default_action = quarantine\n")
    assert by_smtp(here, MESSAGE).startswith("250 ")
    here.wait_log(r"milter-hold: END-OF-MESSAGE from localhost\[127\.0\.0\.1\]: milter triggers HOLD action")
    assert [entry["queue_name"] for entry in here.queue()] == ["hold"]


def test_filter_with_an_unknown_name(system, dns):
    names = dns("other.test A 127.0.0.1")
    here = system("inet:filter.test:9", main_cf=f"dns_servers = 127.0.0.1:{names.port}\nmilter_default_action = accept\n")
    by_sendmail(here, MESSAGE)
    assert len(delivered(here)) == 1
    here.wait_log("cleanup.*: warning: connect to Milter service inet:filter.test:9: Cannot assign requested address")


def test_filter_by_host_name(system, filter, dns):
    """smtpd and cleanup find the host themselves, and go on to its next address where the filter is not."""
    server = filter({"END": ["add X-Filtered: yes", "continue"]})
    names = dns("filter.test A 127.0.0.9\nfilter.test A 127.0.0.1")
    here = system(server.endpoint.replace("127.0.0.1", "filter.test"), main_cf=f"dns_servers = 127.0.0.1:{names.port}\n")
    assert by_smtp(here, MESSAGE).startswith("250 ")
    by_sendmail(here, MESSAGE)
    assert all("X-Filtered: yes" in text for text in delivered(here, 2))
