"""postfix tls: keys and certificates that openssl understands, and settings that smtpd takes up."""
import os
import re
import ssl

import pytest
from test_tls_server import openssl


@pytest.fixture
def here(make):
    return make()


def tls(here, *arguments, status=0):
    done = here.command("postfix", "tls", *arguments)
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr.replace("postfix/postfix-tls-script: ", "")


def made(lines):
    """The certificate and the key that were made."""
    return re.search(r"^  # postfix tls deploy-server-cert (\S+) (\S+)$", lines, re.M).groups()


def setting(here, name):
    return here.command("postconf", "-h", name, check=True).stdout.strip()


def public_key(path, kind):
    return openssl(kind, "-in", path, "-noout", "-pubkey") if kind != "pkey" else openssl("pkey", "-in", path, "-pubout")


def test_the_server(here):
    tls(here, "all-default-server")
    _, lines = tls(here, "enable-server", "mail.here.test", "other.here.test")
    assert "TLS private key and certificate deployed." in lines and "# postfix reload" in lines
    tls(here, "all-default-server", status=1)
    certificate, key = setting(here, "smtpd_tls_cert_file"), setting(here, "smtpd_tls_key_file")
    assert re.search(r"/etc/cert-\d{8}-\d{6}\.pem$", certificate) and re.search(r"/etc/key-\d{8}-\d{6}\.pem$", key)
    assert os.stat(key).st_mode & 0o777 == 0o600
    assert setting(here, "smtpd_tls_security_level") == "may"
    text = openssl("x509", "-in", certificate, "-noout", "-text")
    for part in ("Public-Key: (2048 bit)", "CN = mail.here.test", "DNS:mail.here.test, DNS:other.here.test", "CA:FALSE", "TLS Web Server Authentication"):
        assert part in text
    here.reload()
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        assert smtp.say("STARTTLS").startswith("220")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(certificate)
        smtp.file.close()
        smtp.socket = context.wrap_socket(smtp.socket, server_hostname="other.here.test")
        smtp.file = smtp.socket.makefile("rb")
        assert smtp.say("EHLO client.test").startswith("250")
    _, lines = tls(here, "enable-server")
    assert "nothing was changed" in lines and setting(here, "smtpd_tls_cert_file") == certificate
    # a new certificate for the same key, and the other algorithm beside it
    before = openssl("pkey", "-in", key, "-pubout")
    newer, same_key = made(_after_a_second(here, "new-server-cert", "x.test"))
    assert newer != certificate and openssl("pkey", "-in", same_key, "-pubout") == before
    assert setting(here, "smtpd_tls_cert_file") == certificate  # not before it is deployed
    elliptic, elliptic_key = made(tls(here, "new-server-key", "-a", "ecdsa", "-b", "secp384r1")[1])
    assert "secp384r1" in openssl("x509", "-in", elliptic, "-noout", "-text")
    _, lines = tls(here, "deploy-server-cert", elliptic, same_key, status=1)
    assert lines == f"fatal: Certificate in {elliptic} does not match key in {same_key}\n"
    tls(here, "deploy-server-cert", newer, same_key)
    tls(here, "deploy-server-cert", os.path.basename(elliptic), os.path.basename(elliptic_key))
    assert [setting(here, f"smtpd_tls_{name}_file") for name in ("cert", "key", "eccert", "eckey")] == [newer, same_key, elliptic, elliptic_key]


def _after_a_second(here, *arguments):
    import time
    time.sleep(1.1)  # the names of files have seconds
    return tls(here, *arguments)[1]


def test_what_goes_to_others(here):
    certificate, key = made(tls(here, "new-server-key")[1])
    out, _ = tls(here, "output-server-csr", "-k", key, "a.test", "b.test")
    text = openssl("req", "-noout", "-text", "-verify", input=out)
    assert "CN = a.test" in text and "DNS:a.test, DNS:b.test" in text
    out, _ = tls(here, "output-server-tlsa", "-h", "mx.test", os.path.basename(key))
    digest = openssl("pkey", "-in", key, "-pubout", "-outform", "DER", "-out", key + ".der") or openssl("dgst", "-sha256", "-r", key + ".der").split()[0]
    assert out == f"; {key}\n_25._tcp.mx.test. IN TLSA 3 1 1 {digest}\n"
    _, lines = tls(here, "output-server-tlsa", status=1)
    assert lines == "fatal: No usable keyfile specified or configured\n"
    tls(here, "deploy-server-cert", certificate, key)
    out, _ = tls(here, "output-server-tlsa")
    assert out.endswith(f" IN TLSA 3 1 1 {digest}\n")
    assert "BEGIN CERTIFICATE REQUEST" in tls(here, "output-server-csr")[0]
    _, lines = tls(here, "output-server-csr", "-k", certificate, status=1)
    assert lines == f"fatal: no private key found in file: {certificate}\n"


def test_the_client(here):
    tls(here, "all-default-client")
    _, lines = tls(here, "enable-client", "-r", "dev:/dev/urandom")
    assert setting(here, "smtp_tls_security_level") == "may" and setting(here, "tls_random_source") == "dev:/dev/urandom"
    tls(here, "all-default-client", status=1)
    _, lines = tls(here, "enable-client")
    assert "nothing was changed" in lines


def test_errors(here):
    for arguments, error in ((["new-server-key", "-a", "dsa"], "fatal: Unsupported public key algorithm: dsa\n"),
                             (["new-server-key", "-b", "512"], "fatal: RSA keys have from 2048 to 8192 bits, not 512\n"),
                             (["new-server-key", "a.test,DNS:b"], 'fatal: "a.test,DNS:b" cannot be a name in a certificate\n'),
                             (["new-server-key", "x" * 65], f'fatal: "{"x" * 65}" cannot be a name in a certificate\n'),
                             (["deploy-server-cert", "x"], "fatal: usage: postfix tls deploy-server-cert certfile keyfile\n"),
                             (["enable-client", "-q"], "fatal: postfix tls enable-client: bad option: -q\n")):
        assert tls(here, *arguments, status=1)[1] == error
    assert tls(here, "bogus", status=1)[1].startswith("error: unknown tls command: 'bogus'\nfatal: usage: postfix tls enable-client (or ")
    here.command("postconf", f"smtpd_tls_chain_files={here.directory}/etc/x.pem", check=True)
    assert "smtpd_tls_chain_files" in tls(here, "deploy-server-cert", "a", "b", status=1)[1]
    assert not [n for n in os.listdir(here.directory + "/etc") if n.startswith(("key-", "cert-"))]
