"""smtpd_auth_failure_*: failed logins are counted, make the next attempt wait, and put an address on the list of offenders."""
import functools
import os
import re
import time

import table_servers
from harness import wait_until
from test_auth import FILE, USERS, b64, plain

MAIN_CF = FILE + """
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_auth_failure_exceptions = 192.0.2.200
smtpd_auth_failure_delay = 1s
smtpd_error_sleep_time = 0s
"""
WRONG = "535 5.7.8 Error: authentication failed: "


def attempt(here, client, user, password="wrong", command=None):
    """The reply to AUTH, and how long it took."""
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        smtp.say(f"XCLIENT ADDR={client} NAME=[UNAVAILABLE]")
        smtp.say("EHLO client.test")
        start = time.monotonic()
        reply = smtp.say(command or plain(user, password))
        return reply, time.monotonic() - start


class Late(AssertionError):
    """Longer than it should have been: by the mail system, or by a machine that has much to do."""


def waited(seconds, pause, what=""):
    """It was as long as the pause, and not longer."""
    assert pause <= seconds, what
    if seconds >= pause + 0.9:
        raise Late(f"{seconds} instead of {pause} {what}")


def not_by_chance(test):
    """What the mail system makes late is late each time."""
    @functools.wraps(test)
    def tries(make):
        for number in ("", "2", "3"):
            try:
                return test(lambda name="here", **settings: make(name + number, **settings)) # pylint: disable=cell-var-from-loop
            except Late as error:
                late = error
        raise late

    return tries


@not_by_chance
def test_delay_grows(make):
    here = make(main_cf=MAIN_CF, files={"users": USERS})
    for pause in (0, 1, 2):
        reply, seconds = attempt(here, "192.0.2.10", "alice")
        assert reply.startswith(WRONG)
        waited(seconds, pause)
    waited(attempt(here, "198.51.100.1", "alice")[1], 0, "another client, and the account has few failures")
    reply, seconds = attempt(here, "192.0.2.10", "alice", "Hello world!")
    assert reply.startswith("235")
    waited(seconds, 4, "the right password waits as long")
    waited(attempt(here, "192.0.2.10", "alice")[1], 0, "and forgives the failures of that account")


@not_by_chance
def test_unknown_accounts_are_no_different(make):
    said = WRONG + "authentication failure"
    here = make(main_cf=MAIN_CF, files={"users": USERS})
    for client, user in (("192.0.2.10", "alice"), ("198.51.100.10", "nobody"), ("203.0.113.10", "gone")):
        replies = [attempt(here, client, user) for _ in range(2)]
        assert [reply for reply, _ in replies] == [said] * 2
        for (_, seconds), pause in zip(replies, (0, 1)):
            waited(seconds, pause)


@not_by_chance
def test_accounts_and_networks(make):
    here = make(main_cf=MAIN_CF, files={"users": USERS})
    for n in range(4):
        waited(attempt(here, f"10.{n}.0.1", "alice")[1], 0)
    waited(attempt(here, "10.99.0.1", "ALICE")[1], 1, "one account, from everywhere")
    waited(attempt(here, "10.98.0.1", "other")[1], 0)
    for n in range(4):
        waited(attempt(here, f"172.16.0.{n + 1}", f"user{n}")[1], 0)
    waited(attempt(here, "172.16.0.99", "user99")[1], 1, "one network, all accounts")


def test_own_account_does_not_cover_guessing(make):
    here = make(main_cf=MAIN_CF, files={"users": USERS})
    attempt(here, "192.0.2.10", "user")
    assert attempt(here, "192.0.2.10", "alice", "Hello world!")[0].startswith("235")
    assert attempt(here, "192.0.2.10", "user")[1] >= 1


@not_by_chance
def test_other_mechanisms_and_what_is_no_guess(make):
    here = make(main_cf=MAIN_CF, files={"users": USERS})
    for command in ("AUTH GSSAPI", "AUTH PLAIN !!!", "AUTH PLAIN " + b64("x")):
        attempt(here, "192.0.2.10", None, command=command)
    waited(attempt(here, "192.0.2.10", "alice")[1], 0)
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        smtp.say("XCLIENT ADDR=192.0.2.10 NAME=[UNAVAILABLE]")
        smtp.say("EHLO client.test")
        assert smtp.say("AUTH LOGIN").startswith("334")
        start = time.monotonic()
        assert smtp.say(b64("alice")).startswith("334")
        assert smtp.say(b64("Hello world!")).startswith("235")
        waited(time.monotonic() - start, 1)


def test_offenders(make):
    here = make(main_cf=MAIN_CF + "smtpd_auth_failure_delay = 0s\nsmtpd_auth_failure_offender_limit = 2\nsmtpd_auth_failure_offender_time = 12s\n",
                files={"users": USERS})
    path = os.path.join(here.directory, "data/auth_offenders")

    def listed():
        return open(path).read().split() if os.path.exists(path) else None

    for client in ("192.0.2.10", "192.0.2.11", "IPv6:2001:db8::1", "192.0.2.200"):
        for n in range(2 if client.endswith("11") else 4):
            attempt(here, client, f"user{n}")
    wait_until(lambda: sorted(listed() or []) == ["192.0.2.10", "2001:db8::1"], "the list of offenders")
    assert os.stat(path).st_mode & 0o777 == 0o644
    lines = here.wait_log("auth-offender: ", 2)
    assert len(lines) == 2 and re.search(r"smtpd\[\d+\]: warning: auth-offender: client=unknown\[192.0.2.10\]: 3 failed logins: more than "
                                         r"smtpd_auth_failure_offender_limit = 2, listed until \w{3} [ \d]\d \d\d:\d\d:\d\d$", lines[0])
    here.reload()
    time.sleep(1)
    assert "192.0.2.10" in listed()
    wait_until(lambda: listed() == [], "the end of their time", 30)


def test_off_by_default(make):
    here = make(main_cf=FILE + "mynetworks = 192.0.2.1\n", files={"users": USERS})
    for _ in range(5):
        with here.smtp() as smtp:
            smtp.say("EHLO client.test")
            assert smtp.say(plain("alice", "wrong")).startswith(WRONG)
    time.sleep(2.5)
    assert not os.path.exists(os.path.join(here.directory, "data/auth_offenders"))


@not_by_chance
def test_shared_by_machines(make):
    redis = table_servers.Redis()
    try:
        cf = f"smtpd_auth_failure_cache_map = redis:shared\nshared_hosts = 127.0.0.1:{redis.port}\nshared_password = secret\n"
        one, two = (make(name, main_cf=MAIN_CF + cf, files={"users": USERS}) for name in ("one", "two"))
        waited(attempt(one, "192.0.2.10", "alice")[1], 0)
        waited(attempt(two, "192.0.2.10", "alice")[1], 1)
        assert "postern:auth_failures:a:192.0.2.10" in redis.command("--scan")
    finally:
        redis.remove()
