"""RFC 8689: REQUIRETLS from the door to the next host and into notices, and the header TLS-Required."""
import re
import ssl

import pytest
from harness import wait_until
from test_tls_client import pair
from test_tls_server import Authority


ENABLE = "requiretls_enable = yes\n"
HOLD = "smtpd_recipient_restrictions = check_recipient_access static:HOLD\n"


def tls(smtp):
    """STARTTLS in a dialogue; the EHLO reply afterwards."""
    assert smtp.say("STARTTLS").startswith("220")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    smtp.file.close()
    smtp.socket = context.wrap_socket(smtp.socket)
    smtp.file = smtp.socket.makefile("rb")
    return smtp.say("EHLO client.test")


def options_of(instance):
    """The send options of the one message in the queue, as postcat shows them."""
    queue = instance.queue()
    assert len(queue) == 1, queue
    shown = instance.command("postcat", "-eq", queue[0]["queue_id"], check=True).stdout
    return int(re.search(r"^message_size:(?: +\d+){5} +(\d+)$", shown, re.M).group(1))


def send(here, recipient="b@there.test", sender="a@here.test", header="", require=True):
    options = ["-O", "requiretls=yes"] if require else []
    here.command("sendmail", "-i", "-f", sender, *options, recipient, check=True,
                 input=f"From: {sender}\nSubject: a secret subject\nMessage-Id: <original@here.test>\n{header}\nThe body.\n")


def test_at_the_door(make, base):
    authority = Authority(base + "/ca")
    authority.sign("there", "there.test")
    here = make(main_cf=ENABLE + f"smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {authority.path('there.chain')}\n" + HOLD)
    with here.smtp() as smtp:
        assert "REQUIRETLS" not in smtp.say("EHLO client.test")
        assert smtp.say("MAIL FROM:<a@x.test> REQUIRETLS") == "530 5.7.10 Error: REQUIRETLS needs TLS, issue a STARTTLS command first"
        assert "\n250 REQUIRETLS" in tls(smtp)
        assert smtp.say("MAIL FROM:<a@x.test> REQUIRETLS=1").startswith("555 5.5.4 Unsupported option")
        assert smtp.say("MAIL FROM:<a@x.test> RET=FULL REQUIRETLS").startswith("250")
        assert smtp.say("RCPT TO:<held@here.test>").startswith("250")
        assert smtp.data("Subject: x\r\nTLS-Required: No\r\n\r\nHello\r\n").startswith("250")
    assert options_of(here) == 32  # the header counts for nothing then
    shown = here.command("postcat", "-hq", here.queue()[0]["queue_id"], check=True).stdout
    assert re.search(r"^Require-TLS-ESMTP: yes$", shown, re.M)
    here.command("postsuper", "-d", "ALL", check=True)
    here.command("postconf", "requiretls_enable=no", check=True)
    here.reload()
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        assert "REQUIRETLS" not in tls(smtp)
        assert smtp.say("MAIL FROM:<a@x.test> REQUIRETLS") == "555 5.5.4 Unsupported option: REQUIRETLS"


def test_passed_on(make, base):
    here, there = pair(make, base, "secure match=there.test", server=ENABLE, client=ENABLE + "smtp_requiretls_policy = enforce\n")
    there.command("postconf", HOLD.strip(), check=True)
    there.reload()
    send(here)
    here.wait_log(r"Verified TLS connection established to")
    here.wait_log(r"status=sent")
    wait_until(there.queue, "mail on the other side")
    assert options_of(there) == 32


def test_the_server_does_not_take_it(make, base):
    here, there = pair(make, base, "secure match=there.test", server=ENABLE, client=ENABLE + "smtp_requiretls_policy = enforce\n")
    there.command("postconf", "requiretls_enable=no", check=True)
    there.reload()
    send(here, sender="nobody@here.test")
    here.wait_log(r"dsn=5\.7\.30, status=bounced \(Sender requested REQUIRETLS, but it was not offered by host 127\.0\.0\.1\[127\.0\.0\.1\]\)")
    here.wait_log(r"sender non-delivery notification")
    here.command("postconf", "smtp_requiretls_policy=inline:{ {127.0.0.1=opportunistic} }, enforce", check=True)
    here.reload()
    send(here)
    here.wait_log(r"status=sent")


@pytest.mark.parametrize("redact, options", [("yes", 0), ("no", 32)])
def test_notices_tell_nothing(make, base, redact, options):
    here, there = pair(make, base, "secure match=elsewhere.test",
                       server=ENABLE, client=ENABLE + f"smtp_requiretls_policy = enforce\nrequiretls_redact_dsn = {redact}\nsender_dependent_relayhost_maps = inline:{{{{ <>=[127.0.0.1]:1 }}}}\n")
    send(here, sender="a@far.test")
    here.wait_log(r"to=<b@there\.test>.*dsn=5\.7\.10, status=bounced \(Sender requested REQUIRETLS, but: Server certificate not verified\)")
    wait_until(lambda: [m for m in here.queue() if m["sender"] == "MAILER-DAEMON"], "a notice")
    wait_until(lambda: len(here.queue()) == 1, "the original is gone")
    assert there.queue() == []
    assert options_of(here) == options
    shown = here.command("postcat", "-q", here.queue()[0]["queue_id"], check=True).stdout
    assert "<original@here.test>" in shown and "The body." not in shown
    assert ("a secret subject" in shown) == (redact == "no")


def test_nobody_takes_the_clear(make, base, sink):
    plain = sink()
    here = make(main_cf=ENABLE + f"smtp_tls_security_level = may\nsmtp_requiretls_policy = enforce\nrelayhost = [127.0.0.1]:{plain.port}\n")
    send(here)
    here.wait_log(r"dsn=5\.7\.10, status=bounced \(Sender requested REQUIRETLS, but: TLS is required, but was not offered by host")
    assert plain.messages == []
    here.command("postconf", "-#", "smtp_requiretls_policy", check=True)  # addresses are opportunistic
    here.reload()
    send(here)
    plain.wait_messages(1)
    assert not [c for c in plain.sessions[-1] if "REQUIRETLS" in c]


def test_other_hosts_are_tried(make, base, dns):
    authority = Authority(base + "/ca")
    authority.sign("mx", "mx.far.test")
    names = dns("far.test MX 10 one.far.test\nfar.test MX 20 mx.far.test\none.far.test A 127.0.0.1\nmx.far.test A 127.0.0.2\n")
    server = ENABLE + f"smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {authority.path('mx.chain')}\nlocal_transport = discard\n"
    one = make("one", main_cf=server + "requiretls_enable = no\n")
    mx = make("mx", main_cf=server, master_cf=f"127.0.0.2:{one.port} inet n - n - - smtpd\n")
    assert mx
    here = make("here", main_cf=ENABLE + f"smtp_tls_security_level = secure\nsmtp_tls_secure_cert_match = mx.far.test\nsmtp_tls_CAfile = {authority.path('ca.pem')}\n"
                f"smtp_requiretls_policy = enforce\nsmtp_tcp_port = {one.port}\ndns_servers = 127.0.0.1:{names.port}\nsmtp_host_lookup = dns\n")
    send(here, "b@far.test")
    here.wait_log(r": Sender requested REQUIRETLS, but it was not offered by host one\.far\.test\[127\.0\.0\.1\]")
    here.wait_log(r"relay=mx\.far\.test\[127\.0\.0\.2\].*status=sent")
    here.command("postconf", "smtp_tls_security_level=may", check=True)  # the MX records are not signed
    here.reload()
    send(here, "b@far.test")
    here.wait_log(r"dsn=5\.7\.10, status=bounced \(Sender requested REQUIRETLS, but the mail servers of far\.test were not found by DNSSEC or MTA-STS\)")


def test_tls_required_no(make, base):
    here, there = pair(make, base, "secure match=elsewhere.test")
    send(here, require=False)
    here.wait_log(r"status=deferred \(Server certificate not verified\)")
    here.command("postsuper", "-d", "ALL", check=True)
    there.command("postconf", HOLD.strip(), check=True)
    there.reload()
    send(here, require=False, header="TLS-Required: No\n")
    here.wait_log(r"Trusted TLS connection established to")  # TLS all the same
    here.wait_log(r"status=sent")
    wait_until(there.queue, "mail on the other side")
    assert options_of(there) == 16
    here.command("postconf", "tls_required_enable=no", check=True)
    here.reload()
    send(here, require=False, header="TLS-Required: no\n")
    here.wait_log(r"status=deferred \(Server certificate not verified\)", 2)
