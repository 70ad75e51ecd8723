"""smtpd_user_limit_*: what a SASL user may send per hour and day, and what becomes of the rest."""
import re

import pytest

MAIN_CF = """
home_mailbox = Maildir/
mailbox_transport = discard
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
"""


class Session:
    """A client that is logged in as somebody."""

    def __init__(self, here, user):
        self.smtp = here.smtp()
        self.smtp.say("EHLO client.test")
        if user:
            self.smtp.say(f"XCLIENT LOGIN={user}")
            self.smtp.say("EHLO client.test")

    def send(self, recipients=1, sender="u@here.test", data="Subject: x\n\nx\n"):
        """The reply to the content, or to DATA."""
        return self.smtp.mail(sender, [f"r{n}@here.test" for n in range(recipients)], data)


def held(here):
    return [entry for entry in here.queue() if entry["queue_name"] == "hold"]


def test_messages_are_held(make):
    here = make(main_cf=MAIN_CF + "smtpd_user_limit_messages_per_hour = 2\n")
    user = Session(here, "Ann@example.com")
    assert all(user.send().startswith("250") for _ in range(2))
    assert user.send().startswith("250"), "held, and the thief does not see it"
    assert Session(here, "ann@EXAMPLE.com").send().startswith("250")
    assert Session(here, "ben@example.com").send().startswith("250"), "everybody has limits of his own"
    lines = here.wait_log(r"user limit:", 2)
    assert re.search(r"smtpd\[\d+\]: [0-9A-F]+: hold: DATA from localhost\[127.0.0.1\]: user limit: smtpd_user_limit_messages_per_hour = 2 exceeded: 3 for "
                     r"sasl_username=Ann@example.com, resets at \w{3} [ \d]\d \d\d:\d\d:\d\d; from=<u@here.test> proto=ESMTP helo=<client.test>$", lines[0]), lines[0]
    assert " exceeded: 4 for sasl_username=ann@EXAMPLE.com" in lines[1]
    assert len(held(here)) == 2


def test_held_mail_of_an_account(make):
    here = make(main_cf=MAIN_CF + "smtpd_user_limit_messages_per_hour = 1\n")
    thief, other = Session(here, "thief"), Session(here, "other")
    for _ in range(4):
        assert thief.send().startswith("250")
    for _ in range(2):
        assert other.send().startswith("250")
    assert len(held(here)) == 4
    listed = here.command("postqueue", "-p", "--sasl-user", "thief").stdout
    assert len(re.findall(r"^[0-9A-F]+!", listed, re.M)) == 3, listed
    ids = re.findall(r"^([0-9A-F]+)!", listed, re.M)
    here.command("postsuper", "-H", "ALL", "--sasl-user", "other", check=True)
    here.wait_log(r"discard\[\d+\]: ", 3)
    assert sorted(entry["queue_id"] for entry in held(here)) == sorted(ids)
    here.command("postsuper", "-d", "ALL", "--sasl-user", "thief", check=True)
    assert held(here) == []


def test_recipients(make):
    here = make(main_cf=MAIN_CF + "smtpd_user_limit_recipients_per_hour = 5\nsmtpd_user_limit_messages_per_hour = 100\n")
    user = Session(here, "ann")
    assert user.send(recipients=3).startswith("250")
    assert user.send(recipients=2).startswith("250")
    assert not here.log_lines("user limit")
    assert user.send(recipients=1).startswith("250")
    here.wait_log(r"hold: DATA from .*: user limit: smtpd_user_limit_recipients_per_hour = 5 exceeded: 6 for sasl_username=ann, ")


@pytest.mark.parametrize("action, code", [("defer", "450 4.7.1"), ("reject", "550 5.7.1")])
def test_refusals_are_not_counted(make, action, code):
    here = make(main_cf=MAIN_CF + f"smtpd_user_limit_recipients_per_day = 5\nsmtpd_user_limit_action = {action}\n")
    user = Session(here, "ann")
    assert user.send(recipients=4).startswith("250")
    for _ in range(2):
        reply = user.send(recipients=2)
        assert reply.startswith(f"{code} user limit: smtpd_user_limit_recipients_per_day = 5 exceeded: 6 for sasl_username=ann, resets at "), reply
        user.smtp.say("RSET")
    assert user.send(recipients=1).startswith("250"), "one is left"
    lines = here.wait_log(r"user limit", 2)
    assert all(f"reject: DATA from localhost[127.0.0.1]: {code} user limit: " in line for line in lines) and len(lines) == 2
    assert held(here) == []


def test_what_fails_is_not_counted(make):
    here = make(main_cf=MAIN_CF + "smtpd_user_limit_messages_per_hour = 1\nsmtpd_user_limit_action = reject\nmessage_size_limit = 1000\n")
    user = Session(here, "ann")
    assert user.send(data="Subject: x\n\n" + "x" * 70 * 1 + ("y" * 70 + "\n") * 30).startswith("552")
    lost = Session(here, "ann")
    for line in ("MAIL FROM:<u@here.test>", "RCPT TO:<r@here.test>", "DATA"):
        lost.smtp.say(line)
    lost.smtp.close()
    here.wait_log(r"lost connection after DATA")
    assert user.send().startswith("250")
    assert user.send().startswith("550")


def test_data_again(make):
    """A message that is refused counts for as long as it is there, once."""
    here = make(main_cf=MAIN_CF + "smtpd_user_limit_messages_per_hour = 1\nsmtpd_user_limit_action = reject\n")
    user = Session(here, "ann")
    assert user.send().startswith("250")
    for line in ("MAIL FROM:<u@here.test>", "RCPT TO:<r@here.test>"):
        user.smtp.say(line)
    replies = [user.smtp.say("DATA") for _ in range(3)]
    assert all(" exceeded: 2 for sasl_username=ann, " in reply for reply in replies), replies


def test_not_applied(make):
    here = make(main_cf=MAIN_CF + "smtpd_user_limit_messages_per_hour = 1\nsmtpd_user_limit_action = reject\n")
    user, nobody = Session(here, "ann"), Session(here, None)
    for _ in range(3):
        assert user.send(sender="").startswith("250"), "the null sender"
        assert nobody.send().startswith("250"), "who has not logged in"
    assert user.send().startswith("250")
    assert user.send(sender="").startswith("250")
    assert user.send().startswith("550")
    assert here.command("sendmail", "r@here.test", input="Subject: x\n\nx\n").returncode == 0, "the machine itself"
    here.wait_log(r"pickup\[\d+\]: ")


def test_exceptions_and_report(make):
    here = make(main_cf=MAIN_CF + "smtpd_user_limit_messages_per_hour = 1\nsmtpd_user_limit_action = reject\n"
                "smtpd_user_limit_exception_maps = inline:{{ {{news=none}}, {{@big.test=messages_per_hour=3}}, {{odd=many}} }}\n")
    assert [Session(here, "news").send()[:3] for _ in range(4)] == ["250"] * 4
    assert [Session(here, "x@big.test").send()[:3] for _ in range(4)] == ["250"] * 3 + ["550"]
    assert [Session(here, "odd").send()[:3] for _ in range(2)] == ["250", "550"]
    here.wait_log(r"smtpd_user_limit_exception_maps: odd: \"many\": expecting")
    here.write("main.cf", open(f"{here.directory}/etc/main.cf").read() + "smtpd_user_limit_report_only = yes\n")
    here.reload()
    assert Session(here, "odd").send().startswith("250")
    here.wait_log(r"limit_warning: DATA from localhost\[127.0.0.1\]: user limit: smtpd_user_limit_messages_per_hour = 1 exceeded: 2 for sasl_username=odd, ")
    assert held(here) == []
