"""world.py FOLDER BUILD - install a configuration unmodified in this process's own namespaces, look at it, run it; a JSON object on standard output.

Started by test_configurations.py through unshare(1) as root: mounts, network, processes and host name are private and go with the process."""
import json
import os
import shutil
import smtplib
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import Dns, Sink, wait_until  # noqa: E402

ZONE = """\
smtp.default-provider.example A 127.0.0.11
smtp.shop-provider.example A 127.0.0.12
smtp.vip-provider.example A 127.0.0.13
hub.example.com A 127.0.0.14
"""
USERS = [("postfix", 700), ("vmail", 701), ("alice", 702)]


def run(*argv, **options):
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, **options)


def private_directories(build):
    os.makedirs("/tmp/world", exist_ok=True)
    run("mount", "-t", "tmpfs", "tmpfs", "/tmp/world", check=True)
    for name in ("etc", "usr", "var"):
        os.makedirs(f"/tmp/world/{name}/upper")
        os.makedirs(f"/tmp/world/{name}/work")
        run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/{name},upperdir=/tmp/world/{name}/upper,workdir=/tmp/world/{name}/work", f"/{name}",
            check=True)
    run("mount", "-t", "tmpfs", "tmpfs", "/home", check=True)
    for kind, target in (("sbin", "/usr/lib/postfix/sbin"), ("bin", "/usr/sbin")):
        os.makedirs(target, exist_ok=True)
        for name in os.listdir(f"{build}/{kind}"):
            shutil.copy2(f"{build}/{kind}/{name}", f"{target}/{name}", follow_symlinks=False)


def write(path, text, mode="w"):
    with open(path, mode) as file:
        file.write(text)


def machine(folder):
    write("/etc/passwd", "".join(f"{name}:x:{uid}:{uid}::/home/{name}:/bin/sh\n" for name, uid in USERS), "a")
    write("/etc/group", "".join(f"{name}:x:{uid}:\n" for name, uid in USERS) + "postdrop:x:710:\n", "a")
    os.makedirs("/home/alice")
    os.chown("/home/alice", 702, 702)
    os.makedirs("/var/mail", exist_ok=True)
    os.chmod("/var/mail", 0o1777)
    write("/etc/hosts", "127.0.0.1 localhost\n")
    write("/etc/resolv.conf", "nameserver 127.0.0.1\n")
    write("/etc/mailname", "example.org\n")
    write("/etc/aliases", "postmaster: root\nroot: alice\n")
    shutil.rmtree("/etc/postfix", ignore_errors=True)
    shutil.copytree(folder, "/etc/postfix")
    os.makedirs("/var/spool/postfix", exist_ok=True)
    os.makedirs("/var/lib/postfix", exist_ok=True)
    run("hostname", "host.example.org", check=True)
    run("ip", "link", "set", "lo", "up", check=True)


def compile_tables():
    run("postalias", "/etc/aliases", check=True)
    main_cf = open("/etc/postfix/main.cf").read()
    for name in os.listdir("/etc/postfix"):
        if f"hash:/etc/postfix/{name}" in main_cf:
            run("postmap", f"hash:/etc/postfix/{name}", check=True)


def submit(sender, recipient):
    return run("sendmail", "-f", sender, recipient, input="Subject: world\n\nHello.\n")


def send(sender, recipient):
    with smtplib.SMTP("127.0.0.1", 25, timeout=20) as smtp:
        smtp.sendmail(sender, [recipient], "Subject: world\r\n\r\nHello.\r\n")


def envelopes(sink):
    return [[m[0], m[1]] for m in sink.messages]


def carry_debian():
    send("bob@elsewhere.example", "alice+box@example.org")
    submit("bob@elsewhere.example", "root")
    path = "/var/mail/alice"
    wait_until(lambda: os.path.exists(path) and open(path).read().count("\nHello.\n") == 2, "two messages in the mailbox")
    text = open(path).read()
    return {"delivered-to": sorted(line[14:] for line in text.splitlines() if line.startswith("Delivered-To: "))}


def carry_null_client():
    hub = Sink(host="127.0.0.14", port=25)
    submit("app@example.com", "someone@far.example")
    submit("", "root")
    hub.wait_messages(2)
    return {"hub": sorted(envelopes(hub))}


def carry_smarthosts():
    sinks = {name: Sink(host=f"127.0.0.{number}", port=587) for name, number in (("default", 11), ("shop", 12), ("vip", 13))}
    send("clerk@office.example.com", "x@far.example")
    send("orders@shop.example.com", "y@far.example")
    send("boss@office.example.com", "z@far.example")
    send("newsletter@shop.example.com", "n@far.example")
    for name, count in (("default", 1), ("shop", 2), ("vip", 1)):
        sinks[name].wait_messages(count)
    return {name: sorted(envelopes(sink)) for name, sink in sinks.items()}


CARRY = {"debian": carry_debian, "null-client": carry_null_client, "smarthosts": carry_smarthosts}


def main():
    folder, build = sys.argv[1:]
    name = os.path.basename(folder)
    private_directories(build)
    machine(folder)
    dns = Dns(ZONE, port=53)
    compile_tables()
    seen = {"settings": run("postconf", "-n").stdout, "services": run("postconf", "-M").stdout}
    run("postfix", "set-permissions", check=True)
    check = run("postfix", "check", "--json")
    seen["check"] = {"status": check.returncode, "stdout": check.stdout, "stderr": check.stderr}
    if name in CARRY:
        start = run("postfix", "start")
        seen["start"] = {"status": start.returncode, "stderr": start.stderr}
        try:
            if start.returncode == 0:
                seen["carried"] = CARRY[name]()
        except Exception as error:
            seen["error"] = repr(error) + run("postqueue", "-p").stdout
        seen["stop"] = run("postfix", "stop").returncode
    dns.close()
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
