"""Relaying: next hops, fallback, deferral, notifications, LMTP."""
import re

from harness import wait_until

ZONE = "remote.test MX 10 mx1.remote.test\nremote.test MX 20 mx2.remote.test\nmx1.remote.test A 127.0.0.1\nmx2.remote.test A 127.0.0.1\nnull.test MX 0 .\n"
RETRY = "queue_run_delay = 1s\nminimal_backoff_time = 1s\nmaximal_backoff_time = 2s\n"


def test_by_mx(make, sink, dns):
    remote = sink()
    names = dns(ZONE)
    here = make(main_cf=f"smtp_tcp_port = {remote.port}\n", dns_port=names.port)
    assert here.inject("a@here.test", ["b@remote.test", "c@remote.test"], "Subject: relayed\n\n.x\n").startswith("250 ")
    sender, recipients, text = remote.wait_messages(1)[0]
    assert (sender, recipients) == ("a@here.test", ["b@remote.test", "c@remote.test"])
    assert text.startswith("Received: from client.test (localhost [127.0.0.1])\r\n\tby here.test (Postfix) with ESMTP id ")
    assert text.endswith("\r\n\r\n.x\r\n")
    here.wait_log(rf"smtp\[\d+\]: \w+: to=<b@remote\.test>, relay=mx1\.remote\.test\[127\.0\.0\.1\]:{remote.port}, delay=[\d.]+, delays=[\d./]+, dsn=2\.0\.0, status=sent \(250 2\.0\.0 stored\)")
    here.wait_queue_empty()


def test_the_next_host_is_tried(make, sink, dns):
    busy, good = sink(replies={"CONNECT": "421 4.3.2 busy"}), sink()
    names = dns("")
    here = make(main_cf=f"relayhost = [127.0.0.1]:{busy.port}\nsmtp_fallback_relay = [127.0.0.1]:{good.port}\n", dns_port=names.port)
    here.inject("a@here.test", "b@remote.test")
    good.wait_messages(1)
    here.wait_log(r"host 127\.0\.0\.1\[127\.0\.0\.1\] refused to talk to me: 421 4\.3\.2 busy")


def test_deferred_then_flushed(make, sink, dns):
    remote = sink(replies={"RCPT": ["451 4.2.1 busy", "250 2.1.5 ok"]})
    names = dns(ZONE.replace("remote.test MX 20 mx2.remote.test\n", ""))
    here = make(main_cf=f"smtp_tcp_port = {remote.port}\n", dns_port=names.port)
    here.inject("a@here.test", "b@remote.test")
    here.wait_log(r"dsn=4\.2\.1, status=deferred \(host mx1\.remote\.test\[127\.0\.0\.1\] said: 451 4\.2\.1 busy \(in reply to RCPT TO command\)\)")
    entry = here.queue()[0]
    assert entry["queue_name"] == "deferred"
    assert entry["recipients"][0]["delay_reason"] == "host mx1.remote.test[127.0.0.1] said: 451 4.2.1 busy (in reply to RCPT TO command)"
    here.command("postqueue", "-f", check=True)
    remote.wait_messages(1)
    here.wait_queue_empty()


def test_retried_by_itself(make, sink):
    remote = sink(replies={"RCPT": ["451 4.3.0 later", "451 4.3.0 later", "451 4.3.0 later", "250 ok"]})
    here = make(main_cf=f"relayhost = [127.0.0.1]:{remote.port}\n" + RETRY)
    here.inject("a@here.test", "b@remote.test")
    remote.wait_messages(1, timeout=30)
    here.wait_log("status=deferred", 2)


def test_refused_mail_is_returned(make, sink):
    remote = sink(replies={"RCPT TO:<no@": "550 5.1.1 unknown here"})
    here = make(main_cf=f"relayhost = [127.0.0.1]:{remote.port}\n")
    here.inject("sender@client.test", ["no@remote.test", "yes@remote.test"], "Subject: to two\n\nBody.\n")
    messages = remote.wait_messages(2)
    bounce = [message for message in messages if message[0] == ""][0]
    assert bounce[1] == ["sender@client.test"]
    text = bounce[2].replace("\r\n", "\n")
    assert "Subject: Undelivered Mail Returned to Sender" in text and "Content-Type: multipart/report; report-type=delivery-status;" in text
    assert "Final-Recipient: rfc822; no@remote.test\n" in text and "Action: failed\nStatus: 5.1.1\n" in text and "Diagnostic-Code: smtp; 550 5.1.1 unknown here\n" in text
    assert "yes@remote.test" not in text.split("message/rfc822")[0]
    assert "Subject: to two" in text
    here.wait_log(r"bounce\[\d+\]: \w+: sender non-delivery notification: \w+")
    here.wait_queue_empty()


def test_null_mx_and_unknown_domains(make, sink, dns):
    remote = sink()
    names = dns(ZONE)
    here = make(main_cf=f"smtp_tcp_port = {remote.port}\n", dns_port=names.port)
    here.inject("a@here.test", ["x@null.test", "y@nowhere.test"])
    here.wait_log(r"to=<x@null\.test>, relay=none, .*dsn=5\.1\.0, status=bounced \(Domain null\.test does not accept mail \(nullMX\)\)")
    here.wait_log(r"to=<y@nowhere\.test>, relay=none, .*dsn=5\.4\.4, status=bounced \(Host or domain name not found\. Name service error for name=nowhere\.test type=A: Host not found\)")


def test_nobody_listens(make):
    here = make(main_cf="relayhost = [127.0.0.1]:1\n")
    here.inject("a@here.test", "b@remote.test")
    here.wait_log(r"relay=none, .*dsn=4\.4\.1, status=deferred \(connect to 127\.0\.0\.1\[127\.0\.0\.1\]:1: Connection refused\)")
    assert here.queue()[0]["queue_name"] == "deferred"


def test_lmtp_answers_for_each_recipient(make, sink):
    store = sink(lmtp=True)
    here = make(main_cf=f"default_transport = lmtp:inet:127.0.0.1:{store.port}\n")
    here.inject("a@here.test", ["b@remote.test", "c@remote.test"])
    store.wait_messages(1)
    here.wait_log(r"lmtp\[\d+\]: \w+: to=<[bc]@remote\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, .*status=sent", 2)
    assert store.sessions[0][0] == "LHLO here.test"


def test_success_notice(make, sink):
    remote = sink()
    here = make(main_cf=f"relayhost = [127.0.0.1]:{remote.port}\n")
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        smtp.say("MAIL FROM:<a@client.test> RET=HDRS ENVID=q1")
        smtp.say("RCPT TO:<b@remote.test> NOTIFY=SUCCESS ORCPT=rfc822;b@remote.test")
        assert smtp.data("Subject: please tell\n\nx\n").startswith("250")
    notice = [m for m in remote.wait_messages(2) if m[0] == ""][0]
    text = notice[2].replace("\r\n", "\n")
    assert notice[1] == ["a@client.test"]
    assert "Original-Envelope-Id: q1\n" in text and "Action: relayed\nStatus: 2.0.0\n" in text
    here.wait_queue_empty()


def test_expired_mail_is_returned(make, sink):
    remote = sink(replies={"RCPT TO:<never@": "451 4.2.1 never"})
    here = make(main_cf=f"relayhost = [127.0.0.1]:{remote.port}\nmaximal_queue_lifetime = 2s\nbounce_queue_lifetime = 2s\n" + RETRY)
    here.inject("a@client.test", "never@remote.test")
    here.wait_log(r"qmgr\[\d+\]: \w+: from=<a@client\.test>, status=expired, returned to sender", timeout=30)
    assert remote.wait_messages(1)[0][1] == ["a@client.test"]


def test_connections_are_reused_under_load(make, sink):
    remote = sink()
    here = make(main_cf=f"relayhost = [127.0.0.1]:{remote.port}\n")
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        for i in range(60):
            assert smtp.mail("a@client.test", [f"r{i}@remote.test"], "Subject: x\n\nx\n").startswith("250")
    remote.wait_messages(60)
    assert len(remote.sessions) < 60
    assert here.wait_log("conn_use=")


def test_transport_table_and_special_transports(make, sink):
    remote = sink()
    here = make(main_cf=f"smtpd_reject_unlisted_recipient = no\ntransport_maps = inline:{{{{ a.test=smtp:[127.0.0.1]:{remote.port}, {{{{ b.test = error:5.7.9 not here }}}}, {{{{ c.test = retry:later }}}}, {{{{ d.test = discard:gone }}}} }}}}\n")
    here.inject("", ["x@a.test", "x@b.test", "x@c.test", "x@d.test"])
    remote.wait_messages(1)
    here.wait_log(r"error\[\d+\]: \w+: to=<x@b\.test>, relay=none, .*dsn=5\.7\.9, status=bounced \(not here\)")
    here.wait_log(r"(retry|error)\[\d+\]: \w+: to=<x@c\.test>, relay=none, .*dsn=4\.\d\.\d, status=deferred \(later\)")
    here.wait_log(r"discard\[\d+\]: \w+: to=<x@d\.test>, relay=none, .*dsn=2\.0\.0, status=sent \(gone\)")
    assert re.search("x@c.test", str(here.queue()))


def test_domain_in_its_own_script(make, sink, dns):
    remote = sink(ehlo=["SMTPUTF8", "8BITMIME"])
    names = dns("xn--bcher-kva.test MX 10 mx1.remote.test\nmx1.remote.test A 127.0.0.1\n")
    here = make(main_cf=f"smtp_tcp_port = {remote.port}\n", dns_port=names.port)
    here.command("sendmail", "-f", "me@here.test", "x@b\u00fccher.test", input="Subject: x\n\nbody\n", check=True)
    assert remote.wait_messages(1)[0][1] == ["x@b\u00fccher.test"]


def test_alias_of_a_server(make, sink, dns):
    remote = sink()
    names = dns("remote.test MX 10 www.remote.test\nwww.remote.test CNAME real.remote.test\nreal.remote.test A 127.0.0.1\n")
    here = make(main_cf=f"smtp_tcp_port = {remote.port}\n", dns_port=names.port)
    here.inject("a@here.test", "b@remote.test")
    here.wait_log(r"to=<b@remote\.test>, relay=www\.remote\.test\[127\.0\.0\.1\]")
    here.command("postconf", "smtp_cname_overrides_servername=yes", check=True)
    here.reload()
    here.inject("a@here.test", "c@remote.test")
    here.wait_log(r"to=<c@remote\.test>, relay=real\.remote\.test\[127\.0\.0\.1\]")


def test_an_address_of_a_protocol_that_is_off(make):
    here = make(main_cf="inet_protocols = ipv4\ndefault_transport = smtp:[::1]:1\n")
    here.inject("a@here.test", "b@remote.test")
    here.wait_log(r"relay=none, .*dsn=5\.4\.4, status=bounced \(Name service error for ::1: invalid host or domain name\)")


def test_mail_exchangers_with_names_of_no_host(make, sink, dns):
    remote = sink()
    names = dns("some.test MX 5 -x.test.\nsome.test MX 9 good.test.\ngood.test A 127.0.0.1\n-x.test A 127.0.0.1\nall.test MX 5 -x.test.\n")
    here = make(main_cf=f"smtp_tcp_port = {remote.port}\n", dns_port=names.port)
    here.inject("a@here.test", ["x@some.test", "y@all.test"])
    here.wait_log(r"warning: valid_hostname: misplaced hyphen: -x\.test")
    here.wait_log(r"warning: malformed domain name in resource data of MX record for some\.test: -x\.test")
    here.wait_log(r"to=<x@some\.test>, relay=good\.test\[127\.0\.0\.1\]:\d+, .*status=sent")
    here.wait_log(r"to=<y@all\.test>, .*dsn=5\.4\.4, status=bounced \(Name service error for name=all\.test type=MX: Malformed or unexpected name server reply\)")


def test_aliases_that_the_name_server_does_not_follow(make, sink, dns):
    remote = sink()
    names = dns("one.test ALIAS two.test\ntwo.test ALIAS three.test\nthree.test A 127.0.0.1\nring.test ALIAS other.test\nother.test ALIAS ring.test\n"
                "ends.test ALIAS none.test\nnone.test TXT x\n")
    here = make(main_cf=f"smtp_tcp_port = {remote.port}\n", dns_port=names.port)
    here.inject("a@here.test", ["x@one.test", "y@ring.test", "z@ends.test"])
    here.wait_log(r"to=<x@one\.test>, relay=one\.test\[127\.0\.0\.1\]:\d+, .*status=sent")
    here.wait_log(r"warning: dns_lookup: Name server loop for ring\.test", 2)
    here.wait_log(r"to=<y@ring\.test>, relay=none, .*dsn=5\.4\.4, status=bounced \(Name server loop for ring\.test\)")
    here.wait_log(r"to=<z@ends\.test>, .*dsn=5\.4\.4, status=bounced \(Host or domain name not found\. Name service error for name=none\.test type=A: Host found but")


def test_the_end_of_a_delay_is_told(make, sink):
    remote = sink(replies={"RCPT TO:<late": ["451 4.2.0 later", "451 4.2.0 later", "250 ok"], "RCPT TO:<quiet": ["451 4.2.0 later", "451 4.2.0 later", "250 ok"]})
    here = make(main_cf=f"relayhost = [127.0.0.1]:{remote.port}\n" + RETRY + "delay_warning_time = 1s\nconfirm_delay_cleared = yes\ninfo_log_address_format = internal\n")
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        smtp.say('MAIL FROM:<"a b"@remote.test>')
        smtp.say("RCPT TO:<late@remote.test>")
        smtp.say("RCPT TO:<quiet@remote.test> NOTIFY=FAILURE")
        assert smtp.data("Subject: x\r\n\r\nx\r\n").startswith("250")
    here.wait_log("sender delay notification: ")
    here.wait_log("sender delivery status notification: ")
    text = wait_until(lambda: [m[2] for m in remote.messages if "Successful Mail Delivery Report" in m[2]], "the report")[0]
    assert "late@remote.test" in text and "quiet@remote.test" not in text
    here.wait_log(": from=<a b@remote.test>, size=")
