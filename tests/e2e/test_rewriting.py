"""Addresses and content that are changed on the way in (cleanup) and on the way out (smtp)."""

def braced(text):
    """main.cf text whose braces are meant (the harness formats it)."""
    return text.replace("{", "{{").replace("}", "}}")


EIGHT_BIT = """Subject: eight
From: a@here.test
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

caf\u00e9 = good
.dot
"""


def test_canonical_alias_and_bcc(make, sink):
    remote = sink()
    here = make(main_cf=braced(f"relayhost = [127.0.0.1]:{remote.port}\n"
                        "sender_canonical_maps = inline:{ {old@here.test = new@here.test} }\n"
                        "virtual_alias_maps = inline:{ {list@remote.test = one@remote.test, two@remote.test} }\n"
                        "always_bcc = copy@remote.test\n"))
    here.inject("old@here.test", "list@remote.test", "From: old@here.test\nTo: list@remote.test\nSubject: x\n\nbody\n")
    messages = remote.wait_messages(1)
    recipients = sorted(recipient for message in messages for recipient in message[1])
    assert recipients == ["copy@remote.test", "one@remote.test", "two@remote.test"]
    assert messages[0][0] == "new@here.test"
    assert "\r\nFrom: new@here.test\r\n" in messages[0][2]
    assert "\r\nTo: list@remote.test\r\n" in messages[0][2]


def test_generic_maps_and_header_checks_on_output(make, sink):
    remote = sink()
    here = make(main_cf=braced(f"relayhost = [127.0.0.1]:{remote.port}\n"
                        "smtp_generic_maps = inline:{ {a@here.test = public@example.test}, {b@remote.test = c@remote.test} }\n"
                        "smtp_header_checks = inline:{ {X-Secret: 1 = IGNORE}, {Subject: x = REPLACE Subject: y} }\n"))
    here.inject("a@here.test", "b@remote.test", "From: Me <a@here.test>\nX-Secret: 1\nSubject: x\n\nbody\n")
    sender, recipients, text = remote.wait_messages(1)[0]
    assert (sender, recipients) == ("public@example.test", ["c@remote.test"])
    assert "\r\nFrom: Me <public@example.test>\r\n" in text and "\r\nSubject: y\r\n" in text and "X-Secret" not in text
    here.wait_log(r"smtp\[\d+\]: \w+: replace: header Subject: x: Subject: y")
    here.wait_log(r"to=<b@remote\.test>, relay=.* status=sent")


def test_quoted_printable_for_a_server_without_8bitmime(make, sink):
    old, new = sink(ehlo=("PIPELINING",)), sink()
    here = make(main_cf=braced("transport_maps = inline:{ {old.test = smtp:[127.0.0.1]:%d}, {new.test = smtp:[127.0.0.1]:%d} }\n" % (old.port, new.port)))
    here.inject("a@here.test", ["b@old.test", "b@new.test"], EIGHT_BIT)
    text = old.wait_messages(1)[0][2]
    assert text.isascii() and "Content-Transfer-Encoding: quoted-printable\r\n" in text and "8bit" not in text
    assert text.endswith("\r\n\r\ncaf=C3=A9 =3D good\r\n.dot\r\n")
    assert "Content-Transfer-Encoding: 8bit\r\n" in new.wait_messages(1)[0][2]


def test_header_and_body_checks(make, sink):
    remote = sink()
    here = make(main_cf=braced(f"relayhost = [127.0.0.1]:{remote.port}\n"
                        "header_checks = regexp:{ {/^Subject: no/ REJECT 5.7.9 not this}, {/^X-Gone:/ IGNORE} }\n"
                        "body_checks = regexp:{ {/^forbidden/ REJECT}, {/^old$$/ REPLACE new} }\n"))
    assert here.inject("a@here.test", "b@remote.test", "Subject: no\n\n") == "550 5.7.9 not this"
    assert here.inject("a@here.test", "b@remote.test", "Subject: x\n\nforbidden\n") == "550 5.7.1 message content rejected"
    assert here.inject("a@here.test", "b@remote.test", "Subject: x\nX-Gone: y\n\nold\n").startswith("250 ")
    text = remote.wait_messages(1)[0][2]
    assert "X-Gone" not in text and text.endswith("\r\n\r\nnew\r\n")
    here.wait_log(r"cleanup\[\d+\]: \w+: reject: header Subject: no from localhost\[127\.0\.0\.1\]; from=<a@here\.test> to=<b@remote\.test> proto=E?SMTP helo=<[^>]*>: 5\.7\.9 not this")


def test_refused_local_submission_comes_back(make):
    here = make(main_cf=braced("header_checks = regexp:{ {/^Subject: no/ REJECT not this} }\nrelayhost = [127.0.0.1]:1\n"))
    here.command("sendmail", "-f", "me@remote.test", "you@remote.test", input="Subject: no\n\nbody\n", check=True)
    here.wait_log(r"cleanup\[\d+\]: \w+: to=<you@remote\.test>, relay=none, .*dsn=5\.7\.1, status=bounced \(not this\)")
    here.wait_log(r"sender non-delivery notification: \w+")
    here.wait_log(r"from=<>, size=\d+, nrcpt=1")
    assert [entry["sender"] for entry in here.queue()] == ["MAILER-DAEMON"]


def test_redirect_keeps_the_first_target_and_the_old_address(make, sink):
    remote = sink()
    here = make(main_cf=braced(f"relayhost = [127.0.0.1]:{remote.port}\n"
                               "header_checks = inline:{ {X-R1: a = REDIRECT one@remote.test}, {X-R2: b = REDIRECT two@remote.test} }\n"))
    here.inject("a@here.test", ["b@remote.test", "c@remote.test"], "From: a@here.test\nX-R1: a\nX-R2: b\nSubject: x\n\nbody\n")
    assert remote.wait_messages(1)[0][1] == ["one@remote.test"]
    here.wait_log(r"to=<one@remote\.test>, orig_to=<b@remote\.test>.*status=sent")
    assert "redirect: header X-R2" not in here.log()


def test_header_fields_written_oddly(make, sink):
    remote = sink()
    here = make(main_cf=f"relayhost = [127.0.0.1]:{remote.port}\nheader_size_limit = 60\nlocal_header_rewrite_clients =\n"
                        "remote_header_rewrite_domain = remote.invalid\nappend_dot_mydomain = yes\n")
    here.inject("a@here.test", "b@remote.test",
                "Message-Id: <folded\n @x>\nSubject : blank\nX-Nul: seen\0unseen\nTo: c@host, d\nX-Fold: 1\n\t" + "f" * 40 + "\n\t" + "g" * 40 + "\nX-Last: 1\n\nbody\n")
    text = remote.wait_messages(1)[0][2]
    assert "\r\nSubject: blank\r\nX-Nul: seen\r\nTo: c@host.remote.invalid, d@remote.invalid\r\n" in text
    assert "\r\nX-Fold: 1\r\n\t" + "f" * 40 + "\r\nX-Last: 1\r\n" in text
    here.wait_log(r"message-id=<folded\? @x>$")


def test_a_virtual_alias_without_an_address_is_trouble(make):
    here = make(started=False, main_cf="local_recipient_maps =\nvirtual_alias_maps = texthash:{directory}/etc/v\n")
    here.write("v", "empty@here.test ,\n")
    here.start()
    assert here.inject("a@here.test", "empty@here.test").startswith("451 4.3.0 ")
    here.wait_log("returns non-address result")


def test_null_sender_by_map_and_needless_quotes(make, sink):
    remote = sink()
    here = make(started=False, main_cf=f"relayhost = [127.0.0.1]:{remote.port}\nsender_canonical_maps = texthash:{{directory}}/etc/canonical\n"
                                       "allow_percent_hack = yes\nlocal_recipient_maps =\nmynetworks = 127.0.0.0/8\n")
    here.write("canonical", "null@here.test <>\n")
    here.start()
    here.inject("null@here.test", "x%remote.test@here.test", 'From: null@here.test\nTo: "q.q"@remote.test\nSubject: x\n\nbody\n')
    sender, recipients, text = remote.wait_messages(1)[0]
    assert (sender, recipients) == ("", ["x@remote.test"])
    assert '\r\nFrom: ""\r\nTo: q.q@remote.test\r\n' in text
    here.wait_log(r"to=<x@remote\.test>, orig_to=<x%remote\.test@here\.test>")


def test_success_notice_for_a_virtual_alias(make):
    here = make(main_cf=braced("virtual_alias_maps = inline:{ {list@here.test = one@here.test} }\nlocal_recipient_maps =\nlocal_transport = discard\n"
                               "transport_maps = inline:{ {a@here.test = box:} }\n"),
                master_cf="box unix - n n - - pipe\n  user={user} argv=/bin/sh -c {{ cat >> {directory}/mail/box }}\n")
    with here.smtp() as smtp:
        for line in ("EHLO client.test", "MAIL FROM:<a@here.test> ENVID=e1", "RCPT TO:<list@here.test> NOTIFY=SUCCESS",
                     "RCPT TO:<two@here.test> NOTIFY=SUCCESS", "DATA"):
            smtp.say(line)
        assert smtp.say("Subject: of the original\r\n\r\nHello.\r\n.").startswith("250")
    here.wait_log(r"to=<a@here\.test>.*status=sent")
    with open(f"{here.directory}/mail/box") as f:
        notice = f.read()
    assert "\n<list@here.test>: alias expanded\n" in notice and "\nAction: expanded\nStatus: 2.0.0\n" in notice
    assert "\n<two@here.test>: " in notice and notice.count("Reporting-MTA:") == 1
    assert "Content-Description: Message Headers\n" in notice and "\nSubject: of the original\n" in notice and "Hello" not in notice


def test_variable_return_path_of_an_alias(make, sink):
    remote = sink()
    here = make(main_cf=braced("virtual_alias_maps = inline:{ {list@here.test = one@remote.test} }\n") + f"relayhost = [127.0.0.1]:{remote.port}\n")
    here.command("sendmail", "-XV", "-f", "sender@here.test", "list@here.test", input="Subject: x\n\nbody\n")
    assert remote.wait_messages(1)[0][:2] == ("sender+list=here.test@here.test", ["one@remote.test"])


def test_bounce_of_a_variable_return_path_shows_the_sender(make, sink):
    remote = sink(replies={"RCPT TO:<gone@remote.test>": "550 5.1.1 no \udce9 here"})
    here = make(main_cf=f"relayhost = [127.0.0.1]:{remote.port}\n")
    here.command("sendmail", "-XV", "-f", "sender@there.test", "gone@remote.test", input="Subject: x\n\nbody\n")
    notice, = remote.wait_messages(1)
    assert notice[:2] == ("", ["sender+gone=remote.test@there.test"])
    assert "\r\nX-Postfix-Sender: rfc822; sender@there.test\r\n" in notice[2] and "\r\nReturn-Path: <sender@there.test>\r\n" in notice[2]
    assert "\r\nDiagnostic-Code: smtp; 550 5.1.1 no ? here\r\n" in notice[2]


def success_wanted(here):
    """A message to an alias whose sender wants to hear of success."""
    with here.smtp() as smtp:
        for line in ("EHLO client.test", "MAIL FROM:<a@here.test>", "RCPT TO:<list@here.test> NOTIFY=SUCCESS", "DATA"):
            smtp.say(line)
        assert smtp.say("Subject: x\r\n\r\nHello.\r\n.").startswith("250")


def test_success_notice_for_an_alias_is_not_sent_again_by_a_requeue(make):
    here = make(main_cf=braced("virtual_alias_maps = inline:{ {list@here.test = one@here.test} }\nlocal_recipient_maps =\n"
                               "local_transport = retry:4.0.0 later\ntransport_maps = inline:{ {a@here.test = box:} }\n"),
                master_cf="box unix - n n - - pipe\n  user={user} argv=/bin/sh -c {{ cat >> {directory}/mail/box }}\n")
    success_wanted(here)
    here.wait_log(r"to=<one@here\.test>.*status=deferred")
    here.wait_log(r"to=<a@here\.test>.*status=sent")
    here.command("postsuper", "-r", "ALL", check=True)
    new = here.wait_log(r": requeued as (\w+)$")[-1].split()[-1]
    here.wait_log(rf"{new}: to=<one@here\.test>.*status=deferred")
    here.command("postsuper", "-d", new, check=True)
    here.wait_queue_empty()
    with open(f"{here.directory}/mail/box") as f:
        assert f.read().count("\n<list@here.test>: alias expanded\n") == 1


def test_success_notice_for_an_alias_is_not_sent_again_by_forwarding(make):
    here = make(main_cf=braced("virtual_alias_maps = inline:{ {list@here.test = one@here.test} }\nlocal_recipient_maps =\n"
                               "alias_maps = inline:{ {one = c@away.test} }\n"
                               "transport_maps = inline:{ {a@here.test = box:} {c@away.test = discard:} }\n"),
                master_cf="box unix - n n - - pipe\n  user={user} argv=/bin/sh -c {{ cat >> {directory}/mail/box }}\n")
    success_wanted(here)
    here.wait_log(r"to=<c@away\.test>.*status=sent")
    here.wait_log(r"to=<a@here\.test>.*status=sent")
    here.wait_queue_empty()
    with open(f"{here.directory}/mail/box") as f:
        assert f.read().count("\n<list@here.test>: alias expanded\n") == 1
