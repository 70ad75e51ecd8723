"""Several instances side by side: postmulti, and postfix as its front."""
import os

import pytest
from harness import Instance, free_port, wait_until


@pytest.fixture
def primary():
    it = Instance("one")
    if it.as_root:  # new instances are made beside the primary
        os.chown(it.directory, it.uid, it.gid)
    yield it
    it.command("postmulti", "-p", "stop")
    it.cleanup()


def multi(primary, *argv, status=0):
    done = primary.command("postmulti", *argv)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def row(name, group, enabled, directory):
    return f"{name:15} {group:15} {enabled:9} {directory}\n"


def test_life_of_an_instance(primary):
    etc, base = f"{primary.directory}/etc", primary.directory
    assert multi(primary, "-l") == row("-", "-", "y", etc)
    multi(primary, "-I", "postfix-out", "-e", "create", status=1)  # not managed yet
    multi(primary, "-e", "init")
    multi(primary, "-I", "out", "-e", "create", status=1)  # names start with postfix-
    dirs = [f"queue_directory={base}/spool-out", f"data_directory={base}/data-out"]
    multi(primary, "-I", "postfix-out", "-G", "mta", "-e", "create", *dirs)
    out = f"{base}/postfix-out"
    assert multi(primary, "-l") == row("-", "-", "y", etc) + row("postfix-out", "mta", "n", out)
    assert multi(primary, "-l", "-R", "-g", "mta") == row("postfix-out", "mta", "n", out)
    settings = primary.command("postconf", "-c", out, "-n").stdout
    for line in ("multi_instance_name = postfix-out", "multi_instance_group = mta", "master_service_disable = inet", "authorized_submit_users =",
                 f"queue_directory = {base}/spool-out", f"data_directory = {base}/data-out"):
        assert line + "\n" in settings
    assert os.path.isdir(f"{base}/spool-out/maildrop")
    printed = multi(primary, "-i", "postfix-out", "-x", "sh", "-c", "echo $MAIL_CONFIG $queue_directory $multi_instance_enable")
    assert printed == f"{out} {base}/spool-out no\n"
    multi(primary, "-I", "postfix-in", "-e", "create", "-a", f"config_directory={base}/in", f"queue_directory={base}/q-in", f"data_directory={base}/d-in")
    assert multi(primary, "-l").splitlines()[1].startswith("postfix-in ")
    multi(primary, "-i", "postfix-in", "-e", "deport")
    multi(primary, "-I", "postfix-in", "-e", "import", f"config_directory={base}/in")
    assert [line.split()[0] for line in multi(primary, "-l").splitlines()] == ["-", "postfix-out", "postfix-in"]
    multi(primary, "-i", "postfix-out", "-I", "postfix-in", "-e", "assign", status=1)
    multi(primary, "-i", "postfix-in", "-I", "postfix-new", "-G", "mta", "-e", "assign")
    assert multi(primary, "-l", "-i", "postfix-new") == row("postfix-new", "mta", "n", f"{base}/in")
    multi(primary, "-i", "-", "-e", "destroy", status=1)
    multi(primary, "-i", "postfix-new", "-e", "enable")
    multi(primary, "-i", "postfix-new", "-e", "destroy", status=1)
    multi(primary, "-i", "postfix-new", "-e", "disable")
    multi(primary, "-i", "postfix-new", "-e", "destroy")
    for directory in ("in", "q-in", "d-in"):
        assert not os.path.exists(f"{base}/{directory}")
    assert "postfix-new" not in multi(primary, "-l")


def test_instances_run_side_by_side(primary):
    base, port = primary.directory, free_port()
    multi(primary, "-e", "init")
    multi(primary, "-I", "postfix-two", "-e", "create", f"queue_directory={base}/spool2", f"data_directory={base}/data2")
    two = f"{base}/postfix-two"
    primary.command("postconf", "-c", two, "-X", "master_service_disable", "authorized_submit_users", check=True)
    primary.command("postconf", "-c", two, "-e", f"maillog_file={base}/log2", f"maillog_file_prefixes={base}", "inet_interfaces=127.0.0.1",
                    "inet_protocols=ipv4", f"alias_maps=texthash:{base}/etc/aliases", "alias_database=", check=True)
    with open(f"{two}/master.cf") as file:
        text = file.read()
    with open(f"{two}/master.cf", "w") as file:
        file.write(text.replace(f"127.0.0.1:{primary.port} ", f"127.0.0.1:{port} "))
    done = primary.command("postfix", "start")  # the second is not enabled: only looked at
    assert done.returncode == 0, done.stderr
    assert primary.command("postfix", "-c", two, "status").returncode == 1
    multi(primary, "-i", "postfix-two", "-e", "enable")
    multi(primary, "-i", "postfix-two", "-p", "start")
    assert primary.command("postfix", "status").returncode == 0
    assert primary.command("postmulti", "-i", "postfix-two", "-e", "destroy").returncode == 1
    for number in (primary.port, port):
        with primary.smtp(number) as smtp:
            assert smtp.greeting.startswith("220")
    with open(f"{base}/log2") as log:
        assert "postfix-two/master[" in log.read()
    done = primary.command("postfix", "stop")
    assert done.returncode == 0
    wait_until(lambda: primary.command("postfix", "-c", two, "status").returncode == 1, "the second is stopped, too")
