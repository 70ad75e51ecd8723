"""postscreen: the gate in front of the SMTP server - tests, their outcome, the cache, the log."""
import os
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
    return [line.split("postscreen[", 1)[1].split(": ", 1)[1].replace(client.peer, "PEER") for line in here.log().splitlines()
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
            assert 0.9 < time.monotonic() - began < 3
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
        assert lines[0] == r"PREGREET 12 after 0 from PEER: EHLO early\r\n"
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
