"""Programs that read Postfix's log read ours: pflogsumm, fail2ban's filter, logwatch's service, a showq exporter - Debian's packages, unpacked below
build/readers and never installed."""
import os
import re
import subprocess
import urllib.request

import pytest

from harness import free_port, wait_until

READERS = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../build/readers"))
PACKAGES = ["pflogsumm", "fail2ban", "logwatch", "libdate-calc-perl", "libbit-vector-perl", "libcarp-clan-perl", "libdate-calc-xs-perl", "prometheus-postfix-exporter"]
MAIN = """
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = file
smtpd_sasl_path = texthash:{directory}/etc/users
mynetworks = 127.0.0.2
mydestination = here.test
relay_domains = remote.test, broken.test, slow.test
local_recipient_maps = inline:{{ {{ box = x }} }}
alias_maps = inline:{{ {{ box = {directory}/mail/box }} }}
allow_mail_to_files = alias
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
transport_maps = inline:{{ {{ slow.test = smtp:[127.0.0.1]:1 }} {{ remote.test = smtp:[127.0.0.1]:REMOTE }} {{ broken.test = smtp:[127.0.0.1]:REMOTE }} }}
"""


def unpack():
    """The packages, once; False where there is no archive of packages."""
    if os.path.exists(os.path.join(READERS, "usr/bin/prometheus-postfix-exporter")):
        return True
    os.makedirs(os.path.join(READERS, "deb"), exist_ok=True)
    done = subprocess.run(["apt-get", "download", *PACKAGES], cwd=os.path.join(READERS, "deb"), capture_output=True)
    if done.returncode:
        return False
    for name in os.listdir(os.path.join(READERS, "deb")):
        subprocess.run(["dpkg", "-x", os.path.join(READERS, "deb", name), READERS], check=True)
    return True


pytestmark = pytest.mark.skipif(not unpack(), reason="Debian's packages cannot be had")


@pytest.fixture
def log(make, sink):
    """The log of a day in short: 2 messages for a mailbox, 1 relayed, 1 bounced, 1 deferred, rejections, a failed login, a client that breaks off."""
    remote = sink()
    refusing = sink(replies={"RCPT": "550 5.1.1 unknown"})
    text = MAIN.replace("broken.test = smtp:[127.0.0.1]:REMOTE", f"broken.test = smtp:[127.0.0.1]:{refusing.port}").replace("REMOTE", str(remote.port))
    here = make(main_cf=text, files={"users": "alice {PLAIN}secret\n"})
    for i in range(2):
        assert here.inject("s@client.test", "box@here.test").startswith("250")
    for domain in ("remote.test", "broken.test", "slow.test"):
        assert here.inject("s@client.test" if domain != "broken.test" else "", f"x@{domain}").startswith("250")
    assert here.inject("s@client.test", "x@elsewhere.test").startswith("554")
    assert here.inject("s@client.test", "nobody@here.test").startswith("550")
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        assert smtp.say("AUTH PLAIN AGFsaWNlAHdyb25n").startswith("535")
        smtp.say("QUIT")
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        smtp.say("MAIL FROM:<a@b.test>")
    here.wait_log(r"lost connection after MAIL from")
    for pattern, count in (("status=sent", 3), ("status=bounced", 1), ("status=deferred", 1)):
        here.wait_log(pattern, count)
    wait_until(lambda: len(here.queue()) == 1, "one waits")
    return os.path.join(here.directory, "log")


def run(argv, **settings):
    env = {"PATH": "/usr/bin:/bin:/usr/sbin", "PERL5LIB": f"{READERS}/usr/share/perl5:" + ":".join(
        os.path.join(root, "") for root, folders, _ in os.walk(f"{READERS}/usr/lib/x86_64-linux-gnu/perl5") if root.count("/") - READERS.count("/") == 5),
        "PYTHONPATH": f"{READERS}/usr/lib/python3/dist-packages", "PYTHONDONTWRITEBYTECODE": "1", "TZ": "UTC"}
    done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=60, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_pflogsumm(log):
    text = run(["perl", f"{READERS}/usr/sbin/pflogsumm", log])
    numbers = {name: int(number) for number, name in re.findall(r"^ +(\d+) +(\w+)\b", text.partition("Per-Hour")[0], re.M)}
    assert {name: numbers[name] for name in ("received", "delivered", "bounced", "rejected")} == \
        {"received": 5, "delivered": 3, "bounced": 1, "rejected": 2}, text
    assert numbers["deferred"] == 1 and "Connection refused" in text
    assert "Relay access denied" in text and "User unknown" in text


def fail2ban(log, mode):
    text = run(["/usr/bin/python3", f"{READERS}/usr/bin/fail2ban-regex", "-c", f"{READERS}/etc/fail2ban", log,
                f"{READERS}/etc/fail2ban/filter.d/postfix.conf[mode={mode}]"])
    return int(re.search(r"^Lines: .* (\d+) matched", text, re.M).group(1)), text


def test_fail2ban(log):
    assert fail2ban(log, "normal")[0] == 2
    assert fail2ban(log, "auth")[0] == 1
    matched, text = fail2ban(log, "aggressive")
    assert matched >= 5, text # the rejections, the login, the broken off session, the session whose login failed


def test_logwatch(log):
    text = run(["perl", f"{READERS}/usr/share/logwatch/scripts/services/postfix", "--detail", "10"], input=open(log).read())
    assert re.search(r"^ +5 +Accepted ", text, re.M) and re.search(r"^ +2 +Rejected ", text, re.M), text
    assert re.search(r"^ +1 +Deferred ", text, re.M) and re.search(r"^ +1 +Bounced", text, re.M) and "SASL auth" in text, text
    unknown = text.partition("**Unmatched Entries**")[2].split("\n\n")[0]
    assert [line for line in unknown.splitlines() if line.strip() and "auth-failed:" not in line] == [], text  # that line is our own


def test_showq_exporter(make):
    here = make(main_cf="relayhost = [127.0.0.1]:1\n")
    for i in range(3):
        here.inject("s@client.test", "x@remote.test")
    wait_until(lambda: [entry["queue_name"] for entry in here.queue()] == ["deferred"] * 3, "all wait")
    here.command("postsuper", "-h", here.queue()[0]["queue_id"], check=True)
    port = free_port()
    exporter = subprocess.Popen([f"{READERS}/usr/bin/prometheus-postfix-exporter", f"--web.listen-address=127.0.0.1:{port}",
                                 f"--postfix.showq_path={here.directory}/spool/public/showq", f"--postfix.logfile_path={here.directory}/log"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        def metrics():
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
            except OSError:
                return ""
        wait_until(lambda: "postfix_showq_message_size_bytes_count" in metrics(), "metrics")
        text = metrics()
        assert 'postfix_showq_message_size_bytes_count{queue="deferred"} 2' in text and 'postfix_showq_message_size_bytes_count{queue="hold"} 1' in text
        assert f'postfix_up{{path="{here.directory}/spool/public/showq"}} 1' in text
    finally:
        exporter.kill()
        exporter.wait()


PEER = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../build/peer/usr"))


@pytest.mark.skipif(not os.path.exists(PEER + "/sbin/postqueue"), reason="Debian's Postfix is not unpacked (make bench)")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_debians_postqueue(make, tmp_path):
    """The showq socket speaks the protocol of Postfix: its own postqueue prints what ours prints."""
    here = make(main_cf="relayhost = [127.0.0.1]:1\n")
    for i in range(2):
        here.inject("s@client.test", ["x@remote.test", "y@remote.test"])
    wait_until(lambda: [entry["queue_name"] for entry in here.queue()] == ["deferred"] * 2, "all wait")
    (tmp_path / "main.cf").write_text(f"queue_directory = {here.directory}/spool\nmail_owner = nobody\nsetgid_group = mail\ndefault_privs = daemon\n")
    (tmp_path / "master.cf").write_text("")
    os.utime(tmp_path / "main.cf", (1, 1))
    for option in ("-p", "-j"):
        done = subprocess.run([PEER + "/sbin/postqueue", "-c", str(tmp_path), option], capture_output=True, text=True,
                              env={"LD_LIBRARY_PATH": PEER + "/lib/postfix", "PATH": "/usr/bin:/bin", "TZ": "UTC"}, timeout=30)
        assert (done.returncode, done.stdout) == (0, here.command("postqueue", option).stdout), done.stderr
