"""master: start, status, crash throttle, reload, killed master, stop."""
import os
import re
import signal
import time

import pytest
from harness import Dialogue, Instance, free_port, wait_until


@pytest.fixture
def instance():
    it = Instance("sup")
    yield it
    it.cleanup()


def pids_of(it, name):
    return sorted(pid for pid, program in it.pids() if program == name)


def test_start_status_stop(instance):
    done = instance.command("postfix", "status")
    assert done.returncode == 1 and "postfix/postfix-script: the Postfix mail system is not running" in done.stderr
    assert instance.command("postfix", "stop").returncode == 1
    instance.start()
    done = instance.command("postfix", "status")
    assert done.returncode == 0 and f"running: PID: {instance.master_pid()}" in done.stderr
    done = instance.command("postfix", "start")
    assert done.returncode == 1 and "fatal: the Postfix mail system is already running" in done.stderr
    assert instance.command("master", "-t").returncode == 1
    instance.wait_log(r"postfix/postfix-script\[\d+\]: starting the Postfix mail system")
    instance.wait_log(r"postfix/master\[\d+\]: daemon started -- version 3\.\S+, configuration /")
    assert instance.stop().returncode == 0
    assert instance.pids() == []
    assert instance.command("master", "-t").returncode == 0
    instance.wait_log(r"postfix/master\[\d+\]: terminating on signal 15")
    instance.wait_log(r"postfix/postfix-script\[\d+\]: stopping the Postfix mail system")


def test_killed_worker_is_replaced(instance):
    instance.start()
    before = wait_until(lambda: pids_of(instance, "cleanup"), "cleanup workers")
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: before[0] not in pids_of(instance, "cleanup") and len(pids_of(instance, "cleanup")) == len(before), "a new worker")
    instance.wait_log(rf"warning: process \S+/cleanup pid {before[0]} killed by signal 9")
    assert instance.inject("a@sup.test", "a@sup.test").startswith("250")


def test_killed_master_leaves_no_port(instance):
    instance.start()
    smtp = instance.smtp()
    os.kill(instance.master_pid(), signal.SIGKILL)
    wait_until(lambda: not instance.listening(), "the port is free")
    wait_until(lambda: instance.pids() == [], "no process is left")
    smtp.close()
    instance.start()
    assert instance.inject("a@sup.test", "a@sup.test").startswith("250")


def test_restart_right_after_a_kill(instance):
    instance.start()
    for _ in range(3):
        os.kill(instance.master_pid(), signal.SIGKILL)
        wait_until(lambda: instance.command("master", "-t").returncode == 0, "the lock is free")
        instance.start()
    assert instance.inject("a@sup.test", "a@sup.test").startswith("250")


def test_inet_interfaces_needs_a_restart(instance):
    """0.0.0.0 beside 127.0.0.1 cannot be listened on: the reload is refused at once, and the log says what to do."""
    instance.write("master.cf", open(f"{instance.directory}/etc/master.cf").read() + f"{free_port()} inet n - n - - smtpd\n")
    instance.start()
    instance.command("postconf", "-e", "inet_interfaces = all", check=True)
    refused = instance.command("postfix", "reload")
    assert refused.returncode == 1 and "fatal: not reloaded: bind 0.0.0.0 port " in refused.stderr and "going on with the old one" in refused.stderr
    instance.wait_log(r"master\[\d+\]: error: bind 0\.0\.0\.0 port \d+: Address already in use by this mail system: to change inet_interfaces, postfix stop")
    instance.wait_log("error: the configuration was not reloaded: going on with the old one")
    assert instance.listening()
    instance.command("postconf", "-e", "inet_interfaces = 127.0.0.1", check=True)
    good = instance.command("postfix", "reload")
    assert good.returncode == 0 and "not reloaded" not in good.stderr and "not said" not in good.stderr  # it does not wait in vain
    instance.command("postconf", "-e", "inet_interfaces = all", check=True)
    instance.stop()
    instance.start()


def test_reload_keeps_sessions(instance):
    instance.start()
    with instance.smtp() as old:
        old.say("EHLO old.test")
        workers = pids_of(instance, "smtpd")
        qmgr = wait_until(lambda: pids_of(instance, "qmgr"), "qmgr")
        instance.write("main.cf", open(f"{instance.directory}/etc/main.cf").read() + "smtpd_banner = changed\n")
        assert instance.command("postfix", "reload").returncode == 0
        instance.wait_log(r"postfix/master\[\d+\]: reload -- version")
        wait_until(lambda: set(pids_of(instance, "smtpd")) - set(workers), "new workers")

        def greeting():
            with instance.smtp() as new:
                return new.greeting == "220 changed"
        wait_until(greeting, "the new banner")
        assert old.mail("a@sup.test", ["a@sup.test"], "Subject: x\n\nx\n").startswith("250")
        assert pids_of(instance, "qmgr") == qmgr
        old.say("QUIT")
    wait_until(lambda: not set(pids_of(instance, "smtpd")) & set(workers), "old workers are gone")


def append(instance, file, text):
    instance.write(file, open(f"{instance.directory}/etc/{file}").read() + text)


# What the file gets, what is said of it.
BROKEN = [
    ("master.cf", "broken line\n", r"master\.cf: line \d+: missing"),
    ("main.cf", "no equals sign\n", r"missing '='"),
    ("main.cf", "smtpd_timeout = soon\n", r"parameter smtpd_timeout: bad time value or unit: soon"),
    ("main.cf", "hopcount_limit = 0\n", r"invalid hopcount_limit parameter value 0 < 1"),
    ("main.cf", "myhostname =\n", r"bad string length 0 < 1: myhostname"),
    ("main.cf", "smtpd_tls_security_level = must\n", r'smtpd_tls_security_level: unknown value "must"'),
    ("main.cf", "smtpd_client_restrictions = reject_rbl_clients x.test\n", r'unknown restriction "reject_rbl_clients" \(did you mean'),
]


@pytest.mark.parametrize("file, text, complaint", BROKEN)
def test_bad_reload_is_refused(instance, file, text, complaint):
    """postfix reload says why and fails; a signal to master is as safe; workers that start later have the old configuration."""
    instance.start()
    with instance.smtp() as smtp:
        assert smtp.greeting.startswith("220")
    workers = pids_of(instance, "smtpd")
    append(instance, file, text)
    refused = instance.command("postfix", "reload")
    assert refused.returncode == 1
    assert re.search(r"postfix-script: error: .*" + complaint, refused.stderr), refused.stderr
    instance.wait_log(r"postfix-script\[\d+\]: error: .*" + complaint)
    os.kill(instance.master_pid(), signal.SIGHUP)
    instance.wait_log(r"postfix/master\[\d+\]: error: .*" + complaint)
    instance.wait_log("the configuration was not reloaded: going on with the old one")
    with instance.smtp() as smtp:
        assert smtp.greeting.startswith("220")
    assert pids_of(instance, "smtpd") == workers
    for pid, _ in instance.pids():
        if pid != instance.master_pid():
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pids_of(instance, "smtpd") and pids_of(instance, "qmgr"), "new workers")
    assert wait_until(lambda: instance.inject("a@sup.test", "a@sup.test").startswith("250"), "mail is taken")
    instance.wait_log(r"to=<a@sup\.test>, relay=local")
    assert not instance.log_lines("postfix/(smtpd|qmgr|cleanup|local)\\[.*(fatal|error): .*" + complaint)


@pytest.mark.parametrize("command", ["start", "start-fg"])
@pytest.mark.parametrize("file, text, complaint", BROKEN)
def test_broken_configuration_does_not_start(instance, command, file, text, complaint):
    append(instance, file, text)
    refused = instance.command("postfix", command)
    assert refused.returncode == 1
    assert re.search(r"postfix-script: error: .*" + complaint, refused.stderr), refused.stderr
    assert instance.log_lines(r"postfix-script\[\d+\]: error: .*" + complaint)
    assert not instance.pids()


def test_log_is_rotated_though_the_configuration_is_refused(instance):
    instance.start()
    append(instance, "main.cf", "hopcount_limit = 0\n")
    assert instance.command("postfix", "logrotate").returncode == 0
    instance.wait_log("the configuration was not reloaded")  # in the new file
    assert instance.inject("a@sup.test", "a@sup.test").startswith("250")
    instance.wait_log(r"postfix/local\[\d+\]: .*to=<a@sup\.test>")


def test_names_that_are_not_known_stop_nothing(instance):
    append(instance, "main.cf", "smtpd_baner = x\n")
    instance.start()
    append(instance, "main.cf", "smtpd_banner = changed\nnonsense = 7\n")
    reload = instance.command("postfix", "reload")
    assert reload.returncode == 0 and "warning:" in reload.stderr and "unknown parameter: nonsense" in reload.stderr

    def greeting():
        with instance.smtp() as new:
            return new.greeting == "220 changed"
    wait_until(greeting, "the new banner")


def test_crashing_program_is_throttled(instance):
    instance.write("master.cf", open(f"{instance.directory}/etc/master.cf").read() + "127.0.0.1:%d inet n - n - - smtpd -Q\n" % free_port())
    instance.start()
    instance.wait_log(r"smtpd: bad command startup -- throttling")
    time.sleep(1)
    assert len(instance.log_lines("bad command startup")) <= 2


def test_process_limit(instance):
    instance.write("master.cf", open(f"{instance.directory}/etc/master.cf").read().replace("inet n - n - - smtpd", "inet n - n - 2 smtpd"))
    instance.start()
    first, second = instance.smtp(), instance.smtp()
    instance.wait_log(r'warning: service "127.0.0.1:\d+" \(127.0.0.1:\d+\) has reached its process limit "2": new clients may experience noticeable delays')
    third = None
    first.say("QUIT")
    first.close()
    third = Dialogue("127.0.0.1", instance.port)
    assert third.greeting.startswith("220")
    second.close()
    third.close()


def test_log_that_was_moved_is_reopened(instance):
    instance.start()
    log = f"{instance.directory}/log"
    os.rename(log, log + ".old")
    os.kill(instance.master_pid(), signal.SIGHUP)
    instance.wait_log("reload -- version")
    assert instance.inject("a@sup.test", "nobody@sup.test")
    instance.wait_log(r"smtpd\[\d+\]: connect from")


def test_postlog_and_postkick(instance):
    instance.start()
    assert instance.command("postlog", "-t", "postfix/script", "-p", "warn", "hello", "world").returncode == 0
    instance.wait_log(r"postfix/script\[\d+\]: warning: hello world")
    assert instance.command("postlog", input="one\ntwo\n").returncode == 0
    instance.wait_log(r"\]: two$")
    assert instance.command("postlog", "-c", "/nowhere", "x").returncode == 1
    log = open(f"{instance.directory}/etc/main.cf").read()
    instance.write("main.cf", log + "maillog_file = /nowhere/log\nmaillog_file_prefixes = /nowhere\n")
    instance.command("postfix", "stop")
    done = instance.command("postlog", "x")   # what an ordinary user sees who may not write the log
    assert done.returncode == 1 and "cannot open the log" in done.stderr
    assert instance.command("postlog", input="").returncode == 0
    instance.write("main.cf", log)
    instance.start()
    assert instance.command("postkick", "public", "pickup", "W").returncode == 0
    done = instance.command("postkick", "private", "nothing", "W")
    assert done.returncode == 1 and "Cannot contact class private service nothing" in done.stderr


def test_check_tells_what_starts_nothing(make):
    here = make(started=False, master_cf="rewrite unix - - n - - trivial-rewrite\nverify unix - - n - 1 verify\n")
    said = here.command("postfix", "check").stderr
    assert "service rewrite starts no process: the job of trivial-rewrite is done by cleanup, qmgr and local" in said
    assert "service verify starts no process: the job of verify is done by " in said


def test_more_services_than_worker_numbers(make):
    ports = []
    for _ in range(70):
        port = free_port()
        while port in ports:
            port = free_port()
        ports.append(port)
    here = make(master_cf="".join(f"127.0.0.1:{port} inet n - n - - smtpd\n" for port in ports))
    for port in ports:
        with here.smtp(port) as smtp:
            assert smtp.greeting == "220 here.test ESMTP Postfix"
