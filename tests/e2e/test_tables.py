"""Tables behind servers: what clients and postmap's users see of their failures."""
import socket
import threading


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
