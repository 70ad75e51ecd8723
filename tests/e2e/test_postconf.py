"""postconf against what Postfix prints and writes: tests/e2e/postconf_cases.json holds what was observed."""
import json
import os
import re
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
POSTCONF = os.path.join(os.environ.get("POSTERN_BUILD", "build"), "bin", "postconf")
OBSERVED = json.load(open(os.path.join(HERE, "postconf_cases.json")))


def run(directory, *arguments):
    env = {k: v for k, v in os.environ.items() if k != "MAIL_CONFIG"}
    return subprocess.run([POSTCONF, "-c", directory, *arguments], capture_output=True, text=True, timeout=30, env=env)


def write(directory, main_cf, master_cf="", **files):
    for name, text in {"main.cf": main_cf, "master.cf": master_cf, **files}.items():
        with open(os.path.join(directory, name), "w") as out:
            out.write(text)


def read(directory, name):
    with open(os.path.join(directory, name)) as text:
        return text.read()


def normal(text):
    return "\n".join("process_id = N" if line.startswith("process_id = ") else line for line in text.split("\n"))


@pytest.mark.parametrize("case", OBSERVED["cases"], ids=lambda c: f"{c['configuration']} {' '.join(c['arguments'])}")
def test_as_postfix(tmp_path, case):
    here = str(tmp_path)
    place = lambda text: text.replace("DIR", here)
    before = {name: place(text) for name, text in OBSERVED["configurations"][case["configuration"]].items()}
    write(here, before["main.cf"], before["master.cf"], **{"ldap.cf": OBSERVED["ldap.cf"]})
    done = run(here, *case["arguments"])
    # Postfix reads the file several times and says this each time
    errors = sorted(line for line in done.stderr.splitlines() if "overriding earlier" not in line)
    assert (done.returncode, normal(done.stdout)) == (case["status"], place(case.get("out", "")))
    assert errors == sorted(place(line) for line in case.get("err", []))
    for name in before:
        assert read(here, name) == place(case.get(name, before[name]))


def test_edit_keeps_mode_and_leaves_nothing_behind(tmp_path):
    here = str(tmp_path)
    write(here, "a = 1\n", "")
    os.chmod(os.path.join(here, "main.cf"), 0o640)
    assert run(here, "-e", "b = 2").returncode == 0
    assert os.stat(os.path.join(here, "main.cf")).st_mode & 0o777 == 0o640
    assert sorted(os.listdir(here)) == ["main.cf", "master.cf"]


def test_edit_follows_a_link(tmp_path):
    here = str(tmp_path)
    write(here, "", "")
    os.rename(os.path.join(here, "main.cf"), os.path.join(here, "real.cf"))
    os.symlink("real.cf", os.path.join(here, "main.cf"))
    assert run(here, "b=2").returncode == 0
    assert os.path.islink(os.path.join(here, "main.cf"))
    assert read(here, "real.cf") == "b = 2\n"


def test_last_line_without_line_feed(tmp_path):
    here = str(tmp_path)
    write(here, "a = 1", "x unix - - n - - y")
    assert run(here, "b=2").returncode == 0
    assert run(here, "-Me", "z/unix=z unix - - n - - y").returncode == 0
    assert read(here, "main.cf") == "a = 1\nb = 2\n"
    assert read(here, "master.cf").count("\n") == 2


def test_concurrent_edits(tmp_path):
    here = str(tmp_path)
    write(here, "", "")
    editors = [subprocess.Popen([POSTCONF, "-c", here, f"name{i} = {i}"]) for i in range(12)]
    assert all(editor.wait(30) == 0 for editor in editors)
    assert sorted(read(here, "main.cf").splitlines()) == sorted(f"name{i} = {i}" for i in range(12))


def test_json(tmp_path):
    here = str(tmp_path)
    write(here, 'mydestination = "a",\n  b\n')
    lines = run(here, "-nj").stdout.splitlines()
    assert {"mydestination": '"a",  b'} in [json.loads(line) for line in lines]


def test_quiet(tmp_path):
    here = str(tmp_path)
    write(here, "nobody_knows = $this\n")
    assert run(here, "-n").stderr != ""
    assert run(here, "-nq").stderr == ""


def test_a_template_with_a_header_that_is_not_ascii_is_not_used(tmp_path):
    here = str(tmp_path)
    write(here, "myhostname = mail.example.test\n")
    (tmp_path / "templates").write_text("failure_template = <<EOF\nFrom: S\u00fc\u00df <m@here.test>\nSubject: x\n\nours\nEOF\n", encoding="utf-8")
    shown = run(here, "-b", str(tmp_path / "templates"))
    assert 'non-ASCII "From" header value in failure template -- ignoring this template' in shown.stderr
    assert "ours" not in shown.stdout and "be delivered" in shown.stdout


def test_templates_and_types(tmp_path):
    here = str(tmp_path)
    write(here, "myhostname = mail.example.test\n")
    source, shown = run(here, "-t").stdout, run(here, "-b").stdout
    for kind in ("failure", "delay", "success", "verify"):
        assert f"{kind}_template = <<EOF\n" in source
        assert f"expanded_{kind}_text = <<EOF\n" in shown
    assert "$myhostname" in source and "mail.example.test" in shown
    assert {"hash", "btree", "texthash", "regexp", "cidr", "static"} <= set(run(here, "-m").stdout.split())
    assert run(here, "-l").stdout.split() == ["flock", "fcntl", "dotlock"]


# ---- the reference, and Debian's own postconf where tests/bench has unpacked it ----

REFERENCE = os.environ.get("POSTERN_REFERENCE", os.path.join(HERE, "../../../shared/reference/parameters.tsv"))
# Where Debian's build differs from the list (it says what the source says), and what depends on the machine.
DEBIAN = {"alias_database": "hash:/etc/aliases", "alias_maps": "hash:/etc/aliases", "daemon_directory": "/usr/lib/postfix/sbin",
          "html_directory": "/usr/share/doc/postfix/html", "manpage_directory": "/usr/share/man", "readme_directory": "/usr/share/doc/postfix",
          "shlib_directory": "/usr/lib/postfix", "milter_default_action": "tempfail", "smtpd_forbid_bare_newline": "no", "requiretls_enable": "no",
          "smtpd_forbid_unauth_pipelining": "no", "tls_legacy_public_key_fingerprints": "no", "tlsproxy_client_loglevel_parameter": "smtp_tls_loglevel",
          "smtp_tls_dane_insecure_mx_policy": "${{$smtp_tls_security_level} == {dane} ? {dane} : {may}}",
          "import_environment": "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ XAUTHORITY DISPLAY LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME"}


@pytest.mark.skipif(not os.path.exists(REFERENCE), reason="no list of parameters")
def test_defaults_agree_with_the_reference(tmp_path):
    write(str(tmp_path), "compatibility_level = 3.6\n")
    ours = dict(line.partition(" =")[::2] for line in run(str(tmp_path), "-d").stdout.splitlines())
    different = []
    with open(REFERENCE) as rows:
        for name, _, default, *_ in (line.rstrip("\n").split("\t") for line in rows if not line.startswith("#")):
            wanted = DEBIAN.get(name, default)
            if name in ours and not wanted.startswith("<") and ours[name].strip() != wanted:
                different.append(f"{name}: {ours[name].strip()!r} instead of {wanted!r}")
    assert different == []


PEER = os.path.abspath(os.path.join(HERE, "../../build/peer/usr"))
OWN_FILES = {"server": ("""compatibility_level=2
# virtual server
virtual_mailbox_domains = proxy:pgsql:/etc/postfix/pgsql-domains.cf
virtual_alias_maps = proxy:pgsql:/etc/postfix/pgsql-alias.cf,
  $more_maps
more_maps = hash:/etc/postfix/virtual
smtpd_recipient_restrictions =
    # comment inside
    permit_mynetworks,
    check_policy_service { inet:127.0.0.1:10023, timeout=3s }

    reject_unauth_destination
dovecot_destination_recipient_limit = 1
""", """
dovecot   unix  -       n       n       -       -       pipe
  flags=DRhu user=vmail:vmail argv=/usr/lib/dovecot/deliver -f ${sender} -d ${recipient}
127.0.0.1:10025 inet n  -       y     -       -  smtpd
    -o content_filter=
    # comment
    -o { smtpd_recipient_restrictions = permit_mynetworks, reject }
    -o receive_override_options=no_unknown_recipient_checks,no_header_body_checks
"""), "null": ("relayhost = [smtp.example.test]:587\nmydestination =\nlocal_transport=error:no local delivery\n", "smtp inet n - n - - smtpd\n"),
    "odd": ("\n\n# c\n   \n\tfoo = bar\nmyorigin=\n  \n# x\n   /etc/mailname\nmydestination = $myhostname, # no comment\n   b\n  #comment\n   c\n", None),
    "long": ("a = " + "x" * 200 + "\nmynetworks = " + " ".join(f"10.{i}.0.0/16" for i in range(40)) + "\nrelay_domains = $x1 ${x2?yes} ${x3:no}"
             " ${{$x1} == {2 3} ? {eq} : {ne}} $(x1) $$x1\nx1 = 2\n  3\n", None),
    "services": ("smtp_destination_rate_delay=1s\nrelay_time_limit = 5\nzork_time_limit = 5\nlocal_initial_destination_concurrency = 3\n"
                 "policy_time_limit = 3600\n", "policy unix - n n - 0 spawn user=nobody argv=/usr/bin/policy\n")}
SHOWN = ["-n", "-nf", "-nh", "-nH", "-nx", "-M", "-Mf", "-Mx", "-M */unix smtp/inet", "-F", "-Ff", "-FH", "-P", "-Px", "-Ph", "-F */inet/process_limit",
         "-C service -d", "-C user", "-e relayhost=new", "relayhost=", "-X relayhost mydestination", "-# mydestination relayhost", "-MX smtp/inet",
         "-M# smtp/inet", "-Fe smtp/inet/process_limit=9", "-Fe */*/chroot=n", "-Pe smtp/inet/a=b", "-PX */inet/content_filter", "-o relayhost=zz -n",
         "-hx mynetworks myorigin", "nosuch", "-dx default_rbl_reply smtpd_expansion_filter mydestination", "-T x"]


@pytest.mark.skipif(not os.path.exists(PEER + "/sbin/postconf"), reason="Debian's Postfix is not unpacked (make bench)")
@pytest.mark.parametrize("name", ["debian", "dist", "dist.tls", *OWN_FILES])
def test_as_debian_prints_it(tmp_path, name):
    stock = lambda file: open(f"{PEER}/share/postfix/{file}").read()
    if name in OWN_FILES:
        main_cf, master_cf = OWN_FILES[name]
        master_cf = stock("master.cf.dist") + master_cf if master_cf is not None and name != "null" else master_cf or stock("master.cf.dist")
    else:
        main_cf, master_cf = "".join(stock("main.cf." + part) for part in name.split(".")), stock("master.cf.dist")
    here, different = str(tmp_path), []
    env = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": PEER + "/lib/postfix"}
    for arguments in SHOWN:
        results = []
        for program in (PEER + "/sbin/postconf", POSTCONF):
            write(here, main_cf, master_cf)
            os.utime(os.path.join(here, "main.cf"), (1, 1))  # Postfix waits for two seconds when it was just written
            done = subprocess.run([program, "-c", here, *arguments.split(" ")], capture_output=True, text=True, env=env, timeout=30)
            shown = [re.sub(r"postconf \d+", "postconf N", line) for line in done.stdout.splitlines()]
            errors = sorted({line.replace(program, "postconf") for line in done.stderr.splitlines()})
            results.append((done.returncode, shown, errors, read(here, "main.cf"), read(here, "master.cf")))
        if results[0] != results[1]:
            different.append((arguments, *[pair for pair in zip(*results) if pair[0] != pair[1]]))
    assert different == []


def test_table_types_are_those_that_scripts_know(tmp_path):
    write(str(tmp_path), "")
    types = run(str(tmp_path), "-m").stdout.split()
    assert "hash" in types and not {"redis", "program"} & set(types) and types == sorted(types)
