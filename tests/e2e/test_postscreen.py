"""postscreen: the gate in front of the SMTP server - tests, their outcome, the cache, the log."""
import os
import re
import socket
import ssl
import subprocess
import time

import pytest
from harness import Dialogue, wait_until

MAIN_CF = """
mynetworks = 127.0.0.1/32
home_mailbox = Maildir/
postscreen_greet_wait = 1s
postscreen_access_list = permit_mynetworks, cidr:{directory}/etc/access
postscreen_cache_map = btree:{directory}/data/postscreen_cache
"""
ACCESS = "127.0.0.40 reject\n127.0.0.41 permit\n127.0.0.42 dunno\n127.0.0.43 bogus\n"
DEEP = "postscreen_pipelining_enable = yes\npostscreen_non_smtp_command_enable = yes\npostscreen_bare_newline_enable = yes\n"


@pytest.fixture
def gate(make):
    """gate(main_cf) starts an instance whose port is kept by postscreen."""
    def start(main_cf="", passed="", **settings):
        here = make(started=False, main_cf=MAIN_CF + main_cf, files={"access": ACCESS}, **settings)
        path = os.path.join(here.directory, "etc", "master.cf")
        with open(path, encoding="utf8") as file:
            lines = file.read().splitlines()
        with open(path, "w", encoding="utf8") as file:
            file.write(lines[0].replace("- - smtpd", "- 1 postscreen") + f"\nsmtpd pass - - n - - smtpd{passed}\ndnsblog unix - - n - 0 dnsblog\n"
                       "tlsproxy unix - - n - 0 tlsproxy\n" + "\n".join(lines[1:]) + "\n")
        here.start()
        return here
    return start


class Client(Dialogue):
    """A client of another loopback address."""

    def __init__(self, here, number, timeout=10):  # pylint: disable=super-init-not-called
        self.socket = socket.create_connection(("127.0.0.1", here.port), timeout, source_address=(f"127.0.0.{number}", 0))
        self.file = self.socket.makefile("rb")
        self.peer = f"[127.0.0.{number}]:{self.socket.getsockname()[1]}"

    def line(self):
        return self.file.readline().decode().rstrip("\r\n")

    def rest(self):
        try:
            return self.file.read().decode()
        except ConnectionResetError:
            return ""


def log_of(here, client):
    """What postscreen logged of the client."""
    return [re.sub(r"after [0-9.]+ from", "after N from", line.split("postscreen[", 1)[1].split(": ", 1)[1].replace(client.peer, "PEER")) for line in here.log().splitlines()
            if "/postscreen[" in line and client.peer in line]


def test_access_list_and_cache(gate):
    here = gate()
    with Client(here, 1) as friend:
        assert friend.reply().startswith("220 here.test ")
        assert "PIPELINING" in friend.say("EHLO x")
        wait_until(lambda: log_of(here, friend) == [f"CONNECT from PEER to [127.0.0.1]:{here.port}", "ALLOWLISTED PEER"], "the log")
    here.wait_log(r"postfix/smtpd\[\d+\]: connect from localhost\[127.0.0.1\]")
    here.wait_log(r"postfix/smtpd\[\d+\]: disconnect from localhost\[127.0.0.1\] ehlo=1 commands=1")
    with Client(here, 41) as friend:
        assert friend.line().startswith("220 ")
    for number, first in ((40, "DENYLISTED PEER"), (42, None), (50, None)):
        with Client(here, number) as stranger:
            began = time.monotonic()
            assert stranger.line() == "220-here.test ESMTP Postfix"
            assert stranger.line().startswith("220 here.test ")
            assert time.monotonic() - began > 0.9
            assert "PIPELINING" in stranger.say("EHLO x")
            wait_until(lambda: log_of(here, stranger)[1:] == [first, "PASS NEW PEER"][0 if first else 1:], "the log")
    with Client(here, 50) as known:
        assert known.line().startswith("220 ")
        wait_until(lambda: log_of(here, known)[1:] == ["PASS OLD PEER"], "the log")
    with Client(here, 43) as stranger:
        assert stranger.line().startswith("220-")
    here.wait_log(r"postscreen\[\d+\]: warning: cidr:.*/access: unknown command: bogus -- ignoring the remainder of this access list")


@pytest.mark.parametrize("action,reply", [("ignore", "220"), ("enforce", "250"), ("drop", "521 5.5.1 Protocol error")])
def test_pregreet(gate, action, reply):
    here = gate(f"postscreen_greet_action = {action}\n")
    with Client(here, 50) as zombie:
        assert zombie.line().startswith("220-")
        zombie.send("EHLO early\r\n")
        assert zombie.line().startswith(reply)
        lines = wait_until(lambda: log_of(here, zombie)[1:], "the log")
        assert lines[0] == r"PREGREET 12 after N from PEER: EHLO early\r\n"
        if action == "ignore":  # its command is read by the server
            assert "PIPELINING" in zombie.reply() and len(log_of(here, zombie)) == 2
        if action == "enforce":
            while zombie.line()[3] == "-":
                pass
            assert zombie.say("MAIL FROM:<a@x.test>").startswith("250")
            assert zombie.say("RCPT TO:<user@here.test>") == "550 5.5.1 Protocol error"
            assert zombie.say("QUIT").startswith("221")
            assert zombie.rest() == ""
            wait_until(lambda: log_of(here, zombie)[2:] == [
                "NOQUEUE: reject: RCPT from PEER: 550 5.5.1 Protocol error; from=<a@x.test>, to=<user@here.test>, proto=ESMTP, helo=<early>",
                "DISCONNECT PEER"], "the end in the log")


def test_lists(gate, dns):
    zone = """
50.0.0.127.a.test A 127.0.0.2
50.0.0.127.b.test A 127.0.0.4
51.0.0.127.a.test A 127.0.0.2
52.0.0.127.w.test A 127.0.0.1
"""
    server = dns(zone)
    sites = "postscreen_dnsbl_sites = a.test*2, b.test=127.0.0.[2..5]*3 w.test*-4\npostscreen_dnsbl_threshold = 3\n"
    here = gate(sites + "postscreen_dnsbl_action = enforce\npostscreen_dnsbl_reply_map = inline:{{{{b.test = shown.test}}}}\n", dns_port=server.port)
    with Client(here, 50) as zombie:
        assert zombie.line().startswith("220-")
        assert zombie.line().startswith("220 ")
        zombie.say("HELO z")
        zombie.say("MAIL FROM:<>")
        assert zombie.say("RCPT TO:<u@here.test>") == "550 5.7.1 Service unavailable; client [127.0.0.50] blocked using shown.test"
        wait_until(lambda: log_of(here, zombie)[1:2] == ["DNSBL rank 5 for PEER"], "the log")
    here.wait_log(r"postfix/dnsblog\[\d+\]: addr 127.0.0.50 listed by domain a.test as 127.0.0.2")
    for number in (51, 52):
        with Client(here, number) as client:
            assert client.line().startswith("220-")
            assert client.line().startswith("220 ")
            wait_until(lambda: log_of(here, client)[1:] == ["PASS NEW PEER"], "the log")


def test_older_names(gate):
    here = gate("postscreen_blacklist_action = drop\npostscreen_whitelist_interfaces = !127.0.0.0/8 static:all\nrespectful_logging = no\n"
                "postscreen_dnsbl_whitelist_threshold = -1\n")
    with Client(here, 40) as client:
        assert client.line() == "521 5.3.2 Service currently unavailable"
        wait_until(lambda: log_of(here, client)[1:] == ["BLACKLISTED PEER", "DISCONNECT PEER"], "the log")
    with Client(here, 41) as client:
        assert client.line().startswith("220 ")
        wait_until(lambda: log_of(here, client)[1:] == ["WHITELISTED PEER"], "the log")
    with Client(here, 42) as client:
        assert client.line().startswith("220-")
        wait_until(lambda: log_of(here, client)[1:] == ["WHITELIST VETO PEER"], "the log")


def test_denied_with_enforce(gate):
    here = gate("postscreen_denylist_action = enforce\n")
    client, replies = dialogue(here, 40, "HELO x", "MAIL FROM:<a@x.test>", "RCPT TO:<user@here.test>", "QUIT")
    assert replies[2] == "550 5.3.2 Service currently unavailable"
    wait_until(lambda: log_of(here, client)[1:] == [
        "DENYLISTED PEER", "NOQUEUE: reject: RCPT from PEER: 550 5.3.2 Service currently unavailable; from=<a@x.test>, to=<user@here.test>, "
        "proto=SMTP, helo=<x>", "DISCONNECT PEER"], "the log")


def dialogue(here, number, *lines):
    """The replies after the greeting."""
    with Client(here, number) as client:
        while not client.line().startswith("220 "):
            pass
        return client, [client.say(line) for line in lines]


def test_deep_tests(gate):
    """A client that behaves is known the next time; until then it gets 450."""
    here = gate(DEEP)
    client, replies = dialogue(here, 50, "EHLO x", "MAIL FROM:<a@x.test>", "RCPT TO:<user@here.test>", "QUIT")
    assert "PIPELINING" not in replies[0] and "8BITMIME" in replies[0]
    assert replies[1:] == ["250 2.1.0 Ok", "450 4.3.2 Service currently unavailable", "221 2.0.0 Bye"]
    wait_until(lambda: log_of(here, client)[1:] == [
        "NOQUEUE: reject: RCPT from PEER: 450 4.3.2 Service currently unavailable; from=<a@x.test>, to=<user@here.test>, proto=ESMTP, helo=<x>",
        "PASS NEW PEER", "DISCONNECT PEER"], "the log")
    with Client(here, 50) as known:
        assert known.line().startswith("220 ")
        assert "PIPELINING" in known.say("EHLO x")

    with Client(here, 51) as zombie:
        assert zombie.line().startswith("220-") and zombie.line().startswith("220 ")
        zombie.send("EHLO z\r\nMAIL FROM:<>\r\nRCPT TO:<u@here.test>\r\n")
        zombie.reply()
        assert zombie.reply() == "250 2.1.0 Ok"
        assert zombie.reply() == "550 5.5.1 Protocol error"
        assert zombie.say("DATA") == "554 5.5.1 Error: no valid recipients"
        assert zombie.rest() == ""
        wait_until(lambda: log_of(here, zombie)[1:] == [
            r"COMMAND PIPELINING from PEER after EHLO: MAIL FROM:<>\r\nRCPT TO:<u@here.test>\r\n",
            "NOQUEUE: reject: RCPT from PEER: 550 5.5.1 Protocol error; from=<>, to=<u@here.test>, proto=ESMTP, helo=<z>",
            "DATA without valid RCPT from PEER", "DISCONNECT PEER"], "the log")

    client, replies = dialogue(here, 52, "EHLO z", "GET / HTTP/1.0")
    assert replies[1] == "521 5.7.0 Error: I can break rules, too. Goodbye."
    wait_until(lambda: log_of(here, client)[1:] == ["NON-SMTP COMMAND from PEER after EHLO: GET / HTTP/1.0", "DISCONNECT PEER"], "the log")

    with Client(here, 53) as client:  # a bare newline is ignored, and noted once
        assert client.line().startswith("220-") and client.line().startswith("220 ")
        for line in ("EHLO z\n", "MAIL FROM:<>\n"):
            client.send(line)
            client.reply()
        assert client.say("RCPT TO:<u@here.test>").startswith("450 4.3.2")
        client.say("QUIT")
        wait_until(lambda: log_of(here, client)[-2:] == ["PASS NEW PEER", "DISCONNECT PEER"], "the log")
        assert log_of(here, client)[1] == "BARE NEWLINE from PEER after EHLO z"


def test_dialogue_limits(gate):
    here = gate(DEEP + "postscreen_command_time_limit = 1s\npostscreen_command_count_limit = 3\npostscreen_helo_required = yes\n"
                "postscreen_reject_footer = \\c; see $server_name/$client_address\npostscreen_disable_vrfy_command = yes\n")
    _, replies = dialogue(here, 50, "MAIL FROM:<>", "VRFY x", "NOOP", "NOOP")
    footer = "; see here.test/127.0.0.50"
    assert replies == ["503 5.5.1 Error: send HELO/EHLO first" + footer, "502 5.5.1 VRFY command is disabled" + footer, "250 2.0.0 Ok",
                       "421 here.test Service unavailable - try again later" + footer]
    here.wait_log(r"COMMAND COUNT LIMIT from \[127.0.0.50\]:\d+ after NOOP")
    with Client(here, 51) as client:
        while not client.line().startswith("220 "):
            pass
        client.send("NO")
        assert client.line().startswith("421 4.4.2 here.test Error: timeout exceeded")
    here.wait_log(r"COMMAND TIME LIMIT from \[127.0.0.51\]:\d+ after CONNECT")
    _, replies = dialogue(here, 52, "EHLO " + 3000 * "x")
    assert replies[0].startswith("421 here.test Service unavailable")
    here.wait_log(r"COMMAND LENGTH LIMIT from \[127.0.0.52\]:\d+ after CONNECT")


def test_hangups_and_veto(gate):
    here = gate("postscreen_allowlist_interfaces = 192.0.2.1\n")
    with Client(here, 50) as client:
        assert client.line().startswith("220-")
    here.wait_log(r"postscreen\[\d+\]: HANGUP after 0(\.\d+)? from \[127.0.0.50\]:\d+ in tests before SMTP handshake")
    client, _ = dialogue(here, 51, "EHLO x")
    here.wait_log(r"postscreen\[\d+\]: HANGUP after 0(\.\d+)? from \[127.0.0.51\]:\d+ in tests after SMTP handshake")
    assert log_of(here, client)[1] == "ALLOWLIST VETO PEER"


def test_limits(gate):
    here = gate("postscreen_client_connection_count_limit = 2\npostscreen_pre_queue_limit = 10\npostscreen_greet_wait = ${{stress?{{1}}:{{30}}}}s\n")
    clients = [Client(here, 50), Client(here, 50)]
    assert all(c.line().startswith("220-") for c in clients)
    with Client(here, 50) as third:
        assert third.line() == "421 4.7.0 Error: too many connections"
        wait_until(lambda: log_of(here, third)[1:] == ["NOQUEUE: reject: CONNECT from PEER: too many connections", "DISCONNECT PEER"], "the log")
    for number in range(51, 58):
        clients.append(Client(here, number))
        assert clients[-1].line().startswith("220-")
    here.wait_log("entering STRESS mode with 9 connections")
    with Client(here, 60) as late:
        assert late.line() == "421 4.3.2 All screening ports are busy"
        wait_until(lambda: log_of(here, late)[1:] == ["reject: connect from PEER: all screening ports busy", "DISCONNECT PEER"], "the log")
    clients.pop().close()
    began = time.monotonic()
    with Client(here, 61) as late:  # waits no longer than under stress
        assert late.line().startswith("220-") and late.line().startswith("220 ")
        assert time.monotonic() - began < 10
    for client in clients:
        client.close()
    here.wait_log("leaving STRESS mode with 7 connections")


def test_places_in_the_server(gate):
    """maxproc of the pass line is the greatest number of sessions; a few may wait for a place."""
    here = gate("postscreen_post_queue_limit = 5\npostscreen_access_list = static:permit\n")
    path = os.path.join(here.directory, "etc", "master.cf")
    with open(path, encoding="utf8") as file:
        text = file.read()
    with open(path, "w", encoding="utf8") as file:
        file.write(text.replace("smtpd pass - - n - - smtpd", "smtpd pass - - n - 2 smtpd\n -o smtpd_banner=behind\n -o syslog_name=inner"))
    here.reload()
    inside = [Client(here, 50) for _ in range(2)]
    assert all(c.line() == "220 behind" for c in inside)
    waiting = [Client(here, 51) for _ in range(5)]
    with Client(here, 52) as late:
        assert late.line() == "421 4.3.2 All server ports are busy"
    here.wait_log(r"NOQUEUE: reject: CONNECT from \[127.0.0.52\]:\d+: all server ports busy")
    inside[0].say("QUIT")
    assert waiting[0].line() == "220 behind"
    here.wait_log(r"inner/smtpd\[\d+\]: connect from \S+\[127.0.0.51\]")
    for client in inside + waiting:
        client.close()


def test_lists_and_allowed_ones(gate, dns):
    """Enough good said of a client stands for all other tests; what a list says holds as long as it wants."""
    server = dns("50.0.0.127.w.test A 127.0.0.1\n51.0.0.127.a.test A 127.0.0.2\n52.0.0.127.a.test SERVFAIL\n")
    here = gate(DEEP + "postscreen_greet_wait = 30s\npostscreen_dnsbl_sites = a.test*2 w.test*-4\npostscreen_dnsbl_allowlist_threshold = -2\n"
                "postscreen_dnsbl_action = drop\npostscreen_greet_ttl = 1s\npostscreen_dnsbl_min_ttl = 1s\n", dns_port=server.port)
    with Client(here, 50) as client:
        assert client.line().startswith("220-") and client.line().startswith("220 ")
        assert "PIPELINING" in client.say("EHLO x")
        wait_until(lambda: log_of(here, client)[1:] == ["PASS NEW PEER"], "the log")
    with Client(here, 53) as client:  # it passed one test and failed one that is only noted: it stays new
        assert client.line().startswith("220-")
        client.send("EHLO x\r\n")
        assert client.line().startswith("220 ")
    with Client(here, 53) as client:
        assert client.line().startswith("220-")
        client.send("EHLO x\r\n")
    with Client(here, 52) as client:
        assert client.line().startswith("220-")
        client.send("EHLO x\r\n")  # ignored, so the list that does not answer is all that is waited for
        assert client.line().startswith("220 ")
    here.wait_log(r"dnsblog\[\d+\]: warning: dnsblog_query: lookup error for DNS query 52.0.0.127.a.test: Host or domain name not found.")


def test_proxy_protocol(gate):
    here = gate("postscreen_upstream_proxy_protocol = haproxy\npostscreen_upstream_proxy_timeout = 1s\n")
    with Client(here, 1) as client:
        client.send("PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n")
        assert client.line().startswith("220-")
        here.wait_log(r"postscreen\[\d+\]: CONNECT from \[192.0.2.7\]:4711 to \[192.0.2.1\]:25")
        assert client.line().startswith("220 ")
        assert "PIPELINING" in client.say("EHLO x")
    here.wait_log(r"smtpd\[\d+\]: connect from \S+\[192.0.2.7\]")
    with Client(here, 1) as client:  # what comes with the header comes too early, and is not lost
        client.send("PROXY TCP4 192.0.2.8 192.0.2.1 4712 25\r\nEHLO x\r\n")
        assert client.line().startswith("220-") and client.line().startswith("220 ")
        assert "PIPELINING" in client.reply()
    here.wait_log(r"PREGREET 8 after [0-9.]+ from \[192.0.2.8\]:4712: EHLO x\\r\\n")
    with Client(here, 1) as client:
        client.send("GARBAGE\r\n")
        assert client.line() == "421 4.3.2 No system resources"
    with Client(here, 1) as client:
        assert client.line() == "421 4.3.2 No system resources"
    here.wait_log(r"warning: haproxy read: time limit exceeded")


def test_starttls(gate, base):
    key, certificate = os.path.join(base, "key.pem"), os.path.join(base, "cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=here.test", "-keyout", key,
                    "-out", certificate, "-days", "2"], check=True, capture_output=True)
    os.chmod(key, 0o644)
    here = gate(DEEP + f"smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {key}, {certificate}\npostscreen_tls_security_level = encrypt\n")
    with Client(here, 50) as client:
        assert client.line().startswith("220-") and client.line().startswith("220 ")
        assert "STARTTLS" in client.say("EHLO x")
        assert client.say("MAIL FROM:<>") == "530 5.7.0 Must issue a STARTTLS command first"
        assert client.say("STARTTLS") == "220 2.0.0 Ready to start TLS"
        client.socket = ssl._create_unverified_context().wrap_socket(client.socket)  # pylint: disable=protected-access
        client.file = client.socket.makefile("rb")
        assert "STARTTLS" not in client.say("EHLO x")
        assert client.say("MAIL FROM:<>") == "250 2.1.0 Ok"
        assert client.say("RCPT TO:<user@here.test>") == "450 4.3.2 Service currently unavailable"
        assert client.say("QUIT").startswith("221")
        wait_until(lambda: "PASS NEW PEER" in log_of(here, client), "the log")
    here.wait_log(r"postfix/tlsproxy\[\d+\]: DISCONNECT \[127.0.0.50\]")


def test_stop_and_reload(gate):
    """A reload lets those who wait go on; a stop does not wait for them."""
    here = gate("postscreen_greet_wait = 2s\n")
    with Client(here, 50) as waiting:
        assert waiting.line().startswith("220-")
        here.reload()
        assert waiting.line().startswith("220 ")
        assert "PIPELINING" in waiting.say("EHLO x")
    with Client(here, 50) as known:
        assert known.line().startswith("220 ")
    with Client(here, 51) as waiting:
        assert waiting.line().startswith("220-")
        began = time.monotonic()
        here.stop()
        assert time.monotonic() - began < 20
        assert waiting.rest() == ""


def test_several_workers(gate):
    """Limits and memory are those of all workers together."""
    here = gate("worker_processes = 2\npostscreen_pre_queue_limit = 10\npostscreen_greet_wait = 8s\n")
    clients = []
    for number in range(50, 62):
        clients.append(Client(here, number, timeout=20))
        time.sleep(0.15)  # the workers look at each other ten times a second
    greetings = [client.line() for client in clients]
    assert greetings == 9 * ["220-here.test ESMTP Postfix"] + 3 * ["421 4.3.2 All screening ports are busy"]
    assert clients[0].line().startswith("220 ")
    wait_until(lambda: log_of(here, clients[0])[1:] == ["PASS NEW PEER"], "the log")
    for _ in range(6):
        with Client(here, 50) as known:
            assert known.line().startswith("220 ")
    for client in clients:
        client.close()


def test_results_expire(gate):
    here = gate("postscreen_greet_ttl = 1s\n")
    for word in ("NEW", "OLD"):
        with Client(here, 50) as client:
            assert client.line().startswith("220-") and client.line().startswith("220 ")
            wait_until(lambda: log_of(here, client)[1:] == [f"PASS {word} PEER"], "the log")  # pylint: disable=cell-var-from-loop
        time.sleep(2)


def test_ipv6(gate, dns):
    nibbles = "7" + ".0" * 23 + ".8.b.d.0.1.0.0.2"
    server = dns(f"{nibbles}.a.test A 127.0.0.2")
    here = gate("postscreen_upstream_proxy_protocol = haproxy\npostscreen_dnsbl_sites = a.test\npostscreen_dnsbl_action = drop\n", dns_port=server.port)
    with Client(here, 1) as client:
        client.send("PROXY TCP6 2001:db8::7 2001:db8::1 4711 25\r\n")
        assert client.line().startswith("220-")
        assert client.line() == "521 5.7.1 Service unavailable; client [2001:db8::7] blocked using a.test"
    here.wait_log(r"CONNECT from \[2001:db8::7\]:4711 to \[2001:db8::1\]:25")
    here.wait_log(r"dnsblog\[\d+\]: addr 2001:db8::7 listed by domain a.test as 127.0.0.2")
    here.wait_log(r"DNSBL rank 1 for \[2001:db8::7\]:4711")
    with Client(here, 1) as client:
        client.send("PROXY TCP6 2001:db8::8 2001:db8::1 4711 25\r\n")
        assert client.line().startswith("220-") and client.line().startswith("220 ")
    here.wait_log(r"PASS NEW \[2001:db8::8\]:4711")
