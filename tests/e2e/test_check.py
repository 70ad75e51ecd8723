"""postfix check: what is wrong with a configuration, where, why it matters and what mends it."""
import base64
import json
import os
import subprocess
import time

import pytest
from harness import Dns, Instance


@pytest.fixture
def instance():
    it = Instance("chk")
    yield it
    it.cleanup()


def append(instance, file, text):
    instance.write(file, open(f"{instance.directory}/etc/{file}").read() + text)


def check(instance, *options):
    """Exit status and the findings by name of check."""
    done = instance.command("postfix", "check", "--json", *options)
    assert done.stdout, done.stderr
    all = json.loads(done.stdout)
    found = {}
    for finding in all["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    assert all["errors"] == sum(f["severity"] == "error" for f in all["findings"])
    return done.returncode, found


def test_nothing_to_find(instance):
    status, found = check(instance, "--tables")
    assert status == 0
    assert not {name for name, list in found.items() if any(f["severity"] != "note" for f in list)} - {"not-yet"}, found


def test_a_finding_says_where_why_and_what_to_do(instance):
    append(instance, "main.cf", "smtpd_baner = hello\n")
    lines = open(f"{instance.directory}/etc/main.cf").read().count("\n")
    done = instance.command("postfix", "check")
    assert done.returncode == 0
    assert (f"postfix/postfix-script: warning: {instance.directory}/etc/main.cf, line {lines}: unknown parameter: smtpd_baner "
            "(did you mean smtpd_banner?)\n    nothing reads the line; to mend it: edit ") in done.stderr
    assert instance.log_lines(r"postfix-script\[\d+\]: warning: .*unknown parameter: smtpd_baner")
    status, found = check(instance)
    assert found["unknown-parameter"][0]["line"] == lines and found["unknown-parameter"][0]["subject"] == "smtpd_baner"


def test_a_broken_file_is_an_error(instance):
    append(instance, "main.cf", "no equals sign\nhopcount_limit = 0\n")
    append(instance, "master.cf", "broken line\n")
    status, found = check(instance)
    assert status == 1
    assert "missing '='" in found["syntax"][0]["text"] and "master.cf: line" in found["syntax"][1]["text"]
    assert found["value"][0]["subject"] == "hopcount_limit" and found["value"][0]["severity"] == "error"


def test_tables(instance):
    etc = f"{instance.directory}/etc"
    append(instance, "main.cf", f"""\
transport_maps = hash:{etc}/transport
canonical_maps = texthash:{etc}/missing
virtual_alias_maps = proxy:hash:{etc}/virtual, texthash:{etc}/virtual2
address_verify_map = btree:{etc}/nowhere
smtp_tls_session_cache_database = btree:{etc}/nowhere
relocated_maps = dbm:{etc}/relocated
recipient_canonical_maps = hsah:{etc}/virtual
header_checks = pcre:{etc}/header_checks
""")
    instance.write("transport", "a.test smtp:b.test\n")
    instance.write("virtual", "a@v.test b\nrow-without-value\nA@V.test c\n x\n")
    instance.write("virtual2", "a@v.test other\n")
    instance.write("header_checks", "/ok/ WARN\n/(broken/ REJECT\n")
    instance.command("postmap", f"hash:{etc}/virtual")
    later = time.time() + 10
    os.utime(f"{etc}/virtual", (later, later))
    status, found = check(instance, "--tables")
    assert status == 1
    assert {f["subject"] for f in found["table-missing"]} == {f"hash:{etc}/transport", f"texthash:{etc}/missing"}
    assert found["table-missing"][0]["mend"].startswith(f"postmap hash:{etc}/transport")
    assert {f["subject"] for f in found["table-type"]} == {f"dbm:{etc}/relocated", f"hsah:{etc}/virtual"}
    assert found["table-stale"][0]["file"] == f"{etc}/virtual"
    assert [(f["file"], f["line"]) for f in found["table-duplicate"]] == [(f"{etc}/virtual", 3)]
    lines = sorted((f["file"], f["line"]) for f in found["table-line"])
    assert lines == [(f"{etc}/header_checks", 2), (f"{etc}/virtual", 2)]
    assert [(f["file"], f["line"]) for f in found["table-shadowed"]] == [(f"{etc}/virtual2", 1)]
    append(instance, "main.cf", "database_auto_update = yes\n")
    assert "table-stale" not in check(instance)[1]


def test_shadowed_rows(instance):
    etc = f"{instance.directory}/etc"
    append(instance, "main.cf", f"""\
mynetworks = cidr:{etc}/networks
header_checks = pcre:{etc}/header_checks
virtual_alias_maps = inline:{{ {{ @v.test = someone@v.test }}, {{ own@v.test = own@v.test }} }}
virtual_mailbox_domains = v.test
virtual_mailbox_maps = texthash:{etc}/mailboxes
""")
    instance.write("networks", "10.0.0.0/8 OK\n127.0.0.1 OK\n10.1.0.0/16 OK\n")
    instance.write("header_checks", "/^Subject: a/ DUNNO\n/^Subject: b/ REJECT\n/./ OK\n/^X-/ IGNORE\n")
    instance.write("mailboxes", "own@v.test a/\nother@v.test b/\n")
    status, found = check(instance, "--tables")
    assert status == 0
    assert sorted((os.path.basename(f["file"]), f["line"]) for f in found["table-shadowed"]) == [
        ("header_checks", 4), ("mailboxes", 2), ("networks", 3)]
    assert "table-shadowed" not in check(instance)[1]


def test_domains_in_two_lists(instance):
    append(instance, "main.cf", f"virtual_alias_domains = chk.test, v.test\nvirtual_mailbox_domains = texthash:{instance.directory}/etc/domains\n")
    instance.write("domains", "v.test x\nw.test x\n")
    status, found = check(instance)
    assert status == 0
    assert [f["subject"] for f in found["domain-overlap"]] == ["chk.test", "v.test"]


# What main.cf has, what a line of its own in master.cf has, how it is judged.
RELAYS = [
    ("", "", None),
    ("smtpd_relay_restrictions = permit\n", "", "error"),
    ("smtpd_relay_restrictions = permit_mynetworks, permit\nsmtpd_recipient_restrictions = reject_unauth_destination\n", "", None),
    ("mynetworks = 0.0.0.0/0\n", "", "error"),
    ("smtpd_restriction_classes = friends\nfriends = permit\nsmtpd_relay_restrictions = friends, reject\n", "", "error"),
    ("smtpd_relay_restrictions = permit_sasl_authenticated, warn_if_reject reject, permit\n", "", "error"),
    ("smtpd_relay_restrictions = check_sender_access texthash:{etc}/senders, reject_unauth_destination\n", "", "warning"),
    ("smtpd_relay_restrictions = permit\n", "-o smtpd_client_restrictions=permit_sasl_authenticated,reject", None),
    ("", "-o smtpd_relay_restrictions=permit", "error"),
]


@pytest.mark.parametrize("main_cf, options, severity", RELAYS)
def test_open_relay(instance, main_cf, options, severity):
    etc = f"{instance.directory}/etc"
    instance.write("senders", "friend@x.test OK\n")
    append(instance, "main.cf", "inet_interfaces = all\n" + main_cf.format(etc=etc))
    instance.write("master.cf", "2525 inet n - n - - smtpd " + options + "\n127.0.0.1:2526 inet n - n - - smtpd\n")
    status, found = check(instance)
    judged = [f["severity"] for f in found.get("open-relay", [])]
    assert judged == ([severity] if severity else []), found.get("open-relay")
    assert status == (1 if severity == "error" or "relay-control" in found else 0)


def test_users_of_pipes(instance):
    append(instance, "master.cf", "tool unix - n n - - pipe user=no-such-user argv=/bin/true\nnext unix - n n - - pipe user=nobody:nogroup argv=/bin/true\n")
    status, found = check(instance)
    assert [f["subject"] for f in found["missing-user"]] == ["no-such-user"]


def make_certificate(instance, name, days):
    path = f"{instance.directory}/etc/{name}"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=chk.test", "-days", str(days), "-keyout", path + ".key",
                    "-out", path + ".pem"], check=True, capture_output=True)
    for file in (path + ".key", path + ".pem"):
        os.chown(file, instance.uid, instance.gid)
    os.chmod(path + ".key", 0o600)
    return path


def test_certificates(instance):
    good, short = make_certificate(instance, "good", 400), make_certificate(instance, "short", 5)
    settings = "smtpd_tls_cert_file = {}.pem\nsmtpd_tls_key_file = {}.key\n"
    append(instance, "main.cf", settings.format(good, short))
    assert not {"certificate-key", "certificate-expires"} & set(check(instance)[1])  # TLS is not used
    append(instance, "main.cf", "smtpd_tls_security_level = may\n")
    status, found = check(instance)
    assert found["certificate-key"][0]["severity"] == "warning" and "certificate-expires" not in found
    append(instance, "main.cf", "smtpd_tls_security_level = encrypt\n")
    status, found = check(instance)
    assert status == 1 and found["certificate-key"][0]["severity"] == "error"
    append(instance, "main.cf", settings.format(short, short))
    os.chmod(short + ".key", 0o644)
    status, found = check(instance)
    assert status == 0 and "expires in" in found["certificate-expires"][0]["text"] and "key-mode" in found
    append(instance, "main.cf", "smtpd_tls_cert_file = /nowhere.pem\n")
    assert "certificate-unreadable" in check(instance)[1]
    append(instance, "main.cf", "smtpd_tls_security_level =\n")
    assert "certificate-unreadable" not in check(instance)[1]
    append(instance, "master.cf", "127.0.0.1:1 inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n")   # the only one that uses it
    assert "certificate-unreadable" in check(instance)[1]


def test_dns_is_asked_only_when_told(instance):
    dns = Dns("chk.test MX 10 mx.elsewhere.test\nmx.elsewhere.test A 192.0.2.9")
    append(instance, "main.cf", f"dns_servers = 127.0.0.1:{dns.port}\nmydestination = mx.test, chk.test\nmyhostname = mail.chk.test\n")
    assert not {"dns-name", "dns-mx"} & set(check(instance)[1])
    status, found = check(instance, "--dns")
    assert status == 0
    assert "mail.chk.test has no address record" in found["dns-name"][0]["text"]
    assert "leads to this machine: the first is mx.elsewhere.test" in [f for f in found["dns-mx"] if f["subject"] == "chk.test"][0]["text"]


def test_a_table_type_that_is_not_there_stops_start_and_reload(instance):
    append(instance, "main.cf", "canonical_maps = hsah:/etc/canonical\nalias_database = dbm:/etc/aliases\n")
    done = instance.command("postfix", "start")
    assert done.returncode == 1
    assert "error: " in done.stderr and "canonical_maps: table hsah:/etc/canonical: this table type is not there" in done.stderr
    assert "fatal: the configuration has errors: not started" in done.stderr
    status, found = check(instance)
    assert sorted(((f["subject"], f["severity"]) for f in found["table-type"]), reverse=True) == [("hsah:/etc/canonical", "error"), ("dbm:/etc/aliases", "warning")]
    instance.command("postconf", "-X", "canonical_maps", check=True)
    instance.start()
    append(instance, "main.cf", "smtpd_client_restrictions = check_policy_service inet:127.0.0.1:1, check_client_access hsah:/etc/clients\n")
    done = instance.command("postfix", "reload")
    assert done.returncode == 1 and "going on with the old one" in done.stderr and "table hsah:/etc/clients:" in done.stderr
    assert "inet" not in done.stderr


def test_a_wrong_time_of_a_policy_server_stops_start(instance):
    append(instance, "main.cf", "smtpd_client_restrictions = check_policy_service { inet:127.0.0.1:9, timeout=xx }\n")
    done = instance.command("postfix", "start")
    assert done.returncode == 1 and 'check_policy_service inet:127.0.0.1:9: bad option "timeout=xx"' in done.stderr


def test_types_that_postconf_does_not_list_are_there(instance):
    instance.write("redis.cf", "hosts = 127.0.0.1:1\n")
    append(instance, "main.cf", f"virtual_alias_maps = redis:{instance.directory}/etc/redis.cf\ntransport_maps = debug:inline:{{{{ a.test = discard: }}}}\n")
    status, found = check(instance)
    assert status == 0 and "table-type" not in found


def test_restriction_classes_of_services(instance):
    append(instance, "main.cf", "smtpd_restriction_classes = of_main\nof_service_here = permit\n")
    append(instance, "master.cf", "127.0.0.1:1 inet n - n - 0 smtpd\n  -o smtpd_restriction_classes=of_service,of_service_here\n"
           "  -o of_service=reject_unknown_thing\n  -o of_main=permit\n  -o of_nobody=permit\n")
    status, found = check(instance)
    assert [f["subject"] for f in found["unknown-parameter"]] == ["of_nobody"]
    assert [f["subject"] for f in found["unknown-restriction"]] == ["reject_unknown_thing"]


def test_copies_in_the_chroot(instance):
    queue = f"{instance.directory}/spool"
    os.makedirs(f"{queue}/etc", exist_ok=True)
    for name in ("hosts", "services", "nowhere-else"):
        with open(f"{queue}/etc/{name}", "w") as out:
            out.write(open("/etc/hosts").read() if name == "hosts" else "other\n")
    subprocess.run(["chmod", "-R", "a+rX", f"{queue}/etc"], check=True)
    status, found = check(instance)
    assert [(f["text"], f["severity"]) for f in found["chroot-file"]] == [(f"{queue}/etc/services and /etc/services differ", "warning")]
    assert found["chroot-file"][0]["mend"].startswith(f"cp -p /etc/services {queue}/etc/services")


# A message of Postfix 3.7 in its deferred queue: alice@mail.example.com to a@example.org, b@example.org, and bob@mail.example.com, who has it.
POSTFIX_DEFERRED = (
    "Q18gICAgICAgICAgICAyNzAgICAgICAgICAgICAgNDY1ICAgICAgICAgICAgICAgMyAgICAgICAgICAgICAgMjQgICAgICAgICAgICAgMjcwICAgICAgICAgICAgICAgMF"
    "QRMTc5NTYxNjU4NSA4MTQ1NDhBFmNyZWF0ZV90aW1lPTE3OTU2MTY1ODVBFXJld3JpdGVfY29udGV4dD1sb2NhbEYEcm9vdFMWYWxpY2VAbWFpbC5leGFtcGxlLmNvbUEP"
    "bm90aWZ5X2ZsYWdzPTEyQSJkc25fb3JpZ19yY3B0PXJmYzgyMjthQGV4YW1wbGUub3JnTw1hQGV4YW1wbGUub3JnUg1hQGV4YW1wbGUub3JnQQ9ub3RpZnlfZmxhZ3M9MT"
    "JBImRzbl9vcmlnX3JjcHQ9cmZjODIyO2JAZXhhbXBsZS5vcmdPDWJAZXhhbXBsZS5vcmdSDWJAZXhhbXBsZS5vcmdBD25vdGlmeV9mbGFncz0xMkEpZHNuX29yaWdfcmNw"
    "dD1yZmM4MjI7Ym9iQG1haWwuZXhhbXBsZS5jb21PFGJvYkBtYWlsLmV4YW1wbGUuY29tRBRib2JAbWFpbC5leGFtcGxlLmNvbU0ATjZSZWNlaXZlZDogYnkgbWFpbC5leG"
    "FtcGxlLmNvbSAoUG9zdGZpeCwgZnJvbSB1c2VyaWQgMClOMwlpZCBDODAzNTIzMTsgV2VkLCAyNSBOb3YgMjAyNiAxNDoyMzowNSArMDAwMCAoVVRDKU4MU3ViamVjdDog"
    "dHdvTjZNZXNzYWdlLUlkOiA8MjAyNjExMjUxNDIzMDUuQzgwMzUyMzFAbWFpbC5leGFtcGxlLmNvbT5OK0RhdGU6IFdlZCwgMjUgTm92IDIwMjYgMTQ6MjM6MDUgKzAwMD"
    "AgKFVUQylOI0Zyb206IHJvb3QgPGFsaWNlQG1haWwuZXhhbXBsZS5jb20+TgBOBWhlbGxvWABFAA==")


def test_the_queue_of_postfix(instance):
    """What Postfix left is told, and the command that the finding names moves it to where pickup finds it; nobody gets it twice."""
    deferred = f"{instance.directory}/spool/deferred/C"
    os.makedirs(deferred)
    path = f"{deferred}/C8035231"
    with open(path, "wb") as out:
        out.write(base64.b64decode(POSTFIX_DEFERRED))
    os.chmod(path, 0o700)
    os.utime(path, (time.time() + 300,) * 2)   # the next attempt
    instance._give_away()
    status, found = check(instance)
    finding, = found["old-queue"]
    assert status == 0 and finding["text"].endswith("/spool/deferred: 1 message in the queue of Postfix")
    append(instance, "main.cf", "default_transport = retry:not now\n")
    instance.start()
    assert instance.wait_log("postfix-script.*: 1 message in the queue of Postfix")
    command = finding["mend"].split(": ", 1)[1].rsplit(" (", 1)[0]
    assert instance.command("sh", "-c", command).returncode == 0
    instance.reload()   # wakes pickup
    for recipient in ("a@example.org", "b@example.org"):
        instance.wait_log(rf"to=<{recipient}>, .*delay=[1-9][0-9]*.*status=deferred")
    assert not instance.log_lines("to=<bob@")
    assert instance.wait_log("nrcpt=2") and "old-queue" not in check(instance)[1]
