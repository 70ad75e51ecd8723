"""check_policy_service against a policy server: what it is told, what is done with its answers, when it is away."""
import socket
import threading

import pytest


class Policy:
    """A policy server: answers by recipient; connections may be dropped after a number of requests."""

    def __init__(self, answers, drop_after=None):
        self.answers, self.drop_after, self.requests, self.connections = answers, drop_after, [], 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve_until_lost, args=(connection,), daemon=True).start()

    def serve_until_lost(self, connection):
        try:
            self.serve(connection)
        except OSError:
            pass

    def serve(self, connection):
        request, count = {}, 0
        with connection, connection.makefile("rw", newline="\n") as lines:
            for line in lines:
                if line != "\n":
                    name, _, value = line.rstrip("\n").partition("=")
                    request[name] = value
                    continue
                self.requests.append(request)
                answer = self.answers.get(request["recipient"], "DUNNO")
                if answer is None:
                    return
                lines.write(answer if answer.endswith("\n") else f"action={answer}\n\n")
                lines.flush()
                request, count = {}, count + 1
                if count == self.drop_after:
                    return

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)   # ends accept() too
        except OSError:
            pass
        self.listener.close()


@pytest.fixture
def policy():
    servers = []

    def start(answers, **options):
        servers.append(Policy(answers, **options))
        return servers[-1]
    yield start
    for server in servers:
        server.close()


def instance_with(make, server, extra=""):
    here = make("here", main_cf=f"smtpd_recipient_restrictions = permit_auth_destination, reject\n"
                f"smtpd_sender_restrictions = check_policy_service {{{{ inet:127.0.0.1:{server.port}, timeout=3s, retry_delay=1s }}}}\n{extra}")
    return here


def answers_of(here, *recipients):
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        smtp.say("MAIL FROM:<a@client.test> SIZE=77")
        return [smtp.say(f"RCPT TO:<{recipient}>") for recipient in recipients]


def test_answers(make, policy):
    server = policy({"no@here.test": "REJECT not today", "later@here.test": "DEFER_IF_PERMIT busy", "own@here.test": "450 4.7.9 own words",
                     "odd@here.test": "nonsense\n\n", "empty@here.test": "\n", "long@here.test": "x" * 100000 + "\n"})
    here = instance_with(make, server)
    replies = answers_of(here, "no@here.test", "later@here.test", "own@here.test")
    assert replies[0] == "554 5.7.1 <a@client.test>: Sender address rejected: not today"
    assert replies[1] == "450 4.7.1 <a@client.test>: Sender address rejected: busy"
    assert replies[2] == "450 4.7.9 <a@client.test>: Sender address rejected: own words"
    assert server.connections == 1   # kept for the next request
    first = server.requests[0]
    assert list(first)[:3] == ["request", "protocol_state", "protocol_name"] and first["protocol_state"] == "RCPT"
    assert (first["sender"], first["recipient"], first["size"], first["helo_name"]) == ("a@client.test", "no@here.test", "77", "client.test")
    assert len({request["instance"] for request in server.requests}) == 1
    for recipient in ("odd@here.test", "empty@here.test", "long@here.test"):
        assert answers_of(here, recipient)[0] == "451 4.3.5 <a@client.test>: Sender address rejected: Server configuration problem"


def test_a_server_that_ends_connections(make, policy):
    server = policy({"no@here.test": "REJECT no"}, drop_after=1)
    here = instance_with(make, server)
    for _ in range(3):
        assert answers_of(here, "no@here.test")[0].startswith("554 5.7.1")
    assert not here.log_lines("problem talking to server")


def test_a_server_that_is_away(make, policy):
    server = policy({})
    server.close()
    here = instance_with(make, server, "smtpd_policy_service_default_action = DEFER ask again\n")
    assert answers_of(here, "x@here.test")[0] == "450 4.7.1 <a@client.test>: Sender address rejected: ask again"
    here.wait_log(r"warning: problem talking to server 127.0.0.1:\d+: Connection refused", count=2)


def test_a_server_by_name_and_what_it_is_told(make, policy, dns):
    server = policy({"no@here.test": "REJECT no"})
    check = f"check_policy_service {{{{ inet:policy.test:{server.port}, timeout=3s, retry_delay=1s }}}}"
    here = make("here", main_cf=f"smtpd_delay_reject = no\nsmtpd_sender_restrictions = {check}\nsmtpd_recipient_restrictions = {check}, permit_auth_destination, reject\n"
                f"smtpd_data_restrictions = {check}\n", dns_port=dns("policy.test A 127.0.0.1\n").port)
    with here.smtp() as smtp:
        for line in ("EHLO client.test", "MAIL FROM:<a@client.test>", "RCPT TO:<yes@here.test>", "RCPT TO:<yes2@here.test>"):
            assert smtp.say(line).startswith("250")
        assert smtp.say("RCPT TO:<no@here.test>").startswith("554 5.7.1 ")
        assert smtp.say("DATA").startswith("354")
    told = [(request["protocol_state"], request["recipient_count"], request["instance"] != "") for request in server.requests]
    assert told == [("MAIL", "0", False), ("RCPT", "0", True), ("RCPT", "0", True), ("RCPT", "0", True), ("DATA", "2", True)]


def test_a_server_whose_name_is_unknown(make, dns):
    here = make("here", main_cf="smtpd_recipient_restrictions = check_policy_service {{ inet:nowhere.test:99, retry_delay=1s }}, reject\n", dns_port=dns("other.test A 127.0.0.1\n").port)
    assert answers_of(here, "x@here.test")[0] == "451 4.3.5 <x@here.test>: Recipient address rejected: Server configuration problem"
    here.wait_log("warning: problem talking to server nowhere.test:99: Cannot assign requested address", count=2)
