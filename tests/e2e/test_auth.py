"""AUTH of the server: a table, Dovecot's authentication protocol, what the log says of refusals."""
import base64
import hashlib
import hmac
import os
import pwd
import re
import socket
import threading

import harness
from test_tls_server import Authority, Talk, context


def b64(text):
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def scram_entry(password, salt=b"0123456789abcdef", iterations=4096):
    """The value for a user of a table, as `doveadm pw -s SCRAM-SHA-256` prints it."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    return f"{{SCRAM-SHA-256}}{iterations},{b64(salt)},{b64(hashlib.sha256(client).digest())},{b64(hmac.digest(salted, b'Server Key', 'sha256'))}"


CRYPT = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"  # Hello world!
USERS = f"alice {CRYPT}\nuser {scram_entry('pencil')}\ngone !{CRYPT}\n"
FILE = """\
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = file
smtpd_sasl_path = texthash:{directory}/etc/users
smtpd_sasl_authenticated_header = yes
mynetworks = 192.0.2.1
mydestination = here.test
local_transport = discard
default_transport = discard
"""


def plain(user, password):
    return "AUTH PLAIN " + b64(f"\0{user}\0{password}")


def auth_failed(here, layer):
    return here.wait_log(f"auth-failed: .*layer={layer}: ")[-1]


def alice_by_each_mechanism(make, there, logged):
    """Our client logs in as alice with the password secret; logged: who that is in the server's log."""
    for number, mechanism in enumerate(("SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN")):
        here = make(name=f"client{number}", main_cf="smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = inline:{{ {{ 127.0.0.1 = alice:secret }} }}\n"
                    f"smtp_sasl_security_options = noanonymous\nsmtp_sasl_mechanism_filter = {mechanism}\nmydestination =\n"
                    f"default_transport = smtp:[127.0.0.1]:{there.port}\n")
        here.inject("a@x.test", "b@elsewhere.test")
        here.wait_log("status=sent")
        there.wait_log(f"sasl_method={mechanism}, sasl_username={logged}")
        here.cleanup()


def test_a_table_of_users(make):
    here = make(main_cf=FILE, files={"users": USERS})
    with here.smtp() as smtp:
        ehlo = smtp.say("EHLO client.test")
        assert "250-AUTH SCRAM-SHA-256 PLAIN LOGIN" in ehlo and "AUTH=" not in ehlo
        assert smtp.mail("a@x.test", ["b@elsewhere.test"], "x") == "454 4.7.1 <b@elsewhere.test>: Relay access denied"
        smtp.say("RSET")
        assert smtp.say(plain("alice", "Hello world!")) == "235 2.7.0 Authentication successful"
        assert smtp.say(plain("alice", "Hello world!")) == "503 5.5.1 Error: already authenticated"
        assert smtp.say("EHLO again.test").startswith("250")
        assert smtp.say("MAIL FROM:<a@x.test> AUTH=e+3Dmc2@example.com") == "250 2.1.0 Ok"
        assert smtp.say("RCPT TO:<b@elsewhere.test>") == "250 2.1.5 Ok"
        assert smtp.data("Subject: x\n\nx\n").startswith("250 2.0.0")
    line = here.wait_log(r"client=localhost\[127.0.0.1\], sasl")[0]
    assert line.endswith(", sasl_method=PLAIN, sasl_username=alice, sasl_sender=e+3Dmc2@example.com")


def test_login_and_scram(make):
    here = make(main_cf=FILE, files={"users": USERS})
    with here.smtp() as smtp:
        assert smtp.say("AUTH LOGIN") == "334 VXNlcm5hbWU6"
        assert smtp.say(b64("user")) == "334 UGFzc3dvcmQ6"
        assert smtp.say(b64("pencil")) == "235 2.7.0 Authentication successful"
    with here.smtp() as smtp:
        bare = "n=user,r=nonce"
        first = base64.b64decode(smtp.say("AUTH SCRAM-SHA-256 " + b64("n,," + bare))[4:]).decode()
        fields = dict(part.split("=", 1) for part in first.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", b"pencil", base64.b64decode(fields["s"]), int(fields["i"]))
        client = hmac.digest(salted, b"Client Key", "sha256")
        final = f"c=biws,r={fields['r']}"
        message = f"{bare},{first},{final}".encode()
        signature = hmac.digest(hashlib.sha256(client).digest(), message, "sha256")
        proof = bytes(a ^ b for a, b in zip(client, signature))
        answer = smtp.say(b64(f"{final},p={b64(proof)}"))
        server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        assert base64.b64decode(answer[4:]).decode() == "v=" + b64(server)
        assert smtp.say("") == "235 2.7.0 Authentication successful"


def test_refusals_explain_themselves_to_the_administrator_only(make):
    here = make(main_cf=FILE, files={"users": USERS})
    same = "535 5.7.8 Error: authentication failed: authentication failure"
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        assert smtp.say(plain("alice", "Wr0ngSecret")) == same
        assert smtp.say(plain("nobody", "Wr0ngSecret")) == same
        assert smtp.say(plain("gone", "Hello world!")) == same
        assert smtp.say("AUTH CRAM-MD5") == "535 5.7.8 Error: authentication failed: Invalid authentication mechanism"
        assert smtp.say("AUTH PLAIN x!") == "535 5.7.8 Error: authentication failed: Invalid base64 data in initial response"
        assert smtp.say("AUTH LOGIN") == "334 VXNlcm5hbWU6"
        assert smtp.say("*") == "501 5.7.0 Authentication aborted"
    assert "user=<alice>, mechanism=PLAIN, backend=file:texthash:" in auth_failed(here, "wrong-password")
    assert "client=localhost[127.0.0.1], user=<nobody>" in auth_failed(here, "unknown-user")
    assert "user=<gone>" in auth_failed(here, "disabled")
    assert "mechanism=CRAM-MD5" in auth_failed(here, "mechanism")
    assert "tls=no" in auth_failed(here, "encoding")
    here.wait_log(r"warning: localhost\[127.0.0.1\]: SASL LOGIN authentication aborted")
    here.wait_log(r"warning: localhost\[127.0.0.1\]: SASL PLAIN authentication failed: authentication failure, sasl_username=nobody")
    for secret in ("Wr0ngSecret", b64("\0alice\0Wr0ngSecret"), "Hello world"):
        assert secret not in here.log()


def test_a_hash_does_not_serve_scram(make):
    here = make(main_cf=FILE, files={"users": USERS})
    with here.smtp() as smtp:
        first = base64.b64decode(smtp.say("AUTH SCRAM-SHA-256 " + b64("n,,n=alice,r=nonce"))[4:]).decode()
        nonce = dict(part.split("=", 1) for part in first.split(","))["r"]
        assert smtp.say(b64(f"c=biws,r={nonce},p={b64(bytes(32))}")).startswith("535 5.7.8 ")
    line = auth_failed(here, "no-scram-secret")
    assert "mechanism=SCRAM-SHA-256" in line and "the user's entry has no SCRAM secret, only a hash for PLAIN and LOGIN" in line
    check = lambda: here.command("postfix", "check").stderr
    assert "no entry has a secret" not in check()   # there is one
    here.write("users", f"alice {CRYPT}\ngone !{CRYPT}\n")
    assert f"table texthash:{here.directory}/etc/users: SCRAM-SHA-256 is offered, and no entry has a secret for it" in check()
    here.command("postconf", "-e", f"smtpd_sasl_path = inline:{{ {{ alice = {CRYPT.replace('$', '$$')} }} }}", check=True)
    assert "table inline: SCRAM-SHA-256 is offered" in check() and CRYPT not in check()
    here.command("postconf", "-e", "smtpd_sasl_mechanism_filter = !scram-sha-256, static:rest", check=True)
    assert "no entry has a secret" not in check()


def test_rules_of_the_session(make):
    here = make(main_cf=FILE + "smtpd_tls_auth_only = yes\n", files={"users": USERS})
    with here.smtp() as smtp:
        assert "AUTH" not in smtp.say("EHLO client.test")
        assert smtp.say(plain("alice", "Hello world!")) == "503 5.5.1 Error: authentication not enabled"
    assert "mechanism=PLAIN" in auth_failed(here, "cleartext")
    assert "Hello" not in here.log()


def test_options_and_filters(make):
    here = make(main_cf=FILE + "smtpd_sasl_security_options = noplaintext, noanonymous\nsmtpd_sasl_tls_security_options = noanonymous\n"
                "broken_sasl_auth_clients = yes\n", files={"users": USERS})
    with here.smtp() as smtp:
        assert "250-AUTH SCRAM-SHA-256\n250-AUTH=SCRAM-SHA-256\n" in smtp.say("EHLO client.test")
        assert smtp.say(plain("alice", "Hello world!")).startswith("535 5.7.8 ")
    auth_failed(here, "cleartext")
    here.cleanup()
    here = make(name="there", main_cf=FILE + "smtpd_sasl_mechanism_filter = !login, static:rest\nsmtpd_sasl_exceptions_networks = 127.0.0.1\n", files={"users": USERS})
    with here.smtp() as smtp:
        assert "AUTH" not in smtp.say("EHLO client.test")
        assert smtp.say("AUTH LOGIN").startswith("535 5.7.8 ")
        assert smtp.say(plain("alice", "Hello world!")).startswith("235 ")


def test_limits(make):
    here = make(main_cf=FILE + "smtpd_client_auth_rate_limit = 2\nsmtpd_client_event_limit_exceptions =\nsmtpd_sasl_response_limit = 12288\n", files={"users": USERS})
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        assert smtp.say("AUTH PLAIN") == "334 "
        assert smtp.say("A" * 13000) == "500 5.5.6 SASL response limit exceeded"
        assert smtp.say("NOOP") == "250 2.0.0 Ok"
        assert smtp.say(plain("alice", "x")).startswith("535 ")
        assert smtp.say(plain("alice", "Hello world!")) == "450 4.7.1 Error: too many AUTH commands from 127.0.0.1"
        assert smtp.say("AUTH") == "450 4.7.1 Error: too many AUTH commands from 127.0.0.1"
        smtp.say("MAIL FROM:<a@b.test>")
        assert smtp.say("AUTH PLAIN") == "450 4.7.1 Error: too many AUTH commands from 127.0.0.1"
    here.wait_log(r"warning: AUTH command rate limit exceeded: 3 from localhost\[127.0.0.1\] for service")


OWNERS = "smtpd_sender_login_maps = inline:{{ {{ alice@here.test = alice, user }} {{ carol@here.test = carol }} }}\n"


def sender(here, restriction, login, address):
    with here[restriction].smtp() as smtp:
        smtp.say("EHLO client.test")
        if login:
            assert smtp.say(plain(login, "Hello world!")).startswith("235")
        smtp.say(f"MAIL FROM:<{address}>")
        return smtp.say("RCPT TO:<x@here.test>")


def test_who_may_use_which_sender(make):
    rows = {"reject_sender_login_mismatch": (True, True, True), "reject_authenticated_sender_login_mismatch": (True, False, True),
            "reject_unauthenticated_sender_login_mismatch": (False, True, False), "reject_known_sender_login_mismatch": (True, True, False)}
    not_owner = "553 5.7.1 <{}@here.test>: Sender address rejected: not owned by user alice"
    for number, (restriction, (foreign, stranger, nobodys)) in enumerate(rows.items()):
        here = {restriction: make(name=f"m{number}", main_cf=FILE.replace("here.test", "here.test, m{}.test".format(number)) + OWNERS +
                                  f"smtpd_sender_restrictions = {restriction}\n", files={"users": USERS})}
        ok = "250 2.1.5 Ok"
        assert sender(here, restriction, "alice", "alice@here.test") == ok
        assert sender(here, restriction, "alice", "carol@here.test") == (not_owner.format("carol") if foreign else ok)
        assert sender(here, restriction, None, "carol@here.test") == \
            ("553 5.7.1 <carol@here.test>: Sender address rejected: not logged in" if stranger else ok)
        assert sender(here, restriction, "alice", "nobodys@here.test") == (not_owner.format("nobodys") if nobodys else ok)
        here[restriction].cleanup()


class Dovecot:
    """The server side of Dovecot's authentication protocol, over a Unix socket or TCP."""

    def __init__(self, path=None):
        self.socket = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.socket.bind(path or ("127.0.0.1", 0))
        if path:
            os.chmod(path, 0o666)
        self.port = None if path else self.socket.getsockname()[1]
        self.socket.listen(10)
        self.connections = []
        self.requests = []
        self.hold = None  # answers wait for this event
        self.odd = b""    # more lines of the handshake
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        connection.sendall(b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\n" + self.odd + b"SPID\t1\nCUID\t2\nCOOKIE\tx\nDONE\n")
        for raw in connection.makefile("rb"):
            words = raw.decode().rstrip("\n").split("\t")
            if words[0] == "CONT":
                connection.sendall(f"OK\t{words[1]}\tuser=long\n".encode())
            if words[0] == "AUTH":
                self.requests.append(words)
                threading.Thread(target=self.answer, args=(connection, words), daemon=True).start()

    def answer(self, connection, words):
        user, password = base64.b64decode(words[-1][5:]).decode().split("\0")[1:]
        if self.hold and user == "slow":
            self.hold.wait(20)
        if user == "long":
            connection.sendall(f"CONT\t{words[1]}\t{'QUJD' * 3072}\n".encode())
            return
        good = password == "secret"
        reply = f"OK\t{words[1]}\tuser={user}\n" if good else f"FAIL\t{words[1]}\tuser={user}\tcode=user_disabled\n"
        connection.sendall(reply.encode())

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)   # ends the accept() of the thread, which would keep the port open
        except OSError:
            pass
        self.socket.close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


DOVECOT = """\
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
worker_processes = 1
"""


def test_dovecot_over_one_connection(make):
    dovecot = Dovecot()
    dovecot.hold = threading.Event()
    here = make(main_cf=DOVECOT + f"smtpd_sasl_path = inet:127.0.0.1:{dovecot.port}\n")
    with here.smtp() as slow, here.smtp() as quick:
        slow.send(plain("slow", "secret") + "\r\n")
        harness.wait_until(lambda: dovecot.requests, "the first request")
        assert "250-AUTH PLAIN\n" in quick.say("EHLO client.test")
        assert quick.say(plain("quick", "secret")) == "235 2.7.0 Authentication successful"
        assert quick.say("MAIL FROM:<a@b.test>").startswith("250")
        dovecot.hold.set()
        assert slow.reply() == "235 2.7.0 Authentication successful"
    assert len(dovecot.connections) == 1
    request = dovecot.requests[0]
    assert request[2:-1] == ["PLAIN", "service=smtp", "nologin", "lip=127.0.0.1", "rip=127.0.0.1"]
    with here.smtp() as smtp:
        assert smtp.say(plain("bad", "x")) == "535 5.7.8 Error: authentication failed: (reason unavailable)"
    auth_failed(here, "disabled")
    dovecot.close()


def test_dovecot_says_odd_things(make):
    dovecot = Dovecot()
    dovecot.odd = b"MECH\tNAME-OF-MORE-THAN-TWENTY-BYTES\tplaintext\nMECH\nMECH\tA B\n"
    here = make(main_cf=DOVECOT + f"smtpd_sasl_path = inet:127.0.0.1:{dovecot.port}\nlocal_recipient_maps =\n")
    with here.smtp() as smtp:
        assert "250-AUTH PLAIN\n" in smtp.say("EHLO client.test")
        assert smtp.say(plain("long", "x")) == "334 " + "QUJD" * 3072
        assert smtp.say("QUJD") == "235 2.7.0 Authentication successful"
        smtp.say("MAIL FROM:<a@b.test> AUTH=<>")
        assert smtp.say("RCPT TO:<x@here.test>").startswith("250")
    assert "sasl_sender=" not in here.wait_log(r"client=localhost.*sasl_username=long")[0]
    dovecot.close()


def test_dovecot_goes_and_comes_back(make):
    here = make(main_cf=DOVECOT + "smtpd_sasl_path = private/auth\n")
    path = os.path.join(here.directory, "spool/private/auth")
    with here.smtp() as smtp:
        assert "AUTH" not in smtp.say("EHLO client.test")
        assert smtp.say(plain("a", "secret")) == "454 4.7.0 Temporary authentication failure: Connection lost to authentication server"
    here.wait_log(r"warning: SASL: Connect to Dovecot auth socket 'private/auth' failed: No such file or directory")
    auth_failed(here, "backend-down")
    for _ in range(2):
        dovecot = Dovecot(path)
        harness.wait_until(lambda: attempt(here).startswith("235"), "it works again")
        dovecot.close()
        os.unlink(path)
        with here.smtp() as smtp:
            assert smtp.say(plain("a", "secret")).startswith("454 4.7.0 ")


def test_the_connection_to_dovecot_keeps_no_worker(make):
    dovecot = Dovecot()
    here = make(main_cf=DOVECOT + f"smtpd_sasl_path = inet:localhost:{dovecot.port}\nmax_idle = 1s\n")
    assert attempt(here).startswith("235")
    before = {pid for pid, name in here.pids() if name == "smtpd"}
    here.reload()
    harness.wait_until(lambda: not before & {pid for pid, name in here.pids()}, "the old worker to go")
    assert attempt(here).startswith("235")
    dovecot.close()


def test_xclient_login(make):
    here = make(main_cf=FILE.replace("mynetworks = 192.0.2.1", "smtpd_authorized_xclient_hosts = 127.0.0.1\nmynetworks = 192.0.2.1") +
                "smtpd_client_restrictions = check_sasl_access inline:{{ {{ bad = REJECT go away }} }}\n", files={"users": USERS})
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        assert smtp.say("XCLIENT LOGIN=bob").startswith("220")
        smtp.say("EHLO client.test")
        assert smtp.mail("a@x.test", ["b@elsewhere.test"], "Subject: x\n").startswith("250 ")
        assert smtp.say("XCLIENT LOGIN=bad").startswith("220")
        assert smtp.mail("a@x.test", ["b@elsewhere.test"], "x").endswith("554 5.7.1 <bad>: SASL login name rejected: go away")
        assert smtp.say("RSET").startswith("250")
        assert smtp.say("XCLIENT LOGIN=[UNAVAILABLE]").startswith("220")
        assert smtp.mail("a@x.test", ["b@elsewhere.test"], "x").startswith("454 4.7.1 ")
    here.wait_log(r"sasl_method=XCLIENT, sasl_username=bob")


def attempt(here):
    with here.smtp() as smtp:
        return smtp.say(plain("a", "secret"))


def test_cyrus_without_its_file(make):
    """Cyrus SASL's own database it is, then: which this user cannot read, or is not there."""
    here = make(main_cf="smtpd_sasl_auth_enable = yes\ncyrus_sasl_config_path = {directory}/etc/sasl\n")
    assert attempt(here)[:4] in ("454 ", "535 ")   # 535: a machine where everybody can read it
    here.wait_log(r"smtpd_sasl_type = cyrus: smtpd.conf was not found in .*/etc/sasl: users are looked for in Cyrus SASL's own database")
    assert not re.search("panic|fatal", here.log())


class Saslauthd:
    """Cyrus' saslauthd: four counted strings, one counted answer."""

    def __init__(self, path):
        self.questions = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        os.chmod(path, 0o666)
        self.socket.listen(10)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection, _ = self.socket.accept()
            with connection, connection.makefile("rb") as lines:
                question = [lines.read(int.from_bytes(lines.read(2), "big")).decode() for _ in range(4)]
                self.questions.append(question)
                answer = b"OK" if question[1] == "secret" else b"NO"
                connection.sendall(len(answer).to_bytes(2, "big") + answer)


def test_cyrus_with_saslauthd(make, base):
    path = os.path.join(base, "mux")
    here = make(main_cf="smtpd_sasl_auth_enable = yes\ncyrus_sasl_config_path = {directory}/etc/sasl\nsmtpd_sasl_local_domain = home.test\n",
                files={"sasl/smtpd.conf": f"# of Debian\npwcheck_method: saslauthd\nmech_list: plain LOGIN\nsaslauthd_path: {path}\n"})
    with here.smtp() as smtp:
        assert "250-AUTH PLAIN LOGIN\n" in smtp.say("EHLO client.test")
        assert smtp.say(plain("a", "secret")).startswith("454 4.7.0 ")
    auth_failed(here, "backend-down")
    saslauthd = Saslauthd(path)
    with here.smtp() as smtp:
        assert smtp.say(plain("a", "wrong")) == "535 5.7.8 Error: authentication failed: authentication failure"
        assert smtp.say(plain("a@b.test", "secret")).startswith("235 ")
    auth_failed(here, "credentials")
    assert saslauthd.questions == [["a", "wrong", "smtp", "home.test"], ["a", "secret", "smtp", "b.test"]]


def test_under_tls(make, base):
    authority = Authority(base + "/ca")
    authority.sign("here", "here.test")
    here = make(main_cf=FILE.replace("local_transport = discard\n", "") + f"""\
local_transport = virtual
virtual_mailbox_base = {{directory}}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{here_id()[0]}
virtual_gid_maps = static:{here_id()[1]}
virtual_minimum_uid = 1
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_chain_files = {authority.path("here.chain")}
smtpd_sasl_tls_security_options = noanonymous
smtpd_sasl_security_options = noanonymous, noplaintext
""", files={"users": USERS})
    with Talk(here.port) as talk:
        assert "AUTH" not in talk.say("EHLO client.test")
        talk.starttls(context())
        assert "250-AUTH SCRAM-SHA-256 PLAIN LOGIN" in talk.say("EHLO client.test")
        assert talk.say(plain("alice", "Hello world!")).startswith("235 ")
        assert talk.say("MAIL FROM:<a@x.test>").startswith("250")
        assert talk.say("RCPT TO:<b@here.test>").startswith("250")
        assert talk.say("DATA").startswith("354")
        assert talk.say("Subject: x\r\n\r\nx\r\n.").startswith("250")
    text = harness.wait_until(lambda: here.maildir("all"), "the message")[0]
    assert "(Authenticated sender: alice)\n\tby here.test (Postfix) with ESMTPSA id " in text


def test_notices_to_the_postmaster_have_no_password(make):
    here = make(main_cf=FILE.replace("local_transport = discard\n", "") + f"""\
local_transport = virtual
virtual_mailbox_base = {{directory}}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{here_id()[0]}
virtual_gid_maps = static:{here_id()[1]}
virtual_minimum_uid = 1
notify_classes = protocol, policy
error_notice_recipient = pm@here.test
""", files={"users": USERS})
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        smtp.say(plain("alice", "Wr0ngSecret"))
        smtp.say("AUTH LOGIN")
        smtp.say(b64("alice"))
        smtp.say(b64("Wr0ngSecret"))
        smtp.say("auth  login " + b64("Wr0ngSecret"))
        smtp.say("*")
        smtp.say("MAIL TO:<x>")
        smtp.say("QUIT")
    text = harness.wait_until(lambda: here.maildir("all"), "the notice")[0]
    assert "In:  AUTH PLAIN" in text and "535 5.7.8" in text and "MAIL TO" in text
    for secret in ("Wr0ngSecret", b64("Wr0ngSecret"), b64("\0alice\0Wr0ngSecret"), b64("alice")):
        assert secret not in text and secret not in here.log()


def here_id():
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    return account.pw_uid, account.pw_gid


def explain_auth(here, *arguments, password="Hello world!"):
    done = here.command("postfix", "explain", "auth", *arguments, input=password + "\n")
    return done.returncode, done.stdout + done.stderr


def test_postfix_explain_auth(make):
    here = make(main_cf=FILE, files={"users": USERS})
    assert "fatal: usage: postfix explain auth " in explain_auth(here)[1]   # not an address
    assert explain_auth(here, "alice", "--mechanism", "PLAIN")[0] == 0
    status, text = explain_auth(here, "--mechanism", "PLAIN", "alice")
    assert status == 0 and "=> accepted as alice" in text and "without TLS: SCRAM-SHA-256 PLAIN LOGIN" in text
    assert explain_auth(here, "user", password="pencil")[0] == 0
    for user, layer in (("alice", "no-scram-secret"), ("nobody", "unknown-user"), ("gone", "disabled"), ("user", "wrong-password")):
        status, text = explain_auth(here, user)
        assert status == 1 and f"=> refused (535), layer {layer}: " in text and "what mends it: " in text
    here.command("postconf", "-e", "smtpd_sasl_mechanism_filter = !scram-sha-256, static:rest", check=True)
    status, text = explain_auth(here, "alice")   # what is not offered is not tried
    assert status == 0 and "PLAIN at file:" in text
    here.cleanup()
    dovecot = Dovecot()
    here = make(name="there", main_cf=DOVECOT + f"smtpd_sasl_path = inet:127.0.0.1:{dovecot.port}\nsmtpd_tls_auth_only = yes\n")
    assert explain_auth(here, "good", password="secret")[0] == 0
    status, text = explain_auth(here, "bad")
    assert status == 1 and "layer disabled" in text
    assert "layer cleartext" in explain_auth(here, "--clear", "good", password="secret")[1]
    dovecot.close()
    assert "=> not now (454), layer backend-down" in explain_auth(here, "good", password="secret")[1]
    here.cleanup()
    here = make(name="off")
    assert "clients cannot log in: smtpd_sasl_auth_enable = no" in explain_auth(here, "x")[1]


def test_check_knows_the_words(make):
    here = make(started=False, main_cf="smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovcot\nsmtpd_sasl_security_options = noanonymus\n"
                "smtp_sasl_security_options =\nsmtpd_sasl_tls_security_options = noplaintext, mutual_auth\n")
    text = here.command("postfix", "check").stderr
    assert 'smtpd_sasl_type: unknown value "dovcot"; known: cyrus|dovecot|file' in text
    assert 'smtpd_sasl_security_options: unknown value "noanonymus"' in text
    assert text.count("unknown value") == 2


# ---- the client ----

RELAY = """\
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = texthash:{directory}/etc/passwords
smtp_sasl_security_options = noanonymous
minimal_backoff_time = 1h
default_transport = smtp:[127.0.0.1]:%d
mydestination =
"""


def relay(make, port, passwords, main_cf="", **settings):
    files = {"passwords": passwords, **settings.pop("files", {})}
    return make(name="client", main_cf=RELAY % port + main_cf, files=files, **settings)


def server(make, **settings):
    """Our own server as the one to log in at."""
    return make(name="server", main_cf=FILE + "mydestination = server.test\n" + settings.pop("more", ""), files={"users": USERS}, **settings)


def test_client_logs_in_with_the_best_mechanism(make):
    there = server(make)
    here = relay(make, there.port, f"[127.0.0.1]:{there.port} user:pencil\n")
    assert here.inject("a@x.test", "b@elsewhere.test").startswith("250")
    here.wait_log("to=<b@elsewhere.test>.*status=sent")
    there.wait_log("sasl_method=SCRAM-SHA-256, sasl_username=user$")
    assert "pencil" not in here.log() + there.log()


def test_client_with_other_mechanisms(make):
    there = server(make)
    for number, (filter_, method) in enumerate((("plain", "PLAIN"), ("login", "LOGIN"))):
        here = make(name=f"client{number}", main_cf=RELAY % there.port + f"smtp_sasl_mechanism_filter = {filter_}\n",
                    files={"passwords": f"127.0.0.1 alice:Hello world!\n"})
        assert here.inject("a@x.test", "b@elsewhere.test").startswith("250")
        here.wait_log("to=<b@elsewhere.test>.*status=sent")
        there.wait_log(f"sasl_method={method}, sasl_username=alice")
        here.cleanup()


def test_client_is_refused(make):
    there = server(make)
    here = relay(make, there.port, f"[127.0.0.1]:{there.port} user:wrong\n")
    here.inject("a@x.test", "b@elsewhere.test")
    line = here.wait_log("to=<b@elsewhere.test>.*status=deferred")[0]
    assert "dsn=4.7.8, status=deferred (SASL authentication failed; server 127.0.0.1[127.0.0.1] said: 535 5.7.8 Error: authentication failed: " in line
    here.cleanup()
    here = relay(make, there.port, f"[127.0.0.1]:{there.port} user:wrong\n", "smtp_sasl_auth_soft_bounce = no\n")
    here.inject("a@x.test", "b@elsewhere.test")
    assert "dsn=5.7.8" in here.wait_log("to=<b@elsewhere.test>.*status=bounced")[0]


def test_a_refused_login_is_not_tried_again(make, sink):
    server_ = sink(ehlo=("AUTH PLAIN",), replies={"AUTH": "535 5.7.8 no"})
    here = relay(make, server_.port, "127.0.0.1 user:wrong\n", "smtp_sasl_auth_cache_name = proxy:btree:{directory}/data/auth\nworker_processes = 1\n"
                 "initial_destination_concurrency = 1\n")
    here.inject("a@x.test", "b@elsewhere.test")
    here.wait_log(r"dsn=4.7.8, status=deferred \(SASL authentication failed; ")
    here.command("postqueue", "-f")
    here.wait_log(r"dsn=4.7.8, status=deferred \(SASL \[CACHED\] authentication failed; server 127\.0\.0\.1 said: 535 5\.7\.8 no\)")
    assert sum(line.startswith("AUTH") for session in server_.sessions for line in session) == 1


def test_client_says_that_it_does_not_know_who_submitted(make, sink):
    server_ = sink(ehlo=("AUTH PLAIN",), replies={"AUTH": "235 2.7.0 ok"})
    here = relay(make, server_.port, "127.0.0.1 user:x\n", "smtp_send_dummy_mail_auth = yes\n")
    here.inject("a@x.test", "b@elsewhere.test")
    server_.wait_messages(1)
    assert "MAIL FROM:<a@x.test> AUTH=<>" in server_.sessions[0]


def test_client_without_a_password_table(make, sink):
    server_ = sink(ehlo=("AUTH PLAIN",), replies={"AUTH": "DROP"})
    here = relay(make, server_.port, "", "smtp_sasl_password_maps = fail:x\n")
    here.inject("a@x.test", "b@elsewhere.test")
    here.wait_log(r"warning: \w+: smtp_sasl_password_maps lookup error")
    here.wait_log(r"dsn=4\.3\.0, status=deferred \(local data error while talking to 127\.0\.0\.1\[127\.0\.0\.1\]\)")
    here.cleanup()
    here = relay(make, server_.port, "127.0.0.1 user:x\n")
    here.inject("a@x.test", "b@elsewhere.test")
    here.wait_log(r"dsn=4\.4\.2, status=deferred \(lost connection with 127\.0\.0\.1\[127\.0\.0\.1\] while performing the EHLO handshake\)")


def test_client_without_a_mechanism(make, sink):
    odd = sink(ehlo=("AUTH PLAIN LOGIN",))
    here = relay(make, odd.port, "127.0.0.1 user:x\n", "smtp_sasl_security_options = noplaintext, noanonymous\n")
    here.inject("a@x.test", "b@elsewhere.test")
    here.wait_log(r"dsn=4.7.0, status=deferred \(SASL authentication failed; cannot authenticate to server 127.0.0.1\[127.0.0.1\]: no mechanism available\)")
    here.cleanup()
    here = relay(make, odd.port, "127.0.0.1 user:x\n", "smtp_sasl_mechanism_filter = gssapi\n")
    here.inject("a@x.test", "b@elsewhere.test")
    here.wait_log(r"warning: 127\.0\.0\.1\[127\.0\.0\.1\]:\d+ offered no supported AUTH mechanisms: 'PLAIN LOGIN'")
    here.wait_log(r"offered no compatible authentication mechanisms for this type of connection security\)")
    assert not any(line.startswith("AUTH") for session in odd.sessions for line in session)


def test_passwords_of_senders(make, sink):
    server_ = sink(ehlo=("AUTH PLAIN",), replies={"AUTH": "235 2.7.0 ok"})
    here = relay(make, server_.port, f"a@x.test usera:pa:ss\n@y.test usery:py\n127.0.0.1 anyone:p\n", "smtp_sender_dependent_authentication = yes\n"
                 "smtp_connection_cache_on_demand = yes\nsmtp_connection_cache_destinations = [127.0.0.1]:%d\n" % server_.port)
    wanted = {"a@x.test": "\0usera\0pa:ss", "b@y.test": "\0usery\0py", "c@z.test": "\0anyone\0p", "": "\0anyone\0p"}
    for sender_ in wanted:
        here.inject(sender_, "b@elsewhere.test")
    server_.wait_messages(4)
    seen = {}
    for session in server_.sessions:
        auth = [base64.b64decode(line.split()[2]).decode() for line in session if line.startswith("AUTH")]
        mail = [line[line.index("<") + 1:line.index(">")] for line in session if line.startswith("MAIL")]
        if mail:
            assert len(mail) == 1
            seen[mail[0]] = auth[0]
    assert seen == wanted


class ChallengeSink(harness.Sink):
    """AUTH CRAM-MD5 and XOAUTH2, whose answers come on lines of their own."""

    def __init__(self, mechanism, challenge, check):
        self.challenge, self.check, self.answers = challenge, check, []
        super().__init__(ehlo=(f"AUTH {mechanism}",), replies={"AUTH": "334 " + b64(challenge) if challenge else "334 "})

    def _scripted(self, line):
        if line and line.split(" ")[0] not in ("EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT", ".", "CONNECT"):
            self.answers.append(base64.b64decode(line).decode())
            return "235 2.7.0 ok" if self.check(self.answers[-1]) else "535 5.7.8 no"
        return super()._scripted(line)


def test_client_cram_md5(make):
    challenge = "<1896.697170952@postoffice.reston.mci.net>"
    cram = ChallengeSink("CRAM-MD5", challenge, lambda answer: answer == "tim b913a602c7eda7a495b4e6e7334d3890")
    here = relay(make, cram.port, "127.0.0.1 tim:tanstaaftanstaaf\n", "smtp_sasl_security_options =\n")
    here.inject("a@x.test", "b@elsewhere.test")
    here.wait_log("status=sent")
    cram.close()


def test_client_token(make, sink):
    token = sink(ehlo=("AUTH PLAIN XOAUTH2",), replies={"AUTH": "235 2.7.0 ok"})
    here = relay(make, token.port, "127.0.0.1 me@x.test:t0ken\n", "smtp_sasl_mechanism_filter = xoauth2\n")
    here.inject("a@x.test", "b@elsewhere.test")
    token.wait_messages(1)
    auth = next(line for line in token.sessions[0] if line.startswith("AUTH"))
    assert auth == "AUTH XOAUTH2 " + b64("user=me@x.test\1auth=Bearer t0ken\1\1")


PROGRAM = """#!/bin/sh
cd "$(dirname "$0")"
[ -e broken ] && { echo "no token today" >&2; exit 1; }
[ "$1" = 127.0.0.1 ] || exit 0
echo x >> count
echo "me@x.test:t0ken$(wc -l < count)"
"""


def test_client_token_from_a_program(make, sink):
    token = sink(ehlo=("AUTH PLAIN XOAUTH2",), replies={"AUTH": "235 2.7.0 ok"})
    here = relay(make, token.port, "", "smtp_sasl_mechanism_filter = xoauth2\nsmtp_connection_cache_on_demand = no\nsmtp_sasl_auth_soft_bounce = yes\n"
                 "smtp_sasl_password_maps = program:{directory}/etc/tokens\n", started=False, files={"tokens": PROGRAM})
    program = os.path.join(here.directory, "etc/tokens")
    assert f"{program}: not a program, or everybody may write it" in here.command("postfix", "check").stderr
    os.chmod(program, 0o755)
    here.start()
    for number in (1, 2):
        here.inject("a@x.test", "b@elsewhere.test")
        token.wait_messages(number)
        auth = next(line for line in token.sessions[-1] if line.startswith("AUTH"))
        assert auth == "AUTH XOAUTH2 " + b64(f"user=me@x.test\1auth=Bearer t0ken{number}\1\1")
    here.write("broken", "")
    here.inject("a@x.test", "later@elsewhere.test")
    here.wait_log(f"smtp.*warning: program:{program}: exit status 1: no token today")
    here.wait_log("to=<later@elsewhere.test>.*status=deferred")
    assert len(token.messages) == 2


def test_a_server_that_does_not_prove_itself_is_not_believed(make, sink):
    liar = sink(ehlo=("AUTH SCRAM-SHA-256",), replies={"AUTH": "235 2.7.0 come in"})
    here = relay(make, liar.port, "127.0.0.1 user:pencil\n")
    here.inject("a@x.test", "b@elsewhere.test")
    here.wait_log(r"status=deferred \(SASL authentication failed; cannot authenticate to server .*: it did not prove that it knows the password\)")
    assert not any(line.startswith("MAIL") for session in liar.sessions for line in session)


def test_lmtp_logs_in_too(make, sink):
    store = sink(ehlo=("AUTH PLAIN",), replies={"AUTH": "235 2.7.0 ok"}, lmtp=True)
    here = make(name="client", main_cf=f"default_transport = lmtp:inet:127.0.0.1:{store.port}\nmydestination =\nlmtp_sasl_auth_enable = yes\n"
                "lmtp_sasl_password_maps = inline:{{ {{ 127.0.0.1 = user:pw }} }}\nlmtp_sasl_security_options = noanonymous\n")
    here.inject("a@x.test", "b@elsewhere.test")
    store.wait_messages(1)
    assert "AUTH PLAIN " + b64("\0user\0pw") in store.sessions[0]
