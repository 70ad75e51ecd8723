"""smtpd_proxy_filter: a content filter that gets the message while the client waits."""
import re

from harness import wait_until


def talk(here):
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        replies = [smtp.say("MAIL FROM:<a@client.test> BODY=8BITMIME"), smtp.say("RCPT TO:<b@here.test>"), smtp.say("RCPT TO:<c@here.test>")]
        replies.append(smtp.data("Subject: x\n\n.dot\nlast\n"))
        return replies


def test_the_filter_answers(make, sink):
    filter = sink(ehlo=("8BITMIME", "XFORWARD NAME ADDR PROTO HELO SOURCE"), replies={"XFORWARD": "250 ok"})
    here = make(main_cf=f"smtpd_proxy_filter = 127.0.0.1:{filter.port}\nsmtpd_proxy_ehlo = proxy.test\n")
    assert talk(here) == ["250 2.1.0 Ok", "250 2.1.5 Ok", "250 2.1.5 Ok", "250 2.0.0 stored"]
    wait_until(lambda: filter.sessions[0][-1] == "QUIT", "QUIT to the filter")
    assert filter.sessions[0] == ["EHLO proxy.test", "XFORWARD NAME=localhost ADDR=127.0.0.1 HELO=client.test PROTO=ESMTP SOURCE=LOCAL",
                                  "MAIL FROM:<a@client.test> BODY=8BITMIME", "RCPT TO:<b@here.test>", "RCPT TO:<c@here.test>", "DATA", "QUIT"]
    sender, recipients, text = filter.messages[0]
    assert re.fullmatch(r"Received: from client\.test \(localhost \[127\.0\.0\.1\]\)\r\n\tby here\.test \(Postfix\) with ESMTP;\r\n\t.*\r\n"
                        r"Subject: x\r\n\r\n\.dot\r\nlast\r\n", text)
    here.wait_log(r"NOQUEUE: client=localhost\[127\.0\.0\.1\]$")
    here.wait_log(r"proxy-accept: END-OF-MESSAGE: 250 2\.0\.0 stored; from=<a@client\.test> to=<b@here\.test> proto=ESMTP helo=<client\.test>$")


def test_refusals_of_the_filter(make, sink):
    broken = "451 4.3.0 Error: queue file write error"
    for number, (replies, want) in enumerate([
            ({"RCPT TO:<c": "550 5.1.1 no c"}, ["250 2.1.0 Ok", "250 2.1.5 Ok", "550 5.1.1 no c", "250 2.0.0 stored"]),
            ({"MAIL": "450 4.1.8 later"}, ["250 2.1.0 Ok", "450 4.1.8 later", "450 4.1.8 later", "554 5.5.1 Error: no valid recipients"]),
            ({"DATA": "554 5.5.1 no"}, ["250 2.1.0 Ok", "250 2.1.5 Ok", "250 2.1.5 Ok", "554 5.5.1 no"]),
            ({"CONNECT": "421 busy"}, ["250 2.1.0 Ok", broken, broken, "554 5.5.1 Error: no valid recipients"]),
            ({"DATA": "DROP"}, ["250 2.1.0 Ok", "250 2.1.5 Ok", "250 2.1.5 Ok", broken])]):
        filter = sink(replies=replies)
        here = make(name=f"n{number}", main_cf=f"smtpd_proxy_filter = inet:127.0.0.1:{filter.port}\nsmtpd_error_sleep_time = 0\nmydestination = here.test\n")
        assert talk(here) == want


def test_a_message_that_is_not_finished_is_not_delivered(make, sink):
    filter = sink()
    here = make(main_cf=f"smtpd_proxy_filter = :{filter.port}\nmessage_size_limit = 1000\nvirtual_mailbox_limit = 0\nmailbox_size_limit = 0\n")
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        assert smtp.mail("a@client.test", ["b@here.test"], "Subject: x\n\n" + "y" * 2000 + "\n") == "552 5.3.4 Error: message file too big"
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        smtp.say("MAIL FROM:<a@client.test>")
        smtp.say("RCPT TO:<b@here.test>")
        smtp.say("DATA")
        smtp.send("Subject: half\r\n")
    here.wait_log("lost connection after DATA")
    assert here.inject("a@client.test", "b@here.test") == "250 2.0.0 stored"
    assert len(filter.messages) == 1


def test_speed_adjust(make, sink):
    """The filter hears of a message when it is complete, or too large to wait."""
    filter = sink(replies={"RCPT TO:<no": "550 5.1.1 not here"})
    here = make(main_cf=f"smtpd_proxy_filter = 127.0.0.1:{filter.port}\nsmtpd_proxy_options = speed_adjust\nmessage_size_limit = 0\nvirtual_mailbox_limit = 0\n"
                "mailbox_size_limit = 0\n")
    with here.smtp() as smtp:
        for line in ("EHLO client.test", "MAIL FROM:<a@client.test>", "RCPT TO:<b@here.test>", "DATA"):
            smtp.say(line)
        smtp.send("Subject: slow\r\n\r\n.x\r\n")
        assert filter.sessions == []
        smtp.send(".\r\n")
        assert smtp.reply() == "250 2.0.0 stored"
    assert here.inject("a@client.test", ["b@here.test", "no@here.test"]) == "550 5.1.1 not here"
    here.wait_log("proxy-reject: END-OF-MESSAGE: 550 5.1.1 not here; from=")
    body = "".join(f"line {i} of a long message\n" for i in range(100000))
    assert here.inject("a@client.test", "b@here.test", "Subject: large\n\n" + body) == "250 2.0.0 stored"
    assert len(filter.messages) == 2 and filter.messages[1][2].endswith(body.replace("\n", "\r\n"))


def test_the_filter_is_at_another_address_of_its_host(make, sink, dns):
    filter = sink()
    names = dns("filter.test A 127.0.0.9\nfilter.test A 127.0.0.1")
    here = make(main_cf=f"smtpd_proxy_filter = filter.test:{filter.port}\ndns_servers = 127.0.0.1:{names.port}\n")
    assert talk(here)[-1] == "250 2.0.0 stored"
