"""The SMTP and LMTP client: what it says to servers, and what it makes of their answers."""
import re

from harness import wait_until
from test_rewriting import braced


def commands(server, session=0):
    return server.sessions[session]


def test_a_probe_delivers_nothing(make, sink):
    remote = sink(replies={"RCPT TO:<no@": "550 5.1.1 unknown here"})
    here = make(main_cf=f"relayhost = [127.0.0.1]:{remote.port}\n")
    here.command("sendmail", "-bv", "-f", "me@here.test", "yes@remote.test", "no@remote.test", check=True)
    here.wait_log(r"to=<yes@remote\.test>, relay=.*, dsn=2\.0\.0, status=deliverable \(250 2\.0\.0 ok\)")
    here.wait_log(r"to=<no@remote\.test>, relay=.*, dsn=5\.1\.1, status=undeliverable \(host .* said: 550 5\.1\.1 unknown here")
    said = commands(remote)
    wait_until(lambda: said[-1] == "QUIT", "the end of the session")
    assert not any(line.startswith("DATA") for line in said) and said[-2:] == ["RSET", "QUIT"]
    assert all("yes@remote.test" not in message[1] for message in remote.messages)


def test_a_probe_up_to_data(make, sink):
    remote = sink()
    here = make(main_cf=braced("smtp_address_verify_target = data\ntransport_maps = inline:{ {remote.test = smtp:[127.0.0.1]:%d} }\n" % remote.port))
    here.command("sendmail", "-bv", "-f", "root@here.test", "yes@remote.test", check=True)
    here.wait_log(r"to=<yes@remote\.test>, relay=.*, status=deliverable \(354 go ahead\)")
    assert commands(remote)[-1] == "DATA"


def test_xforward(make, sink):
    remote = sink(ehlo=("PIPELINING", "XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT", "8BITMIME"))
    here = make(main_cf=f"relayhost = [127.0.0.1]:{remote.port}\nsmtp_send_xforward_command = yes\n")
    with here.smtp() as client:
        client.say("EHLO a+b=c.test")
        assert client.mail("a@here.test", ["b@remote.test"], "Subject: x\n\nbody\n").startswith("250 ")
    remote.wait_messages(1)
    said = commands(remote)
    assert re.fullmatch(r"XFORWARD NAME=localhost ADDR=127\.0\.0\.1 PORT=\d+", said[1])
    assert re.fullmatch(r"XFORWARD PROTO=ESMTP HELO=a\+2Bb\+3Dc\.test IDENT=\w+ SOURCE=LOCAL", said[2])
    assert said[3].startswith("MAIL FROM:<a@here.test>")


def test_xforward_refused(make, sink):
    remote = sink(ehlo=("PIPELINING", "XFORWARD NAME"), replies={"XFORWARD": "550 5.7.0 not you"})
    here = make(main_cf=f"relayhost = [127.0.0.1]:{remote.port}\nsmtp_send_xforward_command = yes\n")
    here.inject("", "b@remote.test")
    remote.wait_messages(1)
    here.wait_log(r"warning: host 127\.0\.0\.1\[127\.0\.0\.1\]:\d+ said: 550 5\.7\.0 not you \(in reply to XFORWARD name/address command\)")


def test_pix_firewall(make, sink):
    remote = sink(replies={"CONNECT": "220 ****0**2*** ***"})
    here = make(main_cf=f"relayhost = [127.0.0.1]:{remote.port}\nsmtp_pix_workaround_threshold_time = 0\nsmtp_pix_workaround_delay_time = 1s\n")
    here.inject("a@here.test", "b@remote.test")
    remote.wait_messages(1)
    here.wait_log(r"smtp\[\d+\]: \w+: enabling PIX workarounds: disable_esmtp delay_dotcrlf for 127\.0\.0\.1\[127\.0\.0\.1\]:\d+$")
    assert commands(remote)[0].startswith("HELO ")
    here.wait_log(r"delays=[\d.]+/[\d.]+/[\d.]+/1(\.\d+)?, dsn=2\.0\.0, status=sent")


def test_young_mail_through_a_pix_firewall(make, sink):
    remote = sink(replies={"CONNECT": "220 ****0**2*** ***"})
    here = make(main_cf=f"relayhost = [127.0.0.1]:{remote.port}\nsmtp_pix_workaround_maps = static:delay_dotcrlf\n")
    here.inject("a@here.test", "b@remote.test")
    remote.wait_messages(1)
    assert commands(remote)[0].startswith("EHLO ") and not here.log_lines("PIX")


def test_keywords_that_are_not_believed(make, sink):
    remote = sink(ehlo=("PIPELINING", "SIZE 10", "DSN"))
    here = make(main_cf=braced(f"relayhost = [127.0.0.1]:{remote.port}\nsmtp_discard_ehlo_keywords = dsn\n"
                               "smtp_discard_ehlo_keyword_address_maps = inline:{ {127.0.0.1 = pipelining, size} }\n"))
    with here.smtp() as client:
        client.say("EHLO client.test")
        client.say("MAIL FROM:<a@here.test>")
        client.say("RCPT TO:<b@remote.test> NOTIFY=NEVER")
        assert client.data("Subject: x\n\nbody\n").startswith("250 ")
    remote.wait_messages(1)
    here.wait_log(r"smtp\[\d+\]: discarding EHLO keywords: PIPELINING SIZE$")
    assert commands(remote)[1] == "MAIL FROM:<a@here.test>"
    assert commands(remote)[2].endswith(" NOTIFY=NEVER")  # the table's words are instead of the list's


def test_old_servers_get_helo(make, sink):
    plain, refusing = sink(replies={"CONNECT": "220 sink SMTP"}), sink(replies={"EHLO": "502 5.5.1 what", "CONNECT": "220 sink ESMTP"})
    here = make(main_cf=braced("smtp_always_send_ehlo = no\ntransport_maps = inline:{ {one.test = smtp:[127.0.0.1]:%d}, {two.test = smtp:[127.0.0.1]:%d} }\n" %
                               (plain.port, refusing.port)))
    here.inject("a@here.test", ["b@one.test", "b@two.test"])
    plain.wait_messages(1), refusing.wait_messages(1)
    assert commands(plain)[0] == "HELO here.test"
    assert commands(refusing)[:2] == ["EHLO here.test", "HELO here.test"]


def test_reply_filter(make, sink):
    remote = sink(replies={"RCPT": "451 4.2.0 mailbox is gone for ever"})
    here = make(main_cf=braced(f"relayhost = [127.0.0.1]:{remote.port}\n"
                               "smtp_reply_filter = regexp:{ {/^451 4(.* gone .*)$$/ 550 5$$1} }\n"))
    here.inject("", "b@remote.test")
    here.wait_log(r"dsn=5\.2\.0, status=bounced \(host .* said: 550 5\.2\.0 mailbox is gone for ever \(in reply to RCPT TO command\)\)")


def test_a_reply_without_a_code(make, sink):
    remote = sink(replies={"RCPT": "what is this"})
    here = make(main_cf=f"relayhost = [127.0.0.1]:{remote.port}\n")
    here.inject("", "b@remote.test")
    here.wait_log(r"warning: non-ESMTP response from 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: what is this")
    here.wait_log(r"warning: to prevent loss of mail, turn off command pipelining for 127\.0\.0\.1 with the smtp_discard_ehlo_keyword_address_maps parameter")
    here.wait_log(r"to=<b@remote\.test>.* status=deferred")


def test_delivery_status_filter(make, sink):
    remote = sink(replies={"RCPT TO:<no@": "451 4.2.0 no", "RCPT TO:<soon@": "550 5.2.0 over quota", "RCPT TO:<bad@": "550 5.2.1 bad"})
    here = make(main_cf=braced(f"relayhost = [127.0.0.1]:{remote.port}\n"
                               "default_delivery_status_filter = regexp:{ {/^4(\\.2\\.0 .*said: 451.*)/ 5$$1}, {/^5(\\.2\\.0 .* quota .*)/ 4$$1},"
                               " {/^5\\.2\\.1/ 2.0.0 fine}, {/^2\\.0\\.0 .*/ 2.1.5 took it} }\n"))
    here.inject("", ["no@remote.test", "soon@remote.test", "bad@remote.test", "yes@remote.test"])
    here.wait_log(r"to=<no@remote\.test>.* dsn=5\.2\.0, status=bounced")
    here.wait_log(r"to=<soon@remote\.test>.* dsn=4\.2\.0, status=deferred")
    here.wait_log(r"to=<yes@remote\.test>.* dsn=2\.1\.5, status=sent \(took it\)")
    here.wait_log(r"to=<bad@remote\.test>.* dsn=5\.2\.1, status=bounced")
    here.wait_log(r"warning: smtp_delivery_status_filter: bad status code: 2\.0\.0 fine")


def test_best_mx_transport(make, sink, dns):
    names = dns("ours.test MX 10 here.test\nhere.test A 127.0.0.1\n")
    here = make(main_cf="best_mx_transport = error:5.1.9 we are it\nsmtp_tcp_port = 25\n", dns_port=names.port)
    here.inject("", ["b@ours.test", "c@ours.test"])
    here.wait_log(r"error\[\d+\]: \w+: to=<[bc]@ours\.test>, relay=none, .*dsn=5\.1\.9, status=bounced \(we are it\)", count=2)
    here.wait_queue_empty()


def test_lmtp_as_final_destination(make, sink):
    remote = sink(lmtp=True)
    here = make(main_cf=braced("lmtp_assume_final = yes\ntransport_maps = inline:{ {remote.test = lmtp:[127.0.0.1]:%d} }\n" % remote.port))
    with here.smtp() as client:
        client.say("EHLO client.test")
        client.say("MAIL FROM:<a@remote.test>")
        client.say("RCPT TO:<b@remote.test> NOTIFY=SUCCESS")
        assert client.data("Subject: x\n\nbody\n").startswith("250 ")
    notice = [message for message in remote.wait_messages(2) if message[0] == ""][0][2]
    assert "\r\nAction: delivered\r\n" in notice


def test_quoted_local_parts(make, sink):
    plain, quoted = sink(), sink()
    here = make(main_cf=braced("transport_maps = inline:{ {one.test = bare:[127.0.0.1]:%d}, {two.test = smtp:[127.0.0.1]:%d} }\n" % (plain.port, quoted.port)),
                master_cf="bare unix - - n - - smtp -o smtp_quote_rfc821_envelope=no\n")
    here.inject("a@here.test", ['"b c"@one.test', '"b c"@two.test', '"b>c"@one.test'])
    plain.wait_messages(1), quoted.wait_messages(1)
    said = [line for session in plain.sessions for line in session if line.startswith("RCPT")]
    assert sorted(said) == ['RCPT TO:<"b>c"@one.test>', "RCPT TO:<b c@one.test>"]
    assert 'RCPT TO:<"b c"@two.test>' in commands(quoted)


def test_an_own_address_that_cannot_be_bound(make, sink):
    remote = sink()
    for enforce, outcome in (("no", "sent"), ("yes", "deferred")):
        here = make(name=f"e{enforce}", main_cf=f"relayhost = [127.0.0.1]:{remote.port}\nsmtp_bind_address = 192.0.2.77\nsmtp_bind_address_enforce = {enforce}\n")
        here.inject("a@here.test", "b@remote.test")
        here.wait_log(r"smtp\[\d+\]: warning: smtp_connect_addr: bind 192\.0\.2\.77: Cannot assign requested address")
        here.wait_log(rf"to=<b@remote\.test>.*status={outcome}")


def test_checks_on_every_part_of_what_goes_out(make, sink):
    remote = sink()
    here = make(main_cf=braced(f"relayhost = [127.0.0.1]:{remote.port}\n"
                               "smtp_mime_header_checks = regexp:{ {/^Content-Disposition:/ STRIP not theirs} }\n"
                               "smtp_nested_header_checks = regexp:{ {/^X-Inner:/ REPLACE X-Outer: 1} }\n"
                               "smtp_body_checks = regexp:{ {/^secret/ IGNORE}, {/^sig/ PREPEND --}, {/^loud/ WARN hear}, {/^x/ REJECT} }\n"))
    here.inject("a@here.test", "b@remote.test", "Subject: parts\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
                "--b\nContent-Type: text/plain\nContent-Disposition: inline\n\nsecret\nsig\nloud\nx\n"
                "--b\nContent-Type: message/rfc822\n\nX-Inner: 0\nSubject: in\n\nin\n--b--\n")
    text = remote.wait_messages(1)[0][2]
    assert "Disposition" not in text and "secret" not in text and "\r\n--\r\nsig\r\nloud\r\nx\r\n--b\r\n" in text
    assert "\r\nX-Outer: 1\r\nSubject: in\r\n\r\nin\r\n--b--\r\n" in text
    for line in ("strip: header Content-Disposition: inline: not theirs", "replace: header X-Inner: 0: X-Outer: 1", "prepend: body sig: --",
                 "warning: body loud: hear"):
        here.wait_log(rf"smtp\[\d+\]: \w+: {re.escape(line)}$")
    here.wait_log(r"smtp\[\d+\]: warning: unsupported command in smtp_body_checks map: REJECT$")


def test_a_server_that_refuses_to_talk_is_named(make, sink):
    remote = sink(replies={"CONNECT": "421 4.3.2 too busy"})
    here = make(main_cf=f"relayhost = [127.0.0.1]:{remote.port}\n")
    here.inject("a@here.test", "b@remote.test")
    here.wait_log(r"relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, .*dsn=4\.3\.2, status=deferred \(host .* refused to talk to me: 421 4\.3\.2 too busy\)")
    assert commands(remote) == ["QUIT"]


def test_dns_records_that_are_not_to_be_seen(make, sink, dns):
    remote = sink()
    names = dns("remote.test MX 10 mx1.remote.test\nremote.test MX 20 mx2.remote.test\nmx1.remote.test A 127.0.0.99\nmx2.remote.test A 127.0.0.1\n"
                "gone.test MX 10 mx1.remote.test\n")
    here = make(main_cf=f"smtp_tcp_port = {remote.port}\nsmtp_dns_reply_filter = pcre:{{directory}}/etc/filter\n", dns_port=names.port,
                files={"filter": "/ A 127\\.0\\.0\\.99$/ IGNORE\n"})
    here.inject("a@here.test", "b@remote.test")
    remote.wait_messages(1)
    here.wait_log(r"ignoring DNS RR: mx1\.remote\.test\. \d+ IN A 127\.0\.0\.99$")
    here.inject("a@here.test", "b@gone.test")
    here.wait_log(r"dsn=4\.7\.0, status=deferred \(Error looking up name=mx1\.remote\.test type=A: DNS reply filter drops all results\)")


def test_srv_records(make, sink, dns):
    remote, second = sink(), sink()
    names = dns(f"_submission._tcp.remote.test SRV 10 5 {remote.port} h.remote.test.\n_submission._tcp.two.test SRV 20 5 {second.port} h.remote.test.\n"
                f"_submission._tcp.two.test SRV 10 5 1 h.remote.test.\nh.remote.test A 127.0.0.1\n_submission._tcp.none.test SRV 0 0 0 .\n"
                "_submission._tcp.fail.test SERVFAIL x\nplain.test A 127.0.0.1\nfail.test A 127.0.0.1\n")
    transports = ", ".join(f"{{{{{name}.test=smtp:{name}.test:submission}}}}" for name in ("remote", "two", "none", "fail", "plain"))
    text = f"use_srv_lookup = submission\ntransport_maps = inline:{{{{ {transports} }}}}\n"
    here = make(main_cf=text, dns_port=names.port)
    here.inject("a@here.test", "b@remote.test")
    assert remote.wait_messages(1)[0][1] == ["b@remote.test"]
    here.wait_log(rf"to=<b@remote\.test>, relay=h\.remote\.test\[127\.0\.0\.1\]:{remote.port}, ")
    here.inject("a@here.test", "b@two.test")
    assert second.wait_messages(1)[0][1] == ["b@two.test"]
    here.inject("a@here.test", "b@none.test")
    here.wait_log(r"to=<b@none\.test>, .*dsn=5\.4\.4, status=bounced \(Service submission is not available at domain none\.test\)")
    here.inject("a@here.test", "b@plain.test")
    here.wait_log(r"to=<b@plain\.test>, .*status=bounced \(Host or domain name not found\. Name service error for name=_submission\._tcp\.plain\.test type=SRV: Host not found\)")
    here.inject("a@here.test", "b@fail.test")
    here.wait_log(r"to=<b@fail\.test>, .*dsn=4\.4\.3, status=deferred \(.*type=SRV: Host not found, try again\)")
    there = make(name="there", main_cf=text + "allow_srv_lookup_fallback = yes\n", dns_port=names.port)
    there.inject("a@here.test", ["b@plain.test", "b@fail.test"])
    there.wait_log(r"to=<b@\w+\.test>, .*connect to (plain|fail)\.test\[127\.0\.0\.1\]:587: Connection refused", 2)


def test_many_recipients_at_once(make, sink):
    remote = sink()
    here = make(main_cf=f"relayhost = [127.0.0.1]:{remote.port}\nsmtpd_recipient_limit = 2000\nsmtp_destination_recipient_limit = 2000\n")
    recipients = [f"r{i}@remote.test" for i in range(1100)]
    assert here.inject("a@here.test", recipients).startswith("250 ")
    assert sorted(remote.wait_messages(1)[0][1]) == sorted(recipients)


def test_limits_of_sessions_and_of_reuse(make, sink):
    busy = sink(replies={"CONNECT": "421 4.3.2 busy"})
    good = sink()
    here = make(main_cf=f"relayhost = [127.0.0.1]:{busy.port}, [127.0.0.1]:{busy.port}, [127.0.0.1]:{good.port}\nsmtp_mx_session_limit = 1\n")
    here.inject("a@here.test", "b@remote.test")      # who refuses to talk is not counted
    good.wait_messages(1)
    there = make(name="there", main_cf=f"relayhost = [127.0.0.1]:{good.port}\nsmtp_connection_cache_destinations = 127.0.0.1\n"
                 "smtp_connection_reuse_count_limit = 1\nsmtp_connection_cache_time_limit = 10s\nworker_processes = 1\n")
    for count in range(2, 5):
        there.inject("a@here.test", "b@remote.test")
        good.wait_messages(count)
        there.wait_log("status=sent", count - 1)
    assert len(there.wait_log(r"conn_use=2,")) == 1 and len(good.sessions) == 3


def test_transcript_to_the_postmaster(make, sink):
    remote = sink(replies={"RCPT TO:<odd@": "555 5.5.4 what?", "RCPT TO:<no@": "550 5.1.1 no"})
    here = make(main_cf=f"relayhost = [127.0.0.1]:{remote.port}\nnotify_classes = protocol\nerror_notice_recipient = boss@remote.test\n"
                        "smtp_connection_cache_on_demand = no\n")
    here.inject("a@here.test", "no@remote.test")
    here.wait_log(r"to=<a@here\.test>")
    here.inject("a@here.test", "odd@remote.test")
    sender, recipients, text = next(m for m in remote.wait_messages(1) if m[1] == ["boss@remote.test"])
    assert sender.startswith("double-bounce@") and "\r\nTo: Postmaster <boss@remote.test>\r\n" in text
    assert f"\r\nSubject: Postfix SMTP client: errors from 127.0.0.1[127.0.0.1]:{remote.port}\r\n" in text
    assert "\r\n Out: RCPT TO:<odd@remote.test>\r\n" in text and "\r\n In:  555 5.5.4 what?\r\n" in text and "no@remote.test" not in text


def test_notices_of_refused_recipients_go_to_whom_bounces_go(make, sink):
    remote = sink()
    here = make(main_cf=f"relayhost = [127.0.0.1]:{remote.port}\nnotify_classes = bounce\nbounce_notice_recipient = bounces@remote.test\nerror_notice_recipient = errors@remote.test\n"
                "local_recipient_maps = inline:{{a=x}}\n")
    assert here.inject("x@client.test", "nobody-here@here.test").startswith("550 5.1.1 ")
    _, recipients, text = remote.wait_messages(1)[0]
    assert recipients == ["bounces@remote.test"] and "To: Postmaster <errors@remote.test>" in text and "SMTP server: errors from localhost[127.0.0.1]" in text
