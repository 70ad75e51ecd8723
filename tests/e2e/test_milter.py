"""Mail filters and the session: what they are told at each stage, what becomes of what they say, what happens when they cannot be asked."""
import os
import re
import socket
import tempfile

import pytest

from harness import wait_until

NO_CONNECT, NO_HELO, NO_RCPT, NO_DATA, REJECTED_RCPT = 1, 2, 8, 1 << 9, 1 << 11
SILENT = 1 << 12 | 1 << 13 | 1 << 14 | 1 << 15 | 1 << 16 | 1 << 17

CONFIG = """
smtpd_milters = {milters}
milter_default_action = tempfail
milter_command_timeout = 2s
milter_connect_timeout = 2s
smtpd_error_sleep_time = 0
local_transport = discard:
local_recipient_maps =
"""


@pytest.fixture
def system(make):
    def start(*milters, main_cf="", **settings):
        text = CONFIG.format(milters=", ".join(getattr(m, "endpoint", m) for m in milters))
        return make(main_cf=text + main_cf, **settings)

    return start


def talk(here, *lines, ehlo="EHLO client.test"):
    """The replies to the greeting, EHLO and the lines; "MESSAGE" is DATA with a small one."""
    replies = []
    with here.smtp() as smtp:
        replies.append(smtp.greeting)
        for line in ([ehlo] if ehlo else []) + list(lines):
            try:
                replies.append(smtp.data("Subject: test\r\n\r\nHello.\r\n") if line == "MESSAGE" else smtp.say(line))
            except (OSError, EOFError):
                replies.append("")
    return replies


MAIL, RCPT = "MAIL FROM:<a@mail.test>", "RCPT TO:<b@here.test>"


def session_with(server, event, extra="QUIT"):
    """The session that had such an event, when it is over."""
    def find():
        return next((session for session in list(server.sessions) if session.has(event) and session.has(extra)), None)

    try:
        return wait_until(find, f"a session with {event} and {extra}")
    except AssertionError as error:
        raise AssertionError(f"{error}: {[session.events for session in server.sessions]}") from None


def test_stages_in_order(system, filter):
    server = filter()
    here = system(server)
    replies = talk(here, "MAIL FROM:<a@mail.test> SIZE=100 BODY=8BITMIME", RCPT, "RSET", MAIL, RCPT, "MESSAGE", "FOO bar", "QUIT")
    assert replies[-1].startswith("221")
    session = session_with(server, "MAIL")
    assert session.offered == (6, 0x1ff, 0x1fffff)
    assert session.events[0].startswith("CONNECT ")
    assert [event for event in session.events[1:] if not event.startswith("HEADER")] == [
        "HELO client.test", "MAIL <a@mail.test> SIZE=100 BODY=8BITMIME", "RCPT <b@here.test>", "ABORT", "MAIL <a@mail.test>", "RCPT <b@here.test>", "DATA",
        "EOH", "BODY 8 bytes", "END", "ABORT", "UNKNOWN FOO", "ABORT", "QUIT"]


def test_macros(system, filter):
    server = filter(macros={0: "j v", 5: "i {client_addr} {mail_addr}"})
    here = system(server, main_cf="milter_helo_macros = {{client_addr}} {{client_port}} {{client_resolve}} {{daemon_port}} {{nothing}} {{other}}\n"
                  "milter_macro_defaults = nothing=5, {{{{other}} = six}}\nmilter_macro_daemon_name = the.daemon\nmilter_macro_v = version\n")
    talk(here, "MAIL FROM:<>", RCPT, "MESSAGE", "QUIT")
    session = session_with(server, "MAIL")
    assert session.macros_of("C")[0] == {"j": "here.test", "v": "version"} or "j" in session.macros_of("C")[0]
    helo = session.macros_of("H")[0]
    assert helo["{client_addr}"] == "127.0.0.1" and helo["{nothing}"] == "5" and helo["{other}"] == "six" and int(helo["{client_port}"]) > 0
    assert session.macros_of("M")[0]["{mail_addr}"] == "" and "i" not in session.macros_of("M")[0]
    recipient = session.macros_of("R")[0]
    assert recipient["{rcpt_addr}"] == "b@here.test" and recipient["{rcpt_mailer}"] == "discard"
    queue_id = session.macros_of("T")[0]["i"]
    assert here.wait_log(f"{queue_id}: client=")
    assert [set(values) for values in session.macros_of("E")] == [{"i", "{client_addr}", "{mail_addr}"}]
    assert session.macros_of("L")[0] == {"i": queue_id}


def test_steps_that_a_filter_does_not_want(system, filter):
    server = filter(steps=NO_CONNECT | NO_HELO | NO_RCPT | NO_DATA)
    silent = filter({"HELO": [], "CONNECT": [], "MAIL": [], "RCPT": [], "DATA": [], "UNKNOWN": []}, steps=SILENT)
    here = system(server, silent)
    replies = talk(here, MAIL, RCPT, "MESSAGE", "QUIT")
    assert replies[-2].startswith("250 ")
    session = session_with(server, "MAIL")
    assert [event.split()[0] for event in session.events if not event.startswith("HEADER")] == ["MAIL", "EOH", "BODY", "END", "ABORT", "ABORT", "QUIT"]
    assert [letter for letter, _ in session.macros][:4] == ["C", "H", "M", "R"]
    assert session_with(silent, "DATA").has("END")


@pytest.mark.parametrize("version", [2, 3, 4])
def test_old_protocols(system, filter, version):
    server = filter()
    here = system(server, main_cf=f"milter_protocol = {version}\n")
    talk(here, "FOO", MAIL, RCPT, "MESSAGE", "QUIT")
    session = session_with(server, "MAIL")
    assert session.offered[0] == version
    assert session.has("UNKNOWN") == (version >= 3) and session.has("DATA") == (version >= 4) and session.has("END")


def test_rejected_recipients(system, filter):
    told, not_told = filter(steps=REJECTED_RCPT), filter()
    here = system(told, not_told, main_cf="local_recipient_maps = inline:{{b=1}}\n")
    replies = talk(here, MAIL, "RCPT TO:<nobody@here.test>", RCPT, "QUIT")
    assert replies[3].startswith("550 5.1.1") and replies[4].startswith("250 ")
    session = session_with(told, "MAIL")
    assert session.has("RCPT <nobody@here.test>") and not session_with(not_told, "MAIL").has("RCPT <nobody@here.test>")
    assert session.macros_of("R")[0] == {"{rcpt_addr}": "Recipient address rejected: User unknown in local recipient table", "{rcpt_host}": "5.1.1",
                                         "{rcpt_mailer}": "error"}


ANSWERS = [ # answer, reply, text in the log
    ("reject", "550 5.7.1 Command rejected", "550 5.7.1 Command rejected"),
    ("tempfail", "451 4.7.1 Service unavailable - try again later", "451 4.7.1 Service unavailable - try again later"),
    ("reply 554 5.7.9 a 100%% no", "554 5.7.9 a 100% no", "554 5.7.9 a 100% no"),
    ("reply 550-5.7.1 one\r\n550 5.7.1 two", "550-5.7.1 one\n550 5.7.1 two", "550-5.7.1 one??550 5.7.1 two"),
    ("shutdown", "421 4.7.0 Server closing connection", "421"),
    ("reply 250 2.0.0 ok", "451 4.3.5 Server configuration problem - try again later", "451 4.3.5"),
    ("add X-Too: early", "451 4.7.1 Service unavailable - try again later", "451 4.7.1"),
    ("drop", "451 4.7.1 Service unavailable - try again later", "451 4.7.1"),
    ("hang", "451 4.7.1 Service unavailable - try again later", "451 4.7.1"),
    (("raw", b"\xff\xff\xff\xff"), "451 4.7.1 Service unavailable - try again later", "451 4.7.1"),
    (("raw", b"\0\0\0\0"), "451 4.7.1 Service unavailable - try again later", "451 4.7.1"),
]


@pytest.mark.parametrize("stage, action, reply, log", [("MAIL", *row) for row in ANSWERS] + [(stage, *row) for stage in ("RCPT", "DATA", "UNKNOWN")
                                                                                         for row in ANSWERS[:3]], ids=str)
def test_refusals(system, filter, stage, action, reply, log):
    server = filter({stage: [action]})
    here = system(server)
    lines = {"MAIL": [MAIL], "RCPT": [MAIL, RCPT], "DATA": [MAIL, RCPT, "DATA"], "UNKNOWN": ["FOO"]}[stage]
    assert talk(here, *lines)[-1].replace("\r\n", "\n") == reply
    line = here.wait_log(f"milter-reject: {stage} from [^ ]*: {re.escape(log)}")[0]
    assert "proto=ESMTP helo=<client.test>" in line
    assert ("from=<a@mail.test>" in line) == (stage != "UNKNOWN")


def test_who_is_told_and_what_is_logged(system, filter):
    """Of a message that an access table discards, filters hear no more; log lines name the first recipient and who logged in."""
    server = filter({"DATA": "discard", "MAIL <gone@mail.test>": "continue"})
    here = system(server, main_cf="smtpd_authorized_xclient_hosts = 127.0.0.1\nsmtpd_sender_restrictions = check_sender_access inline:{{ {{ gone@mail.test = DISCARD }} }}\n")
    talk(here, "XCLIENT LOGIN=joe", "EHLO client.test", MAIL, RCPT, RCPT, "DATA", ".", "MAIL FROM:<gone@mail.test>", RCPT, "DATA", ".", "QUIT")
    line = here.wait_log("milter-discard: DATA from ")[0]
    assert line.endswith(" proto=ESMTP helo=<client.test> sasl_username=<joe>") and " to=<" in line
    session = server.sessions[-1]
    wait_until(lambda: "QUIT" in session.events, "the end")
    at = session.events.index("MAIL <gone@mail.test>")
    assert not [e for e in session.events[at + 1:] if e.startswith(("RCPT", "DATA"))]


def test_refused_for_the_session(system, filter):
    server = filter({"HELO bad": "reply 554 5.7.1 bad helo", "HELO later": "reply 450 4.7.1 not now", "HELO gone": "reply 421 4.7.1 go away"})
    here = system(server)
    replies = talk(here, MAIL, "VRFY b", "FOO", "EHLO good", MAIL, RCPT, "NOOP", "QUIT", ehlo="EHLO bad")
    assert replies[1] == "250-here.test\n250 ENHANCEDSTATUSCODES".replace("here.test", replies[1][4:].split("\n")[0].strip())
    assert [r[:20] for r in replies[2:5]] == ["554 5.7.1 bad helo"] * 3 and replies[6] == "554 5.7.1 bad helo"
    assert replies[7].startswith("503") and replies[8].startswith("250") and replies[9].startswith("221")
    assert "PIPELINING" in talk(here, "QUIT", ehlo="EHLO later")[1]
    assert talk(here, ehlo="HELO bad")[1].startswith("250 ")
    assert talk(here, ehlo="EHLO gone")[1] == "421 4.7.1 go away"
    session = session_with(server, "HELO bad", "CONNECT")
    assert session.events[-1] == "HELO bad"
    here.wait_log("milter-reject: EHLO from [^ ]*: 554 5.7.1 bad helo; proto=SMTP helo=<bad>")


@pytest.mark.parametrize("action, greeting, mail", [
    ("reply 554 5.3.2 never", "554 .* ESMTP not accepting connections", "554 5.3.2 never"), ("reply 450 4.3.2 later", "220 ", "450 4.3.2 later"),
    ("reply 421 4.3.2 gone", "421 .* Service unavailable - try again later", ""), ("accept", "220 ", "250 "), ("discard", "220 ", "250 ")])
def test_connect(system, filter, action, greeting, mail):
    server = filter({"CONNECT": action})
    here = system(server)
    replies = talk(here, MAIL, "QUIT")
    assert re.match(greeting, replies[0]) and replies[2].startswith(mail)


def test_discard_and_hold(system, filter):
    server = filter({"RCPT <discard@": "discard", "RCPT <accept@": "accept"})
    away = f"{{{{ inet:127.0.0.1:{closed_port()}, default_action=quarantine }}}}"
    here = system(server, away)
    replies = talk(here, MAIL, "RCPT TO:<discard@here.test>", RCPT, "MESSAGE", MAIL, "RCPT TO:<accept@here.test>", RCPT, "MESSAGE", "QUIT")
    assert replies[5].startswith("250 2.0.0 Ok: queued") and replies[9].startswith("250 ")
    session = session_with(server, "MAIL")
    assert session.events.count("RCPT <b@here.test>") == 0 and not session.has("DATA")
    here.wait_log("milter-discard: RCPT from .*: milter triggers DISCARD action; from=<a@mail.test> to=<discard@here.test>")
    here.wait_log("milter-hold: MAIL from .*: milter triggers HOLD action; from=<a@mail.test>")
    assert [message["queue_name"] for message in here.queue()] == ["hold"]


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("action, greeting, mail", [("accept", "220 ", "250 "), ("reject", "554 ", "550 5.5.0 Service unavailable"),
                                                    ("tempfail", "220 ", "451 4.7.1 Service unavailable - try again later"), ("shutdown", "421 ", ""),
                                                    ("quarantine", "220 ", "250 ")])
def test_default_actions(system, action, greeting, mail):
    port = closed_port()
    here = system(f"inet:127.0.0.1:{port}", main_cf=f"milter_default_action = {action}\n")
    replies = talk(here, MAIL, RCPT, "MESSAGE", "QUIT")
    assert replies[0].startswith(greeting) and replies[2].startswith(mail)
    if mail == "250 ":
        assert replies[4].startswith("250 2.0.0 Ok: queued")
    here.wait_log(f"warning: connect to Milter service inet:127.0.0.1:{port}: Connection refused")


def test_several_filters(system, filter):
    first, second = filter({"MAIL <no@": "reject"}), filter({"RCPT <no@": "reject"})
    here = system(first, second)
    replies = talk(here, "MAIL FROM:<no@mail.test>", MAIL, "RCPT TO:<no@here.test>", RCPT, "MESSAGE", "QUIT")
    assert [reply[:3] for reply in replies[2:7]] == ["550", "250", "550", "250", "250"]
    assert not session_with(second, "MAIL").has("MAIL <no@") and session_with(first, "MAIL").has("RCPT <no@") and session_with(second, "MAIL").has("END")


def test_maps_and_overrides(system, filter):
    usual, special = filter(), filter()
    here = system(usual, main_cf=f"smtpd_milter_maps = inline:{{{{ {{{{127.0.0.1 = {special.endpoint}}}}} }}}}\n")
    talk(here, MAIL, "QUIT")
    assert session_with(special, "MAIL") and not any(s.has("MAIL") for s in usual.sessions)
    here = system(usual, main_cf="smtpd_milter_maps = inline:{{127.0.0.1=DISABLE}}\n", name="disabled")
    assert talk(here, MAIL, "QUIT")[2].startswith("250 ")
    here = system(usual, main_cf="receive_override_options = no_milters\n", name="override")
    assert talk(here, MAIL, RCPT, "MESSAGE", "QUIT")[4].startswith("250 ")
    assert not any(session.has("MAIL") for session in usual.sessions)


def test_xclient(system, filter):
    server = filter()
    here = system(server, main_cf="smtpd_authorized_xclient_hosts = 127.0.0.1\n")
    talk(here, "XCLIENT NAME=other.test ADDR=192.0.2.7", "EHLO again.test", MAIL, "QUIT")
    assert session_with(server, "HELO client.test").events[1:] == ["HELO client.test", "ABORT", "QUIT"]
    session = session_with(server, "MAIL")
    assert session.events[0].startswith("CONNECT other.test 4 192.0.2.7") or session.events[0].startswith("CONNECT other.test")
    assert session.macros_of("C")[0]["_"] == "other.test [192.0.2.7]"


def test_unix_socket_and_soft_bounce(system, filter):
    directory = tempfile.mkdtemp(prefix="postern-filter-")
    os.chmod(directory, 0o755)
    server = filter({"MAIL": "reject"}, path=os.path.join(directory, "filter"))
    here = system(server, main_cf="soft_bounce = yes\n")
    assert talk(here, MAIL)[2] == "450 4.7.1 Command rejected"
    here.wait_log("milter-reject: MAIL from .*: 550 5.7.1 Command rejected")


def test_sessions_without_an_end(system, filter):
    server = filter()
    here = system(server)
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        smtp.say(MAIL)
    session = session_with(server, "MAIL")
    assert session.events[-3:] == ["ABORT", "ABORT", "QUIT"]


def test_not_from_standard_input(system, filter):
    server = filter()
    here = system(server)
    dialogue = f"EHLO x\n{MAIL}\n{RCPT}\nDATA\nSubject: x\n\ny\n.\nQUIT\n"
    assert "250 2.0.0 Ok: queued" in here.command("sendmail", "-bs", input=dialogue).stdout
    here.wait_log("status=sent")
    assert not any(session.has("MAIL") for session in server.sessions)


def test_bad_settings(system, filter):
    here = system("", main_cf="smtpd_milter_maps = inline:{{127.0.0.1=foo:bar}}\n")
    assert talk(here, MAIL)[2] == "451 4.3.5 Server configuration problem - try again later"
    here.wait_log("warning: invalid transport name: foo in Milter service: foo:bar")


def test_a_wrong_time_from_a_table(system, filter):
    here = system("", main_cf="smtpd_milter_maps = inline:{{ {{ 127.0.0.1 = {{ inet:127.0.0.1:9, connect_timeout=xx }} }} }}\n")
    assert talk(here, MAIL)[2] == "451 4.3.5 Server configuration problem - try again later"
    here.wait_log("warning: Milter service inet:127.0.0.1:9: bad option: connect_timeout=xx")
