"""Mail filters of Debian: OpenDKIM signs and verifies, spamass-milter marks and refuses."""
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from harness import free_port, wait_until
from test_milter_content import by_sendmail, by_smtp, delivered, system  # noqa: F401 (a fixture)

HAS_OPENDKIM = shutil.which("opendkim", path="/usr/sbin") and shutil.which("opendkim-genkey", path="/usr/sbin:/usr/bin")
HAS_SPAMASS = shutil.which("spamass-milter", path="/usr/sbin") and shutil.which("spamd", path="/usr/sbin")
# Lines that any change of a blank, a fold or a line end would break.
MESSAGE = ("From: Alice <a@mail.test>\nTo: b@mail.test\nSubject: a  subject\twith   blanks \n and a fold  \nX-Empty:\nDate: Tue, 25 Nov 2025 10:00:00 +0000\n"
           "Message-ID: <1@mail.test>\n\n.dot\n..dots\n  blanks  \n\ttab\t\n" + "long " * 150 + "\n8-bit: \xe4\n\n\n")


@pytest.fixture
def daemon(base):
    """daemon(argv, port) starts a server in the foreground and waits for its port."""
    running = []

    def start(argv, port):
        log = open(os.path.join(base, f"daemon-{port}.log"), "wb")
        process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        running.append(process)

        def listening():
            assert process.poll() is None, f"{argv[0]} ended: {open(log.name).read()}"
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listening, f"{argv[0]} at port {port}")
        return f"inet:127.0.0.1:{port}"

    yield start
    for process in running:
        try:
            os.killpg(process.pid, signal.SIGKILL) # at SIGTERM opendkim waits for its filters
        except ProcessLookupError:
            pass
        process.wait()


def opendkim(base, daemon, mode, canonicalization="simple/simple", oversign=""):
    """One OpenDKIM that signs (s) or verifies (v); the key is made once."""
    key = os.path.join(base, "sel.private")
    if not os.path.exists(key):
        subprocess.run(["opendkim-genkey", "-b", "1024", "-d", "mail.test", "-s", "sel", "-D", base], check=True)
        text = "".join(re.findall(r'"([^"]*)"', open(os.path.join(base, "sel.txt")).read()))
        with open(os.path.join(base, "keys"), "w") as file:
            file.write(f"sel._domainkey.mail.test {text}\n")
        with open(os.path.join(base, "nobody"), "w") as file:
            file.write("192.0.2.1\n")
    port = free_port()
    path = os.path.join(base, f"opendkim-{port}.conf")
    inside = f"Domain mail.test\nSelector sel\nKeyFile {key}\n{oversign}" if mode == "s" else f"InternalHosts {base}/nobody\nTestPublicKeys {base}/keys\n"
    with open(path, "w") as file:
        file.write(f"Mode {mode}\nSocket inet:{port}@127.0.0.1\nCanonicalization {canonicalization}\nSyslog no\nBackground no\nRequireSafeKeys no\n"
                   f"AuthservID here.test\nAlwaysAddARHeader yes\n{inside}")
    return daemon(["/usr/sbin/opendkim", "-f", "-x", path], port)


@pytest.mark.skipif(not HAS_OPENDKIM, reason="opendkim is not installed")
@pytest.mark.parametrize("send", [by_sendmail, by_smtp])
@pytest.mark.parametrize("canonicalization", ["simple/simple", "relaxed/relaxed"])
def test_opendkim_signs_and_verifies(system, daemon, base, send, canonicalization):
    """The verifier is behind the signer: what it gets must be, byte for byte, what the signer got."""
    here = system(opendkim(base, daemon, "s", canonicalization), opendkim(base, daemon, "v"))
    send(here, MESSAGE)
    text = delivered(here)[0]
    assert re.search(r"^DKIM-Signature: v=1; a=rsa-sha256; c=%s; d=mail\.test; s=sel;" % canonicalization, text, re.M)
    assert re.search(r"^Authentication-Results: here\.test;\s+dkim=pass", text, re.M), text
    assert text.index("Authentication-Results") < text.index("DKIM-Signature") < text.index("\nFrom:")


@pytest.mark.skipif(not HAS_OPENDKIM, reason="opendkim is not installed")
def test_a_signature_survives_the_way_to_another_system(system, make, daemon, base):
    """Signed here, sent by SMTP, verified there: nothing is changed after the filters."""
    there = system(opendkim(base, daemon, "v"), name="there", main_cf="myhostname = there.test\n")
    here = make(name="relay", main_cf=f"smtpd_milters = {opendkim(base, daemon, 's')}\nnon_smtpd_milters = $smtpd_milters\n"
                f"relayhost = [127.0.0.1]:{there.port}\nmydestination =\nmynetworks = 127.0.0.0/8\n")
    by_sendmail(here, MESSAGE)
    by_smtp(here, MESSAGE.replace("<1@", "<2@") + "large line\n" * 50000)
    for text in delivered(there, 2):
        assert re.search(r"^Authentication-Results: \S+;\s+dkim=pass", text, re.M), text[:3000]


@pytest.mark.skipif(not HAS_SPAMASS, reason="spamass-milter or spamd is not installed")
def test_spamass_milter(system, daemon, base):
    rules, state = os.path.join(base, "rules"), os.path.join(base, "state")
    for path in (rules, state):
        os.makedirs(path)
    with open(os.path.join(rules, "local.cf"), "w") as file:
        file.write("required_score 5\nuse_bayes 0\nskip_rbl_checks 1\nreport_safe 0\nrewrite_header Subject [SPAM]\n"
                   "header NAME_TEST Subject =~ /pills/\nscore NAME_TEST 7\nheader WORSE_TEST Subject =~ /many/\nscore WORSE_TEST 20\n"
                   "add_header spam Flag _YESNOCAPS_\nadd_header all Status _YESNO_, score=_SCORE_ required=_REQD_\n")
    with open(os.path.join(rules, "v320.pre"), "w") as file:
        file.write("loadplugin Mail::SpamAssassin::Plugin::Check\n")
    spamd_port, port = free_port(), free_port()
    subprocess.run(["chown", "-R", "nobody", rules, state] if os.geteuid() == 0 else ["true"], check=True)
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    daemon(["/usr/sbin/spamd", "-L", "-x", "-m", "1", "-p", str(spamd_port), "-i", "127.0.0.1", "-A", "127.0.0.1", "-C", rules, "--siteconfigpath", rules,
            "-H", state, "-s", "stderr", *user], spamd_port)
    filter = daemon(["/usr/sbin/spamass-milter", "-p", f"inet:{port}@127.0.0.1", "-r", "15", "--", "-d", "127.0.0.1", "-p", str(spamd_port)], port)
    here = system(filter, main_cf="milter_content_timeout = 60s\n")
    assert by_smtp(here, "From: a@mail.test\nSubject: cheap pills\n\nbuy\n").startswith("250 ")
    text = delivered(here)[0]
    assert "Subject: [SPAM] cheap pills\n" in text and "X-Spam-Flag: YES\n" in text and re.search(r"X-Spam-Status: Yes, score=7\.0", text)
    assert by_smtp(here, "From: a@mail.test\nSubject: many pills\n\nbuy\n") == "550 5.7.1 Blocked by SpamAssassin"
    here.wait_log(r"milter-reject: END-OF-MESSAGE from localhost\[127\.0\.0\.1\]: 5\.7\.1 Blocked by SpamAssassin; from=<a@mail\.test> to=<b@mail\.test>")
    assert by_smtp(here, "From: a@mail.test\nSubject: lunch\n\nhi\n").startswith("250 ")
    assert any("Subject: lunch\n" in text for text in delivered(here, 2))
