"""AUTH against a real Dovecot, with our client as the peer: skipped where Dovecot is not installed."""
import os
import shutil
import subprocess

import pytest

import harness
from test_auth import alice_by_each_mechanism, auth_failed, b64, plain

CONFIGURATION = """\
base_dir = {directory}/run
state_dir = {directory}/run
log_path = {directory}/dovecot.log
auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256
auth_failure_delay = 0
default_internal_user = {user}
default_login_user = {user}
default_internal_group = {group}
ssl = no
protocols =
disable_plaintext_auth = no
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {directory}/users
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home=/tmp
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  unix_listener postfix {{
    mode = 0666
  }}
  inet_listener {{
    address = 127.0.0.1
    port = {port}
  }}
}}
"""

needed = pytest.mark.skipif(shutil.which("dovecot", path="/usr/sbin:/usr/bin") is None or os.geteuid() != 0, reason="needs dovecot-core and root")


@pytest.fixture
def dovecot(base):
    directory, port = os.path.join(base, "dovecot"), harness.free_port()
    os.makedirs(os.path.join(directory, "run"))
    with open(os.path.join(directory, "dovecot.conf"), "w") as out:
        out.write(CONFIGURATION.format(directory=directory, user="nobody", group="nogroup", port=port))
    with open(os.path.join(directory, "users"), "w") as out:
        out.write("alice:{PLAIN}secret\n")
    server = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", os.path.join(directory, "dovecot.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    path = os.path.join(directory, "run", "postfix")
    harness.wait_until(lambda: os.path.exists(path), "Dovecot's socket")
    yield path, port
    server.terminate()
    server.wait(20)


@needed
def test_every_address_of_a_host_is_tried(make, dovecot):
    """localhost is ::1 and 127.0.0.1; this Dovecot listens at the second."""
    here = make(main_cf=f"smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = inet:localhost:{dovecot[1]}\n")
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        assert smtp.say(plain("alice", "secret")) == "235 2.7.0 Authentication successful"


@needed
def test_every_mechanism(make, dovecot):
    there = make(name="server", main_cf=f"smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {dovecot[0]}\n"
                 "local_transport = discard\ndefault_transport = discard\n")
    with there.smtp() as smtp:
        assert "250-AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256\n" in smtp.say("EHLO client.test")
        assert smtp.say(plain("alice", "wrong")) == "535 5.7.8 Error: authentication failed: (reason unavailable)"
        assert smtp.say("AUTH LOGIN") == "334 VXNlcm5hbWU6"
        assert smtp.say(b64("alice")) == "334 UGFzc3dvcmQ6"
        assert smtp.say(b64("secret")) == "235 2.7.0 Authentication successful"
    assert "user=<alice>" in auth_failed(there, "credentials")
    alice_by_each_mechanism(make, there, "alice")


@needed
def test_many_at_once(make, dovecot):
    here = make(main_cf=f"smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {dovecot[0]}\n")
    dialogues = [here.smtp() for _ in range(100)]
    for dialogue in dialogues:
        dialogue.send(plain("alice", "secret") + "\r\n")
    assert {dialogue.reply() for dialogue in dialogues} == {"235 2.7.0 Authentication successful"}
    for dialogue in dialogues:
        dialogue.close()
