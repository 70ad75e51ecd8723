"""postconf against what Postfix prints and writes: tests/e2e/postconf_cases.json holds what was observed."""
import json
import os
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
