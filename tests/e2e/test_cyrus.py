"""AUTH by Cyrus SASL's library, with a real sasldb, and by a real saslauthd: skipped where sasl2-bin is not installed."""
import base64
import hashlib
import os
import re
import shutil
import signal
import subprocess

import pytest

import harness
from test_auth import alice_by_each_mechanism, auth_failed, b64, plain

needed = pytest.mark.skipif(shutil.which("saslpasswd2", path="/usr/sbin:/usr/bin") is None, reason="needs sasl2-bin")

SETTINGS = "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = cyrus\ncyrus_sasl_config_path = {directory}/etc/sasl\nsmtpd_sasl_local_domain = home.test\n" \
           "local_transport = discard\ndefault_transport = discard\n"


def make_server(make, base, mechanisms="PLAIN LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1 SCRAM-SHA-256", settings="", users=(("alice", "secret"),)):
    database = os.path.join(base, "sasldb2")
    for user, password in users:
        subprocess.run(["/usr/sbin/saslpasswd2", "-p", "-c", "-f", database, "-u", "home.test", user], input=password.encode(), check=True)
    if users:
        os.chmod(database, 0o644)
    return make(name="server", main_cf=SETTINGS + settings,
                files={"sasl/smtpd.conf": f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {database}\nmech_list: {mechanisms}\n"})


def digest_response(challenge, user, password, host):
    """RFC 2831."""
    fields = dict(re.findall(r'([a-z]+)="?([^",]*)"?', base64.b64decode(challenge).decode()))
    md5 = lambda text: hashlib.md5(text).digest()
    uri, cnonce, realm = f"smtp/{host}", "abcdef", fields["realm"]
    a1 = md5(f"{user}:{realm}:{password}".encode()) + f":{fields['nonce']}:{cnonce}".encode()
    a2 = f"AUTHENTICATE:{uri}".encode()
    digest = md5(f"{md5(a1).hex()}:{fields['nonce']}:00000001:{cnonce}:auth:{md5(a2).hex()}".encode()).hex()
    return b64(f'username="{user}",realm="{realm}",nonce="{fields["nonce"]}",cnonce="{cnonce}",nc=00000001,qop=auth,digest-uri="{uri}",response={digest}')


@needed
def test_sasldb(make, base):
    there = make_server(make, base)
    with there.smtp() as smtp:
        offered = re.search("250-AUTH (.*)\n", smtp.say("EHLO client.test")).group(1).split()
        assert sorted(offered) == ["CRAM-MD5", "DIGEST-MD5", "LOGIN", "PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"]
        assert smtp.say(plain("alice", "ungood")) == "535 5.7.8 Error: authentication failed: authentication failure"
        assert smtp.say(plain("bob", "secret")) == "535 5.7.8 Error: authentication failed: authentication failure"
        assert smtp.say("AUTH NTLM " + b64("x")) == "535 5.7.8 Error: authentication failed: no mechanism available"
        assert smtp.say("AUTH LOGIN") == "334 VXNlcm5hbWU6"
        assert smtp.say(b64("alice")) == "334 UGFzc3dvcmQ6"
        assert smtp.say(b64("secret")) == "235 2.7.0 Authentication successful"
    assert "user=<alice@home.test>" in auth_failed(there, "wrong-password")
    assert "user=<bob@home.test>" in auth_failed(there, "unknown-user")
    auth_failed(there, "mechanism")
    assert "secret" not in there.log() and "ungood" not in there.log()
    with there.smtp() as smtp:
        smtp.say("EHLO client.test")
        challenge = smtp.say("AUTH DIGEST-MD5")
        assert challenge.startswith("334 ")
        final = smtp.say(digest_response(challenge[4:], "alice", "secret", "server.test"))
        assert base64.b64decode(final[4:]).startswith(b"rspauth=")
        assert smtp.say("") == "235 2.7.0 Authentication successful"
    alice_by_each_mechanism(make, there, r"alice(@home\.test)?$")


@needed
def test_options_and_order(make, base):
    there = make_server(make, base, settings="smtpd_sasl_security_options = noanonymous, noplaintext\nsmtpd_sasl_mechanism_filter = !digest-md5, static:all\n")
    with there.smtp() as smtp:
        offered = re.search("250-AUTH (.*)\n", smtp.say("EHLO client.test")).group(1).split()
        assert sorted(offered) == ["CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"]
        assert smtp.say("AUTH CRAM-MD5").startswith("334 ")
        assert smtp.say("*").startswith("501 ")
        assert smtp.say("AUTH CRAM-MD5").startswith("334 ")
        assert smtp.say(b64("alice 00000000000000000000000000000000")).startswith("535 ")
        assert smtp.say("AUTH CRAM-MD5").startswith("334 ")
        assert smtp.say(b64("nonsense")).startswith("535 ")


@needed
def test_many_at_once_and_given_up(make, base):
    there = make_server(make, base, settings="smtpd_client_connection_count_limit = 0\n")
    dialogues = [there.smtp() for _ in range(200)]
    for dialogue in dialogues[::2]:
        dialogue.send("AUTH CRAM-MD5\r\n")
    assert {dialogue.reply()[:4] for dialogue in dialogues[::2]} == {"334 "}
    for dialogue in dialogues[1::2]:
        dialogue.send(plain("alice", "secret") + "\r\n")
    assert {dialogue.reply() for dialogue in dialogues[1::2]} == {"235 2.7.0 Authentication successful"}
    for dialogue in dialogues:
        dialogue.close()


def helpers(instance, name):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if open(f"/proc/{pid}/comm").read().strip() == name and os.readlink(f"/proc/{pid}/exe").startswith(instance.programs):
                found.append(int(pid))
        except OSError:
            pass
    return found


@needed
def test_a_dead_worker_and_a_dead_helper(make, base):
    there = make_server(make, base, settings="worker_processes = 1\n")
    with there.smtp() as smtp:
        smtp.say("EHLO client.test")
        assert smtp.say("AUTH CRAM-MD5").startswith("334 ")
        for pid in helpers(there, "sasl-worker"):
            os.kill(pid, signal.SIGKILL)
        there.wait_log("the process in which Cyrus SASL works died")
        assert smtp.say(b64("alice 0")).startswith("454 4.7.0 ")      # its exchange went with it
        assert smtp.say(plain("alice", "secret")).startswith("235 ")  # the next has a new one
    for pid in helpers(there, "sasl-helper") + helpers(there, "sasl-worker"):
        os.kill(pid, signal.SIGKILL)
    with there.smtp() as smtp:
        assert smtp.say(plain("alice", "secret")).startswith("454 4.7.0 ")
    auth_failed(there, "backend-down")


@needed
def test_helpers_end_with_their_server(make, base):
    there = make_server(make, base)
    with there.smtp() as smtp:
        assert smtp.say(plain("alice", "secret")).startswith("235 ")
    there.reload()
    with there.smtp() as smtp:
        assert smtp.say(plain("alice", "secret")).startswith("235 ")
    there.stop()
    harness.wait_until(lambda: not helpers(there, "sasl-helper") and not helpers(there, "sasl-worker"), "no helper is left")


@needed
def test_no_database(make, base):
    there = make_server(make, base, users=())
    with there.smtp() as smtp:
        assert smtp.say(plain("alice", "secret")).startswith("454 4.7.0 "), there.log()
    auth_failed(there, "backend-down")


@pytest.fixture
def saslauthd(base):
    """The real one; it knows the users of /etc/sasldb2, which is another file for it than for the machine."""
    run, database = os.path.join(base, "saslauthd"), os.path.join(base, "sasldb2")
    os.makedirs(run, mode=0o755)
    subprocess.run(["/usr/sbin/saslpasswd2", "-p", "-c", "-f", database, "-u", "home.test", "alice"], input=b"secret", check=True)
    server = subprocess.Popen(["unshare", "--mount", "sh", "-c", f"mount --bind {database} /etc/sasldb2 && exec /usr/sbin/saslauthd -d -a sasldb -n 2 -m {run}"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)  # it ends its process group
    harness.wait_until(lambda: os.path.exists(os.path.join(run, "mux")), "saslauthd's socket")
    os.chmod(os.path.join(run, "mux"), 0o666)
    yield run
    server.terminate()
    server.wait(20)


@needed
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("mechanisms", ["PLAIN LOGIN", "PLAIN LOGIN CRAM-MD5"])
def test_saslauthd(make, saslauthd, mechanisms):
    """Once in smtpd itself, once through the library."""
    here = make(main_cf=SETTINGS, files={"sasl/smtpd.conf": f"pwcheck_method: saslauthd\nmech_list: {mechanisms}\nsaslauthd_path: {saslauthd}/mux\n"})
    with here.smtp() as smtp:
        offered = re.search("250-AUTH (.*)\n", smtp.say("EHLO client.test")).group(1).split()
        assert sorted(offered) == sorted(mechanisms.split())
        assert smtp.say(plain("alice", "ungood")) == "535 5.7.8 Error: authentication failed: authentication failure"
        assert smtp.say(plain("alice", "secret")) == "235 2.7.0 Authentication successful"
    auth_failed(here, "credentials")
