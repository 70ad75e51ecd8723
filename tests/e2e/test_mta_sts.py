"""MTA-STS: policies of domains from a web server on loopback, and what they do to mail."""
import http.server
import os
import signal
import ssl
import threading
import time

import pytest

from harness import wait_until
from test_tls_server import Authority

POLICY = "version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: {age}\r\n"


class Web:
    """An HTTPS server that gives what is in pages (path -> (status, type, text)) and remembers what it was asked and sent."""

    def __init__(self, authority, host):
        self.pages, self.asked, self.posted = {}, [], []
        self.delay = 0 # seconds before a page is given
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                status, kind, text = web.pages.get(self.path, (404, "text/html", "nothing here"))
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", text)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def do_GET(self):
                web.asked.append(self.headers["Host"].split(":")[0] + self.path)
                self.answer_late()

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                web.posted.append((self.path, self.headers["Content-Type"], body))
                self.answer_late()

            def answer_late(self):
                time.sleep(web.delay)
                try:
                    self.answer()
                except OSError: # whoever asked has gone
                    pass

            def log_message(self, *_):
                pass

        authority.sign("web-" + host, host)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.path(f"web-{host}.chain"))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # Each connection shakes hands in its own thread: one that says nothing must not hold up the others.
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.server.handle_error = lambda *_: None # a client that does not trust us goes away in the middle of the handshake
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def policy(self, mode="enforce", mx="mx.there.test", age=86400, status=200, kind="text/plain; charset=utf-8", text=None):
        self.pages["/.well-known/mta-sts.txt"] = (status, kind, text or POLICY.format(mode=mode, mx=mx, age=age))

    def close(self):
        self.server.shutdown()
        self.server.server_close()


ZONE = """\
there.test MX 10 mx.there.test.
mx.there.test A 127.0.0.1
mta-sts.there.test A 127.0.0.1
_mta-sts.there.test TXT "v=STSv1; id=1;"
"""

SENDER = """\
smtp_tls_mta_sts = yes
smtp_tls_security_level = may
smtp_tls_loglevel = 1
smtp_host_lookup = dns
minimal_backoff_time = 1s
queue_run_delay = 1s
"""

MANAGER = "tlsmgr unix - - n 1000? 1 tlsmgr\n"


@pytest.fixture
def web(base):
    made = []

    def start(authority, host="mta-sts.there.test"):
        made.append(Web(authority, host))
        return made[-1]

    yield start
    for server in made:
        server.close()


class World:
    """A sender, a receiver whose certificate is for mx.there.test (or another name), a web server, a name server."""

    def __init__(self, make, dns, base, web, name="mx.there.test", receiver="", sender="", zone="", master=MANAGER):
        self.authority = Authority(base + "/ca")
        self.authority.sign("there", name)
        self.web = web(self.authority)
        self.dns = dns(ZONE + zone.strip())
        self.there = make("there", main_cf=f"smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {self.authority.path('there.chain')}\n"
                          "local_transport = discard\n" + receiver)
        self.here = make(dns_port=self.dns.port, started=False, master_cf=master, main_cf=SENDER + f"smtp_tcp_port = {self.there.port}\n"
                         f"smtp_tls_web_CAfile = {self.authority.path('ca.pem')}\nsmtp_tls_web_port = {self.web.port}\n" + sender)

    def send(self, to="a@there.test"):
        self.here.inject("me@here.test", to)

    def processes(self):
        return {pid for pid, name in self.here.pids() if name in ("smtp", "tlsmgr")}

    def reload(self):
        """postfix reload, until those have gone that know what was before."""
        old = self.processes()
        self.here.reload()
        wait_until(lambda: not old & self.processes(), "the end of the old smtp and tlsmgr")


def test_a_policy_is_enforced(make, dns, base, web):
    w = World(make, dns, base, web)
    w.web.policy()
    w.here.start()
    w.send()
    w.here.wait_log(r"tlsmgr\[\d+\]: MTA-STS policy of there\.test \(id 1\): mode enforce, 1 mx, max_age 86400")
    w.here.wait_log(r"Verified TLS connection established to mx\.there\.test\[127\.0\.0\.1\]:\d+: TLSv1\.3")
    w.here.wait_log(r"status=sent")
    for _ in range(3):
        w.send()
    w.here.wait_log(r"status=sent", 4)
    assert w.web.asked == ["mta-sts.there.test/.well-known/mta-sts.txt"]


def test_what_a_policy_forbids_is_deferred(make, dns, base, web, sink):
    w = World(make, dns, base, web, name="elsewhere.test", zone="""
        other.test MX 10 evil.test.
        evil.test A 127.0.0.1
        mta-sts.other.test A 127.0.0.1
        _mta-sts.other.test TXT "v=STSv1; id=1;"
        """)
    w.web.policy()
    w.here.start()
    w.send()  # the certificate is of another host
    w.here.wait_log(r"dsn=4\.7\.5, status=deferred \(MTA-STS policy of there\.test: Server certificate not verified\)")
    w.send("a@other.test")  # the web server's certificate is not for this domain: no policy, the mail goes
    w.here.wait_log(r"MTA-STS policy of other\.test \(id 1\): sts-webpki-invalid: ")
    w.here.wait_log(r"to=<a@other\.test>.*status=sent")
    w.web.policy(mx="*.somewhere.test")
    w.dns.records["_mta-sts.there.test"] = [("TXT", '"v=STSv1; id=2;"')]
    w.reload()
    w.send("b@there.test")
    w.here.wait_log(r"MTA-STS policy of there\.test \(id 2\): mode enforce")
    w.here.wait_log(r"to=<b@there\.test>.*dsn=4\.7\.5, status=deferred \(MTA-STS policy of there\.test does not name the host mx\.there\.test\)")


def test_a_host_without_tls_is_not_used(make, dns, base, web):
    w = World(make, dns, base, web, receiver="smtpd_tls_security_level = none\n")
    w.web.policy()
    w.here.start()
    w.send()
    w.here.wait_log(r"dsn=4\.7\.4, status=deferred \(MTA-STS policy of there\.test: TLS is required, but was not offered by host mx\.there\.test\[127\.0\.0\.1\]\)")


def test_testing_mode_only_tells(make, dns, base, web):
    w = World(make, dns, base, web, name="elsewhere.test")
    w.web.policy(mode="testing")
    w.here.start()
    w.send()
    w.here.wait_log(r"warning: MTA-STS policy of there\.test: Server certificate of mx\.there\.test\[127\.0\.0\.1\]:\d+ not verified: delivering all the same")
    w.here.wait_log(r"status=sent")
    w.web.policy(mode="testing", mx="mx.elsewhere.test")
    w.dns.records["_mta-sts.there.test"] = [("TXT", '"v=STSv1; id=2;"')]
    w.reload()
    w.send()
    w.here.wait_log(r"warning: MTA-STS policy of there\.test does not name the host mx\.there\.test: delivering all the same")
    w.here.wait_log(r"status=sent", 2)


def test_a_policy_outlives_a_restart_and_a_web_server_that_is_down(make, dns, base, web):
    w = World(make, dns, base, web, name="elsewhere.test")
    w.web.policy()
    w.here.start()
    w.send()
    w.here.wait_log(r"status=deferred \(MTA-STS policy of there\.test: Server certificate not verified\)")
    w.here.stop()
    w.web.close()
    w.dns.records["_mta-sts.there.test"] = [("TXT", '"v=STSv1; id=2;"')]  # another one, which cannot be fetched
    w.here.start()
    w.send("b@there.test")
    w.here.wait_log(r"MTA-STS policy of there\.test \(id 2\): sts-policy-fetch-error: .*: going on with the policy that is known")
    w.here.wait_log(r"to=<b@there\.test>.*status=deferred \(MTA-STS policy of there\.test: Server certificate not verified\)")
    del w.dns.records["_mta-sts.there.test"]  # not even announced any more
    w.reload()
    w.send("c@there.test")
    w.here.wait_log(r"to=<c@there\.test>.*status=deferred \(MTA-STS policy of there\.test: Server certificate not verified\)")


@pytest.mark.parametrize("page, failure", [
    (dict(text="version: STSv1\nmode: enforce\n"), "sts-policy-invalid: no max_age"),
    (dict(kind="text/html"), 'sts-policy-invalid: media type "text/html"'),
    (dict(status=301, text="https://mta-sts.there.test/other"), "sts-policy-fetch-error: the web server answers with status 301"),
    (dict(text="version: STSv1\n" + "x: y\n" * 20000), "sts-policy-fetch-error: the answer is too long"),
])
def test_what_is_no_policy_stops_no_mail(make, dns, base, web, page, failure):
    w = World(make, dns, base, web, name="elsewhere.test")
    w.web.policy(**page)
    w.here.start()
    w.send()
    w.here.wait_log(r"MTA-STS policy of there\.test \(id 1\): " + failure)
    w.here.wait_log(r"status=sent")
    w.send()
    w.here.wait_log(r"status=sent", 2)
    assert len(w.web.asked) == 1  # not again for a while


def test_tables_stand_above_policies(make, dns, base, web):
    w = World(make, dns, base, web, name="elsewhere.test", sender="smtp_tls_policy_maps = inline:{{ there.test=encrypt }}\n")
    w.web.policy()
    w.here.start()
    w.send()
    w.here.wait_log(r"status=sent")
    assert not w.web.asked


def test_without_tlsmgr_mail_goes_on(make, dns, base, web):
    w = World(make, dns, base, web, master="")
    w.here.start()
    w.send()
    w.here.wait_log(r"warning: problem talking to service private/tlsmgr: .*going on without MTA-STS")
    w.here.wait_log(r"status=sent")


def test_a_policy_counts_though_tlsmgr_dies_while_it_is_asked(make, dns, base, web):
    world = World(make, dns, base, web)
    world.web.policy(mx="other.there.test")
    world.web.delay = 2
    world.here.start()
    world.send()
    wait_until(lambda: world.web.asked, "a question")
    world.web.delay = 0
    for pid, name in world.here.pids():
        if name == "tlsmgr":
            os.kill(pid, signal.SIGKILL)
    world.here.wait_log(r"status=deferred \(MTA-STS policy of there\.test does not name the host")
    assert not world.here.log_lines("status=sent")


def test_what_is_slow_holds_up_nobody_else(make, dns, base, web, sink):
    w = World(make, dns, base, web, zone="""
        slow.test MX 10 mx.there.test.
        mta-sts.slow.test DROP
        _mta-sts.slow.test TXT "v=STSv1; id=1;"
        """)
    w.web.policy()
    w.here.start()
    w.send("a@slow.test")
    time.sleep(0.5)
    w.send("b@there.test")
    w.here.wait_log(r"to=<b@there\.test>.*status=sent")
    assert not w.here.log_lines(r"to=<a@slow\.test>")
    wait_until(lambda: w.here.log_lines(r"to=<a@slow\.test>.*status=sent"), "mail to slow.test", 60)


def test_many_slow_domains_hold_up_nobody_else(make, dns, base, web):
    slow = "".join(f'slow{n}.test MX 10 mx.there.test.\nmta-sts.slow{n}.test DROP\n_mta-sts.slow{n}.test TXT "v=STSv1; id=1;"\n' for n in range(50))
    w = World(make, dns, base, web, zone=slow)
    w.web.policy()
    w.here.start()
    with w.here.smtp() as smtp:
        smtp.say("EHLO client.test")
        for n in range(50):
            assert smtp.mail("me@here.test", [f"a@slow{n}.test"], "Subject: x\r\n\r\nx\r\n").startswith("250 ")
    wait_until(lambda: len(w.here.log_lines("queue active")) == 50, "50 messages on their way")
    time.sleep(0.5)
    w.send("b@there.test")
    w.here.wait_log(r"to=<b@there\.test>.*status=sent")
    assert not w.here.log_lines(r"to=<a@slow\d+\.test>")


def test_a_plug_in_that_names_hosts(make, dns, base, web):
    """Entries of smtp_tls_policy_maps as plug-ins for MTA-STS write them (smtp_tls_enforce_sts_mx_patterns)."""
    entry = "secure match=x.test servername=hostname policy_type=sts policy_domain=there.test { policy_string = version: STSv1 } mx_host_pattern="
    w = World(make, dns, base, web, sender="smtp_tls_policy_maps = texthash:{directory}/etc/policies\n")
    w.here.command("postconf", "smtp_tls_mta_sts = no", f"smtp_tls_CAfile = {w.authority.path('ca.pem')}", check=True)
    w.here.write("policies", "there.test " + entry + "*.there.test\n")
    w.here.start()
    w.send()
    w.here.wait_log(r"Verified TLS connection established to mx\.there\.test")
    w.here.wait_log(r"status=sent")
    w.here.write("policies", "there.test " + entry + "mx.elsewhere.test\n")
    w.reload()
    w.send()
    w.here.wait_log(r"dsn=4\.7\.5, status=deferred \(MTA-STS policy of there\.test does not name the host mx\.there\.test\)")


def test_posttls_finger_tells_of_the_policy(make, dns, base, web):
    w = World(make, dns, base, web)
    w.web.policy()
    w.here.start()
    said = w.here.command("posttls-finger", "-c", "there.test")
    assert "MTA-STS policy (enforce)" in said.stdout + said.stderr, said.stdout + said.stderr + w.here.log()


def test_a_domain_with_an_umlaut(make, dns, base, web):
    """The policy of a domain is asked for by its A-labels."""
    w = World(make, dns, base, web, name="elsewhere.test")
    for name, record in (("xn--bcher-kva.test", ("MX", "10 mx.there.test.")), ("mta-sts.xn--bcher-kva.test", ("A", "127.0.0.1")),
                         ("_mta-sts.xn--bcher-kva.test", ("TXT", '"v=STSv1; id=1;"'))):
        w.dns.records[name] = [record]
    other = web(w.authority, "mta-sts.xn--bcher-kva.test")
    other.policy()
    w.here.command("postconf", f"smtp_tls_web_port = {other.port}", "smtputf8_enable = yes", check=True)
    w.here.start()
    with w.here.smtp() as smtp:
        smtp.say("EHLO client.test")
        smtp.say("MAIL FROM:<me@here.test> SMTPUTF8")
        assert smtp.say("RCPT TO:<a@b\u00fccher.test>").startswith("250")
        assert smtp.data("Subject: x\n\nHello.\n").startswith("250")
    w.here.wait_log(r"status=deferred \(MTA-STS policy of .*: Server certificate not verified\)")
    assert other.asked == ["mta-sts.xn--bcher-kva.test/.well-known/mta-sts.txt"]
