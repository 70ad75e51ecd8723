"""table_servers.py - private database servers for tests: in a directory of their own, on loopback, as an ordinary user, ended by their pid.

A server whose package is not installed is a failure, not a skipped test: ./setup packages installs them all.
"""
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile

import harness


def program(name, package):
    """Its path; an error that names the package when it is not installed."""
    for directory in sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True) + ["/usr/bin", "/usr/sbin"]:
        path = os.path.join(directory, name)
        if os.access(path, os.X_OK):
            return path
    raise AssertionError(f"{name} is not here: install the package {package} (./setup packages)")


class Server:
    """A process that answers at a port; start, stop and start again."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="postern-db-")
        self.port = harness.free_port()
        account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self.account = account
        self.process = None
        self.extra = dict(user=account.pw_uid, group=account.pw_gid, extra_groups=[]) if os.geteuid() == 0 else {}
        os.chmod(self.directory, 0o755)
        self.own(self.directory)

    def path(self, name):
        return os.path.join(self.directory, name)

    def own(self, path):
        if os.geteuid() == 0:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def write(self, name, text):
        with open(self.path(name), "w") as out:
            out.write(text)
        self.own(self.path(name))
        return self.path(name)

    def run(self, *argv, input=None):
        environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": self.directory, "LANG": "C.UTF-8"}
        done = subprocess.run(argv, input=input, capture_output=True, text=True, cwd=self.directory, env=environment, timeout=120, **self.extra)
        if done.returncode:
            raise AssertionError(f"{argv}: exit {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def start(self):
        with open(self.path("server.log"), "ab") as log:
            self.process = subprocess.Popen(self.arguments(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.directory,
                                            env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": self.directory, "LANG": "C.UTF-8"}, **self.extra)
        harness.wait_until(self.answers, f"{self.arguments()[0]} at port {self.port}", 60)
        return self

    def answers(self):
        import socket
        if self.process.poll() is not None:
            with open(self.path("server.log"), errors="replace") as log:
                raise AssertionError(f"{self.arguments()[0]} ended: {log.read()[-3000:]}")
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def remove(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def certificates(self):
        """ca.pem, cert.pem, key.pem for localhost and 127.0.0.1."""
        subject = "subjectAltName=DNS:localhost,IP:127.0.0.1"
        extensions = self.write("ext", subject + "\n")
        new = ("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        self.run(*new, "-x509", "-days", "2", "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem")
        self.run(*new, "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "req.pem")
        self.run("openssl", "x509", "-req", "-days", "2", "-in", "req.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                 "-extfile", extensions, "-out", "cert.pem")


class PostgreSql(Server):
    def __init__(self, sql):
        super().__init__()
        self.certificates()
        self.write("password", "secret\n")
        self.run(program("initdb", "postgresql"), "-D", self.path("data"), "-U", "mail", "--auth-host=scram-sha-256", "--auth-local=trust",
                 "--pwfile=password", "-E", "UTF8", "--no-sync", "--no-instructions")
        self.start()
        harness.wait_until(lambda: self._is_ready(), "PostgreSQL takes queries", 30)
        self.sql(sql)

    def _is_ready(self):
        try:
            return self.sql("SELECT 1;") is not None
        except AssertionError:
            return False

    def arguments(self):
        return [program("postgres", "postgresql"), "-D", self.path("data"), "-k", self.directory, "-p", str(self.port), "-h", "127.0.0.1", "-F",
                "-c", "ssl=on", "-c", f"ssl_cert_file={self.path('cert.pem')}", "-c", f"ssl_key_file={self.path('key.pem')}"]

    def sql(self, text):
        return self.run(program("psql", "postgresql-client"), "-X", "-q", "-h", self.directory, "-p", str(self.port), "-U", "mail", "postgres",
                        "-v", "ON_ERROR_STOP=1", input=text)

    def stop(self, how=signal.SIGINT):
        super().stop(how)  # SIGINT: fast shutdown, clients are sent away


class MariaDb(Server):
    def __init__(self, sql):
        super().__init__()
        self.certificates()
        self.run(program("mariadb-install-db", "mariadb-server"), "--no-defaults", f"--datadir={self.path('data')}", "--skip-test-db",
                 "--auth-root-authentication-method=normal")
        self.start()
        self.sql(sql)

    def arguments(self):
        return [program("mariadbd", "mariadb-server"), "--no-defaults", f"--datadir={self.path('data')}", f"--socket={self.path('s')}",
                f"--port={self.port}", "--bind-address=127.0.0.1", "--skip-name-resolve", f"--pid-file={self.path('pid')}",
                f"--ssl-ca={self.path('ca.pem')}", f"--ssl-cert={self.path('cert.pem')}", f"--ssl-key={self.path('key.pem')}",
                "--innodb-buffer-pool-size=8M", "--innodb-flush-log-at-trx-commit=0"]

    def sql(self, text):
        return self.run(program("mariadb", "mariadb-client"), "--no-defaults", f"--socket={self.path('s')}", "-u", "root", input=text)


class OpenLdap(Server):
    def __init__(self, ldif):
        super().__init__()
        self.certificates()
        os.mkdir(self.path("db"))
        self.own(self.path("db"))
        self.write("slapd.conf", f"""\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {self.path('pid')}
TLSCACertificateFile {self.path('ca.pem')}
TLSCertificateFile {self.path('cert.pem')}
TLSCertificateKeyFile {self.path('key.pem')}
database mdb
suffix "dc=test"
rootdn "cn=admin,dc=test"
rootpw secret
directory {self.path('db')}
access to * by dn.exact="cn=admin,dc=test" write by anonymous auth by users read
""")
        self.write("data.ldif", ldif)
        self.run(program("slapadd", "slapd"), "-f", self.path("slapd.conf"), "-l", self.path("data.ldif"))
        self.start()

    def arguments(self):
        return [program("slapd", "slapd"), "-d", "0", "-f", self.path("slapd.conf"), "-h", f"ldap://127.0.0.1:{self.port}/"]


class Redis(Server):
    def __init__(self):
        super().__init__()
        self.certificates()
        self.tls_port = harness.free_port()
        self.start()

    def arguments(self):
        return [program("redis-server", "redis-server"), "--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", self.path("s"), "--unixsocketperm",
                "777", "--requirepass", "secret", "--save", "", "--dir", self.directory, "--tls-port", str(self.tls_port), "--tls-cert-file",
                self.path("cert.pem"), "--tls-key-file", self.path("key.pem"), "--tls-ca-cert-file", self.path("ca.pem"), "--tls-auth-clients", "no"]

    def command(self, *words):
        return self.run(program("redis-cli", "redis-tools"), "-p", str(self.port), "-a", "secret", "--no-auth-warning", *words)


class Memcached(Server):
    def __init__(self):
        super().__init__()
        self.start()

    def arguments(self):
        return [program("memcached", "memcached"), "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-m", "8"]
