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
