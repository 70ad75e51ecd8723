"""posttls-finger: what a server shows, how it is judged, and what main.cf would do with mail for it."""
import os
import re
import subprocess

import pytest
from harness import BUILD
from test_tls_client import pair

PEER = os.path.join(BUILD, "peer")


def finger(here, *arguments, status=0):
    done = here.command("posttls-finger", *arguments)
    assert done.returncode == status, done.stderr
    assert status or done.stderr == ""
    found = re.findall(r"^(?:posttls-finger: )(.*\n)|(.*\n)", done.stdout + (done.stderr if status else ""), re.M)
    return "".join(other for _, other in found), "".join(line for line, _ in found)


def test_probe_and_plan(make, base):
    here, there = pair(make, base, "secure match=there.test")
    target = f"[127.0.0.1]:{there.port}"
    out, lines = finger(here, "-F", f"{base}/ca/ca.pem", target, "there.test")
    assert out == ""
    for line in (rf"Connected to 127\.0\.0\.1\[127\.0\.0\.1\]:{there.port}", r"< 220 .* ESMTP.*", r"> EHLO .*", r"< 250-STARTTLS", r"> STARTTLS",
                 r"< 220 2\.0\.0 Ready to start TLS", rf"127\.0\.0\.1\[127\.0\.0\.1\]:{there.port}: matched peername: there\.test",
                 rf"127\.0\.0\.1\[127\.0\.0\.1\]:{there.port}: subject_CN=there\.test, issuer_CN=test authority, fingerprint=[0-9A-F:]+, pkey_fingerprint=.*",
                 r"Verified TLS connection established to .*: TLSv1\.3 with cipher .*", r"> QUIT", r"< 221 2\.0\.0 Bye",
                 r"main\.cf: .*: level secure \(smtp_tls_policy_maps\), match=there\.test: .*",
                 r"main\.cf: .*: => mail goes here by TLSv1\.3, .* \(certificate: Verified, there\.test\)"):
        assert re.search(f"^{line}$", lines, re.M), (line, lines)
    assert there.queue() == []


def test_what_would_not_go(make, base):
    here, there = pair(make, base, "secure match=elsewhere.test")
    target = f"[127.0.0.1]:{there.port}"
    _, lines = finger(here, "-n", target)
    assert "Connected" not in lines
    assert re.search(r"^main\.cf: .*: not now: 4\.7\.5 Server certificate not verified$", lines, re.M)
    assert lines.endswith("main.cf: => mail waits, and is tried again\n")
    _, lines = finger(here, "-n", "-o", "smtp_tls_policy_maps=", target)
    assert re.search(r"level may \(smtp_tls_security_level\): .*\n.*=> mail goes here by TLSv1\.3", lines)
    _, lines = finger(here, "-n", "anywhere.test")  # relayhost
    assert re.search(rf"^main\.cf: mail for anywhere\.test goes by transport smtp to {re.escape(target)}$", lines, re.M)


def test_certificates_are_printed(make, base):
    here, there = pair(make, base, "may")
    target = f"[127.0.0.1]:{there.port}"
    out, _ = finger(here, "-cC", "-L", "none", target)
    shown = subprocess.run(["openssl", "x509", "-noout", "-subject"], input=out, capture_output=True, text=True, check=True).stdout
    assert "there.test" in shown
    digest = re.search(r"^   cert digest=(\S+)$", out, re.M).group(1)
    _, lines = finger(here, "-c", "-l", "fingerprint", target, digest)
    assert lines.startswith("127.0.0.1[127.0.0.1]:") and re.search(r"^Verified TLS connection", lines, re.M)
    assert "< 220" not in lines
    _, lines = finger(here, "-c", "-l", "fingerprint", target, "00:11")
    assert re.search(r"^Untrusted TLS connection", lines, re.M)


def test_sessions_and_wrapper_mode(make, base):
    here, there = pair(make, base, "encrypt", wrapped=True, client="smtp_tls_wrappermode = yes\n")
    port = here.command("postconf", "-h", "relayhost").stdout.strip()
    _, lines = finger(here, "-w", "-c", "-l", "encrypt", "-r", "1", port)
    assert re.search(r"^Reconnecting after 1 seconds$", lines, re.M) and "Done reconnecting." in lines
    assert re.search(r"^Untrusted TLS connection established to", lines, re.M)
    assert re.search(r"^main\.cf: .*=> mail goes here by TLSv1\.3", lines, re.M)


def test_a_resolver_that_does_not_validate_is_told_of(make, dns):
    names = dns(". NS a.root.test\nfar.test MX 10 mx.far.test\nmx.far.test A 127.0.0.1\n")
    here = make(started=False, main_cf=f"dns_servers = 127.0.0.1:{names.port}\n")
    _, lines = finger(here, "-c", "far.test:1")
    assert lines.startswith("warning: DNSSEC validation may be unavailable\n"
                            "warning: reason: dnssec_probe 'ns:.' received a response that is not DNSSEC validated\n"), lines
    _, lines = finger(here, "-c", "-o", "dnssec_probe=", "far.test:1")
    assert "DNSSEC" not in lines
    assert "DNSSEC" not in finger(here, "-c", "[127.0.0.1]:1")[1]


def test_options(make):
    here = make(started=False)
    _, lines = finger(here, status=1)
    assert here.command("posttls-finger").stderr.startswith("usage: posttls-finger ")
    _, lines = finger(here, "-l", "much", "x", status=1)
    assert 'fatal: Invalid TLS level "much"' in lines
    _, lines = finger(here, "[127.0.0.1]:1", status=0)
    assert "Failed to establish session to [127.0.0.1]:1 via 127.0.0.1: connect to 127.0.0.1[127.0.0.1]:1: Connection refused" in lines


@pytest.mark.skipif(not os.path.exists(f"{PEER}/usr/sbin/posttls-finger"), reason="tests/peer has not unpacked Debian's Postfix")
def test_the_same_as_debians(make, base):
    here, there = pair(make, base, "may")
    os.makedirs(f"{base}/peer", exist_ok=True)
    with open(f"{base}/peer/main.cf", "w") as out:
        out.write("compatibility_level = 3.7\nmail_owner = nobody\nsetgid_group = users\ndefault_privs = games\nsmtp_tls_fingerprint_digest = sha256\n"
                  f"myhostname = {here.command('postconf', '-h', 'myhostname').stdout.strip()}\n")
    arguments = ["-l", "verify", "-F", f"{base}/ca/ca.pem", f"[127.0.0.1]:{there.port}", "there.test"]
    peer = subprocess.run([f"{PEER}/usr/sbin/posttls-finger", *arguments], capture_output=True, text=True, timeout=60,
                          env={"MAIL_CONFIG": f"{base}/peer", "LD_LIBRARY_PATH": f"{PEER}/usr/lib/postfix"})
    _, ours = finger(here, *arguments)
    ours = [line for line in ours.splitlines() if not line.startswith("main.cf: ")]
    assert ours == peer.stdout.replace("posttls-finger: ", "").splitlines()
