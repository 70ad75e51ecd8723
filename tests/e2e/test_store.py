"""anvil's store: files of others, damaged files, processes that are killed, counters that machines share."""
import os
import signal
import socket
import time

import harness
import table_servers
from harness import wait_until
from test_greylist import MAIN_CF, attempt


def test_a_file_of_postfix(make):
    """What Postfix's verify wrote is taken over empty."""
    here = make(main_cf=MAIN_CF + "greylist_cache_map = btree:{directory}/data/old\n", started=False)
    old = os.path.join(here.directory, "data/old")
    here.command("postmap", "-i", f"btree:{old}", input="user@x.test 0:1603456:1603456:250 2.1.5 Ok\nt:192.0.2.0/24 1603456;0;0;0;0\n", check=True)
    here.start()
    assert attempt(here, "192.0.2.1")[0].startswith("450")
    time.sleep(2.2)
    assert attempt(here, "192.0.2.1")[0].startswith("250")
    here.stop()
    rows = here.command("postmap", "-s", f"btree:{old}", check=True).stdout
    assert "user@x.test" not in rows and "t:192.0.2.0/24 a@sender.test user@here.test\tp1:" in rows
    assert not here.log_lines("anvil.*(warning|error|fatal)")


def test_a_damaged_file(make):
    here = make(main_cf=MAIN_CF, started=False)
    path = os.path.join(here.directory, "data/greylist_cache.db")
    here.write(path, "no database at all\n" * 1000)
    here.start()
    here.wait_log(r"anvil\[\d+\]: warning: cache greylist: .*/greylist_cache.db cannot be used: it is now .*/greylist_cache.db.damaged")
    assert attempt(here, "192.0.2.1")[0].startswith("450")
    time.sleep(2.2)
    here.reload()
    assert attempt(here, "192.0.2.1")[0].startswith("250")
    assert open(path + ".damaged").read(2) == "no"


def test_keeper_killed(make):
    """anvil goes on without the process that has its files."""
    here = make(main_cf=MAIN_CF)
    assert attempt(here, "192.0.2.1")[0].startswith("450")
    anvil = max(pid for pid, name in here.pids() if name == "anvil")  # the child is the younger one
    os.kill(anvil, signal.SIGKILL)
    here.wait_log(r"anvil\[\d+\]: warning: the process that keeps the files of the store has ended: going on in memory only")
    time.sleep(2.1)
    assert attempt(here, "192.0.2.1")[0].startswith("250")


def test_nothing_is_left_behind(make):
    here = make(main_cf=MAIN_CF)
    attempt(here, "192.0.2.1")
    wait_until(lambda: len([name for _, name in here.pids() if name == "anvil"]) == 2, "anvil and its keeper")
    here.stop()
    assert here.pids() == []
    files = sorted(name for name in os.listdir(os.path.join(here.directory, "data")) if name != "master.lock")
    assert files == ["anvil_store.lock", "greylist_cache.db"], "files are made when there is something in them"


def test_machines_share_counters(make):
    """anvil_counter_map: two machines, one limit."""
    redis = table_servers.Redis()
    port = harness.free_port()
    cf = (f"anvil_counter_map = redis:shared\nshared_hosts = 127.0.0.1:{redis.port}\nshared_password = secret\n"
          "smtpd_client_event_limit_exceptions =\nsmtpd_client_message_rate_limit = 3\n")
    line = f"{port} inet n - n - - smtpd -o smtpd_upstream_proxy_protocol=haproxy\n"
    try:
        one = make("one", main_cf=cf, master_cf=line)
        two = make("two", main_cf=cf + "inet_protocols = all\ninet_interfaces = ::1\n", master_cf=line, started=False)
        two.command("postfix", "start", check=True)

        def message(host):
            """MAIL in a session of one and the same client, as a load balancer names it."""
            with socket.create_connection((host, port)) as connection, connection.makefile("rb") as lines:
                for line in ("PROXY TCP4 192.0.2.7 192.0.2.1 1000 25", "EHLO client.test", "MAIL FROM:<a@x.test>"):
                    connection.sendall(line.encode() + b"\r\n")
                    while (reply := lines.readline())[3:4] == b"-":
                        pass
                return reply[:9].decode()

        wait_until(lambda: socket.socket(socket.AF_INET6).connect_ex(("::1", port)) == 0, "the other machine")
        assert [message("127.0.0.1"), message("::1"), message("::1")] == ["250 2.1.0"] * 3
        assert message("127.0.0.1") == "450 4.7.1", "the fourth of all"
        assert message("::1") == "450 4.7.1"
        redis.stop()
        assert message("127.0.0.1") == "250 2.1.0", "alone it has seen three"
    finally:
        redis.remove()
