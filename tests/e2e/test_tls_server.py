"""TLS at the door: STARTTLS, wrapper mode, certificates of both sides, renewal, resumption."""
import os
import re
import shutil
import socket
import ssl
import subprocess
import time

from harness import free_port, wait_until


def openssl(*argv, input=None):
    return subprocess.run(["openssl", *argv], capture_output=True, text=True, check=True, input=input).stdout


class Authority:
    """A certificate authority in a directory, and what it signs."""

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        os.chmod(directory, 0o755)
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path("ca.key"),
                "-out", self.path("ca.pem"), "-subj", "/CN=test authority", "-days", "30")
        os.chmod(self.path("ca.pem"), 0o644)

    def path(self, name):
        return os.path.join(self.directory, name)

    def sign(self, file, name, key="ec"):
        """file.pem and file.key for a host name; file.chain: key, certificate."""
        kind = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if key == "ec" else [key]
        openssl("req", "-newkey", *kind, "-nodes", "-keyout", self.path(file + ".key"), "-out", self.path(file + ".csr"), "-subj", f"/CN={name}")
        with open(self.path(file + ".ext"), "w") as out:
            out.write(f"subjectAltName=DNS:{name}\n")
        openssl("x509", "-req", "-in", self.path(file + ".csr"), "-CA", self.path("ca.pem"), "-CAkey", self.path("ca.key"), "-CAcreateserial",
                "-days", "20", "-extfile", self.path(file + ".ext"), "-out", self.path(file + ".new"))
        with open(self.path(file + ".chain"), "w") as chain:
            for part in (".key", ".new"):
                chain.write(open(self.path(file + part)).read())
        for ending in (".key", ".chain"):
            os.chmod(self.path(file + ending), 0o644)
        os.chmod(self.path(file + ".new"), 0o644)
        os.rename(self.path(file + ".new"), self.path(file + ".pem"))

    def fingerprint(self, file):
        return openssl("x509", "-in", self.path(file + ".pem"), "-noout", "-fingerprint", "-sha256").strip().split("=")[1]


def context(authority=None, client=None, **settings):
    result = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    result.check_hostname = False
    result.verify_mode = ssl.CERT_NONE
    if authority:
        result.load_verify_locations(authority.path("ca.pem"))
        result.verify_mode = ssl.CERT_REQUIRED
    if client:
        result.load_cert_chain(client + ".pem", client + ".key")
    for name, value in settings.items():
        setattr(result, name, value)
    return result


class Talk:
    """A dialogue that can turn to TLS."""

    def __init__(self, port, wrapped=None, name=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        if wrapped:
            self.socket = wrapped.wrap_socket(self.socket, server_hostname=name)
        self.input = b""
        self.greeting = self.reply()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def reply(self):
        lines = []
        while not lines or lines[-1][3:4] == "-":
            while b"\n" not in self.input:
                data = self.socket.recv(4096)
                if not data:
                    return "\n".join(lines)
                self.input += data
            line, self.input = self.input.split(b"\n", 1)
            lines.append(line.decode().rstrip("\r"))
        return "\n".join(lines)

    def say(self, line):
        self.socket.sendall(line.encode() + b"\r\n")
        return self.reply()

    def starttls(self, tls, name=None):
        assert self.say("STARTTLS") == "220 2.0.0 Ready to start TLS"
        self.socket = tls.wrap_socket(self.socket, server_hostname=name)
        return self


def certificate(port, tls=None, name=None):
    """The server's certificate in text form."""
    with Talk(port) as talk:
        talk.starttls(tls or context(), name)
        return openssl("x509", "-noout", "-subject", "-fingerprint", "-sha256",
                       input=ssl.DER_cert_to_PEM_cert(talk.socket.getpeercert(True)))


SERVER = """\
smtpd_tls_security_level = may
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
"""


def test_rsa_and_ec_side_by_side(make, base):
    authority = Authority(base + "/ca")
    authority.sign("rsa", "here.test", "rsa:2048")
    authority.sign("ec", "here.test")
    here = make(main_cf=SERVER + f"""\
smtpd_tls_cert_file = {authority.path("rsa.pem")}
smtpd_tls_key_file = {authority.path("rsa.key")}
smtpd_tls_eccert_file = {authority.path("ec.pem")}
smtpd_tls_eckey_file = {authority.path("ec.key")}
smtpd_tls_CAfile = {authority.path("ca.pem")}
smtpd_tls_protocols = >=TLSv1.2
smtpd_tls_exclude_ciphers = AES128
""")
    for cipher, line in (("ECDHE-RSA-AES256-GCM-SHA384", "rsa"), ("ECDHE-ECDSA-AES256-GCM-SHA384", "ec")):
        tls = context(authority, maximum_version=ssl.TLSVersion.TLSv1_2)
        tls.set_ciphers(cipher)
        with Talk(here.port) as talk:
            assert "250-STARTTLS" in talk.say("EHLO x")
            talk.starttls(tls)
            assert "STARTTLS" not in talk.say("EHLO x")
            assert talk.say("STARTTLS") == "554 5.5.1 Error: TLS already active"
        here.wait_log(rf"Anonymous TLS connection established from localhost\[127\.0\.0\.1\]: TLSv1\.2 with cipher {cipher} \(256/256 bits\)$")
        assert authority.fingerprint(line) in certificate(here.port, tls)
    with Talk(here.port) as talk:  # what is excluded cannot be had
        tls = context(maximum_version=ssl.TLSVersion.TLSv1_2)
        tls.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
        try:
            talk.starttls(tls)
            assert False, "AES128 was excluded"
        except (ssl.SSLError, ConnectionError):
            pass
    here.wait_log("warning: TLS library problem: error:.*no shared cipher")
    tls = context()
    tls.set_alpn_protocols(["smtp"])
    with Talk(here.port) as talk:
        assert talk.starttls(tls).socket.selected_alpn_protocol() == "smtp"
    tls.set_alpn_protocols(["http/1.1"])
    try:
        Talk(here.port).starttls(tls)
        assert False, "a browser was let in"
    except (ssl.SSLError, ConnectionError):
        pass


def test_what_was_sent_too_early_is_not_obeyed(make, base):
    authority = Authority(base + "/ca")
    authority.sign("here", "here.test")
    here = make(main_cf=SERVER + f"smtpd_tls_chain_files = {authority.path('here.chain')}\n")
    with Talk(here.port) as talk:
        talk.say("EHLO x")
        talk.socket.sendall(b"STARTTLS\r\nMAIL FROM:<evil@x.test>\r\n")
        assert talk.reply() == "220 2.0.0 Ready to start TLS"
        assert talk.socket.recv(100) == b""
    here.wait_log(r"lost connection after STARTTLS from localhost")
    with Talk(here.port) as talk:  # a large message goes through
        talk.starttls(context())
        talk.say("EHLO x")
        talk.say("MAIL FROM:<a@x.test>")
        talk.say("RCPT TO:<nobody@here.test>")
        assert talk.say("DATA").startswith("354 ")
        talk.socket.sendall(b"Subject: large\r\n\r\n" + b"0123456789\r\n" * 300000 + b".\r\n")
        assert talk.reply().startswith("250 2.0.0 Ok: queued as ")


def test_renewed_certificates_are_taken_up(make, base):
    authority = Authority(base + "/ca")
    authority.sign("here", "one.test")
    here = make(main_cf=SERVER + f"smtpd_tls_chain_files = {authority.path('here.chain')}\n")
    assert "CN = one.test" in certificate(here.port)
    with Talk(here.port) as old:
        old.starttls(context())
        authority.sign("here", "two.test")
        wait_until(lambda: "CN = two.test" in certificate(here.port), "the new certificate")
        assert old.say("NOOP") == "250 2.0.0 Ok"
    here.wait_log("smtpd.*TLS keys and certificates were read again: their files have changed")
    here.write(authority.path("here.chain"), "-----BEGIN PRIVATE KEY-----\nnonsense\n")
    wait_until(lambda: certificate(here.port) and "going on with the keys and certificates read before" in here.log(), "a complaint")
    assert "CN = two.test" in certificate(here.port)
    authority.sign("here", "three.test")
    wait_until(lambda: "CN = three.test" in certificate(here.port), "the mended certificate")


def test_names_get_their_certificates(make, base):
    authority = Authority(base + "/ca")
    for name in ("here", "a", "b"):
        authority.sign(name, name + ".test")
    # the key and its certificate in two files
    here = make(main_cf=SERVER + f"smtpd_tls_chain_files = {authority.path('here.key')}, {authority.path('here.pem')}\n" + "tls_server_sni_maps = texthash:{directory}/etc/names\n",
                files={"names": f"a.test {authority.path('a.chain')}\n.b.test {authority.path('b.chain')}\n"})
    for name, subject in (("a.test", "a.test"), ("A.TEST", "a.test"), ("x.b.test", "b.test"), ("other.test", "here.test"), (None, "here.test")):
        assert f"CN = {subject}" in certificate(here.port, name=name), name
    here.wait_log(r"TLS connection established from localhost\[127\.0\.0\.1\] to x\.b\.test: TLSv1\.3")
    here.wait_log(r"TLS SNI other\.test from localhost\[127\.0\.0\.1\] not matched, using default chain")


def test_a_directory_of_certificates(make, base):
    authority = Authority(base + "/ca")
    for name in ("one", "two", "star"):
        authority.sign(name, {"star": "*.star.test"}.get(name, name + ".test"))
    directory = base + "/certificates"
    os.makedirs(directory + "/two.test")
    for source, target in (("one.chain", "a.pem"), ("star.chain", "b.pem"), ("two.key", "two.test/privkey.pem"), ("two.pem", "two.test/fullchain.pem")):
        shutil.copy(authority.path(source), f"{directory}/{target}")
    with open(directory + "/broken.pem", "w") as out:
        out.write("nothing\n")
    here = make(main_cf=SERVER + f"smtpd_tls_certificate_directory = {directory}\n")
    here.wait_log(f"warning: error loading chain from {directory}/broken.pem: left out")
    for name, subject in (("two.test", "two.test"), ("x.star.test", "*.star.test"), ("one.test", "one.test"), ("other.test", "one.test"), (None, "one.test")):
        assert f"CN = {subject}\n" in certificate(here.port, name=name), name
    authority.sign("two", "two.test")
    for source, target in (("two.key", "two.test/privkey.pem"), ("two.pem", "two.test/fullchain.pem")):
        shutil.copy(authority.path(source), f"{directory}/{target}")
    wait_until(lambda: authority.fingerprint("two") in certificate(here.port, name="two.test"), "the new certificate")
    assert authority.fingerprint("one") in certificate(here.port)


def test_a_certificate_that_comes_later(make, base):
    authority = Authority(base + "/ca")
    authority.sign("here", "here.test")
    chain = base + "/later.pem"
    here = make(main_cf=SERVER + f"smtpd_tls_chain_files = {chain}\n")

    def answer():
        with Talk(here.port) as talk:
            return talk.say("STARTTLS")

    assert answer().startswith("454 4.7.0 ")
    here.wait_log(f"warning: cannot open file \"{chain}\": No such file or directory: disabling TLS support")
    shutil.copy(authority.path("here.chain"), chain)
    wait_until(lambda: answer().startswith("220 "), "TLS")
    assert authority.fingerprint("here") in certificate(here.port)


def test_clients_with_certificates(make, base):
    authority = Authority(base + "/ca")
    for name in ("here", "friend", "guest"):
        authority.sign(name, name + ".test")
    stranger = Authority(base + "/other")
    stranger.sign("stranger", "stranger.test")
    port = free_port()
    here = make(main_cf=SERVER + f"""\
smtpd_tls_chain_files = {authority.path('here.chain')}
smtpd_tls_CAfile = {authority.path('ca.pem')}
smtpd_tls_ask_ccert = yes
smtpd_tls_fingerprint_digest = sha256
relay_clientcerts = inline:{{{{ {authority.fingerprint('friend')}=friend }}}}
mynetworks =
smtpd_relay_restrictions = check_ccert_access inline:{{{{ {authority.fingerprint('guest')}=REJECT }}}}, permit_tls_clientcerts, reject
""", master_cf=f"""\
127.0.0.1:{port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes -o smtpd_tls_req_ccert=yes
""")
    answers = {"friend": "250 2.1.5 Ok", "guest": r"554 5\.7\.1 .*Client certificate rejected: Access denied", None: r"554 5\.7\.1 .*Recipient address rejected: Access denied"}
    for name, answer in answers.items():
        with Talk(here.port) as talk:
            talk.starttls(context(client=name and authority.path(name)))
            talk.say("EHLO x")
            talk.say("MAIL FROM:<a@x.test>")
            assert re.fullmatch(answer, talk.say("RCPT TO:<b@elsewhere.test>")), name
    here.wait_log(r"Trusted TLS connection established from localhost\[127\.0\.0\.1\]: TLSv1\.3 .* client-signature ECDSA \(prime256v1\) client-digest SHA256")
    with Talk(here.port) as talk:
        talk.starttls(context(client=stranger.path("stranger")))
        here.wait_log("Untrusted TLS connection established from localhost")
    with Talk(port, context(client=authority.path("guest"))) as talk:
        assert talk.greeting == "220 here.test ESMTP Postfix"
    with Talk(port, context()) as talk:
        assert talk.greeting == "421 4.7.1 here.test Error: No client certificate presented"
    with Talk(port, context(client=stranger.path("stranger"))) as talk:
        assert talk.greeting == "421 4.7.1 here.test Error: Client certificate not trusted"
    here.wait_log(r"NOQUEUE: abort: TLS from localhost\[127\.0\.0\.1\]: Client certificate not trusted")


def test_sessions_are_resumed_by_any_worker(make, base):
    authority = Authority(base + "/ca")
    authority.sign("here", "here.test")
    here = make(main_cf=SERVER + f"smtpd_tls_chain_files = {authority.path('here.chain')}\nworker_processes = 2\nsmtpd_tls_security_level = encrypt\n")
    with Talk(here.port) as talk:
        assert talk.say("MAIL FROM:<a@x.test>") == "530 5.7.0 Must issue a STARTTLS command first"
    for version in ("TLSv1_2", "TLSv1_3"):
        tls = context(maximum_version=ssl.TLSVersion[version])
        with Talk(here.port) as talk:
            talk.starttls(tls)
            talk.say("NOOP")
            session = talk.socket.session
        workers = set()
        for _ in range(40):
            with Talk(here.port) as talk:
                assert talk.say("STARTTLS").startswith("220 ")
                talk.socket = tls.wrap_socket(talk.socket, session=session)
                assert talk.say("NOOP") == "250 2.0.0 Ok"
                assert talk.socket.session_reused
            workers = {m.group(1) for m in re.finditer(r"smtpd\[(\d+)\]: Anonymous TLS connection established from", here.log())}
            if len(workers) > 1:
                break
        assert workers


def test_without_a_usable_certificate(make, base):
    here = make(main_cf=SERVER + "smtpd_tls_cert_file = /nonexistent.pem\n")
    with Talk(here.port) as talk:
        talk.say("EHLO x")
        assert talk.say("STARTTLS") == "454 4.7.0 TLS not available due to local problem"
    here.wait_log(r'smtpd.*warning: cannot open file "/nonexistent.pem": No such file or directory: disabling TLS support')


def test_what_of_a_certificate_is_looked_up(make, base):
    authority = Authority(base + "/ca")
    for name in ("here", "guest"):
        authority.sign(name, name + ".test")
    table = f"inline:{{{{ {authority.fingerprint('guest')}=REJECT }}}}"
    orders = {"pubkey_fingerprint": "<b@elsewhere.test>: Recipient address rejected: Access denied", "cert_fingerprint, issuer_cn": "451 4.3.5 Server configuration error",
              "pubkey_fingerprint, cert_fingerprint": "Client certificate rejected: Access denied"}
    ports = {order: free_port() for order in orders}
    services = "".join(f"127.0.0.1:{port} inet n - n - - smtpd -o {{{{ smtpd_relay_restrictions = "
                       f"check_ccert_access {{{{ {table}, {{{{ search_order = {order} }}}} }}}}, reject }}}}\n" for order, port in ports.items())
    here = make(main_cf=SERVER + f"""\
smtpd_tls_chain_files = {authority.path('here.chain')}
smtpd_tls_CAfile = {authority.path('ca.pem')}
smtpd_tls_ask_ccert = yes
smtpd_tls_fingerprint_digest = sha256
""", master_cf=services)
    for order, answer in orders.items():
        with Talk(ports[order]) as talk:
            talk.starttls(context(client=authority.path("guest")))
            talk.say("EHLO x")
            talk.say("MAIL FROM:<a@x.test>")
            assert answer in talk.say("RCPT TO:<b@elsewhere.test>"), order
    assert len(here.log_lines("warning: .*search_order")) == len(here.log_lines("warning: check_ccert_access: unknown search_order: issuer_cn"))
