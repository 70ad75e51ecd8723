"""Real programs on the other side: Dovecot (LMTP, IMAP), postgrey, policyd-spf, haproxy, swaks, openssl s_client, curl.  Each test is skipped only where its program is not installed."""
import imaplib
import os
import re
import shutil
import socket
import subprocess
import time

import pytest

import harness
from test_receive import virtual
from test_tls_server import Authority

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def needs(*programs, root=False):
    missing = [program for program in programs if shutil.which(program, path=PATH) is None]
    return pytest.mark.skipif(bool(missing) or (root and os.geteuid() != 0), reason=f"needs {' '.join(missing) or 'root'}")


@pytest.fixture
def run():
    """run(argv, ready, what): a server that ends with the test; ready() says when it serves."""
    started = []

    def start(argv, ready, what, **settings):
        server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, **settings)
        started.append(server)
        harness.wait_until(ready, what)
        return server

    yield start
    for server in started:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(10)


def answers(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


# ---- Dovecot: LMTP in, IMAP out ----

DOVECOT = """\
base_dir = {directory}/run
state_dir = {directory}/run
log_path = {directory}/dovecot.log
default_internal_user = nobody
default_login_user = nobody
default_internal_group = nogroup
ssl = no
disable_plaintext_auth = no
protocols = imap lmtp
listen = 127.0.0.1
mail_location = maildir:{directory}/mail/%n
first_valid_uid = 1
auth_username_format = %n
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {directory}/users
}}
userdb {{
  driver = passwd-file
  args = {directory}/users
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service lmtp {{
  unix_listener lmtp {{
    mode = 0666
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""


@pytest.fixture
def dovecot(base, run):
    directory, port = os.path.join(base, "dovecot"), harness.free_port()
    os.makedirs(os.path.join(directory, "run"))
    os.makedirs(os.path.join(directory, "mail"))
    os.chmod(os.path.join(directory, "mail"), 0o777)
    with open(os.path.join(directory, "dovecot.conf"), "w") as out:
        out.write(DOVECOT.format(directory=directory, port=port))
    with open(os.path.join(directory, "users"), "w") as out:
        out.write("".join(f"{name}:{{PLAIN}}secret:65534:65534::/tmp::\n" for name in ("alice", "bob")))
    run(["/usr/sbin/dovecot", "-F", "-c", os.path.join(directory, "dovecot.conf")], lambda: answers(port), "Dovecot's IMAP port")
    return os.path.join(directory, "run", "lmtp"), port


@needs("dovecot", "doveadm", root=True)
@pytest.mark.skipif(not os.path.exists("/usr/lib/dovecot/lmtp") or not os.path.exists("/usr/lib/dovecot/imap"), reason="needs dovecot-lmtpd and dovecot-imapd")
def test_dovecot_lmtp_and_imap(make, dovecot):
    lmtp, port = dovecot
    here = make(main_cf="virtual_mailbox_domains = mail.test\nvirtual_mailbox_maps = static:all\n" f"virtual_transport = lmtp:unix:{lmtp}\n")
    text = "Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\n\n.a dot\n..two dots\n" + "x" * 900 + "\n\n.\nlast line\n"
    assert here.inject("a@client.test", ["alice@mail.test", "bob@mail.test", "nobody@mail.test"], text).startswith("250 2.0.0 Ok: queued as ")
    for name in ("alice", "bob"):
        line = here.wait_log(rf"lmtp\[\d+\]: [0-9A-F]+: to=<{name}@mail\.test>")[0]
        assert re.search(r"relay=\S+\[\S*run/lmtp\].* dsn=2\.0\.0, status=sent \(250 2\.0\.0 .*Saved\)", line), line
    assert "dsn=5.1.1, status=bounced" in here.wait_log(r"to=<nobody@mail\.test>.*status=")[0]
    with imaplib.IMAP4("127.0.0.1", port) as imap:
        imap.login("alice", "secret")
        assert imap.select()[1] == [b"1"]
        fetched = imap.fetch("1", "(BODY.PEEK[])")[1][0][1].decode()
    assert fetched.startswith("Return-Path: <a@client.test>\r\n") and "\r\nReceived: from client.test (localhost [127.0.0.1])" in fetched
    assert fetched.split("\r\n\r\n", 1)[1] == text.split("\n\n", 1)[1].replace("\n", "\r\n")


# ---- policy servers ----

@needs("postgrey", root=True)
def test_postgrey(make, base, run):
    port, directory = harness.free_port(), os.path.join(base, "postgrey")
    os.makedirs(directory)
    shutil.chown(directory, "nobody", "nogroup")
    run(["/usr/sbin/postgrey", f"--inet=127.0.0.1:{port}", f"--dbdir={directory}", "--delay=2", "--user=nobody", "--group=nogroup", "--greylist-text=Greylisted, come back"],
        lambda: answers(port), "postgrey's port")
    here = make(main_cf=virtual() + f"smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service inet:127.0.0.1:{port}\n")
    assert here.inject("a@client.test", "info@mail.test") == "450 4.2.0 <info@mail.test>: Recipient address rejected: Greylisted, come back"
    here.wait_log(r"NOQUEUE: reject: RCPT from localhost\[127\.0\.0\.1\]: 450 4\.2\.0 <info@mail\.test>: Recipient address rejected: Greylisted, come back; from=<a@client\.test>")
    time.sleep(2.5)
    assert here.inject("a@client.test", "info@mail.test").startswith("250 ")
    harness.wait_until(lambda: here.maildir("info"), "the message")
    assert re.search(r"(?m)^X-Greylist: delayed \d seconds by postgrey-", here.maildir("info")[0])   # PREPEND


POLICYD = """\
import sys
import spf
spf.DNS.defaults["server"], spf.DNS.defaults["port"] = ["127.0.0.1"], {port}
from spf_engine.policyd_spf import main
sys.argv[1:] = ["{directory}/policyd-spf.conf"]
main()
"""


def has_policyd():
    done = subprocess.run(["/usr/bin/python3", "-c", "import spf, spf_engine.policyd_spf; spf.DNS"], capture_output=True)
    return done.returncode == 0


@pytest.mark.skipif(not has_policyd(), reason="needs python3-spf-engine and python3-dns")
def test_policyd_spf(make, base, dns):
    server = dns("good.test TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\nbad.test TXT \"v=spf1 ip4:192.0.2.1 -all\"\nsoft.test TXT \"v=spf1 ?all\"\n"
                 "client.test A 127.0.0.1\n")
    with open(os.path.join(base, "policyd"), "w") as out:
        out.write(POLICYD.format(port=server.port, directory=base))
    with open(os.path.join(base, "policyd-spf.conf"), "w") as out:
        out.write("debugLevel = 1\nTestOnly = 1\nHELO_reject = False\nMail_From_reject = Fail\nPermError_reject = False\nskip_addresses = 192.0.2.99\n")
    here = make(main_cf=virtual() + "smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service unix:private/policyd-spf\npolicyd-spf_time_limit = 3600\n",
                master_cf=f"policyd-spf unix - n n - 0 spawn user={{user}} argv=/usr/bin/python3 {base}/policyd\n", dns_port=server.port)
    assert here.inject("a@good.test", "info@mail.test").startswith("250 ")
    harness.wait_until(lambda: here.maildir("info"), "the message")
    assert re.search(r"(?mi)^Received-SPF: Pass ", here.maildir("info")[0])
    reply = here.inject("a@bad.test", "info@mail.test")
    assert reply.startswith("550 5.7.23 <info@mail.test>: Recipient address rejected: Message rejected due to: SPF fail"), reply
    assert here.inject("a@soft.test", "info@mail.test").startswith("250 ")


# ---- haproxy in front ----

HAPROXY = """\
global
    maxconn 100
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
"""


@needs("haproxy")
def test_haproxy(make, base, run):
    ports = {version: harness.free_port() for version in ("send-proxy", "send-proxy-v2")}
    here = make(main_cf=virtual() + "smtpd_upstream_proxy_protocol = haproxy\nsmtpd_client_restrictions = check_client_access inline:{{ {{ 127.0.0.9 = REJECT not you }} }}\n"
                "smtpd_delay_reject = no\n", started=False)
    with open(os.path.join(base, "haproxy.cfg"), "w") as out:
        out.write(HAPROXY + "".join(f"listen {version}\n    bind 127.0.0.1:{port}\n    server here 127.0.0.1:{here.port} {version}\n" for version, port in ports.items()))
    here.command("postfix", "start", check=True)
    run(["/usr/sbin/haproxy", "-f", os.path.join(base, "haproxy.cfg")], lambda: answers(ports["send-proxy"]), "haproxy's port")
    for number, port in enumerate(ports.values()):
        client = f"127.0.0.{10 + number}"
        with socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(client, 0)) as s, s.makefile("rb") as lines:
            assert lines.readline() == b"220 here.test ESMTP Postfix\r\n"
            s.sendall(b"HELO c.test\r\nMAIL FROM:<a@c.test>\r\nRCPT TO:<info@mail.test>\r\nDATA\r\n")
            assert [lines.readline()[:3] for _ in range(4)] == [b"250", b"250", b"250", b"354"]
            s.sendall(b"Subject: x\r\n\r\nx\r\n.\r\n")
            assert lines.readline().startswith(b"250 2.0.0 Ok: queued")
        here.wait_log(rf"connect from \S*\[{re.escape(client)}\]")
        harness.wait_until(lambda: len(here.maildir("info")) == number + 1, "the message")
        assert any(re.search(rf"Received: from c\.test \(\S+ \[{re.escape(client)}\]\)", text) for text in here.maildir("info"))
        with socket.create_connection(("127.0.0.1", port), timeout=20, source_address=("127.0.0.9", 0)) as s, s.makefile("rb") as lines:
            assert re.match(rb"554 5\.7\.1 <\S+\[127\.0\.0\.9\]>: Client host rejected: not you\r\n", lines.readline())
    with socket.create_connection(("127.0.0.1", here.port), timeout=20) as s, s.makefile("rb") as lines:   # nobody in between: no header, no service
        s.sendall(b"EHLO c.test\r\n")
        assert lines.readline().startswith(b"421 4.3.")
    here.wait_log("haproxy read: malformed protocol header")
    here.wait_log(r"disconnect from .* commands=0/0")


# ---- clients that people have at hand ----

@pytest.fixture
def submission(make, base):
    """An instance with TLS and a user, and smtps at a second port."""
    authority = Authority(os.path.join(base, "ca"))
    authority.sign("server", "here.test")
    smtps = harness.free_port()
    here = make(main_cf=virtual() + f"smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {authority.path('server.chain')}\nsmtpd_tls_auth_only = yes\n"
                "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = file\nsmtpd_sasl_path = texthash:{directory}/etc/users\nmynetworks = 192.0.2.1\n"
                "smtpd_recipient_restrictions = permit_sasl_authenticated, reject\n",
                master_cf=f"127.0.0.1:{smtps} inet n - n - - smtpd\n -o smtpd_tls_wrappermode=yes\n",
                files={"users": "alice $5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5\n"})
    return here, smtps, authority


def call(*argv, input=None):
    return subprocess.run(argv, capture_output=True, text=True, input=input, timeout=60)


@needs("swaks")
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks(submission, mechanism):
    here, smtps, authority = submission
    common = ["swaks", "--server", "127.0.0.1", "--from", "a@client.test", "--to", "info@mail.test", "--auth-user", "alice", "--tls-ca-path", authority.path("ca.pem"), "--tls-verify"]
    done = call(*common, "--port", str(here.port), "--auth", mechanism, "--auth-password", "Hello world!", "--tls")
    assert done.returncode == 0 and "250 2.0.0 Ok: queued as" in done.stdout, done.stdout + done.stderr
    done = call(*common, "--port", str(smtps), "--auth", mechanism, "--auth-password", "Hello world!", "--tls-on-connect")
    assert done.returncode == 0 and "250 2.0.0 Ok: queued as" in done.stdout, done.stdout + done.stderr
    done = call(*common, "--port", str(here.port), "--auth", mechanism, "--auth-password", "wrong", "--tls")
    assert "535 5.7.8 Error: authentication failed" in done.stdout
    done = call(*common, "--port", str(here.port), "--auth", mechanism, "--auth-password", "Hello world!")
    assert done.returncode != 0 and "AUTH" not in done.stdout.split("250-PIPELINING")[1].split("~>")[0].split(" -> ")[0]
    here.wait_log(rf"sasl_method={mechanism}, sasl_username=alice", 2)
    harness.wait_until(lambda: len(here.maildir("info")) == 2, "two messages")


@needs("openssl")
def test_openssl_s_client(submission):
    here, smtps, authority = submission
    dialogue = "EHLO client.test\r\nNOOP\r\nQUIT\r\n"
    for argv in (["-connect", f"127.0.0.1:{here.port}", "-starttls", "smtp"], ["-connect", f"127.0.0.1:{smtps}"]):
        for version in ("-tls1_2", "-tls1_3"):
            done = call("openssl", "s_client", *argv, version, "-CAfile", authority.path("ca.pem"), "-verify_return_error", "-servername", "here.test", "-verify_hostname", "here.test",
                        "-ign_eof", input=dialogue)
            assert "Verify return code: 0 (ok)" in done.stdout and "250 2.0.0 Ok" in done.stdout and "221 2.0.0 Bye" in done.stdout, done.stdout + done.stderr
    # a client that reconnects with its session
    done = call("openssl", "s_client", "-connect", f"127.0.0.1:{smtps}", "-tls1_2", "-reconnect", input="QUIT\r\n")
    assert "Reused, TLSv1.2" in done.stdout


@needs("curl")
def test_curl(submission, base):
    here, smtps, authority = submission
    message = os.path.join(base, "message")
    with open(message, "w") as out:
        out.write("From: a@client.test\r\nSubject: by curl\r\n\r\n.dots\r\n.\r\nend\r\n")
    common = ["curl", "-sS", "-v", "--cacert", authority.path("ca.pem"), "--resolve", f"here.test:{here.port}:127.0.0.1", "--resolve", f"here.test:{smtps}:127.0.0.1",
              "--mail-from", "a@client.test", "--mail-rcpt", "info@mail.test", "--upload-file", message]
    for url in (f"smtp://here.test:{here.port}", f"smtps://here.test:{smtps}"):
        for user in ("alice:Hello world!", None):
            done = call(*common, "--ssl-reqd", url, *(["--user", user] if user else []))
            assert (done.returncode == 0) == bool(user), done.stderr
            assert "250 2.0.0 Ok: queued as" in done.stderr if user else "554 5.7.1" in done.stderr
        done = call(*common, "--ssl-reqd", url, "--user", "alice:wrong")
        assert done.returncode == 67 and "535 5.7.8 " in done.stderr   # login denied
    harness.wait_until(lambda: len(here.maildir("info")) == 2, "two messages")
    assert here.maildir("info")[0].endswith("\n\n.dots\n.\nend\n")


@needs("curl")
def test_curl_commands(make):
    """VRFY and HELP by curl: single commands."""
    here = make(main_cf=virtual())
    done = call("curl", "-sS", "-v", f"smtp://127.0.0.1:{here.port}", "--mail-rcpt", "info@mail.test", "--request", "VRFY")
    assert "252 2.0.0" in done.stderr
    done = call("curl", "-sS", "-v", f"smtp://127.0.0.1:{here.port}", "--request", "NOOP")
    assert done.returncode == 0 and "250 2.0.0 Ok" in done.stderr
