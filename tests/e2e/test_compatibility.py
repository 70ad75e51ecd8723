"""compatibility_level: older defaults stay in force, and the log says so where they decide."""
import pytest
from harness import wait_until  # noqa: F401

USING = "using backwards-compatible default setting "
OLD = """\
compatibility_level = 0
smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination
"""


def unset(instance, *names):
    instance.command("postconf", "-X", *names, check=True)


def test_old_defaults_are_told(make):
    here = make(started=False, main_cf=OLD, master_cf="extra unix - - - - - smtp\n")
    unset(here, "append_dot_mydomain", "mynetworks")
    done = here.command("postfix", "start")
    assert done.returncode == 0 and "running with backwards-compatible default settings" in done.stderr
    assert 'To disable backwards compatibility use "postconf compatibility_level=3.6" and "postfix reload"' in done.stderr
    here.wait_log(r"master\.cf: line \d+: " + USING + "chroot=y")
    with here.smtp() as smtp:
        smtp.say("EHLO c.test")
        assert smtp.say("MAIL FROM:<caf\u00e9@x.test>").startswith("250")
        assert smtp.say("RCPT TO:<a@sub>").startswith("250")
    here.wait_log(USING + 'append_dot_mydomain=yes to rewrite "a@sub" to "a@sub.here.test"')
    here.wait_log(USING + 'mynetworks_style=subnet to permit request from client "localhost\\[127.0.0.1\\]"')
    here.wait_log(USING + 'smtputf8_enable=no to accept non-ASCII sender address ".*@x.test" from localhost')


@pytest.mark.parametrize("level", ["2", "3.6"])
def test_new_defaults_are_not(make, level):
    here = make(main_cf=f"compatibility_level = {level}\nmynetworks = 127.0.0.0/8\n")
    with here.smtp() as smtp:
        smtp.say("EHLO c.test")
        assert smtp.say("MAIL FROM:<a@sub>").startswith("250")
        assert smtp.say("RCPT TO:<a@here.test>").startswith("250")
    assert not here.log_lines(USING)


def test_relaying_by_default_of_old(make):
    """Subdomains of mydestination are relay domains, and recipient restrictions come before relay restrictions."""
    here = make(main_cf="compatibility_level = 1\nmynetworks = 10.0.0.0/8\nsmtpd_recipient_restrictions = reject_non_fqdn_recipient\n")
    with here.smtp() as smtp:
        smtp.say("EHLO c.test")
        smtp.say("MAIL FROM:<a@b.test>")
        assert smtp.say("RCPT TO:<a@sub.here.test>").startswith("250")
        here.wait_log(USING + r'relay_domains=\$mydestination to accept mail for address "a@sub.here.test"')
        assert smtp.say("RCPT TO:<local>").startswith("504")
        here.wait_log(USING + r'smtpd_relay_before_recipient_restrictions=no to reject recipient "local" from client')
