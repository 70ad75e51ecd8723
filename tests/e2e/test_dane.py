"""DANE (RFC 7672): TLSA records from a resolver that says it has validated them, alone and with MTA-STS, and what reports say of it."""
import gzip
import json

import pytest

from harness import Dns, wait_until
from test_mta_sts import World, web  # noqa: F401 (a fixture)
from test_tls_server import openssl


class Signed(Dns):
    """Says of everything that it is validated; knows TLSA records."""

    def _answer(self, dnslib, question):
        name = str(question.q.qname).lower().rstrip(".")
        rows = self.records.get(name, [])
        if question.q.qtype != 52 or not rows:
            reply = super()._answer(dnslib, question)
            if reply is not None:
                reply.header.ad = 1
            return reply
        self.queries.append(f"{name} TLSA")
        reply = question.reply()
        reply.header.ad = 1
        for kind, data in rows:
            if kind == "SERVFAIL":
                reply.header.rcode = dnslib.RCODE.SERVFAIL
                continue
            usage, selector, matching, text = data.split()
            reply.add_answer(dnslib.RR(name + ".", 52, ttl=60, rdata=dnslib.RD(bytes([int(usage), int(selector), int(matching)]) + bytes.fromhex(text))))
        return reply


@pytest.fixture
def signed():
    made = []

    def start(zone):
        made.append(Signed(zone))
        return made[-1]

    yield start
    for server in made:
        server.close()


DANE = "smtp_tls_security_level = dane\nsmtp_dns_support_level = dnssec\n"


def key_digest(w, name="sha256"):
    key = openssl("x509", "-in", w.authority.path("there.pem"), "-noout", "-pubkey")
    with open(w.authority.path("key.pub"), "w") as out:
        out.write(key)
    openssl("pkey", "-pubin", "-in", w.authority.path("key.pub"), "-outform", "DER", "-out", w.authority.path("key.der"))
    return openssl("dgst", f"-{name}", "-r", w.authority.path("key.der")).split()[0]


def publish(w, *records):
    w.dns.records[f"_{w.there.port}._tcp.mx.there.test"] = [("TLSA", record) for record in records]


def test_dane_stands_above_mta_sts(make, signed, base, web):
    w = World(make, signed, base, web, name="elsewhere.test", sender=DANE)  # a name that the policy would not have
    w.web.policy()
    publish(w, "3 1 1 " + key_digest(w))
    w.here.start()
    w.send()
    w.here.wait_log(r"Verified TLS connection established to mx\.there\.test")
    w.here.wait_log(r"status=sent")
    assert not w.web.asked
    publish(w, "3 1 1 " + "00" * 32)  # and what DANE forbids no policy allows
    w.here.reload()
    w.send("b@there.test")
    w.here.wait_log(r"to=<b@there\.test>.*dsn=4\.7\.5, status=deferred \(Server certificate not verified\)")


def test_without_records_the_policy_counts(make, signed, base, web):
    w = World(make, signed, base, web, sender=DANE)
    w.web.policy()
    w.here.start()
    w.send()
    w.here.wait_log(r"MTA-STS policy of there\.test \(id 1\): mode enforce")
    w.here.wait_log(r"Verified TLS connection established to mx\.there\.test")
    w.here.wait_log(r"status=sent")


def test_the_best_digest_counts(make, signed, base, web):
    w = World(make, signed, base, web, sender=DANE)
    publish(w, "3 1 1 " + key_digest(w), "3 1 2 " + "00" * 64)  # the better one does not fit
    w.here.start()
    w.send()
    w.here.wait_log(r"status=deferred \(Server certificate not verified\)")
    w.here.command("postconf", "tls_dane_digests = sha256", check=True)
    w.here.reload()
    w.here.command("postqueue", "-f", check=True)
    w.here.wait_log(r"status=sent")


def test_reports_have_the_records(make, signed, base, web):
    w = World(make, signed, base, web, sender=DANE + "smtp_tls_mta_sts = no\nsmtp_tls_reports = yes\nsmtp_tls_reports_delay = 0\n"
              "smtp_tls_reports_period = 1s\n")
    reports = web(w.authority, "reports.test")
    reports.pages["/v1"] = (200, "text/plain", "thanks")
    w.dns.records["reports.test"] = [("A", "127.0.0.1")]
    w.dns.records["_smtp._tls.there.test"] = [("TXT", f'"v=TLSRPTv1; rua=https://reports.test:{reports.port}/v1"')]
    record = "3 1 1 " + "00" * 32
    publish(w, record)
    w.here.start()
    w.send()
    w.here.wait_log(r"TLSRPT: status=failure, domain=there\.test, receiving_mx=mx\.there\.test, failure_type=tlsa-invalid")
    wait_until(lambda: reports.posted, "the report")
    policy = json.loads(gzip.decompress(reports.posted[0][2]))["policies"][0]
    assert policy["policy"] == {"policy-type": "tlsa", "policy-string": [record], "policy-domain": "there.test", "mx-host": ["mx.there.test"]}
    assert policy["failure-details"][0]["result-type"] == "tlsa-invalid"
