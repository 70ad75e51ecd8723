"""Reports about TLS (RFC 8460): what is counted, what is sent to whom, what survives a restart."""
import email
import gzip
import json
import re
import time

from harness import wait_until
from test_mta_sts import MANAGER, World, web  # noqa: F401 (a fixture)

SENDER = """\
smtp_tls_reports = yes
smtp_tls_reports_delay = 0
smtp_tls_reports_period = PERIOD
smtp_tls_reports_contact = tls@here.test
smtp_tls_reports_organization = The Sender
transport_maps = inline:{{box.test=smtp:[127.0.0.1]:SINK}}
"""


def world(make, dns, base, web, sink, period="3s", targets="mailto:reports@box.test,https://reports.test:{port}/v1", sender="", **settings):
    """Reports about there.test go to a sink and to a web server."""
    box = sink()
    w = World(make, dns, base, web, sender=SENDER.replace("PERIOD", period).replace("SINK", str(box.port)) + sender, **settings)
    w.box = box
    w.reports_web = web(w.authority, "reports.test")
    w.reports_web.pages["/v1"] = (201, "text/plain", "thanks")
    w.dns.records["reports.test"] = [("A", "127.0.0.1")]
    w.dns.records["_smtp._tls.there.test"] = [("TXT", f'"v=TLSRPTv1; rua={targets.format(port=w.reports_web.port)}"')]
    w.web.policy()
    return w


def parse_mail(text):
    message = email.message_from_string(text)
    parts = message.get_payload()
    return message, parts, json.loads(gzip.decompress(parts[1].get_payload(decode=True)))


def test_a_report_by_mail_and_by_web(make, dns, base, web, sink):
    w = world(make, dns, base, web, sink, period="6s")
    w.here.start()
    w.send()
    w.send()
    w.here.wait_log(r"smtp\[\d+\]: TLSRPT: status=success, domain=there\.test, receiving_mx=mx\.there\.test$", 2)
    w.box.wait_messages(1)
    sender, recipients, text = w.box.messages[0]
    assert (sender, recipients) == ("tls@here.test", ["reports@box.test"])
    message, parts, report = parse_mail(text)
    assert re.match(r"Report Domain: there\.test Submitter: here\.test\s+Report-ID: <\d+\.[0-9a-f]+@here\.test>$", message["Subject"])
    assert (message["TLS-Report-Domain"], message["TLS-Report-Submitter"]) == ("there.test", "here.test")
    assert message["TLS-Required"].lower() == "no"
    assert message.get_content_type() == "multipart/report" and message.get_param("report-type") == "tlsrpt"
    assert parts[1].get_content_type() == "application/tlsrpt+gzip"
    assert re.match(r"here\.test!there\.test!\d+!\d+\.json\.gz$", parts[1].get_filename())
    assert report["organization-name"] == "The Sender" and report["contact-info"] == "tls@here.test"
    assert set(report["date-range"]) == {"start-datetime", "end-datetime"}
    wait_until(lambda: w.reports_web.posted, "the report at the web server")
    path, kind, body = w.reports_web.posted[0]
    assert (path, kind) == ("/v1", "application/tlsrpt+gzip") and json.loads(gzip.decompress(body)) == report
    policy = report["policies"][0]
    assert policy["policy"] == {"policy-type": "sts", "policy-string": ["version: STSv1", "mode: enforce", "mx: mx.there.test", "max_age: 86400"],
                                "policy-domain": "there.test", "mx-host": ["mx.there.test"]}
    sessions = sum(json.loads(gzip.decompress(body))["policies"][0]["summary"]["total-successful-session-count"] for _, _, body in w.reports_web.posted)
    assert sessions in (1, 2) and policy["summary"]["total-failure-session-count"] == 0  # a new period may have begun between the two
    w.here.wait_log(r"tlsmgr\[\d+\]: TLS report for there\.test: mailed to <reports@box\.test> as [0-9A-F]+")
    w.here.wait_log(r"tlsmgr\[\d+\]: TLS report for there\.test: sent to https://reports\.test:\d+/v1")


def failures(report):
    return [(p["policy"]["policy-type"], d["result-type"], d["failed-session-count"]) for p in report["policies"] for d in p.get("failure-details", [])]


def test_failures_are_told_in_detail(make, dns, base, web, sink):
    w = world(make, dns, base, web, sink, period="1d", name="elsewhere.test", targets="mailto:reports@box.test")
    w.here.start()
    w.send()
    w.here.wait_log(r"TLSRPT: status=failure, domain=there\.test, receiving_mx=mx\.there\.test, failure_type=certificate-host-mismatch")
    w.here.wait_log(r"status=deferred")
    time.sleep(2)  # so often it is saved
    w.here.command("postsuper", "-d", "ALL", check=True)
    # over a restart, in which the period comes to its end
    w.here.stop()
    w.here.command("postconf", "smtp_tls_reports_period = 1s", check=True)
    counted = len(w.here.log_lines("TLSRPT: status=failure"))
    w.here.start()
    w.send("a@here.test")  # nothing about TLS
    wait_until(lambda: w.here.log_lines(r"smtp\[\d+\]|tlsmgr"), "smtp")
    assert not w.box.messages  # of yesterday's length: it is sent tomorrow
    w.send()
    w.box.wait_messages(1)
    _, _, report = parse_mail(w.box.messages[0][2])
    assert failures(report)[0][:2] == ("sts", "certificate-host-mismatch")
    detail = report["policies"][0]["failure-details"][0]
    assert detail["receiving-mx-hostname"] == "mx.there.test" and detail["receiving-ip"] == detail["sending-mta-ip"] == "127.0.0.1"
    assert counted


def test_a_report_survives_a_restart(make, dns, base, web, sink):
    w = world(make, dns, base, web, sink, period="20s", targets="mailto:reports@box.test", receiver="smtpd_tls_security_level = none\n")
    w.web.policy(mode="testing")
    wait_until(lambda: time.time() % 20 < 5, "enough of a period")
    w.here.start()
    w.send()
    w.here.wait_log(r"TLSRPT: status=failure, domain=there\.test, receiving_mx=mx\.there\.test, failure_type=starttls-not-supported")
    w.here.wait_log(r"status=sent")
    time.sleep(2)  # so often it is saved
    w.here.stop()
    assert not w.box.messages
    w.here.start()
    w.box.wait_messages(1, timeout=40)
    assert failures(parse_mail(w.box.messages[0][2])[2]) == [("sts", "starttls-not-supported", 1)]
    w.here.wait_queue_empty()
    assert not w.here.log_lines("TLSRPT: .*domain=box")  # no report about reports


def test_who_wants_no_report_gets_none(make, dns, base, web, sink):
    w = world(make, dns, base, web, sink, period="1s")
    del w.dns.records["_smtp._tls.there.test"]
    w.here.start()
    w.send()
    w.here.wait_log(r"status=sent")
    w.here.wait_log(r"TLSRPT: status=success")
    wait_until(lambda: "_smtp._tls.there.test TXT" in w.dns.queries, "a look for the record")
    w.here.stop()
    assert not w.box.messages and not w.reports_web.posted


def test_a_target_that_fails_is_tried_again(make, dns, base, web, sink):
    w = world(make, dns, base, web, sink, period="1s")
    w.reports_web.pages["/v1"] = (500, "text/plain", "not now")
    w.here.start()
    w.send()
    w.here.wait_log(r"TLS report for there\.test: cannot be sent to https://reports\.test:\d+/v1: the web server answers with status 500")
    w.box.wait_messages(1)
    w.reports_web.pages["/v1"] = (200, "text/plain", "thanks")
    w.here.stop()
    w.here.start()  # tried at once then, and only there
    w.here.wait_log(r"TLS report for there\.test: sent to https://reports\.test:\d+/v1")
    assert len(w.box.messages) == 1


def test_a_policy_that_cannot_be_fetched_is_reported(make, dns, base, web, sink):
    w = world(make, dns, base, web, sink, period="1s", targets="mailto:reports@box.test")
    w.web.policy(text="this is no policy")
    w.here.start()
    w.send()
    w.box.wait_messages(1)
    assert failures(parse_mail(w.box.messages[0][2])[2]) == [("sts", "sts-policy-invalid", 1)]
    w.here.wait_log(r"to=<a@there\.test>.*status=sent")


def test_a_slow_target_holds_up_no_other_report(make, dns, base, web, sink):
    w = world(make, dns, base, web, sink, period="1s", targets="https://reports.test:{port}/v1")
    w.dns.records["second.test"] = [("MX", "10 mx.there.test.")]
    w.dns.records["_smtp._tls.second.test"] = [("TXT", '"v=TLSRPTv1; rua=mailto:reports@box.test"')]
    w.reports_web.delay = 20
    w.here.start()
    w.send()
    wait_until(lambda: w.reports_web.posted, "the report at the slow web server")
    w.send("b@second.test")
    w.box.wait_messages(1)
    assert not w.here.log_lines(r"TLS report for there\.test: ")  # which is still waiting


def test_a_target_whose_name_is_none_is_not_looked_up(make, dns, base, web, sink):
    w = world(make, dns, base, web, sink, period="1s", targets="https://r%C3%A9ports.test:{port}/v1")
    w.here.start()
    w.send()
    w.here.wait_log(r"cannot be sent to https://r%C3%A9ports\.test:\d+/v1: malformed URL")
