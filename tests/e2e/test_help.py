"""--help of every program, and what the manual pages say of its options."""
import os
import re
import subprocess

import pytest
from harness import BUILD

PAGES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "docs", "man")
OTHER_PAGE = {"postern": "postfix", "postalias": "postmap"}


def help_of(folder, name):
    done = subprocess.run([os.path.join(BUILD, folder, name), "--help"], capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("name", sorted(os.listdir(os.path.join(BUILD, "bin"))))
def test_command(name):
    text = help_of("bin", name)
    page = open(os.path.join(PAGES, f"{OTHER_PAGE.get(name, name)}.1")).read()
    assert text.startswith(f"Usage: {'postfix' if name == 'postern' else name} ")
    assert re.search(r"^See .*\(1\)", text, re.M)
    named = {re.sub(r"\\&", "", w) for line in page.splitlines() if re.search(r"\bFl\b", line) for w in re.findall(r"[\w#&\\-]+", line)}
    for option in re.findall(r"^  -(-?[\w#-]+)", text, re.M):
        assert option.lstrip("-") in named or option[0] in named and len(option) == 2, option


@pytest.mark.parametrize("name", sorted(os.listdir(os.path.join(BUILD, "sbin"))))
def test_daemon(name):
    text = help_of("sbin", name)
    assert f"See {name}(8)" in text and name in text.splitlines()[0]


COMPLETION = os.path.join(os.path.dirname(os.path.dirname(PAGES)), "conf", "completion", "postern")


@pytest.mark.parametrize("line, wanted", [
    ("postfix star", ["start", "start-fg"]), ("postsuper --old", ["--older-than"]), ("postsuper -H AL", ["ALL"]), ("postqueue -j", ["-j"]),
    ("postconf -C us", ["user"]), ("postconf -M smt", ["smtp/inet", "smtp/unix"]), ("postconf relayho", ["relayhost"]), ("postlog -p w", ["warn"]),
    ("postmap texth", ["texthash:"]), ("postkick pub", ["public"]), ("sendmail -R h", ["hdrs"]), ("qshape def", ["deferred"])])
def test_completion(line, wanted):
    script = f'. {COMPLETION}; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _postern "${{COMP_WORDS[0]}}"; printf "%s\\n" "${{COMPREPLY[@]}}"'
    env = {**os.environ, "PATH": os.path.join(BUILD, "bin") + ":" + os.environ["PATH"], "MAIL_CONFIG": os.path.dirname(os.path.dirname(COMPLETION))}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=20, env=env)
    assert (sorted(done.stdout.split()), done.stderr) == (wanted, "")


def test_completion_knows_all_commands():
    commands = re.search(r"^complete -F _postern (.*)$", open(COMPLETION).read(), re.M).group(1).split()
    assert sorted(commands) == sorted(os.listdir(os.path.join(BUILD, "bin")))
