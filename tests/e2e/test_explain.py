"""postfix explain: the way of an address, told without sending anything - and what really happens to the same mail."""
import re

import pytest

MAIN = """
mydestination = here.test
virtual_alias_domains = alias.test
relay_domains = relay.test
recipient_delimiter = +
recipient_canonical_maps = inline:{{ {{ old@here.test = new@here.test }} }}
sender_canonical_maps = inline:{{ {{ me@here.test = first.last@here.test }} }}
virtual_alias_maps = inline:{{ {{ team@alias.test = a@here.test b+x@remote.test }} {{ b@remote.test = c@other.test }} }}
transport_maps = inline:{{ {{ other.test = smtp:[127.0.0.1]:{port} }} }}
relocated_maps = inline:{{ {{ gone@here.test = else@where.test }} }}
alias_maps = inline:{{ {{ a = box }} }}
local_recipient_maps = inline:{{ {{ a = x }} {{ new = x }} {{ gone = x }} }}
sender_dependent_relayhost_maps = inline:{{ {{ @special.test = [relay.special.test]:587 }} }}
relayhost = [smart.test]
mynetworks = 192.0.2.0/24
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
smtpd_sender_restrictions = check_sender_access inline:{{ {{ bad.test = REJECT not you }} }}
"""


@pytest.fixture
def here(make, sink):
    remote = sink()
    system = make(main_cf=MAIN.replace("{port}", str(remote.port)))
    system.remote = remote
    return system


def explain(here, *arguments, status=0):
    done = here.command("postfix", "explain", *arguments)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def ends(text):
    return re.findall(r"^=> (.*)$", text, re.M)


def test_aliases(here):
    text = explain(here, "team@alias.test")
    assert ends(text) == ["transport local, next hop here.test, recipient a@here.test",
                          f"transport smtp, next hop [127.0.0.1]:{here.remote.port}, recipient c+x@other.test"], text
    assert re.search(r'virtual_alias_maps inline:.* "b\+x@remote\.test": no$', text, re.M)
    assert re.search(r'virtual_alias_maps inline:.* "b@remote\.test": "c@other\.test"$', text, re.M)
    assert re.search(r"alias_maps +local\(8\) sends it on to: box", text)
    here.inject("x@client.test", "team@alias.test")
    here.remote.wait_messages(1)
    assert here.remote.messages[0][1] == ["c+x@other.test"]


def test_rewriting_and_next_hops(here):
    assert ends(explain(here, "old")) == ["transport local, next hop here.test, recipient new@here.test"]
    text = explain(here, "--sender", "me@here.test", "x@far.test")
    assert "me@here.test -> first.last@here.test" in text and ends(text) == ["transport smtp, next hop [smart.test], recipient x@far.test"]
    assert ends(explain(here, "--sender", "u@special.test", "x@far.test")) == ["transport smtp, next hop [relay.special.test]:587, recipient x@far.test"]
    assert ends(explain(here, "gone@here.test"))[0].startswith("transport error, next hop 5.1.6 User has moved to else@where.test")


def test_before_the_installation(here):
    """In the build tree smtpd is the one beside the command: daemon_directory is Postfix's then."""
    here.command("postconf", "-e", f"daemon_directory = {here.directory}/etc", check=True)
    try:
        assert "Relay access denied" in explain(here, "--client", "198.51.100.1", "x@far.test", status=1)
    finally:
        here.command("postconf", "-e", f"daemon_directory = {here.programs}/sbin", check=True)


def test_rejections(here):
    assert ends(explain(here, "nobody@here.test", status=1))[0].startswith("rejected: 550 5.1.1 <nobody@here.test>")
    assert "Relay access denied" in explain(here, "--client", "198.51.100.1", "x@far.test", status=1)
    assert ends(explain(here, "--client", "192.0.2.9", "x@far.test"))[0].startswith("transport smtp")
    assert ends(explain(here, "--client", "198.51.100.1", "--sasl", "alice", "x@far.test"))[0].startswith("transport smtp")
    assert ends(explain(here, "--client", "198.51.100.1", "x@relay.test"))[0].startswith("transport relay")
    assert "REJECT not you" in explain(here, "--client", "192.0.2.9", "--sender", "x@bad.test", "x@far.test", status=1)
    assert "not an IP address" in here.command("postfix", "explain", "--client", "x", "a@b.test").stderr
    assert here.command("postfix", "explain").returncode == 1
    assert here.queue() == [] and here.remote.messages == []


ACCESS = """
mydestination = here.test
local_recipient_maps =
relay_domains =
mynetworks = 10.0.0.0/8
smtpd_delay_reject = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = file
smtpd_sasl_path = inline:{{ {{ alice = x }} }}
smtpd_sender_login_maps = inline:{{ {{ alice@here.test = alice }} {{ bob@here.test = bob }} }}
smtpd_restriction_classes = strict
strict = check_sender_access inline:{{ {{ class@far.test = REJECT in a class }} }}, permit_auth_destination
smtpd_client_restrictions = check_client_access inline:{{ {{ 198.51.100.7 = 450 4.7.1 busy }} {{ 198.51.100.8 = DUNNO }} }}
smtpd_helo_restrictions = reject_invalid_helo_hostname, warn_if_reject reject_non_fqdn_helo_hostname
smtpd_sender_restrictions = reject_non_fqdn_sender, reject_sender_login_mismatch,
  check_sender_access inline:{{ {{ hold@far.test = HOLD look at it }} {{ relay.far.test = strict }} {{ defer@far.test = DEFER_IF_PERMIT later }} }}
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:1, check_greylist, reject_rbl_client rbl.test,
  check_recipient_access inline:{{ {{ strict@here.test = strict }} {{ no@here.test = 550 5.7.1 not him }} }}
smtpd_data_restrictions = reject_unauth_pipelining
"""


@pytest.fixture
def guarded(make):
    return make(started=False, main_cf=ACCESS, master_cf="submission inet n - n - 0 smtpd\n  -o smtpd_recipient_restrictions=reject\n  -o smtpd_relay_restrictions=reject\n")


@pytest.mark.parametrize("options, recipient, answer", [
    (["--client", "198.51.100.7"], "a@here.test", "450 4.7.1 <unknown[198.51.100.7]>: Client host rejected: busy"),
    (["--client", "198.51.100.8"], "a@far.test", "554 5.7.1 <a@far.test>: Relay access denied"),
    (["--client", "10.1.2.3"], "a@far.test", None),
    (["--client", "198.51.100.8", "--helo", "-bad-.test"], "a@here.test", "501 5.5.2 <-bad-.test>: Helo command rejected: Invalid name"),
    (["--client", "198.51.100.8", "--sender", "bob@here.test"], "a@here.test", "553 5.7.1 <bob@here.test>: Sender address rejected: not logged in"),
    (["--client", "198.51.100.8", "--sender", "x"], "a@here.test", "504 5.5.2 <x>: Sender address rejected: need fully-qualified address"),
    (["--client", "198.51.100.8", "--sender", "defer@far.test"], "a@here.test", "450 4.7.1 <defer@far.test>: Sender address rejected: later"),
    (["--client", "198.51.100.8", "--sender", "class@far.test"], "strict@here.test",
     "554 5.7.1 <class@far.test>: Sender address rejected: in a class"),
    (["--client", "198.51.100.8"], "no@here.test", "550 5.7.1 <no@here.test>: Recipient address rejected: not him"),
])
def test_every_stage(guarded, options, recipient, answer):
    text = explain(guarded, *options, recipient, status=1 if answer else 0)
    assert (f"rejected: {answer}" if answer else "transport smtp") in ends(text)[0], text


def test_who_would_be_asked(guarded):
    text = explain(guarded, "--client", "198.51.100.8", "--helo", "short", "--sender", "hold@far.test", "a@here.test")
    for line in (r"    check_policy_service inet:127\.0\.0\.1:1: the policy server would be asked; .*", r"    check_greylist: greylisting would look .*",
                 r"    reject_rbl_client rbl\.test: the block list would be asked; .*", r"        the message goes to the hold queue",
                 r"        log: NOQUEUE: reject_warning: .*<short>: Helo command rejected: need fully-qualified hostname;.*",
                 r"  smtpd_data_restrictions", r"    reject_unauth_destination: does not decide", r'        inline:.* "hold@far\.test": "HOLD look at it"'):
        assert re.search(f"^{line}$", text, re.M), (line, text)
    assert "  smtpd_reject_unlisted_recipient\n" in text
    text = explain(guarded, "--client", "198.51.100.8", "a@here.test")
    assert "reject_invalid_helo_hostname" not in text  # without HELO the list is not run


def test_users_and_services(guarded):
    options = ["--sasl", "alice", "--client", "198.51.100.8"]
    text = explain(guarded, *options, "--sender", "alice@here.test", "a@far.test", status=1)
    assert "access: client unknown[198.51.100.8], logged in (under TLS) as alice, service submission" in text
    assert ends(text) == ["rejected: 554 5.7.1 <a@far.test>: Recipient address rejected: Access denied"]
    first = re.search(r"service (\S+)", explain(guarded, "--client", "10.0.0.1", "a@here.test")).group(1)
    assert ends(explain(guarded, *options, "--service", first, "--sender", "alice@here.test", "a@far.test"))[0].startswith("transport smtp")
    text = explain(guarded, *options, "--service", first, "--sender", "bob@here.test", "a@far.test", status=1)
    assert ends(text) == ["rejected: 553 5.7.1 <bob@here.test>: Sender address rejected: not owned by user alice"]
    assert "no SMTP server named nowhere" in guarded.command("postfix", "explain", "--service", "nowhere", "a@b.test").stderr


def test_the_dns_is_asked(make, dns):
    names = dns("good.test A 127.0.0.9\nnull.test MX 0 .\nmx.test MX 10 bad.mx.test\nbad.mx.test A 127.0.0.10\n")
    here = make(main_cf=f"dns_servers = 127.0.0.1:{names.port}\nmydestination = here.test\nlocal_recipient_maps =\n"
                "smtpd_sender_restrictions = reject_unknown_sender_domain, check_sender_mx_access inline:{{ {{ bad.mx.test = REJECT bad server }} }}\n")
    for sender, answer in (("a@good.test", "transport local"), ("a@none.test", "rejected: 450 4.1.8 <a@none.test>: Sender address rejected: Domain not found"),
                           ("a@null.test", "rejected: 550 5.7.27"), ("a@mx.test", "rejected: 554 5.7.1 <a@mx.test>: Sender address rejected: bad server")):
        text = explain(here, "--client", "198.51.100.8", "--sender", sender, "x@here.test", status=0 if sender == "a@good.test" else 1)
        assert ends(text)[0].startswith(answer), text
        with here.smtp() as smtp:  # and so it is
            smtp.say("EHLO client.test")
            smtp.say(f"MAIL FROM:<{sender}>")
            reply = smtp.say("RCPT TO:<x@here.test>")
        assert reply.startswith("250") if sender == "a@good.test" else ends(text) == [f"rejected: {reply}"]
