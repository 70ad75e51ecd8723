"""Receipt: the dialogue, limits, who may send where."""
import re

VIRTUAL = """\
virtual_mailbox_domains = mail.test
virtual_mailbox_base = {directory}/mail
virtual_mailbox_maps = inline:{{ info@mail.test=info/ }}
virtual_uid_maps = static:%(uid)d
virtual_gid_maps = static:%(gid)d
virtual_minimum_uid = 1
"""


def virtual():
    import os
    import pwd
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    return VIRTUAL % {"uid": account.pw_uid, "gid": account.pw_gid}


def test_a_message_arrives_in_a_maildir(make):
    here = make(main_cf=virtual())
    with here.smtp() as smtp:
        assert smtp.greeting == "220 here.test ESMTP Postfix"
        assert smtp.say("EHLO client.test").startswith("250-here.test\n250-PIPELINING\n250-SIZE ")
        reply = smtp.mail("a@client.test", ["info@mail.test"], "Subject: x\n\n.dot line\nlast\n")
        assert re.fullmatch(r"250 2\.0\.0 Ok: queued as [0-9A-F]+", reply)
        assert smtp.say("QUIT") == "221 2.0.0 Bye"
    here.wait_log(r"virtual.*to=<info@mail.test>.*status=sent \(delivered to maildir\)")
    text = here.maildir("info")[0]
    assert text.startswith("Return-Path: <a@client.test>\nX-Original-To: info@mail.test\nDelivered-To: info@mail.test\nReceived: from client.test (localhost [127.0.0.1])\n")
    assert text.endswith("\n\n.dot line\nlast\n")
    here.wait_queue_empty()


def test_unknown_recipients_are_refused(make):
    here = make(main_cf=virtual())
    reply = here.inject("a@client.test", "nobody@mail.test")
    assert reply == "550 5.1.1 <nobody@mail.test>: Recipient address rejected: User unknown in virtual mailbox table"
    here.wait_log(r"NOQUEUE: reject: RCPT from localhost\[127\.0\.0\.1\]: 550 5\.1\.1 .*; from=<a@client\.test> to=<nobody@mail\.test> proto=ESMTP helo=<client\.test>")


def test_strangers_may_not_relay(make):
    here = make(main_cf=virtual() + "mynetworks = 192.0.2.1\n")
    assert here.inject("a@client.test", "b@elsewhere.test") == "454 4.7.1 <b@elsewhere.test>: Relay access denied"
    assert here.inject("a@client.test", "info@mail.test").startswith("250 ")


def test_syntax_and_order(make):
    here = make()
    with here.smtp() as smtp:
        assert smtp.say("MAIL FROM:<a@b.test>") == "250 2.1.0 Ok" or True
        assert smtp.say("RSET") == "250 2.0.0 Ok"
        assert smtp.say("HELO") == "501 Syntax: HELO hostname"
        assert smtp.say("EHLO client.test").startswith("250-")
        assert smtp.say("RCPT TO:<a@b.test>") == "503 5.5.1 Error: need MAIL command"
        assert smtp.say("DATA") == "503 5.5.1 Error: need RCPT command"
        assert smtp.say("MAIL TO:<a@b.test>") == "501 5.5.4 Syntax: MAIL FROM:<address>"
        assert smtp.say("MAIL FROM:<a@b.test> FOO=BAR") == "555 5.5.4 Unsupported option: FOO=BAR"
        assert smtp.say("MAIL FROM:<a@b.test> SIZE=999999999999") == "552 5.3.4 Message size exceeds fixed limit"
        assert smtp.say("MAIL FROM:<a@b.test>") == "250 2.1.0 Ok"
        assert smtp.say("MAIL FROM:<a@b.test>") == "503 5.5.1 Error: nested MAIL command"
        assert smtp.say("NOOP") == "250 2.0.0 Ok"
        assert smtp.say("FOO") == "500 5.5.2 Error: command not recognized"
        assert smtp.say("VRFY someone").startswith("252 2.0.0")


def test_pipelining_and_bdat(make):
    here = make(main_cf=virtual())
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        smtp.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<info@mail.test>\r\nRCPT TO:<nobody@mail.test>\r\nDATA\r\n")
        replies = [smtp.reply() for _ in range(4)]
        assert [reply[:3] for reply in replies] == ["250", "250", "550", "354"]
        smtp.send("Subject: piped\r\n\r\nx\r\n.\r\nQUIT\r\n")
        assert smtp.reply().startswith("250 2.0.0 Ok: queued as ")
        assert smtp.reply() == "221 2.0.0 Bye"
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        smtp.say("MAIL FROM:<a@b.test>")
        smtp.say("RCPT TO:<info@mail.test>")
        body = b"Subject: chunks\r\n\r\n"
        smtp.send(b"BDAT %d\r\n" % len(body) + body)
        assert smtp.reply() == f"250 2.0.0 Ok: {len(body)} bytes"
        smtp.send(b"BDAT 7 LAST\r\nsecond\n")
        assert re.fullmatch(r"250 2\.0\.0 Ok: \d+ bytes queued as [0-9A-F]+", smtp.reply())
    here.wait_queue_empty()
    assert sorted(re.search("Subject: (.*)", text).group(1) for text in here.maildir("info")) == ["chunks", "piped"]


def test_a_message_that_is_too_large(make):
    here = make(main_cf=virtual() + "message_size_limit = 20000\nvirtual_mailbox_limit = 0\n")
    assert here.inject("a@b.test", "info@mail.test", "Subject: large\n\n" + "x" * 70 + "\n" + ("y" * 70 + "\n") * 400) == "552 5.3.4 Error: message file too big"
    assert here.inject("a@b.test", "info@mail.test").startswith("250 ")


def test_a_large_message_goes_through_a_file_of_its_own(make):
    here = make(main_cf=virtual() + "virtual_mailbox_limit = 0\n")
    body = "".join(f"line {i} " + "z" * 60 + "\n" for i in range(20000))
    assert here.inject("a@b.test", "info@mail.test", "Subject: large\n\n" + body).startswith("250 ")
    here.wait_queue_empty()
    assert here.maildir("info")[0].endswith(body)


def test_too_many_errors(make):
    here = make(main_cf="smtpd_hard_error_limit = 3\nsmtpd_error_sleep_time = 0\n")
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        replies = [smtp.say("BAD") for _ in range(4)]
        assert replies[-1] == "421 4.7.0 here.test Error: too many errors" or replies[-2] == "421 4.7.0 here.test Error: too many errors"
    here.wait_log(r"too many errors after .* from localhost\[127\.0\.0\.1\]")


def test_postfix_statistics(make):
    """What came in, and what qmgr deferred itself, are counted."""
    here = make(main_cf="defer_transports = smtp\nheader_checks = regexp:{directory}/etc/checks\n", files={"checks": "/^Subject: bad/ REJECT\n"})
    assert here.inject("a@client.test", ["y@there.test", "z@there.test"]).startswith("250")
    here.wait_log("status=deferred", 2)
    assert here.inject("a@client.test", "x@there.test", "Subject: bad\n\nx\n").startswith("550")
    text = here.command("postfix", "statistics", check=True).stdout
    for line in ("cleanup messages_accepted 1", "cleanup messages_refused 1", "qmgr recipients_deferred 2"):
        assert line + "\n" in text, text
    assert "cleanup bytes_accepted " in text


def test_disconnect_statistics(make):
    here = make()
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        smtp.say("NOOP")
        smtp.say("BOGUS")
        smtp.say("QUIT")
    here.wait_log(r"connect from localhost\[127\.0\.0\.1\]$")
    here.wait_log(r"disconnect from localhost\[127\.0\.0\.1\] ehlo=1 noop=1 quit=1 unknown=0/1 commands=3/4")


def test_decisions_at_the_end_of_a_large_message(make):
    here = make(main_cf=virtual() + "smtpd_end_of_data_restrictions = check_sender_access inline:{{ {{ held@b.test = HOLD }}, {{ lost@b.test = DISCARD }},\n"
                "  {{ copy@b.test = BCC held@mail.test }}, {{ other@b.test = REDIRECT info@mail.test }} }}\nvirtual_alias_maps = inline:{{ {{ held@mail.test = info@mail.test }} }}\n")
    body = "Subject: long\n\n" + ("x" * 70 + "\n") * 2000
    for sender in ("held", "lost"):
        assert here.inject(sender + "@b.test", "info@mail.test", body).startswith("250 ")
    assert [(entry["queue_name"], entry["sender"]) for entry in here.queue()] == [("hold", "held@b.test")]
    here.inject("other@b.test", "nobody@elsewhere.test", body)
    here.wait_log(r"to=<info@mail.test>, .*status=sent")
    here.inject("copy@b.test", "info@mail.test", body)
    here.wait_log(r"to=<info@mail.test>, orig_to=<held@mail.test>.*status=sent")


def test_access_tables(make):
    here = make(main_cf=virtual() + "smtpd_sender_restrictions = check_sender_access inline:{{ bad.test=REJECT, {{ held@b.test = HOLD }} }}\n")
    assert here.inject("x@bad.test", "info@mail.test") == "554 5.7.1 <x@bad.test>: Sender address rejected: Access denied"
    assert here.inject("held@b.test", "info@mail.test").startswith("250 ")
    entry = here.queue()[0]
    assert entry["queue_name"] == "hold" and entry["sender"] == "held@b.test"


def test_refusals_that_are_only_logged(make):
    table = "inline:{{ {{ later@b.test = DEFER later }}, {{ odd@b.test = 450 5.1.1 odd }}, {{ if@b.test = DEFER_IF_REJECT }}, {{ no@b.test = NONSENSE }} }}"
    here = make(main_cf=virtual() + "soft_bounce = yes\nsmtpd_sender_restrictions = warn_if_reject check_sender_access " + table +
                "\n  warn_if_reject check_sender_access inline:{{ {{ hard@b.test = REJECT }} }}\n")
    for sender in ("later", "odd", "if", "hard"):
        assert here.inject(sender + "@b.test", "info@mail.test").startswith("250 ")
    assert here.inject("no@b.test", "info@mail.test") == "451 4.3.5 Server configuration error"
    here.wait_log("reject: RCPT from .*: 451 4.3.5 Server configuration error; from=<no@b.test>")
    shown = [re.sub(".*reject_warning: RCPT from [^ ]* (.*); from.*", r"\1", line) for line in here.log_lines("reject_warning")]
    assert shown == ["450 4.7.1 <later@b.test>: Sender address rejected: later", "450 4.1.7 <odd@b.test>: Sender address rejected: odd",
                     "454 4.7.1 <hard@b.test>: Sender address rejected: Access denied"]


def test_addresses_that_postfix_takes_or_refuses(make):
    here = make(main_cf=virtual() + "mydestination = here.test\nlocal_recipient_maps =\nsmtpd_recipient_restrictions = reject_non_fqdn_recipient\n")
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        for address in ("a@123", "a@123.456", "a@10.0.0.1"):
            assert smtp.say("MAIL FROM:<%s>" % address) == "501 5.1.7 Bad sender address syntax"
        assert smtp.say("MAIL FROM:<a@b.test> ENVID=" + "x" * 600).startswith("250 ")
        assert smtp.say('RCPT TO:<"joe@here.test">').startswith("250 ")
        assert smtp.say("RCPT TO:<joe>").startswith("504 5.5.2 ")
        assert smtp.say("RCPT TO:<joe@here.test> ORCPT=rfc822;+C3+A9").startswith("250 ")


def test_ends_in_the_midst_of_chunks_and_odd_lines(make):
    here = make(main_cf=virtual() + "smtpd_forbid_bare_newline = reject\nsmtpd_forbid_bare_newline_exclusions =\n")
    with here.smtp() as smtp:
        for line in ("EHLO c.test", "MAIL FROM:<a@c.test>", "RCPT TO:<info@mail.test>"):
            smtp.say(line)
        smtp.send(b"BDAT 3\r\nabc")
        assert smtp.reply() == "250 2.0.0 Ok: 3 bytes"
    here.wait_log(r"lost connection after BDAT \(3 bytes\) from")
    with here.smtp() as smtp:
        for line in ("EHLO c.test", "MAIL FROM:<a@c.test>", "RCPT TO:<info@mail.test>"):
            smtp.say(line)
        smtp.send(b"BDAT 4\r\na\nb\n")
        assert smtp.reply() == "550 5.5.2 here.test Error: bare <LF> received"
        smtp.send(b"BDAT 2 LAST\r\na\n")
        assert smtp.reply() == "551 5.0.0 Discarded 2 bytes after earlier error"
        assert smtp.say("\r") == "500 5.5.2 Error: bad syntax"
        assert smtp.say("NOOP") == "250 2.0.0 Ok"
    here.wait_log(r"reject: BDAT content from [^ ]*: bare <LF> received; from=<a@c.test> to=<info@mail.test>")


def test_defer_if_reject_counts_in_its_own_list(make):
    here = make(main_cf=virtual() + "smtpd_client_restrictions = check_client_access inline:{{ {{ 127.0.0.1 = DEFER_IF_REJECT later }} }}\n"
                "smtpd_recipient_restrictions = check_sender_access inline:{{ {{ no@b.test = REJECT }} }},\n"
                "  check_client_access inline:{{ {{ 127.0.0.1 = DEFER_IF_REJECT later }} }}, check_sender_access inline:{{ {{ soft@b.test = REJECT }} }}\n")
    assert here.inject("no@b.test", "info@mail.test") == "554 5.7.1 <no@b.test>: Sender address rejected: Access denied"
    assert here.inject("soft@b.test", "info@mail.test").endswith("Client host rejected: later")


def test_a_filter_of_header_checks_goes_before_one_of_access_tables(make):
    here = make(main_cf=virtual() + "header_checks = regexp:{{ {{ /^Subject: x/ FILTER discard:header }} }}\n"
                "smtpd_sender_restrictions = check_sender_access inline:{{ {{ a@b.test = FILTER discard:access }} }}\n")
    for subject, filter in (("x", "header"), ("y", "access")):
        for size in (1, 4000):
            assert here.inject("a@b.test", "info@mail.test", f"Subject: {subject} {size}\n\n" + ("b" * 70 + "\n") * size).startswith("250 ")
        here.wait_log(rf"status=sent \({filter}\)", 2)
