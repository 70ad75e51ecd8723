"""TLS towards other servers: policies, certificates of both sides, resumption, what happens when it does not work."""
import os
import re
import ssl

import pytest

from harness import Sink, free_port
from test_tls_server import Authority

CLIENT = """\
smtp_tls_security_level = may
smtp_tls_loglevel = 1
smtp_tls_fingerprint_digest = sha256
smtp_tls_policy_maps = texthash:{directory}/etc/policies
smtp_tls_session_cache_database = btree:{directory}/data/smtp_scache
smtp_tls_servername = hostname
minimal_backoff_time = 1s
queue_run_delay = 1s
"""

SERVER = """\
smtpd_tls_security_level = may
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
smtpd_tls_ask_ccert = yes
local_transport = discard
"""


def pair(make, base, policy, client="", server="", wrapped=False):
    """A sender that relays all mail to a receiver."""
    authority = Authority(base + "/ca")
    authority.sign("there", "there.test")
    authority.sign("here", "here.test")
    port = free_port()
    there = make("there", main_cf=SERVER + f"smtpd_tls_chain_files = {authority.path('there.chain')}\nsmtpd_tls_CAfile = {authority.path('ca.pem')}\n" + server,
                 master_cf=f"127.0.0.1:{port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n")
    port = port if wrapped else there.port
    policy = policy.format(fingerprint=authority.fingerprint("there"), port=port)
    here = make("here", main_cf=CLIENT + f"relayhost = [127.0.0.1]:{port}\nsmtp_tls_CAfile = {authority.path('ca.pem')}\n"
                f"smtp_tls_chain_files = {authority.path('here.chain')}\n" + client,
                files={"policies": f"[127.0.0.1]:{port} {policy}\n"})
    return here, there


def test_mail_is_encrypted_and_sessions_are_resumed(make, base):
    here, there = pair(make, base, "encrypt protocols=>=TLSv1.2 ciphers=high")
    for i in range(3):
        here.inject("a@here.test", "b@there.test")
        here.wait_log(r"status=sent", i + 1)
    here.wait_log(r"Trusted TLS connection established to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: TLSv1\.3 .* server-digest SHA256 client-signature ECDSA")
    there.wait_log(r"Trusted TLS connection established from localhost\[127\.0\.0\.1\]: TLSv1\.3 with cipher")
    assert len(here.wait_log("TLS connection established to", 3)) == 3  # each message a connection: smtp_tls_connection_reuse = no
    if len({line.split("smtp[")[1].split("]")[0] for line in here.log_lines("TLS connection .* to")}) == 1:
        here.wait_log(r"Trusted TLS connection established to .* server-signature ECDSA \(prime256v1\)$")  # resumed: nobody signed anew


def test_steps_of_handshakes(make, base):
    here, there = pair(make, base, "encrypt protocols=>=TLSv1.3", client="smtp_tls_loglevel = 2\n", server="smtpd_tls_loglevel = 2\n")
    here.inject("a@here.test", "b@there.test")
    here.wait_log("status=sent")
    for line in (r"postfix/smtp\[\d+\]: initializing the client-side TLS engine", r"\]:\d+: TLS cipher list \"aNULL:-aNULL:HIGH", "SSL_connect:SSLv3/TLS write client hello",
                 r"\]:\d+: depth=1 verify=1 subject=/CN=", r"\]:\d+: depth=0 verify=1 subject=/CN=there\.test", "SSL_connect:SSLv3/TLS write finished"):
        here.wait_log(line)
    for line in (r"smtpd\[\d+\]: initializing the server-side TLS engine", r"localhost\[127\.0\.0\.1\]: TLS cipher list \"aNULL:-aNULL:HIGH", "SSL_accept:before SSL initialization",
                 "SSL_accept:SSLv3/TLS write certificate", r"localhost\[127\.0\.0\.1\]: Issuing session ticket, key expiration: \d{10}$", "SSL_accept:SSLv3/TLS read finished"):
        there.wait_log(line)
    stranger = ssl.create_default_context()
    with there.smtp() as smtp:
        smtp.say("EHLO x")
        assert smtp.say("STARTTLS").startswith("220")
        with pytest.raises(ssl.SSLError):
            stranger.wrap_socket(smtp.socket, server_hostname="there.test")
    there.wait_log(r"SSL3 alert read:fatal:unknown CA$")
    there.wait_log(r"SSL_accept:error in ")


def test_a_connection_that_is_used_again(make, base):
    here, there = pair(make, base, "encrypt", client="smtp_tls_connection_reuse = yes\nsmtp_connection_cache_destinations = 127.0.0.1\nworker_processes = 1\n")
    for i in range(3):
        here.inject("a@here.test", "b@there.test")
        here.wait_log("status=sent", i + 1)
    assert len(there.wait_log("Trusted TLS connection established from")) == 1
    assert len(here.wait_log(r"Trusted TLS connection reused to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: TLSv1\.3 with cipher .* server-digest", 2)) == 2


def test_names_and_fingerprints(make, base):
    here, there = pair(make, base, "secure match=there.test")
    here.inject("a@here.test", "b@there.test")
    here.wait_log(r"Verified TLS connection established to")
    here.wait_log(r"status=sent")
    for policy, answer in (("secure match=elsewhere.test", "deferred (Server certificate not verified)"),
                           ("fingerprint match=00:11", "deferred (Server certificate not verified)"),
                           ("fingerprint match=hello", "deferred (client TLS configuration problem)"),
                           ("secure surprise=1", "deferred (client TLS configuration problem)")):
        here.write("policies", f"[127.0.0.1]:{there.port} {policy}\n")
        here.reload()
        here.inject("a@here.test", "b@there.test")
        here.wait_log(r"dsn=4\.7\.5, status=" + re.escape(answer), 1)
        here.command("postsuper", "-d", "ALL", check=True)
    here.wait_log("server certificate verification failed for 127.0.0.1\\[127.0.0.1\\]:\\d+: num=62:hostname mismatch")
    here.wait_log("Untrusted TLS connection established to")
    here.wait_log(r"warning: 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: unusable TLSA RR: 3 [01] 255 0011", 2)
    here.wait_log(r"warning: 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: all fingerprints unusable")
    here.wait_log("warning: malformed fingerprint value: hello")
    here.wait_log('warning: smtp_tls_policy_maps, next-hop destination "\\[127.0.0.1\\]:\\d+": invalid attribute name: "surprise"')


def test_fingerprint_and_wrapper_mode(make, base):
    here, there = pair(make, base, "fingerprint match={fingerprint}", client="smtp_tls_wrappermode = yes\n", wrapped=True)
    here.inject("a@here.test", "b@there.test")
    here.wait_log(r"Verified TLS connection established to")
    here.wait_log(r"status=sent")


def test_trust_anchors_stand_in_for_authorities(make, base):
    here, there = pair(make, base, "secure match=there.test", client=f"smtp_tls_trust_anchor_file = {base}/ca/there.pem\n")  # the very certificate
    here.inject("a@here.test", "b@there.test")
    here.wait_log(r"Verified TLS connection established to")
    here.wait_log(r"status=sent")
    Authority(base + "/other")
    here.command("postconf", f"smtp_tls_trust_anchor_file = {base}/other/ca.pem", check=True)
    here.reload()
    here.inject("a@here.test", "b@there.test")
    here.wait_log(r"dsn=4\.7\.5, status=deferred \(Server certificate not verified\)")
    here.wait_log(r"smtp\[\d+\]: certificate verification failed for 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: untrusted issuer /CN=test authority")
    here.command("postconf", f"smtp_tls_trust_anchor_file = {base}/none.pem", check=True)
    here.reload()
    here.inject("a@here.test", "b@there.test")
    here.wait_log(r"warning: error opening trust anchor file: .*/none\.pem: No such file or directory")
    here.wait_log(r"relay=none, .* dsn=4\.7\.5, status=deferred \(client TLS configuration problem\)")


def test_a_broken_handshake(make, sink):
    broken = sink(ehlo=("STARTTLS", "8BITMIME"), replies={"STARTTLS": "220 go ahead"})
    here = make(main_cf=CLIENT + f"relayhost = [127.0.0.1]:{broken.port}\n", files={"policies": ""})
    here.inject("a@here.test", "b@there.test")
    here.wait_log(r"dsn=4\.7\.5, status=deferred \(Cannot start TLS: handshake failure\)")
    here.wait_log(r"SSL_connect error to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: -1")
    broken.wait_messages(1)  # later it goes in the clear
    here.wait_log(r"smtp\[\d+\]: [0-9A-F]+: Cannot start TLS: handshake failure$")
    here.wait_log(r"status=sent")
    assert [c for c in broken.sessions[-1] if c == "STARTTLS"] == []
    here.write("policies", f"[127.0.0.1]:{broken.port} encrypt\n")
    here.reload()
    here.inject("a@here.test", "c@there.test")
    here.wait_log(r"to=<c@there.test>.*status=deferred \(Cannot start TLS: handshake failure\)", 3)
    assert len(broken.messages) == 1


class Breaking(Sink):
    """Shakes hands and then hangs up; in the clear it takes mail."""

    def __init__(self, authority):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(authority.path("there.chain"))
        super().__init__(ehlo=("STARTTLS",))

    def _serve(self, connection):
        try:
            with connection, connection.makefile("rb", buffering=0) as lines:
                connection.sendall(b"220 sink ESMTP\r\n")
                if not lines.readline().startswith(b"EHLO"):
                    return
                connection.sendall(b"250-sink\r\n250 STARTTLS\r\n")
                line = lines.readline()
                if line == b"STARTTLS\r\n":
                    connection.sendall(b"220 go ahead\r\n")
                    with self.context.wrap_socket(connection, server_side=True) as wrapped:
                        wrapped.recv(100)
                    return
                while line:
                    verb = line[:4].upper()
                    connection.sendall(b"354 go ahead\r\n" if verb == b"DATA" else b"250 2.0.0 ok\r\n")
                    if verb == b"DATA":
                        self.messages.append(self._content(lines))
                        connection.sendall(b"250 2.0.0 stored\r\n")
                    line = lines.readline()
        except OSError:
            pass


def test_a_connection_that_is_lost_after_the_handshake(make, base):
    authority = Authority(base + "/ca")
    authority.sign("there", "there.test")
    breaking = Breaking(authority)
    here = make(main_cf=CLIENT + f"relayhost = [127.0.0.1]:{breaking.port}\n", files={"policies": ""})
    here.inject("a@here.test", "b@there.test")
    here.wait_log(r"dsn=4\.4\.2, status=deferred \(lost connection with 127\.0\.0\.1\[127\.0\.0\.1\] while performing the EHLO handshake\)")
    breaking.wait_messages(1)
    here.wait_log(r"status=sent")
    breaking.close()


def test_a_server_without_tls(make, sink):
    plain = sink()
    here = make(main_cf=CLIENT + f"relayhost = [127.0.0.1]:{plain.port}\n", files={"policies": f"[127.0.0.1]:{plain.port} encrypt\n"})
    here.inject("a@here.test", "b@there.test")
    here.wait_log(r"dsn=4\.7\.4, status=deferred \(TLS is required, but was not offered by host 127\.0\.0\.1\[127\.0\.0\.1\]\)")
    assert not plain.messages


@pytest.mark.parametrize("reply, status, outcome", [("454 4.7.0 not now", "4.7.0", "deferred"), ("500 5.5.1 what", "5.5.1", "bounced"), ("454 later", "4.0.0", "deferred")])
def test_a_server_that_refuses_to_start_tls(make, sink, reply, status, outcome):
    server = sink(ehlo=("PIPELINING", "STARTTLS"), replies={"STARTTLS": reply})
    here = make(main_cf=f"default_transport = smtp:[127.0.0.1]:{server.port}\nsmtp_tls_security_level = encrypt\n")
    here.inject("", "b@there.test")
    here.wait_log(rf"dsn={re.escape(status)}, status={outcome} \(TLS is required, but host 127\.0\.0\.1\[127\.0\.0\.1\] refused to start TLS: {reply}\)")


@pytest.mark.parametrize("policy, said, outcome", [
    ("dane", "127.0.0.1: dane configured with dnssec lookups disabled", "status=sent"),
    ("dane-only", "127.0.0.1: dane-only configured with dnssec lookups disabled", r"dsn=4\.7\.5, status=deferred \(client TLS configuration problem\)"),
    ("fingerprint", "nexthop domain 127.0.0.1: configured at fingerprint security level, but with no fingerprints to match.",
     r"dsn=4\.7\.5, status=deferred \(client TLS configuration problem\)"),
    ("none ciphers=high", "ignoring attribute \"ciphers=high\" with TLS disabled", "status=sent")])
def test_policies_that_cannot_be(make, sink, policy, said, outcome):
    server = sink()
    here = make(main_cf=f"relayhost = [127.0.0.1]:{server.port}\nsmtp_tls_policy_maps = inline:{{{{ {{{{ [127.0.0.1]:{server.port} = {policy} }}}} }}}}\n")
    here.inject("", "b@there.test")
    here.wait_log("warning: .*" + re.escape(said))
    here.wait_log(outcome)


def test_per_site(make, base):
    """smtp_tls_per_site: what was before smtp_tls_policy_maps."""
    here, there = pair(make, base, "none", client="smtp_tls_security_level =\nsmtp_tls_policy_maps =\nsmtp_use_tls = yes\n"
                       "smtp_tls_per_site = texthash:{directory}/etc/sites\n")
    here.write("sites", "127.0.0.1 NONE\n")
    here.reload()
    here.inject("a@here.test", "b@there.test")
    here.wait_log(r"status=sent")
    assert not here.log_lines("TLS connection")
    here.write("sites", "127.0.0.1 must_nopeermatch\n")
    here.reload()
    here.inject("a@here.test", "b@there.test")
    here.wait_log("Trusted TLS connection established to")
    here.wait_log(r"status=sent", 2)
    here.write("sites", "127.0.0.1 MUST\n")
    here.reload()
    here.inject("a@here.test", "b@there.test")
    here.wait_log(r"dsn=4\.7\.5, status=deferred \(Server certificate not verified\)")
    here.command("postsuper", "-d", "ALL", check=True)
    here.write("sites", "127.0.0.1 PERHAPS\n")
    here.reload()
    here.inject("a@here.test", "b@there.test")
    here.wait_log(r"warning: smtp_tls_per_site: unknown TLS policy 'PERHAPS' for next-hop destination 127\.0\.0\.1")
    here.command("postconf", "smtp_tls_per_site = fail:x", check=True)
    here.reload()
    here.inject("a@here.test", "c@there.test")
    here.wait_log(r"to=<c@there\.test>, relay=none, .*dsn=4\.3\.0, status=deferred \(Temporary lookup error\)")
    here.wait_log(r"dsn=4\.7\.5, status=deferred \(client TLS configuration problem\)")


def test_settings_of_the_library(make, base):
    """tls_config_file, tls_config_name: a section of a file in OpenSSL's form."""
    here, there = pair(make, base, "encrypt")
    there.write("openssl.cnf", "mail = mail_settings\n[mail_settings]\nssl_conf = ssl_settings\n[ssl_settings]\nsystem_default = all\n[all]\n"
                "Ciphersuites = TLS_AES_128_GCM_SHA256\n")
    there.command("postconf", f"tls_config_file = {there.directory}/etc/openssl.cnf", "tls_config_name = mail", check=True)
    there.reload()
    here.inject("a@here.test", "b@there.test")
    here.wait_log("TLS connection established to .*: TLSv1.3 with cipher TLS_AES_128_GCM_SHA256")
    there.command("postconf", "tls_config_file = none", check=True)
    there.reload()
    here.command("postconf", f"tls_config_file = {here.directory}/etc/openssl.cnf", "tls_config_name = mail", check=True)
    here.write("openssl.cnf", "mail = mail_settings\n[mail_settings]\nssl_conf = ssl_settings\n[ssl_settings]\nsystem_default = all\n[all]\n"
               "Ciphersuites = TLS_CHACHA20_POLY1305_SHA256\n")
    here.reload()
    here.inject("a@here.test", "b@there.test")
    here.wait_log("TLS connection established to .*: TLSv1.3 with cipher TLS_CHACHA20_POLY1305_SHA256")
    here.wait_log("status=sent", 2)
    here.write("openssl.cnf", "mail = [\n[")
    here.reload()
    here.wait_log(r"warning: tls_config_file: cannot load .*/openssl\.cnf \(section mail\): TLS is not available")
    here.inject("a@here.test", "b@there.test")
    here.wait_log(r"status=deferred \(TLS is required, but our TLS engine is unavailable\)")


def test_trust_anchors_of_one_destination(make, base):
    """tafile= in smtp_tls_policy_maps."""
    here, there = pair(make, base, f"secure match=there.test tafile={base}/ca/there.pem", client="smtp_tls_CAfile =\n")
    here.inject("a@here.test", "b@there.test")
    here.wait_log(r"Verified TLS connection established to")
    here.wait_log(r"status=sent")
    Authority(base + "/other")
    here.write("policies", f"[127.0.0.1]:{there.port} secure match=there.test tafile={base}/other/ca.pem\n")
    here.reload()
    here.inject("a@here.test", "b@there.test")
    here.wait_log(r"dsn=4\.7\.5, status=deferred \(Server certificate not verified\)")
    here.command("postconf", f"smtp_tls_policy_maps = static:{{ secure match=there.test tafile={base}/ca/there.pem }}", check=True)
    here.reload()
    here.inject("a@here.test", "c@there.test")
    here.wait_log(r"to=<c@there\.test>.* status=sent")


def test_a_directory_of_authorities_that_changes(make, base):
    """smtp_tls_CApath is read again, by a new process, when something was put into it."""
    os.makedirs(base + "/cas")
    os.chmod(base + "/cas", 0o755)
    here, there = pair(make, base, "secure match=there.test", client=f"smtp_tls_CAfile =\nsmtp_tls_CApath = {base}/cas\n")
    here.inject("a@here.test", "b@there.test")
    here.wait_log(r"status=deferred \(Server certificate not verified\)")
    os.symlink(f"{base}/ca/ca.pem", f"{base}/cas/12345678.0")
    here.wait_log("the directory of TLS authorities has changed -- restarting")  # the deferred mail is tried again and again
    here.wait_log(r"Verified TLS connection established to")
    here.wait_log(r"status=sent")
