"""DNS lists of clients and domains: asked side by side, once a session."""
import threading

import pytest
from harness import Dns

DELAY = 0.5


class SlowDns(Dns):
    """Answers about names below "list" come late.  most: how many of them were owed at a time."""

    owed = most = 0

    def _pay(self, answer, peer):
        self.owed -= 1
        self.socket.sendto(answer.pack(), peer)

    def _answer(self, dnslib, question):
        answer = super()._answer(dnslib, question)
        if ".list" not in str(question.q.qname) or question.q.qtype == 16:
            return answer
        peer = self.peer
        self.owed += 1
        self.most = max(self.most, self.owed)
        threading.Timer(DELAY, self._pay, (answer, peer)).start()
        return None

    def _serve(self):
        real = self.socket
        outer = self

        class Socket:
            """Remembers who asked last."""

            def __getattr__(self, name):
                return getattr(real, name)

            def recvfrom(self, size):
                packet, outer.peer = real.recvfrom(size)
                return packet, outer.peer
        self.socket = Socket()
        super()._serve()


@pytest.fixture
def slow_dns():
    made = []

    def start(zone):
        made.append(SlowDns(zone))
        return made[-1]

    yield start
    for server in made:
        server.close()


def test_side_by_side(make, slow_dns):
    zone = "1.0.0.127.six.list A 127.0.0.2\n1.0.0.127.six.list TXT \"go away\"\n"
    dns = slow_dns(zone)
    lists = ", ".join(f"reject_rbl_client {name}.list" for name in ("one", "two", "three")) + \
        ", permit_dnswl_client four.list, reject_rhsbl_sender five.list, warn_if_reject reject_rbl_client six.list, reject_rbl_client six.list"
    here = make(main_cf=f"dns_servers = 127.0.0.1:{dns.port}\nsmtpd_recipient_restrictions = {lists}\nsmtpd_relay_restrictions = permit_mynetworks, reject\n")
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        smtp.say("MAIL FROM:<a@client.test>")
        refusal = "554 5.7.1 Service unavailable; Client host [127.0.0.1] blocked using six.list; go away"
        assert smtp.say("RCPT TO:<alice@here.test>") == refusal
        assert dns.most > 2  # one after the other it would be one
        assert smtp.say("RCPT TO:<bob@here.test>") == refusal
    asked = [query for query in dns.queries if query.endswith(".list A")]
    assert sorted(asked) == sorted([f"1.0.0.127.{name}.list A" for name in ("one", "two", "three", "four", "six")] + ["client.test.five.list A"])
    assert len(here.wait_log("reject_warning: RCPT", 2)) == 2


def test_client_that_does_not_wait(make, slow_dns):
    dns = slow_dns("")
    here = make(main_cf=f"dns_servers = 127.0.0.1:{dns.port}\nsmtpd_relay_restrictions = permit_mynetworks, reject\n"
                "smtpd_recipient_restrictions = reject_rbl_client one.list, reject_rbl_client two.list\n")
    for _ in range(20):
        with here.smtp() as smtp:
            smtp.say("EHLO client.test")
            smtp.say("MAIL FROM:<a@client.test>")
            smtp.send("RCPT TO:<alice@here.test>\r\n")
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        smtp.say("MAIL FROM:<a@client.test>")
        assert smtp.say("RCPT TO:<alice@here.test>") == "250 2.1.5 Ok"
    assert here.log_lines("panic|signal") == []
