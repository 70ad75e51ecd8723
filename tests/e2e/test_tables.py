"""Tables behind servers: what clients and postmap's users see of their failures."""
import base64
import gzip
import os
import socket
import threading
import time

import pytest

import harness


class SocketMap:
    """A socketmap server: {"map": {"key": "OK value"}}; what is not there is not found."""

    def __init__(self, maps):
        self.maps, self.requests = maps, []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection, connection.makefile("rb")), daemon=True).start()

    def _serve(self, connection, stream):
        while length := stream.read(1):
            while not length.endswith(b":"):
                length += stream.read(1)
            request = stream.read(int(length[:-1])).decode()
            stream.read(1)
            self.requests.append(request)
            name, key = request.split(" ", 1)
            answer = self.maps[name].get(key, "NOTFOUND ").encode()
            connection.sendall(b"%d:%s," % (len(answer), answer))


def test_failures_of_a_map_server(make):
    server = SocketMap({"alias": {"temp@v.test": "TEMP later", "perm@v.test": "PERM broken", "empty@v.test": "OK "},
                        "access": {"odd@c.test": "OK REJECT odd"}})
    alias = f"socketmap:inet:127.0.0.1:{server.port}:alias"
    here = make(main_cf=f"virtual_alias_domains = v.test\nvirtual_alias_maps = {alias}\nsmtpd_sender_restrictions =\n"
                        f" check_sender_access socketmap:inet:127.0.0.1:{server.port}:access, check_sender_access pcre:{{{{ {{{{/^c.test$$|^a@$$/ REJECT part}}}} }}}}\n")
    assert here.inject("a@c.test", "temp@v.test") == "451 4.3.0 <temp@v.test>: Temporary lookup failure"
    assert here.inject("a@c.test", "perm@v.test") == "451 4.3.5 Server configuration error"
    assert here.inject("a@c.test", "empty@v.test") == "451 4.3.5 Server configuration error"
    assert here.inject("odd@c.test", "temp@v.test") == "554 5.7.1 <odd@c.test>: Sender address rejected: odd"
    assert here.inject("ODD@c.Test", "temp@v.test").startswith("554 5.7.1 <ODD@c.Test>: ")  # asked in small letters
    # tables of patterns and their likes are asked for the whole address only
    assert sorted(set(r for r in server.requests if r.startswith("access"))) == ["access a@c.test", "access odd@c.test"]
    for key, why in (("temp@v.test", ": Operation now in progress"), ("perm@v.test", "")):
        assert here.command("postmap", "-q", key, alias).stderr.splitlines()[-1] == f"postmap: fatal: table {alias}: query error{why}"
    here.wait_log(r"postfix/postmap\[\d+\]: fatal: table socketmap:.*query error$")
    assert "should return NO RESULT in case of NOT FOUND" in here.command("postmap", "-q", "empty@v.test", alias).stderr


def test_map_server_that_is_not_there(make):
    here = make(started=False)
    with socket.socket() as taken:      # bound, so that nobody else gets it, and not listening
        taken.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        done = here.command("postmap", "-q", "x", f"socketmap:inet:{where}:a")
        assert done.returncode == 1 and done.stderr.splitlines() == [
            f"postmap: warning: connect to {where}: Connection refused",
            f"postmap: warning: table socketmap:inet:{where}:a lookup error: Connection refused",
            f"postmap: fatal: table socketmap:inet:{where}:a: query error: Connection refused"]
        done = here.command("postmap", "-q", "x", f"tcp:{where}")
        assert done.stderr.splitlines() == [f"postmap: warning: connect to TCP map {where}: Connection refused"] * 10 + [
            f"postmap: fatal: table tcp:{where}: query error: Connection refused"]


def write_aged(here, path, text, age=5):
    """A file of the configuration directory whose last change is some seconds ago."""
    here.write(path, text)
    then = time.time() - age
    os.utime(os.path.join(here.directory, "etc", path), (then, then))


def test_index_follows_its_text(make):
    """database_auto_update: the text is the truth; a text with mistakes leaves things as they are."""
    for kind in ("hash", "lmdb", "cdb"):
        here = make(name=kind, main_cf="database_auto_update = yes\nvirtual_alias_domains = v.test\nalias_maps = " + kind + ":{directory}/etc/aliases\n"
                    "local_recipient_maps = $alias_maps\nvirtual_alias_maps = " + kind + ":{directory}/etc/virtual\n",
                    aliases="\"quoted name\": one\nplain: two\n", files={"virtual": "a@v.test one@here.test\n"})
        domain = f"{kind}.test"
        assert here.inject("x@c.test", "a@v.test").startswith("250 ")
        assert here.inject("x@c.test", f"plain@{domain}").startswith("250 ")
        assert here.inject("x@c.test", "b@v.test").startswith("550 5.1.1")
        suffix = {"hash": "db"}.get(kind, kind)
        here.wait_log(rf"/virtual\.{suffix}: made from .*/virtual, which is newer")
        with here.smtp() as session:    # goes on through all of it
            session.say("EHLO c.test")
            index = os.path.join(here.directory, "etc", f"virtual.{suffix}")
            os.utime(index, (time.time() - 100, time.time() - 100))
            write_aged(here, "virtual", "b@v.test two@here.test\n")
            harness.wait_until(lambda: here.inject("x@c.test", "b@v.test").startswith("250 "), "the new text is seen")
            assert here.inject("x@c.test", "a@v.test").startswith("550 5.1.1")
            os.utime(index, (time.time() - 50, time.time() - 50))
            write_aged(here, "virtual", "c@v.test three@here.test\nmistake\n")
            harness.wait_until(lambda: here.inject("x@c.test", "c@v.test") and
                               here.log_lines(r"still using the old content: 1 line of .*/virtual cannot be used"), "the mistake is reported")
            assert here.inject("x@c.test", "b@v.test").startswith("250 ")
            assert here.inject("x@c.test", "c@v.test").startswith("550 5.1.1")
            assert session.say("NOOP").startswith("250")
        before = len(here.log_lines("a lookup table has changed"))
        time.sleep(3)
        assert here.inject("x@c.test", "b@v.test").startswith("250 ")
        assert len(here.log_lines("a lookup table has changed")) <= before + 1      # no endless replacing
        here.stop()


def test_old_index_is_reported(make):
    here = make(started=False, files={"t": "a one\n"})
    for kind, suffix in (("hash", "db"), ("btree", "db"), ("lmdb", "lmdb"), ("cdb", "cdb")):
        name = f"{kind}:{here.directory}/etc/t"
        assert here.command("postmap", name).stderr == ""
        assert here.command("postmap", "-q", "a", name).stderr == ""
        index = f"{here.directory}/etc/t.{suffix}"
        os.utime(index, (time.time() - 2000, time.time() - 2000))
        os.utime(f"{here.directory}/etc/t", (time.time() - 1000, time.time() - 1000))
        done = here.command("postmap", "-q", "a", name)
        assert done.stdout == "one\n"
        assert done.stderr == f"postmap: warning: database {index} is older than source file {here.directory}/etc/t\n"


# Made by Debian's postmap and postalias: "alice one", "Bob@Example.TEST two words", ""quo ted" q", "empty1 x"; "postmaster: root", "list: a, b, "c d"@x".
DEBIANS = {
    "hash": (".db",
        "H4sIAAAAAAACA+3ZPWpCQRSG4W9ERAsZm5SCuAAhCxCsXIJl4BoHFDTjz4hXcAvZk1uwFlIkkEawEGzFkQtBTGdhUrwPzN8pTv/NkSSjTPJUUOlyqcRVzGo5"
        "/db/XEsnKV11mtV2VjNXfS7yscfmvf9yWwcAAAAAAH/jNqMXtLUqH+3B7uy3/bDxBQAAAAAA/mmsT2XcaByWzzL+zckkw8FrPCYy9cnc14Lr1X/y//WcP6ev"
        "mP/3Nu53z//F/B8AAAAAgIf+A4SFry38tDeT6fpuy6XJaDx0jeBmQWfQ8B1OADAAAA=="),
    "btree": (".db",
        "H4sIAAAAAAACA+3XPw5BQRAG8G/E868ZbvDiABI3ULmHxxYvweKtoHIRpQMoVaJ0AxqNWqkWNo8QiVI03y/ZzM63swcYABCkonqAor+U76eYZs+3d/FpC1yB"
        "zXG/nDdfeeZRwy//iIiIiIiIiOh/5GNfL2ChEqx1pRc960F3utSFcv8nIiIiIiIi+oUMZOprHmJ6Azerp9nQZyVIdTi2oTOd6qN3ExtO7KiT+L4CiWzUMNNW"
        "b9A1NWcShyzE9g2Qg7S6cdv4uRugZzT7ACAAAA=="),
    "lmdb": (".lmdb",
        "H4sIAAAAAAACA+3ZPQrCMBTA8dciKi7RzVE8gOANepXWZhCsaTXSep+ewVGcPYRH0CP41RZUBB0sLv/fkJcXHjzI9hKRSvu+HnanrSNPirR7rfDko3NJvlTV"
        "OwIAAAAAAOri1Dr/O2/6FBpldF8i7wAAAAAAAPye+7DrS6426qj2KlfcDAAAAAAA/5jRW6Kj2K7HklUnHRkmKzOwOhxKcs1uehKYwNOZH8UzPbJ6acWmZpCa"
        "Rbisft2b4s+mEy1mruUCRv8oSQAwAAA="),
    "aliases": (".db",
        "H4sIAAAAAAACA+3ZvUoDQRSG4W8ERQNh0ljZLKmDaPCHdAlkAwFXxZ/CxmXVgEJkJTtFbsDSi7DyArwBsbITe7Gw8xYExVkWQdZOEC3ehxk4fDOc/nAkyaiQ"
        "zE5pJi9q/k4X2YS+Gz7fSO/S49xu5bxXZOZLn9yk7/FwcbxfzgEAAAAAwN8oz+gVXVpV3+yrfbFP9t7e2Vt7ba+sTwEAAAAAwK8M56M0dTJnaeZOk8wNRjJJ"
        "IzhoBPXD4KjeHssMTzL/YTzvBpkze5tx1NneCbfi9U4UmsXV1vLKQnOp2cpf1vxLHG10+71+2DVt+fM5/5f2/DVVi+Kn+3+x/wcAAAAA4N/4AExWRykAMAAA"),
}


def test_databases_made_by_debians_postmap(make):
    here = make(started=False)
    for name, (extension, coded) in DEBIANS.items():
        path = os.path.join(here.directory, "etc", name + extension)
        with open(path, "wb") as out:
            out.write(gzip.decompress(base64.b64decode(coded)))
    for kind in ("hash", "btree", "lmdb"):
        table = f"{kind}:{here.directory}/etc/{kind}"
        for key, value in (("ALICE", "one"), ("bob@example.test", "two words"), ('"quo ted"', "q"), ("alic", "")):
            assert here.command("postmap", "-q", key, table).stdout.strip() == value, (kind, key)
        assert sorted(here.command("postmap", "-s", table).stdout.splitlines()) == ['"quo ted"\tq', "alice\tone", "bob@example.test\ttwo words", "empty1\tx"]
    assert here.command("postalias", "-q", "list", f"hash:{here.directory}/etc/aliases").stdout == 'a, b, "c d"@x\n'


def test_words_of_postmap(make):
    here = make(started=False, files={"src": "b 2\na 1\n", "al": "list: a,\n  b,\t c\nesc\\ ed: \"x  y\"\n", "pc": "/x/ $0\n/y/ ${1z}\n/(a)/ $2\n/(b)/ ${1\n/(c)/ a$-\n"})
    etc = f"{here.directory}/etc"
    assert here.command("postmap", "-s", f"texthash:{etc}/src").stdout == "b\t2\na\t1\n"
    here.command("postalias", f"hash:{etc}/al", check=True)
    assert here.command("postalias", "-q", "list", f"hash:{etc}/al").stdout == "a, b, c\n"
    assert here.command("postalias", "-q", "esc ed", f"hash:{etc}/al").stdout == '"x  y"\n'
    for argv, words in ((("-s", "static:x"), "postmap: fatal: table static:x: sequence operation is not supported"),
                        (("-d", "k", "static:x"), "postmap: fatal: table static:x: delete operation is not supported"),
                        (("nosuch:x",), "postmap: fatal: unsupported dictionary type: nosuch. Is the postfix-nosuch package installed?"),
                        (("-q", "q", f"pcre:{etc}/pc"), f'postmap: warning: pcre map {etc}/pc, line 1: out of range replacement index "0"'),
                        (("-q", "q", f"pcre:{etc}/pc"), f'postmap: warning: pcre map {etc}/pc, line 2: non-numeric replacement index "1z"'),
                        (("-q", "q", f"pcre:{etc}/pc"), f'postmap: warning: pcre map {etc}/pc, line 3: out of range replacement index "2": skipping this rule'),
                        (("-q", "q", f"pcre:{etc}/pc"), f"postmap: warning: truncated macro reference: \"${{1\""),
                        (("-q", "q", f"pcre:{etc}/pc"), f"postmap: warning: empty macro name: \"a$-\""),
                        (("-q", "a", "-q", "b", "static:x"), "postmap: fatal: specify only one of -s -q or -d"),
                        (("-m", "static:x"), 'postmap: fatal: specify -b -h or -m only with "-q -"')):
        assert words in here.command("postmap", *argv).stderr.splitlines()


@pytest.mark.parametrize("kind", ["hash", "lmdb", "texthash"])
def test_files_named_in_values(make, kind):
    """postmap -F: an entry whose file cannot be read is left out, as Postfix does it."""
    here = make(started=False, files={"content": "c", "al": '"x y"@z: q\nok: q\n'})
    path = f"{here.directory}/etc/sni"
    with open(path, "w", encoding="ascii") as f:
        f.write(f"a /no/such/file\nb {here.directory}/etc/content\n")
    done = here.command("postmap", "-F", *(["-s"] if kind == "texthash" else []), f"{kind}:{path}")
    assert done.returncode == 0 and f"{path}, line 1: open /no/such/file: No such file or directory: skipping this entry" in done.stderr
    assert here.command("postmap", "-F", "-q", "b", f"{kind}:{path}").stdout == "c\n"
    assert here.command("postmap", "-F", "-q", "a", f"{kind}:{path}").returncode == 1
    if kind == "hash":
        done = here.command("postalias", f"{kind}:{here.directory}/etc/al")
        assert done.returncode == 0 and "line 1: name must be local" in done.stderr


def test_listing_of_inline(make):
    assert make(started=False).command("postmap", "-s", "inline:{b=2, {a = x y}, b=3}").stdout == "b\t3\na\tx y\n"


def test_alias_file_in_another_encoding(make):
    here = make(started=False)
    path = f"{here.directory}/etc/al"
    with open(path, "wb") as f:
        f.write(b"one: two\nthree: caf\xe9\n")
    done = here.command("postalias", f"hash:{path}")
    assert f"postalias: warning: {path}, line 2: non-UTF-8 input " in done.stderr and "ignoring this line" in done.stderr
    assert here.command("postalias", "-q", "three", f"hash:{path}").returncode == 1
    assert here.command("postalias", "-q", "one", f"hash:{path}").stdout == "two\n"


PROGRAM = """#!/bin/sh
case "$1" in
    one) echo "the value" ;;
    lines) printf 'a\\nb\\n' ;;
    nul) printf 'a\\000b' ;;
    long) head -c 200000 /dev/zero | tr '\\0' x ;;
    kill) kill -9 $$ ;;
    words) echo "$#" "$PATH" "$HOME" ;;
    quiet) exit 3 ;;
    bad) echo first >&2; echo second >&2; exit 1 ;;
esac
"""


@pytest.mark.parametrize("key, status, said", [
    ("one", 0, "the value\n"), ("nothing", 1, ""), ("-x", 1, ""), ("words", 0, "1 /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \n"),
    ("lines", 1, "a value is one line of at most 100000 bytes"), ("nul", 1, "a value is one line of at most"), ("long", 1, "a value is one line of at most"),
    ("kill", 1, "killed by signal 9"), ("quiet", 1, "exit status 3\n"), ("bad", 1, "exit status 1: first\n")])
def test_program(make, key, status, said):
    here = make(started=False, files={"values": PROGRAM})
    program = f"{here.directory}/etc/values"
    os.chmod(program, 0o755)
    done = here.command("postmap", "-q", key, f"program:{program}")
    assert done.returncode == status and (said in done.stderr if status and said else (done.stdout, done.stderr) == (said, "")), done


@pytest.mark.parametrize("name, mode, said", [
    ("values", 0o755, "the program must be an absolute path"), ("/etc/absent", 0o755, "No such file or directory"), ("{directory}/etc/values", 0o644, "not a program"),
    ("{directory}/etc/values", 0o757, "not a program, or everybody may write it"), ("{directory}/etc", 0o755, "not a program")])
def test_program_that_is_none(make, name, mode, said):
    here = make(started=False, files={"values": PROGRAM})
    os.chmod(f"{here.directory}/etc/values", mode)
    done = here.command("postmap", "-q", "one", "program:" + name.format(directory=here.directory))
    assert done.returncode == 1 and said in done.stderr
