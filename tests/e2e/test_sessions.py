"""SMTP sessions over time: deadlines, limits by client, load balancers, reload and stop."""
import socket
import time


def lines_until_closed(sock):
    data = b""
    try:
        while chunk := sock.recv(4096):
            data += chunk
    except ConnectionResetError:
        pass
    return data.decode("latin-1").splitlines()


def test_a_client_that_trickles_bytes_is_cut_off(make):
    here = make(main_cf="smtpd_timeout = 2s\n")
    with here.smtp() as smtp:
        for line in ("EHLO x", "MAIL FROM:<a@b.test>", "RCPT TO:<postmaster>", "DATA"):
            reply = smtp.say(line)
        assert reply.startswith("354")
        begun = time.monotonic()
        try:
            while time.monotonic() - begun < 20:
                smtp.socket.sendall(b"x")
                time.sleep(0.3)
        except OSError:
            pass
        assert 1.5 < time.monotonic() - begun < 15
    here.wait_log(r"timeout after DATA \(0 bytes\) from localhost\[127\.0\.0\.1\]")


def test_a_silent_client_is_told_so(make):
    here = make(main_cf="smtpd_timeout = 1s\n")
    with here.smtp() as smtp:
        assert lines_until_closed(smtp.socket) == ["421 4.4.2 here.test Error: timeout exceeded"]
    here.wait_log(r"timeout after CONNECT from localhost\[127\.0\.0\.1\]")


def test_limits_by_client(make):
    here = make(main_cf="smtpd_client_event_limit_exceptions =\nsmtpd_client_connection_count_limit = 2\nsmtpd_client_message_rate_limit = 2\n")
    with here.smtp() as one, here.smtp():
        with here.smtp() as three:
            assert three.greeting == "421 4.7.0 here.test Error: too many connections from 127.0.0.1"
        one.say("EHLO x")
        for _ in range(2):
            assert one.say("MAIL FROM:<a@b.test>") == "250 2.1.0 Ok"
            one.say("RSET")
        assert one.say("MAIL FROM:<a@b.test>") == "450 4.7.1 Error: too much mail from 127.0.0.1"
        one.say("QUIT")
    here.wait_log(r"warning: Connection concurrency limit exceeded: 3 from localhost\[127\.0\.0\.1\] for service 127\.0\.0\.1:\d+")
    here.wait_log(r"warning: Message delivery request rate limit exceeded: 3 from localhost")
    with here.smtp() as again:
        assert again.greeting.startswith("220 ")


def test_a_load_balancer_tells_who_the_client_is(make):
    here = make(main_cf="smtpd_upstream_proxy_protocol = haproxy\nsmtpd_peername_lookup = no\n")
    with socket.create_connection(("127.0.0.1", here.port)) as sock:
        sock.sendall(b"PROXY TCP4 192.0.2.9 127.0.0.1 4711 25\r\n")
        assert sock.recv(100).startswith(b"220 ")
        sock.sendall(b"QUIT\r\n")
        assert lines_until_closed(sock) == ["221 2.0.0 Bye"]
    here.wait_log(r"connect from unknown\[192\.0\.2\.9\]")
    with socket.create_connection(("127.0.0.1", here.port)) as sock:
        sock.sendall(b"EHLO x\r\n")
        assert lines_until_closed(sock) == ["421 4.3.0 here.test Server local error"]


def test_no_room_in_the_queue(make):
    here = make(main_cf="queue_minfree = 9000000000000000000\n")
    assert here.inject("a@b.test", "postmaster@here.test") == "452 4.3.1 Insufficient system storage"


def test_a_session_outlives_a_reload_and_ends_with_the_system(make):
    here = make()
    smtp = here.smtp()
    assert smtp.say("EHLO x").startswith("250-here.test")
    here.command("postconf", "-e", "smtpd_banner = new", check=True)
    here.reload()
    with here.smtp() as other:
        other_greeting = other.greeting
        deadline = time.monotonic() + 10
        while other_greeting != "220 new" and time.monotonic() < deadline:
            time.sleep(0.1)
            with here.smtp() as another:
                other_greeting = another.greeting
    assert other_greeting == "220 new"
    assert smtp.say("MAIL FROM:<a@b.test>") == "250 2.1.0 Ok"
    assert smtp.say("RCPT TO:<postmaster>") == "250 2.1.5 Ok"
    begun = time.monotonic()
    here.stop()
    assert time.monotonic() - begun < 30
    assert lines_until_closed(smtp.socket) == []


def test_helo_does_not_take_ehlo_back(make):
    here = make(main_cf="smtpd_authorized_xclient_hosts = 127.0.0.1\nsmtpd_delay_reject = no\nsmtpd_client_restrictions = check_client_access inline:{{ {{192.0.2.9 = REJECT}} }}\nmynetworks =\n")
    with here.smtp() as smtp:
        for line in ("HELO client.test", "MAIL FROM:<a@b.test>", "RCPT TO:<x@far.test>", "EHLO client.test", "HELO client.test", "MAIL FROM:<a@b.test>", "RCPT TO:<x@far.test>"):
            smtp.say(line)
        here.wait_log("reject: RCPT from .*proto=SMTP helo=<client.test>")
        here.wait_log("reject: RCPT from .*proto=ESMTP helo=<client.test>")
        smtp.say("RSET")
        assert smtp.say("XCLIENT ADDR=192.0.2.9").startswith("554 5.7.1 ")
    here.wait_log(r"NOQUEUE: reject: XCLIENT from localhost\[192.0.2.9\]: 554 5.7.1 ")


def test_smtputf8_where_it_must_be_declared(make):
    here = make(main_cf="strict_smtputf8 = yes\nstrict_7bit_headers = yes\nlocal_recipient_maps =\nlocal_transport = discard\n")
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        assert smtp.say("VRFY \u00fc@here.test") == "553 5.6.7 Must declare SMTPUTF8 to send unicode address"
        assert smtp.say("VRFY \u00fc@here.test SMTPUTF8").startswith("252 2.0.0 ")
        smtp.say("MAIL FROM:<\u00fc@b.test> SMTPUTF8")
        smtp.say("RCPT TO:<x@here.test>")
        assert smtp.data("Subject: \u00fc\n\nx\n") == "550 5.6.0 improper use of 8-bit data in message header"


def test_client_told_by_xclient(make):
    here = make(main_cf="smtpd_authorized_xclient_hosts = 127.0.0.1\nsmtpd_authorized_xforward_hosts = 127.0.0.1\nlocal_recipient_maps =\n"
                        "transport_maps = inline:{{ {{dead@here.test = error:5.1.7 gone}} }}\nlocal_transport = discard\n"
                        "recipient_bcc_maps = inline:{{ {{a@here.test = box@here.test}} }}\nmailbox_transport =\n")
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        assert smtp.say("XCLIENT HELO=") == "501 5.5.4 Error: attribute=value expected"
        assert smtp.say("XFORWARD NAME=") == "501 5.5.4 Error: attribute=value expected"
        assert smtp.say("XCLIENT NAME=far.test ADDR=192.0.2.1").startswith("220 ")
        for line in ("EHLO far.test", "MAIL FROM:<a@b.test>"):
            smtp.say(line)
        assert smtp.say("RCPT TO:<dead@here.test>") == "550 5.1.3 <dead@here.test>: Recipient address rejected: gone"
        for line in ("RCPT TO:<a@here.test>", "DATA"):
            smtp.say(line)
        smtp.say("Subject: x\r\n\r\nbody\r\n.")
    here.wait_log(r"message-id=<\w+\.\w+@")  # the client that is really there has its headers completed


def test_dialogues_of_some_peers_are_logged(make, sink):
    remote = sink()
    here = make(main_cf=f"debug_peer_list = 127.0.0.1\nrelayhost = [127.0.0.1]:mailhub\nknown_tcp_ports = lmtp=24, hub=mailhub={remote.port}\n"
                        "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = file\nsmtpd_sasl_path = inline:{{ {{a=x}} }}\n")
    with here.smtp() as smtp:
        smtp.say("EHLO client.test")
        smtp.say("AUTH PLAIN AGEAYg==")
    here.inject("a@here.test", "b@remote.test")
    here.wait_log(r"smtpd\[\d+\]: < localhost\[127\.0\.0\.1\]: EHLO client\.test")
    here.wait_log(r"smtpd\[\d+\]: > localhost\[127\.0\.0\.1\]: 250-PIPELINING")
    here.wait_log(r"smtpd\[\d+\]: < localhost\[127\.0\.0\.1\]: AUTH PLAIN")
    assert "AGEAYg" not in here.log()
    here.wait_log(rf"smtp\[\d+\]: > 127\.0\.0\.1\[127\.0\.0\.1\]:{remote.port}: MAIL FROM:<a@here\.test>")
    here.wait_log(rf"smtp\[\d+\]: < 127\.0\.0\.1\[127\.0\.0\.1\]:{remote.port}: 354 go ahead")
