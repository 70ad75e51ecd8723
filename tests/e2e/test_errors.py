"""docs/errors: every page quotes a reply and log lines; here the same things happen, and the words are compared.

A page's first blocks are: text (what the client sees), then log (lines in this order; the time, the process and queue ids are left out).
"""
import os
import re
import socket

import pytest

from test_auth import CRYPT, b64, plain

PAGES = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "errors")
COMMON = """\
myhostname = mail.example.com
mydomain = example.com
myorigin = example.com
mydestination = example.com
mynetworks = 192.0.2.128/25
local_recipient_maps = inline:{{ {{ info = x }}, {{ alice = x }} }}
local_transport = discard
default_transport = discard
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
"""
ZONE = """\
client.example A 192.0.2.9
9.2.0.192.in-addr.arpa PTR client.example
9.2.0.192.zen.example A 127.0.0.2
9.2.0.192.zen.example TXT "https://zen.example/query/192.0.2.9"
example.net MX 10 client.example
client.example MX 10 client.example
"""
LOGIN = "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = file\nsmtpd_sasl_path = texthash:{directory}/etc/users\n"
START = ["EHLO client.example"]
MAIL = START + ["MAIL FROM:<alice@example.net>"]
USER = START + [plain("alice@example.com", "Hello world!"), "MAIL FROM:<bob@example.com>", "RCPT TO:<carol@example.org>"]

# page, main.cf, XCLIENT attributes, what the client says
SCENES = [
    ("550-5.1.1-user-unknown", "", "", MAIL + ["RCPT TO:<nobody@example.com>"]),
    ("554-5.7.1-relay-access-denied", "", "", MAIL + ["RCPT TO:<carol@example.org>"]),
    ("554-5.7.1-client-host-rejected", "smtpd_client_restrictions = check_client_access inline:{{ {{ 192.0.2.9 = REJECT }} }}\n", "", MAIL + ["RCPT TO:<info@example.com>"]),
    ("450-4.7.25-client-host-name", "smtpd_client_restrictions = reject_unknown_client_hostname\n", "NAME=[UNAVAILABLE] ", MAIL + ["RCPT TO:<info@example.com>"]),
    ("504-5.5.2-helo-name", "smtpd_helo_restrictions = reject_non_fqdn_helo_hostname\n", "", ["EHLO client", MAIL[1], "RCPT TO:<info@example.com>"]),
    ("450-4.1.8-domain-not-found", "smtpd_sender_restrictions = reject_unknown_sender_domain\n", "",
     START + ["MAIL FROM:<alice@exmaple.net>", "RCPT TO:<info@example.com>"]),
    ("554-5.7.1-blocked-by-a-list", "smtpd_recipient_restrictions = reject_rbl_client zen.example\n", "", MAIL + ["RCPT TO:<info@example.com>"]),
    ("552-5.3.4-message-too-big", "message_size_limit = 10240000\n", "", START + ["MAIL FROM:<alice@example.net> SIZE=20000000"]),
    ("452-4.3.1-insufficient-storage", "queue_minfree = 1000000000000000\n", "", MAIL),
    ("421-4.7.0-rate-limits", "smtpd_client_connection_rate_limit = 1\nsmtpd_client_event_limit_exceptions = 127.0.0.1\n", "", []),
    ("530-5.7.0-starttls-first", "smtpd_tls_security_level = encrypt\nsmtpd_tls_chain_files = {directory}/etc/chain.pem\n", "", MAIL),
    ("553-5.7.1-sender-not-owned", LOGIN + "smtpd_sender_login_maps = inline:{{ {{ bob@example.com = bob@example.com }} }}\n"
     "smtpd_sender_restrictions = reject_sender_login_mismatch\n", "", USER),
    ("454-4.7.0-temporary-authentication-failure", "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = private/auth\n", "",
     START + [plain("alice@example.com", "secret")]),
    ("535", LOGIN, "", START + [plain("alice@example.com", "wrong")]),
]


def blocks(page, kind):
    with open(os.path.join(PAGES, page + ".md")) as text:
        return re.findall(rf"(?m)^```{kind}\n((?:.*\n)*?)```$", text.read())


def act(here, attributes, lines):
    with here.smtp() as smtp:
        smtp.say("EHLO proxy.test")
        reply = smtp.say("XCLIENT " + (attributes or "NAME=client.example ") + "ADDR=192.0.2.9 PORT=4711")
        for line in lines:
            reply = smtp.say(line)
        return reply


def connect_twice(here):
    """The client is the one that connects: XCLIENT does not count."""
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", here.port), timeout=20, source_address=("127.0.0.9", 0)) as connection, connection.makefile() as lines:
            reply = lines.readline().strip()
    return reply.replace("127.0.0.9", "192.0.2.9")


def logged(here):
    """Lines as a page has them: nothing of the moment, but the queue id's place."""
    names = {here.directory + "/etc": "/etc/postfix", "127.0.0.9": "192.0.2.9", f"127.0.0.1:{here.port}": "smtp", "texthash:": "hash:"}
    lines = [re.sub(r"^.*?postfix/smtpd\[\d+\]: ", "", line) for line in here.log_lines(r"smtpd\[\d+\]: ")]
    for name, shown in names.items():
        lines = [line.replace(name, shown) for line in lines]
    return [re.sub(r"^[0-9A-F]{6,}: ", "QUEUEID: ", line) for line in lines]


@pytest.mark.parametrize("page, settings, attributes, lines", SCENES, ids=[scene[0] for scene in SCENES])
def test_a_page(make, dns, base, page, settings, attributes, lines):
    server = dns(ZONE)
    files = {"users": f"alice@example.com {CRYPT}\n"}
    if "chain.pem" in settings:
        from test_tls_server import Authority
        authority = Authority(os.path.join(base, "ca"))
        authority.sign("server", "mail.example.com")
        with open(authority.path("server.chain")) as chain:
            files["chain.pem"] = chain.read()
    here = make(main_cf=COMMON + settings, dns_port=server.port, files=files)
    reply = act(here, attributes, lines) if lines else connect_twice(here)
    here.wait_log(r"disconnect from \S+\[(192.0.2.9|127.0.0.9)\]", 1 if lines else 2)
    assert reply + "\n" == (blocks(page, "text") or [""])[0], here.log()
    assert [line for line in (blocks(page, "log") or [""])[0].splitlines() if line not in logged(here)] == [], "\n".join(logged(here))


def test_the_index_names_every_page():
    with open(os.path.join(PAGES, "README.md")) as index:
        text = index.read()
    pages = sorted(name for name in os.listdir(PAGES) if name.endswith(".md") and name != "README.md")
    assert [page for page in pages if f"]({page})" not in text] == []
    assert [link for link in re.findall(r"\]\(([^)#:]*)(?:#[^)]*)?\)", text) if not os.path.exists(os.path.join(PAGES, link))] == []
    for page in pages:
        with open(os.path.join(PAGES, page)) as body:
            assert [link for link in re.findall(r"\]\(([^)#:]*)(?:#[^)]*)?\)", body.read()) if link and not os.path.exists(os.path.join(PAGES, link))] == []
