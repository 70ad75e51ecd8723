"""The system as it is installed: started by root, programs in the chroot as in Debian's master.cf.  Only root can run these."""
import grp
import os
import pwd
import re
import stat
import subprocess

import pytest

import harness

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


class RootInstance(harness.Instance):
    """An Instance whose commands are root's: its programs become mail_owner, as master.cf has it."""

    def __init__(self, owner, **settings):
        self.owner = owner
        super().__init__(**settings)
        self.as_root = False
        account = pwd.getpwnam(owner)
        group = grp.getgrgid(account.pw_gid).gr_name
        setgid = "daemon" if group != "daemon" else "mail"
        with open(os.path.join(self.directory, "etc", "main.cf")) as file:
            text = harness.merge(file.read(), f"mail_owner = {owner}\nsetgid_group = {setgid}\ndefault_privs = nobody\n")
        self.write("main.cf", text)
        with open(os.path.join(self.directory, "etc", "master.cf")) as file:
            lines = file.read().splitlines()
        jailed = r"^(\S+\s+\S+\s+\S+\s+\S+\s+)n(\s+\S+\s+\S+\s+(?:smtpd|pickup|cleanup|bounce|smtp|lmtp|error|retry|discard|anvil|tlsmgr)\b)"
        self.write("master.cf", "\n".join(re.sub(jailed, r"\1y\2", line) for line in lines) + "\n")

    def _give_away(self):
        """Everything stays root's, but for the data directory."""
        account = pwd.getpwnam(self.owner)
        os.chown(os.path.join(self.directory, "data"), account.pw_uid, account.pw_gid)
        for name in os.listdir(os.path.join(self.directory, "etc")):
            os.chown(os.path.join(self.directory, "etc", name), 0, 0)
        for sub in ("etc", "spool"):
            os.chmod(os.path.join(self.directory, sub), 0o755)


@pytest.fixture
def rooted(base):
    made = []

    def start(owner="mail", before=None, **settings):
        instance = RootInstance(owner, name=f"root{len(made)}", base=base, **settings)
        made.append(instance)
        if before:
            before(instance)
        return instance.start()

    yield start
    for instance in made:
        instance.cleanup()


def identity(pid):
    """(user id, groups, root directory) of a process."""
    with open(f"/proc/{pid}/status") as file:
        status = dict(line.split(":", 1) for line in file.read().splitlines())
    return int(status["Uid"].split()[1]), {int(group) for group in status["Groups"].split()}, os.readlink(f"/proc/{pid}/root")


def test_programs_are_in_the_groups_of_the_mail_owner(rooted):
    """`adduser postfix opendkim` is how an administrator lets smtpd reach a filter's socket."""
    owner = next((name for entry in grp.getgrall() for name in entry.gr_mem if name != "root"), None)
    if owner is None:
        pytest.skip("no user here is in a second group")
    here = rooted(owner)
    here.inject("a@client.test", "b@elsewhere.test")
    here.wait_log("status=deferred|status=bounced")
    uid, gid = pwd.getpwnam(owner).pw_uid, pwd.getpwnam(owner).pw_gid
    expected = (uid, set(os.getgrouplist(owner, gid)), os.path.join(here.directory, "spool"))
    seen = {name: identity(pid) for pid, name in here.pids()}
    assert {name for name, who in seen.items() if who == expected} >= {"smtpd", "cleanup", "pickup", "smtp"}, seen
    assert seen["qmgr"] == (*expected[:2], "/")


def test_the_first_who_asks_after_a_change_gets_the_new_answer(rooted):
    """The table is out of reach in the chroot: a new worker has to open it, and is there before it is needed."""
    here = rooted(main_cf="smtpd_sender_restrictions = check_sender_access hash:{directory}/etc/senders\nsmtp_sasl_auth_enable = yes\n"
                  "smtp_sasl_password_maps = hash:{directory}/etc/passwords\nsmtp_sasl_security_options =\n", files={"senders": "", "passwords": ""},
                  before=lambda it: [it.command("postmap", f"hash:{it.directory}/etc/{name}", check=True) for name in ("senders", "passwords")])
    for name in ("senders", "passwords"):
        os.chmod(f"{here.directory}/etc/{name}.db", 0o600)
    assert here.inject("a@client.test", "b@elsewhere.test").startswith("250 ")
    here.wait_log("status=deferred|status=bounced")
    here.write("senders", "a@client.test REJECT no more\n")
    here.write("passwords", "x a:b\n")
    for name in ("senders", "passwords"):
        here.command("postmap", f"hash:{here.directory}/etc/{name}", check=True)
    for program in ("smtpd", "smtp"):
        here.wait_log(rf"/{program}\[\d+\]: a lookup table has changed -- restarting")
    assert here.inject("a@client.test", "b@elsewhere.test").endswith("<a@client.test>: Sender address rejected: no more")


def test_ports_of_the_services_file_are_known_in_the_chroot(rooted):
    here = rooted(main_cf="transport_maps = inline:{{ {{ there.test = smtp:[127.0.0.1]:pop3s }} }}\n")
    here.inject("a@client.test", "b@there.test")
    assert "127.0.0.1[127.0.0.1]:995: Connection refused" in here.wait_log("to=<b@there.test>.*status=deferred")[0]


def test_upgrade_configuration_adds_what_is_missing(rooted):
    here = rooted()
    path = os.path.join(here.directory, "etc", "master.cf")
    with open(path) as file:
        kept = [line for line in file if not re.match(r"(relay|trace|discard|anvil|retry) ", line)]
    here.write("master.cf", "".join(kept).rstrip("\n"))
    done = here.command("postfix", "upgrade-configuration", check=True)
    assert all(f"adding missing entry for {name} unix service" in done.stdout for name in ("relay", "trace", "discard", "anvil", "retry", "tlsmgr"))
    here.reload()
    assert here.command("postfix", "upgrade-configuration", check=True).stdout == ""


def test_who_may_not_submit_may_not_talk_smtp_either(rooted):
    here = rooted(main_cf="authorized_submit_users = !nobody, static:all\n")
    done = subprocess.run([os.path.join(here.programs, "bin", "sendmail"), "-bs"], input="QUIT\r\n", capture_output=True, text=True, user="nobody",
                          env={"MAIL_CONFIG": os.path.join(here.directory, "etc")}, timeout=20)
    assert (done.returncode, done.stdout) == (75, "") and "is not allowed to submit mail" in done.stderr


def test_whose_the_files_are(rooted):
    """What the programs make below the queue and data directories is the mail owner's alone; only sockets, and the directories for submission, are for others."""
    here = rooted(main_cf="address_verify_map = btree:{directory}/data/verify\nsmtpd_recipient_restrictions = reject_unverified_recipient, permit\n",
                  aliases="b: /dev/null\n")
    here.inject("a@client.test", f"b@{here.name}.test")
    here.inject("a@client.test", "c@elsewhere.test")
    here.wait_log(rf"to=<\S*b@{here.name}\.test>|to=</dev/null>")
    assert here.command("postfix", "reload").returncode == 0
    harness.wait_until(lambda: os.path.exists(f"{here.directory}/data/verify.db"), "the cache of probes")
    owner = pwd.getpwnam(here.owner).pw_uid
    for top in ("spool", "data"):
        for directory, subs, files in os.walk(os.path.join(here.directory, top)):
            for name in subs + files:
                path = os.path.join(directory, name)
                info = os.lstat(path)
                if name in ("pid", "master.pid", "reload.result"):
                    assert info.st_uid == 0
                    continue
                assert info.st_uid == owner, path
                if not stat.S_ISSOCK(info.st_mode):
                    allowed = {"maildrop": 0o730, "public": 0o710}.get(name, 0o700)
                    assert stat.S_IMODE(info.st_mode) & ~allowed == 0, f"{path}: {stat.S_IMODE(info.st_mode):o}"
    done = here.command("postfix", "check")
    assert "not owned" not in done.stderr and "writable" not in done.stderr, done.stderr
