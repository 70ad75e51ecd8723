"""import_environment: what the mail system takes from who starts it; export_environment: what commands get from the mail system."""
import socket

from harness import free_port


def test_environment_of_commands(make):
    port = free_port()
    here = make(main_cf="import_environment = MAIL_CONFIG TZ {{ OWN = from main.cf }} HOME\nexport_environment = TZ MAIL_CONFIG OWN {{ ADDED = a b }}\n",
                master_cf=f"127.0.0.1:{port} inet n n n - - spawn user={{user}} argv=/usr/bin/env\n")
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        text = connection.makefile().read()
    assert sorted(line for line in text.splitlines() if not line.startswith("PATH=")) == [
        "ADDED=a b", f"MAIL_CONFIG={here.directory}/etc", "OWN=from main.cf", "TZ=UTC"]
