"""sendmail, postdrop, pickup: local submission, also while the system is down."""
import os
import signal
import time

import pytest
from harness import Instance, wait_until


@pytest.fixture
def instance():
    it = Instance("drop", main_cf="mail_spool_directory = {directory}/mail/\n")
    yield it
    it.cleanup()


def submit(it, *arguments, text="Subject: hello\n\nbody\n"):
    return it.command("sendmail", *arguments, input=text)


def mails(it, count):
    return wait_until(lambda: (lambda m: m if len(m) >= count else None)(it.maildir(it.user)), f"{count} mails\n{it.log()[-2000:]}")


def maildrop(it):
    return os.listdir(f"{it.directory}/spool/maildrop")


def test_submission(instance):
    instance.command("postfix", "start", check=True)
    done = submit(instance, "-f", "bob@drop.test", "-F", "Bob B", instance.user)
    assert (done.returncode, done.stderr) == (0, "")
    text, = mails(instance, 1)
    assert f"Received: by drop.test (Postfix, from userid {instance.uid})\n\tid " in text
    assert "From: Bob B <bob@drop.test>\n" in text and text.endswith("\n\nbody\n")
    instance.wait_log(rf"postfix/pickup\[\d+\]: [0-9A-F]+: uid={instance.uid} from=<bob@drop.test>")
    wait_until(lambda: not maildrop(instance), "maildrop is empty")


def test_the_system_is_down(instance):
    instance.command("postfix", "check", check=True)
    for i in range(3):
        assert submit(instance, instance.user, text=f"Subject: {i}\n\nx\n").returncode == 0
    assert len(maildrop(instance)) == 3
    instance.command("postfix", "start", check=True)
    mails(instance, 3)
    wait_until(lambda: not maildrop(instance), "maildrop is empty")


def test_a_time_in_the_future(instance):
    """Postfix's postsuper -r leaves the time of the next attempt; clocks are put back."""
    instance.command("postfix", "check", check=True)
    submit(instance, instance.user)
    path = f"{instance.directory}/spool/maildrop/{maildrop(instance)[0]}"
    os.utime(path, (time.time() + 3600,) * 2)
    instance.command("postfix", "start", check=True)
    mails(instance, 1)
    assert not instance.log_lines("delay=-")


@pytest.mark.parametrize("arguments, text, complaint", [
    (["-t"], "Subject: nobody\n\nx\n", r"sendmail: fatal: \w+\(\d+\): No recipient addresses found in message header"),
    ([], "x\n", r"Recipient addresses must be specified on the command line or via the -t option"),
    (["-XVab", "x"], "x\n", r"sendmail: fatal: -V requires two characters from -=\+"),
    (["-XV-", "x"], "x\n", r"sendmail: fatal: -V requires two characters from -=\+"),
    (["-V#=", "x"], "x\n", r"warning: option -V#= is deprecated with Postfix 2.3; specify -XV#= instead\nsendmail: fatal: -V requires two characters from -=\+"),
    (["-V", "-n", "x"], "x\n", r"warning: option -V is deprecated with Postfix 2.3; specify -XV instead\nsendmail: fatal: -n"),
    (["-t", "-bv"], "To: x\n", r"sendmail: fatal: -t option cannot be used with -bv"),
    (["-qX"], "", r"sendmail: fatal: -qX is not implemented"),
    (["-qS1"], "", r"sendmail: fatal: -qS is not implemented"),
    (["-n", "x"], "x\n", r"sendmail: fatal: -n option not supported"),
    (["-B", "9BIT", "x"], "x\n", r"-B option needs 8BITMIME or 7BIT"),
    (["-bp", "x"], "", r"display queue mode requires no recipient"),
    (["-Z"], "", r"sendmail: invalid option -- 'Z'\nsendmail: invalid option -- 'Z'\nsendmail: fatal: usage: sendmail \[options\]"),
])
def test_refusals(instance, arguments, text, complaint):
    import re
    instance.command("postfix", "check", check=True)
    done = submit(instance, *arguments, text=text)
    assert done.returncode == 75 and re.search(complaint, done.stderr), done
    assert maildrop(instance) == []


def test_size_limit(instance):
    instance.command("postfix", "check", check=True)
    instance.command("postconf", "-e", "message_size_limit = 1000", check=True)
    done = submit(instance, instance.user, text="Subject: x\n\n" + "x" * 2000 + "\n")
    assert done.returncode == 75 and "message file too big" in done.stderr
    assert maildrop(instance) == []


def test_malformed_files_are_set_aside(instance):
    instance.command("postfix", "check", check=True)
    submit(instance, instance.user)
    for name, content in {"AAAABBBB1": b"garbage", "AAAABBBB2": b"", "AAAABBBB3": b"S\x03bobR\x05alic"}.items():
        path = f"{instance.directory}/spool/maildrop/{name}"
        with open(path, "wb") as out:
            out.write(content)
        os.chmod(path, 0o744)
    half = f"{instance.directory}/spool/maildrop/AAAABBBB4"
    with open(half, "wb") as out:
        out.write(b"S\x03bob")
    os.chmod(half, 0o600)
    for name in ("AAAABBBB1", "AAAABBBB2", "AAAABBBB3", "AAAABBBB4"):
        os.chown(f"{instance.directory}/spool/maildrop/{name}", instance.uid, instance.gid)
    instance.command("postfix", "start", check=True)
    mails(instance, 1)
    instance.wait_log(r"warning: uid=\d+: malformed file maildrop/AAAABBBB\d: moved to corrupt", 3)
    wait_until(lambda: maildrop(instance) == ["AAAABBBB4"], "only the unfinished file is left")
    assert sorted(os.listdir(f"{instance.directory}/spool/corrupt")) == ["AAAABBBB1", "AAAABBBB2", "AAAABBBB3"]
    assert "damaged message: corrupt/AAAABBBB1" in instance.command("postfix", "check").stderr


def test_killed_pickup_loses_nothing(instance):
    instance.command("postfix", "check", check=True)
    for i in range(60):
        submit(instance, instance.user, text=f"Subject: number {i}.\n\nx\n")
    instance.command("postfix", "start", check=True)
    for _ in range(5):
        time.sleep(0.03)
        for pid, name in instance.pids():
            if name == "pickup":
                os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not maildrop(instance), f"maildrop is empty {instance.log()[-2000:]}", 30)
    instance.wait_queue_empty()
    texts = mails(instance, 60)
    assert all(any(f"number {i}.\n" in text for text in texts) for i in range(60))
    assert len(texts) <= 60 + 5 * 32  # what was in flight at a kill may come twice


def test_options_without_a_message(instance):
    done = instance.command("sendmail", "-q15m")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    instance.command("sendmail", "-bz")
    instance.wait_log(r"postfix/sendmail\[\d+\]: fatal: unsupported: -bz")


def test_small_commands(instance):
    lock = f"{instance.directory}/mail/lock"
    assert instance.command("postlock", lock, "sh", "-c", "exit 3").returncode == 3
    done = instance.command("postlock", lock, "no-such-command")
    assert done.returncode == 1 and done.stderr == "postlock: fatal: execvp no-such-command: No such file or directory\n"
    done = instance.command("postlock", "-l", "bogus", lock, "true")
    assert done.returncode == 75 and done.stderr == 'postlock: fatal: unknown mailbox_delivery_lock value "bogus" in "bogus"\n'
    done = instance.command("postlock", "/no/dir/lk", "true")
    assert done.stderr == "postlock: fatal: open file /no/dir/lk: unable to create lock file /no/dir/lk.lock: No such file or directory\n"
    assert instance.command("postlock", lock).returncode == 75
    done = instance.command("postkick", "public", "no-such", "X")
    assert done.returncode == 1 and "warning: unable to look up public/no-such: No such file or directory" in done.stderr
    instance.command("postlog", "-p", "warn", "careful", check=True)
    instance.wait_log(r"postfix/postlog\[\d+\]: warning: careful")
    done = instance.command("postcat", "/etc/passwd")
    assert (done.returncode, done.stderr) == (0, "postcat: warning: /etc/passwd: input is not a valid queue file\n")
    assert instance.command("postdrop", "-x").returncode == 1
    done = instance.command("postqueue", "-s", "bad..site")
    assert done.stderr == 'postqueue: fatal: Cannot flush mail queue - invalid destination: "bad..site"\n'


def test_modes_that_do_not_go_together(make):
    here = make(started=False)
    done = here.command("sendmail", "-bs", "-t", input="")
    assert done.returncode == 75 and "sendmail: fatal: -t can be used only in delivery mode" in done.stderr


@pytest.mark.parametrize("arguments, complaint, expected", [
    (["-V", "id+1"], "", b"envelope_id=id+1"),
    (["-V", "e"], "", b"envelope_id=e"),
    (["-V", ""], "sendmail: warning: bad syntax in -V option value -- ignored\n", b""),
    (["-V", "y" * 101], "sendmail: warning: too long -V option value -- ignored\n", b""),
    (["-F", "two\nlines"], "", b"two lines"),
])
def test_odd_words(instance, arguments, complaint, expected):
    """Postfix's sendmail -V takes the next word for the envelope id; -F is one line."""
    instance.command("postfix", "check", check=True)
    done = submit(instance, *arguments, "x")
    assert done.returncode == 0 and done.stderr == complaint
    with open(f"{instance.directory}/spool/maildrop/{maildrop(instance)[0]}", "rb") as file:
        content = file.read()
    assert expected in content and (expected or b"envelope_id" not in content)
