"""Configurations of the kinds that are found in the wild, unmodified: postconf shows them, postfix check has no errors, they carry mail."""
import json
import os
import re
import subprocess
import sys

import pytest
from harness import BUILD

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "configurations")
NAMES = sorted(name for name in os.listdir(HERE) if os.path.isdir(os.path.join(HERE, name)) and name[0] != "_")
CARRIED = {
    "debian": {"delivered-to": ["alice+box@example.org", "root@example.org"]},
    "null-client": {"hub": [["", ["root@example.com"]], ["app@example.com", ["someone@far.example"]]]},
    "smarthosts": {"default": [["clerk@office.example.com", ["x@far.example"]]],
                   "shop": [["newsletter@shop.example.com", ["n@far.example"]], ["orders@shop.example.com", ["y@far.example"]]],
                   "vip": [["boss@office.example.com", ["z@far.example"]]]},
}


def have_namespaces():
    return os.geteuid() == 0 and subprocess.run(["unshare", "-mnup", "--fork", "true"], capture_output=True).returncode == 0


def settings_of(path):
    """Names and values of a main.cf, white space made one blank."""
    logical = []
    with open(path) as file:
        for line in file:
            if line[0] in " \t" and logical and line.strip():
                logical[-1] += " " + line.strip()
            elif line.strip() and not line.startswith("#"):
                logical.append(line.strip())
    return {name.strip(): " ".join(value.split()) for name, value in (line.split("=", 1) for line in logical)}


@pytest.mark.skipif(not have_namespaces(), reason="needs root and namespaces")
@pytest.mark.parametrize("name", NAMES)
def test_configuration(name):
    done = subprocess.run(["unshare", "-mnup", "--fork", "--mount-proc", sys.executable, os.path.join(HERE, "world.py"), os.path.join(HERE, name),
                           os.path.abspath(BUILD)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout)

    printed = settings_of_text(seen["settings"])
    for setting, value in settings_of(os.path.join(HERE, name, "main.cf")).items():
        assert printed.get(setting) == value, setting
    services = [line for line in open(os.path.join(HERE, name, "master.cf")) if re.match(r"[a-z0-9]", line)]
    assert len([line for line in seen["services"].splitlines() if line[0] not in " \t"]) == len(services)

    check = json.loads(seen["check"]["stdout"])
    errors = [f["text"] for f in check["findings"] if f["severity"] == "error"]
    assert seen["check"]["status"] == 0 and not errors, errors
    assert not [f for f in check["findings"] if f["check"] in ("unknown-parameter", "undefined-parameter", "open-relay", "table-missing")]

    if name in CARRIED:
        assert seen["start"]["status"] == 0, seen["start"]["stderr"]
        assert seen.get("carried") == CARRIED[name], seen.get("error")
        assert seen["stop"] == 0


def settings_of_text(text):
    return {name.strip(): " ".join(value.split()) for name, value in (line.split("=", 1) for line in text.splitlines())}
