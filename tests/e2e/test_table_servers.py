"""Tables of real servers: PostgreSQL, MariaDB, SQLite, OpenLDAP, Redis, memcached."""
import os
import pwd
import select
import socket
import sqlite3
import threading
import time

import pytest

import harness
import table_servers

SQL = """
CREATE TABLE aliases (address VARCHAR(200), goto VARCHAR(200));
INSERT INTO aliases VALUES ('list@v.test', 'one@here.test'), ('list@v.test', 'two@here.test'), ('o''hara@v.test', 'scarlett@here.test'),
  ('back\\slash@v.test', 'b@here.test'), ('single@v.test', 'one@here.test'), ('empty@v.test', ''), ('null@v.test', NULL), ('user', 'bare@here.test');
CREATE TABLE mailboxes (name VARCHAR(200), domain VARCHAR(200), path VARCHAR(200));
INSERT INTO mailboxes VALUES ('anna', 'v.test', 'anna/'), ('bert', 'w.test', 'bert/');
"""
QUERY = "query = SELECT goto FROM aliases WHERE address = '%s' ORDER BY goto\n"


def started(make_server):
    server = make_server()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def pgsql():
    yield from started(lambda: table_servers.PostgreSql(SQL + "CREATE FUNCTION alias_of(text) RETURNS SETOF text LANGUAGE sql AS "
                                                        "'SELECT goto::text FROM aliases WHERE address = $1 ORDER BY goto';"))


@pytest.fixture(scope="module")
def mysql():
    yield from started(lambda: table_servers.MariaDb("CREATE DATABASE mail CHARACTER SET utf8mb4; USE mail;" + SQL.replace("\\", "\\\\") + """
CREATE USER mail@'127.0.0.1' IDENTIFIED BY 'secret'; GRANT ALL ON mail.* TO mail@'127.0.0.1';
CREATE USER secure@'127.0.0.1' IDENTIFIED BY 'secret' REQUIRE SSL; GRANT ALL ON mail.* TO secure@'127.0.0.1';
CREATE USER mail@localhost IDENTIFIED BY 'secret'; GRANT ALL ON mail.* TO mail@localhost;
DELIMITER //
CREATE PROCEDURE mail.alias_of(IN k VARCHAR(200)) BEGIN SELECT goto FROM mail.aliases WHERE address = k; END//
CREATE PROCEDURE mail.nothing_of(IN k VARCHAR(200)) BEGIN SET @x = k; END//
"""))


LDIF = """\
dn: dc=test
objectClass: dcObject
objectClass: organization
dc: test
o: test

""" + "".join(f"""\
dn: uid={uid},dc=test
objectClass: inetOrgPerson
uid: {uid}
cn: {uid}
sn: {uid}
{extra}
""" for uid, extra in (("anna", "mail: anna@v.test\nmail: anna.a@v.test\ndescription: a@here.test\ndescription: aa@here.test\n"),
                       ("bert", "mail: bert@v.test\ndescription: b@here.test\n"),
                       ("star", "mail: st(a)r*@v.test\ndescription: star@here.test\n"))) + """\
dn: cn=all,dc=test
objectClass: groupOfNames
objectClass: extensibleObject
cn: all
mail: all@v.test
description: group@here.test
member: uid=anna,dc=test
member: uid=bert,dc=test

dn: cn=loop,dc=test
objectClass: groupOfNames
objectClass: extensibleObject
cn: loop
mail: loop@v.test
member: cn=loop,dc=test

dn: cn=url,dc=test
objectClass: groupOfURLs
objectClass: extensibleObject
cn: url
mail: url@v.test
labeledURI: ldap:///dc=test??sub?(uid=bert)

"""


@pytest.fixture(scope="module")
def ldap():
    yield from started(lambda: table_servers.OpenLdap(LDIF.replace("objectClass: groupOfURLs\n", "objectClass: applicationProcess\n")))


@pytest.fixture(scope="module")
def redis():
    yield from started(table_servers.Redis)


@pytest.fixture(scope="module")
def memcached():
    yield from started(table_servers.Memcached)


@pytest.fixture
def postmap(make):
    """postmap(type, definition, key): the value, None, or what it says of a failure."""
    here = make(started=False)

    def ask(kind, definition, key, name=None):
        if name is None:
            here.write("table.cf", definition)
            name = f"{here.directory}/etc/table.cf"
        done = here.command("postmap", "-q", key, f"{kind}:{name}")
        if done.returncode == 0:
            return done.stdout.rstrip("\n")
        return None if not done.stderr else done.stderr
    ask.here = here
    return ask


def sql_cases(postmap, kind, access):
    """What every SQL table does."""
    ask = lambda key, settings=QUERY: postmap(kind, access + settings, key)
    assert ask("single@v.test") == "one@here.test"
    assert ask("list@v.test") == "one@here.test,two@here.test"
    assert ask("missing@v.test") is None
    assert ask("o'hara@v.test") == "scarlett@here.test"
    assert ask("x' OR '1'='1") is None
    assert ask("back\\slash@v.test") == "b@here.test"
    assert ask("empty@v.test") is None and ask("null@v.test") is None
    parts = "query = SELECT path FROM mailboxes WHERE name = '%u' AND domain = '%d'\n"
    assert ask("anna@v.test", parts) == "anna/" and ask("anna@w.test", parts) is None and ask("anna", parts) is None
    assert ask("bert@w.test", "query = SELECT path FROM mailboxes WHERE domain = '%2.%1'\nresult_format = /mail/%D/%s\n") == "/mail/w.test/bert/"
    assert ask("user") == "bare@here.test"
    assert ask("user", QUERY + "domain = v.test\n") is None
    assert ask("single@v.test", QUERY + "domain = v.test\n") == "one@here.test"
    assert ask("single@v.test", QUERY + "domain = w.test\n") is None
    assert ask("list@v.test", QUERY + "result_format = smtp:[%u.%d]\n") == "smtp:[one.here.test],smtp:[two.here.test]"
    assert ask("single@v.test", QUERY + "expansion_limit = 1\n") == "one@here.test"
    assert "Expansion limit exceeded for key: 'list@v.test'" in ask("list@v.test", QUERY + "expansion_limit = 1\n")
    assert ask("single@v.test", "table = aliases\nselect_field = goto\nwhere_field = address\n") == "one@here.test"
    assert ask("single@v.test", "table = aliases\nselect_field = goto\nwhere_field = address\nadditional_conditions = AND 1 = 0\n") is None
    assert "query error" in ask("single@v.test", "query = SELECT nothing FROM nowhere\n")


def test_pgsql(pgsql, postmap):
    access = f"hosts = 127.0.0.1:{pgsql.port}\nuser = mail\npassword = secret\ndbname = postgres\n"
    sql_cases(postmap, "pgsql", access)
    assert postmap("pgsql", access + "select_function = alias_of\n", "list@v.test") == "one@here.test,two@here.test"
    # the ways to name a server
    for hosts in (f"unix:{pgsql.directory}/.s.PGSQL.{pgsql.port}", f"postgresql://mail:secret@127.0.0.1:{pgsql.port}/postgres",
                  f"127.0.0.1:1 inet:127.0.0.1:{pgsql.port}",
                  f"postgresql://127.0.0.1:{pgsql.port}/postgres?sslmode=verify-full&sslrootcert={pgsql.path('ca.pem')}"):
        assert postmap("pgsql", f"hosts = {hosts}\nuser = mail\npassword = secret\ndbname = postgres\n" + QUERY, "single@v.test").splitlines()[-1] == "one@here.test"
    assert "password authentication failed" in postmap("pgsql", access.replace("secret", "wrong") + QUERY, "single@v.test")
    # parameters in main.cf, as long ago
    postmap.here.write("main.cf", f"compatibility_level = 3.6\nold_hosts = 127.0.0.1:{pgsql.port}\nold_user = mail\nold_password = secret\n"
                       "old_dbname = postgres\nold_" + QUERY)
    assert postmap("pgsql", None, "single@v.test", name="old") == "one@here.test"


def test_mysql(mysql, postmap):
    access = f"hosts = 127.0.0.1:{mysql.port}\nuser = mail\npassword = secret\ndbname = mail\n"
    sql_cases(postmap, "mysql", access)
    assert postmap("mysql", access + "query = CALL alias_of('%s')\n", "single@v.test") == "one@here.test"
    assert "query error" in postmap("mysql", access + "query = CALL nothing_of('%s')\n", "single@v.test")
    assert postmap("mysql", access + "query = CALL nothing_of('%s')\nrequire_result_set = no\n", "single@v.test") is None
    assert postmap("mysql", access.replace(f"127.0.0.1:{mysql.port}", f"unix:{mysql.path('s')}") + QUERY, "single@v.test") == "one@here.test"
    # TLS: this user is let in with it only
    secure = access.replace("user = mail", "user = secure")
    assert "Access denied" in postmap("mysql", secure + QUERY, "single@v.test")
    assert postmap("mysql", secure + f"tls_CAfile = {mysql.path('ca.pem')}\ntls_verify_cert = yes\n" + QUERY, "single@v.test") == "one@here.test"
    # a file of options
    options = mysql.write("my.cnf", "[client]\nuser = mail\npassword = secret\n[other]\nuser = mail\npassword = wrong\n")
    bare = f"hosts = 127.0.0.1:{mysql.port}\ndbname = mail\noption_file = {options}\n"
    assert postmap("mysql", bare + QUERY, "single@v.test") == "one@here.test"
    assert "Access denied" in postmap("mysql", bare + "option_group = other\n" + QUERY, "single@v.test")


def test_sqlite(postmap):
    path = f"{postmap.here.directory}/data/t.sqlite"
    with sqlite3.connect(path) as database:
        database.executescript(SQL)
    database.close()
    os.chmod(path, 0o644)
    sql_cases(postmap, "sqlite", f"dbpath = {path}\n")
    assert "query error" in postmap("sqlite", "dbpath = /nowhere/t.sqlite\n" + QUERY, "single@v.test")
    assert "bad string length" in postmap("sqlite", QUERY, "single@v.test")


def test_ldap(ldap, postmap):
    access = f"server_host = 127.0.0.1\nserver_port = {ldap.port}\nversion = 3\nsearch_base = dc=test\nbind_dn = cn=admin,dc=test\nbind_pw = secret\n"
    mail = access + "query_filter = (mail=%s)\nresult_attribute = description\n"
    ask = lambda key, settings=mail: postmap("ldap", settings, key)
    assert ask("bert@v.test") == "b@here.test"
    assert ask("anna.a@v.test") == "a@here.test,aa@here.test"
    assert ask("missing@v.test") is None
    assert ask("*@v.test") is None
    assert ask("st(a)r*@v.test") == "star@here.test"
    assert ask("bert@v.test", access + "query_filter = (uid=%u)\nresult_attribute = mail description\nresult_format = <%s>\n") == "<bert@v.test>,<b@here.test>"
    assert ask("bert@v.test", mail + "domain = w.test\n") is None
    assert "limit exceeded" in ask("anna@v.test", mail + "expansion_limit = 1\n")
    assert ask("bert@v.test", mail.replace("search_base = dc=test", "search_base = uid=%u,dc=test") + "scope = base\n") == "b@here.test"
    # entries of entries
    group = mail + "special_result_attribute = member labeledURI\n"
    assert ask("all@v.test", group) == "group@here.test,a@here.test,aa@here.test,b@here.test"
    assert ask("all@v.test", group.replace("result_attribute = description\n", "result_attribute = sn\nleaf_result_attribute = description\n", 1)) == \
        "anna,a@here.test,aa@here.test,bert,b@here.test"
    assert ask("all@v.test", group + "terminal_result_attribute = description\n") == "group@here.test"
    assert "ecursion limit exceeded" in ask("loop@v.test", group + "recursion_limit = 5\n")
    assert ask("url@v.test", group) == "b@here.test"
    # TLS
    tls = "start_tls = yes\ntls_require_cert = yes\n"
    assert ask("bert@v.test", mail + tls + f"tls_ca_cert_file = {ldap.path('ca.pem')}\n") == "b@here.test"
    assert "query error" in ask("bert@v.test", mail + tls)
    assert "Invalid credentials" in ask("bert@v.test", mail.replace("secret", "wrong"))
    assert "Insufficient access" in ask("bert@v.test", mail.replace("bind_dn", "bind = no\nbind_dn"))
    for hosts in (f"ldap://127.0.0.1:1 ldap://127.0.0.1:{ldap.port}", f"127.0.0.1:{ldap.port}"):
        assert ask("bert@v.test", mail.replace("server_host = 127.0.0.1\n", f"server_host = {hosts}\n")) == "b@here.test"


def test_redis(redis, postmap):
    redis.command("SET", "alias:a@v.test", "one@here.test")
    redis.command("SET", "A b", "blank")
    redis.command("SET", "a b", "blanks")
    redis.command("HSET", "users:v.test", "anna", "anna/")
    redis.command("RPUSH", "list:v.test:all", "one@here.test", "two@here.test")
    redis.command("-n", "3", "SET", "x", "three")
    access = f"hosts = 127.0.0.1:{redis.port}\npassword = secret\n"
    ask = lambda key, settings="", access=access: postmap("redis", access + settings, key)
    assert ask("a b") == "blanks" and ask("A B") == "blanks" and ask("missing") is None
    assert ask("a@v.test", "query = GET alias:%s\n") == "one@here.test"
    assert ask("anna@v.test", "query = HGET users:%d %u\n") == "anna/" and ask("anna", "query = HGET users:%d %u\n") is None
    assert ask("all@v.test", "query = LRANGE list:%d:%u 0 -1\nresult_format = <%s>\n") == "<one@here.test>,<two@here.test>"
    assert "xpansion limit exceeded" in ask("all@v.test", "query = LRANGE list:%d:%u 0 -1\nexpansion_limit = 1\n")
    assert ask("x", "dbname = 3\n") == "three"
    assert "query error" in ask("a@v.test", "query = HGET alias:%s x\n")
    assert "query error" in ask("x", access=access.replace("secret", "wrong"))
    assert ask("a b", access=f"hosts = unix:{redis.path('s')}\npassword = secret\n") == "blanks"
    tls = f"hosts = localhost:{redis.tls_port}\npassword = secret\ntls = yes\n"
    assert ask("a b", f"tls_CAfile = {redis.path('ca.pem')}\n", access=tls) == "blanks"
    assert "certificate verify failed" in ask("a b", access=tls)
    assert ask("a b", "tls_verify_cert = no\n", access=tls) == "blanks"


def test_memcache(memcached, postmap):
    with socket.create_connection(("127.0.0.1", memcached.port)) as client:
        client.sendall(b"set k:x@v.test 0 0 5\r\nfound\r\n")
        assert client.recv(100) == b"STORED\r\n"
    access = f"memcache = inet:127.0.0.1:{memcached.port}\nkey_format = k:%s\n"
    assert postmap("memcache", access, "x@v.test") == "found"
    assert postmap("memcache", access, "X@V.test") == "found"
    assert postmap("memcache", access, "missing") is None
    assert postmap("memcache", access, "has blank") is None
    # with a table behind: what is found there is kept in the cache
    behind = postmap.here
    behind.write("behind", "b@v.test from-behind\n")
    access += f"backup = texthash:{behind.directory}/etc/behind\n"
    assert postmap("memcache", access, "b@v.test") == "from-behind"
    behind.write("behind", "b@v.test changed\n")
    assert postmap("memcache", access, "b@v.test") == "from-behind"
    # without the cache
    dead = access.replace(str(memcached.port), "1") + "retry_pause = 0\n"
    assert postmap("memcache", dead, "b@v.test") == "changed"
    assert "query error" in postmap("memcache", dead.split("backup")[0] + "retry_pause = 0\n", "b@v.test")


def test_daemons_and_a_server_that_dies(pgsql, redis, make):
    """smtpd and cleanup ask through their helper; a dead server is 451, and mail goes on when it is back."""
    redis.command("SET", "v.test", "yes")
    here = make(main_cf="virtual_alias_domains = redis:{directory}/etc/redis.cf\nvirtual_alias_maps = proxy:pgsql:{directory}/etc/pgsql.cf\n",
                files={"pgsql.cf": f"hosts = 127.0.0.1:{pgsql.port}\nuser = mail\npassword = secret\ndbname = postgres\nretry_interval = 1\n" + QUERY,
                       "redis.cf": f"hosts = 127.0.0.1:{redis.port}\npassword = secret\nretry_interval = 1\n"})
    assert here.inject("a@c.test", "missing@v.test").startswith("550 5.1.1")
    assert here.inject("a@c.test", "single@v.test").startswith("250 ")
    here.wait_log(r"postfix/.*to=<one@here.test>, orig_to=<single@v.test>")
    pgsql.stop()
    try:
        assert here.inject("a@c.test", "single@v.test") == "451 4.3.0 <single@v.test>: Temporary lookup failure"
        here.wait_log(r"postfix/smtpd\[\d+\]: warning: (connect to pgsql server|pgsql query failed:) 127.0.0.1")
        here.wait_log(r"warning: proxy:pgsql:\S+ lookup error for \"single@v.test\"")
    finally:
        pgsql.start()
    harness.wait_until(lambda: here.inject("a@c.test", "single@v.test").startswith("250 "), "mail is taken again")


def test_many_lookups_at_once(pgsql, make):
    """Lookups that take long do not stand in each other's way, nor in that of the other sessions."""
    slow = "query = SELECT 'OK' FROM pg_sleep(2) WHERE '%s' <> ''\n"
    here = make(main_cf="smtpd_sender_restrictions = check_sender_access pgsql:{directory}/etc/slow.cf\n",
                files={"slow.cf": f"hosts = 127.0.0.1:{pgsql.port}\nuser = mail\npassword = secret\ndbname = postgres\ndomain = slow.test\n" + slow})
    sessions = [here.smtp() for _ in range(6)]
    for session in sessions:
        session.say("EHLO c.test")
        session.say("MAIL FROM:<x@slow.test>")
    begin = time.monotonic()
    for session in sessions:
        session.send("RCPT TO:<nobody@here.test>\r\n")
    with here.smtp() as quick:
        quick.say("EHLO c.test")
        assert quick.say("NOOP").startswith("250")
        assert select.select([session.socket for session in sessions], [], [], 0)[0] == []
    for session in sessions:
        assert session.reply().startswith("250")
        session.close()
    assert time.monotonic() - begin < 6 * 2   # one after the other it would be as long


def test_wrong_names(make):
    here = make(started=False)
    for kind in ("nis", "nisplus", "mongodb", "sdbm", "dbm"):
        done = here.command("postmap", "-q", "x", f"{kind}:/x")
        assert done.returncode == 1 and "unsupported dictionary type: " + kind in done.stderr
    listed = here.command("postconf", "-m").stdout.split()
    for kind in ("ldap", "memcache", "mysql", "pgsql", "sqlite", "proxy", "socketmap", "tcp", "unix"):
        assert kind in listed


def test_cdb(make):
    here = make(started=False, files={"t": "Anna one\nbert two\nanna three\n"})
    name = f"cdb:{here.directory}/etc/t"
    done = here.command("postmap", name)
    assert done.returncode == 0 and f'warning: {here.directory}/etc/t.cdb: duplicate entry: "anna"' in done.stderr
    assert here.command("postmap", "-q", "ANNA", name).stdout == "one\n"
    assert here.command("postmap", "-s", name).stdout == "anna\tone\nbert\ttwo\n"
    assert here.command("postmap", "-r", name).stderr == ""
    assert here.command("postmap", "-s", name).stdout == "bert\ttwo\nanna\tthree\n"
    assert here.command("postmap", "-N", name).returncode == 0
    assert here.command("postmap", "-wq", "bert", name).stdout == "two\n"
    assert here.command("postmap", "-q", "carl", name).returncode == 1
    assert "only made anew" in here.command("postmap", "-i", name, input="carl four\n").stderr
    assert here.command("postmap", "-q", "anna", name).stdout == "one\n"   # as it was
    here.write("bad.cdb", "no cdb")
    assert "bad.cdb" in here.command("postmap", "-q", "x", f"cdb:{here.directory}/etc/bad").stderr


def test_check_reads_definitions(make):
    here = make(started=False, main_cf="virtual_alias_maps = redis:{directory}/etc/none.cf, mysql:{directory}/etc/bad.cf, pgsql:{directory}/etc/good.cf, redis:old\n"
                "old_hosts = localhost\n", files={"bad.cf": "hosts = localhost\nquery = x\nexpansion_limit = many\n", "good.cf": "query = SELECT 1\n"})
    done = here.command("postfix", "check")
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert f"table redis:{here.directory}/etc/none.cf: open {here.directory}/etc/none.cf: No such file or directory" in said
    assert "bad numerical configuration: expansion_limit = many" in said
    assert "good.cf:" not in said and "old_hosts" not in said


def test_every_program_asks(make, sink):
    """smtpd, cleanup, qmgr, smtp, local and virtual, each with a table of its own."""
    server = sink()
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    here = make(started=False, main_cf="alias_maps = proxy:sqlite:{directory}/etc/alias.cf\nlocal_recipient_maps = $alias_maps\n"
                "proxy_read_maps = $alias_maps\nvirtual_alias_maps =\nrecipient_canonical_maps = sqlite:{directory}/etc/canonical.cf\n"
                "transport_maps = sqlite:{directory}/etc/transport.cf\nsmtp_generic_maps = sqlite:{directory}/etc/generic.cf\n"
                "virtual_mailbox_domains = sqlite:{directory}/etc/domain.cf\nvirtual_mailbox_maps = sqlite:{directory}/etc/mailbox.cf\n"
                "virtual_mailbox_base = {directory}/mail\nvirtual_uid_maps = static:%d\nvirtual_gid_maps = static:%d\nvirtual_minimum_uid = 1\n"
                "relay_domains = r.test\n" % (account.pw_uid, account.pw_gid))
    path = f"{here.directory}/data/t.sqlite"
    with sqlite3.connect(path) as database:
        database.executescript(f"""CREATE TABLE t (kind, k, v); INSERT INTO t VALUES ('alias', 'sales', '{here.directory}/mail/sales/'),
            ('canonical', 'old@r.test', 'new@r.test'), ('transport', 'r.test', 'smtp:[127.0.0.1]:{server.port}'), ('generic', 'x@c.test', 'y@c.test'),
            ('domain', 'm.test', 'm.test'), ('mailbox', 'anna@m.test', 'anna/');""")
    database.close()
    for kind in ("alias", "canonical", "transport", "generic", "domain", "mailbox"):
        here.write(f"{kind}.cf", f"dbpath = {path}\nquery = SELECT v FROM t WHERE kind = '{kind}' AND k = '%s'\n")
    here.command("chmod", "644", path)
    here.start()
    assert here.inject("x@c.test", "sales@here.test").startswith("250 ")
    assert here.inject("x@c.test", "old@r.test").startswith("250 ")
    assert here.inject("x@c.test", "anna@m.test").startswith("250 ")
    assert here.inject("x@c.test", "nobody@m.test").startswith("550 5.1.1")
    here.wait_queue_empty()
    assert len(here.maildir("sales")) == 1 and len(here.maildir("anna")) == 1
    assert len(server.messages) == 1 and "y@c.test" in str(server.messages[0]) and "new@r.test" in str(server.messages[0])
    assert not here.log_lines("opened too late")


@pytest.mark.parametrize("reply", [b"", b"garbage\r\n", b"VALUE x 0\r\n", b"VALUE x 0 99999999999\r\n", b"VALUE x 0 -1\r\nEND\r\n", b"VALUE x 0 3\r\nabcdefEND\r\n",
                                   b"VALUE x 0 3\r\nabc\r\nVALUE y 0 1\r\n", b"x" * 100000, b"SERVER_ERROR out of memory\r\n"])
def test_memcache_server_that_talks_nonsense(postmap, reply):
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(100)
                    connection.sendall(reply)
        threading.Thread(target=serve, daemon=True).start()
        said = postmap("memcache", f"memcache = inet:127.0.0.1:{server.getsockname()[1]}\nretry_pause = 0\n", "x")
    assert "memcache server inet:127.0.0.1" in said and "query error" in said


@pytest.mark.parametrize("kind", ["pgsql", "mysql", "ldap", "redis", "memcache"])
def test_nobody_there_is_not_not_found(postmap, make, kind):
    dead = "hosts = 127.0.0.1:1\nserver_host = 127.0.0.1:1\nmemcache = inet:127.0.0.1:1\nretry_pause = 0\nsearch_base = dc=test\nquery = GET %s\n"
    assert "query error" in postmap(kind, dead, "x@v.test")
    here = make(name="daemon", main_cf="virtual_alias_domains = v.test\nvirtual_alias_maps = " + kind + ":{directory}/etc/dead.cf\n", files={"dead.cf": dead})
    for _ in range(2):      # also when the server is known to be dead
        assert here.inject("a@c.test", "x@v.test") == "451 4.3.0 <x@v.test>: Temporary lookup failure"
