"""Local delivery without root: aliases, files, commands, pipe, loops."""
import os
import socket

import pytest

ALIASES = """\
box: {directory}/mail/box
dir: {directory}/mail/dir/
list: box, dir
cmd: "|cat > {directory}/mail/cmd; echo $SENDER >> {directory}/mail/cmd"
fails: "|exit 69"
later: "|exit 75"
loop1: loop2
loop2: loop1
nobody-there: no-such-user-here
included: :include:{directory}/etc/members
"""


def local(make, **settings):
    here = make(started=False, main_cf="allow_mail_to_files = alias,include\nallow_mail_to_commands = alias\nalias_maps = texthash:{directory}/etc/alias_rows\n", **settings)
    rows = ALIASES.format(directory=here.directory)
    here.write("alias_rows", "".join(line.replace(": ", " ", 1) + "\n" for line in rows.splitlines()))
    here.write("members", "# comment\nbox\n")
    return here.start()


def read(here, name):
    with open(os.path.join(here.directory, "mail", name)) as f:
        return f.read()


def test_file_maildir_and_command(make):
    here = local(make)
    here.inject("a@client.test", ["box@here.test", "dir@here.test", "cmd@here.test"], "Subject: three ways\n\nFrom here\n")
    here.wait_log("status=sent", 3)
    box = read(here, "box")
    assert box.startswith("From a@client.test  ") and "Delivered-To: box@here.test\n" in box and "\n>From here\n" in box
    assert "Subject: three ways" in here.maildir("dir")[0] and "\nFrom here\n" in here.maildir("dir")[0]
    assert read(here, "cmd").endswith("a@client.test\n")
    here.wait_queue_empty()


def test_expansion_and_failures(make):
    here = local(make)
    here.inject("", ["list@here.test", "fails@here.test", "later@here.test", "loop1@here.test", "nobody-there@here.test"])
    here.wait_log(r"to=<fails@here\.test>.*dsn=5\.3\.0, status=bounced \(service unavailable\)")
    here.wait_log(r"to=<later@here\.test>.*dsn=4\.3\.0, status=deferred \(temporary failure\)")
    here.wait_log(r"orig_to=<loop1@here\.test>.*status=bounced \(alias database loop for loop2\)")
    here.wait_log(r"to=<no-such-user-here@here\.test>, orig_to=<nobody-there@here\.test>.*dsn=5\.1\.1, status=bounced \(unknown user: \"no-such-user-here\"\)")
    here.wait_log(r"to=<list@here\.test>, relay=local.*status=sent \(delivered to file: .*/box\)")
    assert len(here.maildir("dir")) == 1


def test_an_extension_with_a_slash_is_none(make):
    here = local(make)
    here.command("postconf", "-e", "recipient_delimiter = +", check=True)
    here.reload()
    here.inject("a@client.test", "cmd+a/b@here.test")
    here.wait_log(r"warning: \w+: address with illegal extension: cmd\+a/b$")
    here.wait_log(r"to=<cmd\+a/b@here\.test>, relay=local, .*status=sent \(delivered to command: ")


def test_forwarding_loop_is_found(make):
    here = local(make)
    here.inject("", "box@here.test", "Delivered-To: box@here.test\nSubject: again\n\nx\n")
    here.wait_log(r"dsn=5\.4\.6, status=bounced \(mail forwarding loop for box@here\.test\)")


def test_pipe(make):
    here = make(main_cf="default_transport = filter\nfilter_destination_recipient_limit = 1\n",
                master_cf="filter unix - n n - - pipe\n  flags=DROhu user={user} argv=/bin/sh -c {{ cat > {directory}/mail/$$0; echo done }} ${{mailbox}} ${{nexthop}}\n")
    here.inject("a@client.test", "Some.User+x@Remote.test")
    here.wait_log(r"pipe\[\d+\]: \w+: to=<Some\.User\+x@Remote\.test>, relay=filter, .*status=sent \(delivered via filter service \(done\)\)")
    text = read(here, "some.user+x")
    assert text.startswith("Return-Path: <a@client.test>\nX-Original-To: Some.User+x@Remote.test\nDelivered-To: Some.User+x@Remote.test\nReceived: ")


def test_sendmail_options(make):
    here = local(make)
    here.command("sendmail", "-t", "-f", "boss@client.test", input="To: box@here.test\nBcc: dir@here.test\nSubject: minus t\n\nx\n", check=True)
    here.wait_log("status=sent", 2)
    assert "Bcc" not in read(here, "box") and len(here.maildir("dir")) == 1
    done = here.command("sendmail", input="x\n")
    assert done.returncode == 75 and "Recipient addresses must be specified" in done.stderr
    assert here.command("sendmail", "-bp").stdout == "Mail queue is empty\n"
    done = here.command("sendmail", "-bs", input="EHLO x\r\nQUIT\r\n")
    assert done.stdout.startswith("220 here.test ESMTP Postfix")


def test_what_a_command_says_is_told_as_postfix_tells_it(make):
    here = local(make)
    here.command("postconf", "recipient_delimiter = +", check=True)
    with open(os.path.join(here.directory, "etc", "alias_rows"), "a") as rows:
        rows.write('missing "|/no/such/command x"\nspeaks "|echo 5.7.9 go away; exit 69"\nodd "|echo some output; exit 3"\nsilent "|exit 3"\n'
                   'shell "|env > %s/mail/env; umask >> %s/mail/env"\nnofile /no/such/dir/file\n' % (here.directory, here.directory))
    here.reload()
    here.inject("box@here.test", ["missing@here.test", "speaks@here.test", "odd@here.test", "silent@here.test", "Shell+Ext@here.test", "nofile@here.test"])
    here.wait_log(r"to=<missing@here\.test>.*dsn=4\.3\.0, status=deferred \(temporary failure\. Command output: "
                  r"local: fatal: execvp /no/such/command: No such file or directory \)")
    here.wait_log(r"local\[\d+\]: fatal: execvp /no/such/command: No such file or directory")
    here.wait_log(r"to=<speaks@here\.test>.*dsn=5\.7\.9, status=bounced \(go away \)")
    here.wait_log(r"warning: unable to create lock file /no/such/dir/file\.lock: No such file or directory")
    here.wait_log(r"to=<nofile@here\.test>.*dsn=5\.2\.0, status=bounced \(cannot append message to file /no/such/dir/file: "
                  r"cannot create file exclusively: No such file or directory\)")
    here.wait_log(r"to=<Shell\+Ext@here\.test>.*status=sent")
    environment = read(here, "env")
    assert "PATH=/usr/bin:/bin\n" in environment and "EXTENSION=ext\n" in environment and "LOCAL=shell+ext\n" in environment
    assert "RECIPIENT=Shell+Ext@here.test\n" in environment and environment.endswith("0077\n")
    here.wait_log(r"sender non-delivery notification")
    here.wait_log(r"to=<box@here\.test>.*status=sent")
    notice = read(here, "box")
    assert "Diagnostic-Code: x-unix; some output\n" in notice and "Diagnostic-Code: x-unix; unknown mail system error 3\n" in notice
    assert "\n    some output\n" in notice or "Command output: some output\n" in notice.replace("\n    ", " ")
    assert "Diagnostic-Code: x-unix; go away\n" in notice


def test_success_notices_end_where_an_alias_begins(make):
    here = local(make)
    with here.smtp() as smtp:
        for line in ("EHLO client.test", "MAIL FROM:<box@here.test> ENVID=e1", "RCPT TO:<list@here.test> NOTIFY=SUCCESS,FAILURE"):
            smtp.say(line)
        assert smtp.say("DATA").startswith("354")
        assert smtp.say("Subject: expanded\r\n\r\nHello.\r\n.").startswith("250")
    here.wait_log("sender delivery status notification")
    here.wait_log(r"to=<box@here\.test>.*delivered to file", 2)
    notice = [text for text in read(here, "box").split("\nFrom ") if "Original-Envelope-Id: e1" in text][0]
    assert "\n<list@here.test>: delivery via local: alias expanded\n" in notice and notice.count("Final-Recipient:") == 1
    assert "\nFinal-Recipient: rfc822; list@here.test\nOriginal-Recipient: rfc822;list@here.test\nAction: expanded\nStatus: 2.0.0\n" in notice
    assert "\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n" in notice
    assert "\nContent-Type: message/delivery-status\n\n" in notice


def test_pipe_services_that_cannot_work(make):
    here = make(main_cf="default_transport = several\nlocal_transport = macro\n",
                master_cf="several unix - n n - - pipe\n  flags=D user={user} argv=/bin/true\n"
                          "macro unix - n n - - pipe\n  user={user} argv=/bin/echo ${{foo}}\n")
    here.inject("a@client.test", "u@here.test")
    here.wait_log(r'warning: file .*/master\.cf: service macro: unknown macro name: "foo"')
    here.wait_log(r"to=<u@here\.test>.*dsn=4\.3\.5, status=deferred \(mail system configuration error\)")
    here.inject("a@client.test", ["x@remote.test", "y@remote.test"])
    here.wait_log(r"warning: pipe flag `D' requires several_destination_recipient_limit = 1")
    here.wait_log(r"to=<[xy]@remote\.test>.*dsn=4\.3\.5, status=deferred \(mail system configuration error\)", 2)
    here.inject("a@client.test", "z@remote.test")
    here.wait_log(r"to=<z@remote\.test>.*status=sent \(delivered via several service\)")


def test_mailbox_command_is_the_shells(make):
    here = make(started=False, main_cf="allow_mail_to_commands = alias\nalias_maps = texthash:{directory}/etc/alias_rows\nrecipient_delimiter = +\n"
                                       "mailbox_command = echo \"$USER:$EXTENSION:$local\" >> {directory}/mail/out\nfrozen_delivered_to = no\n"
                                       "forward_path =\n")
    here.write("alias_rows", 'where "|cat > %s/mail/message"\nfirst where\n' % here.directory)
    here.start()
    here.inject("a@client.test", [f"{here.user}+Ext@here.test", "first@here.test"])
    here.wait_log(r"status=sent \(delivered to command: echo \"\$USER:\$EXTENSION:\$local\" >> ")
    assert read(here, "out") == f"{here.user}:ext:\n"
    here.wait_log(r"to=<where@here\.test>, orig_to=<first@here\.test>.*status=sent")
    assert "\nDelivered-To: where@here.test\n" in read(here, "message")


def test_a_code_that_contradicts_the_transport_says_nothing(make):
    here = make(main_cf="local_recipient_maps =\nlocal_transport = error:4.7.1 temporary text\n"
                        "smtpd_recipient_restrictions = permit_mynetworks\nsmtpd_reject_unlisted_recipient = no\n")
    here.command("sendmail", "-f", "a@client.test", "u@here.test", input="Subject: x\n\nx\n")
    here.wait_log(r'warning: bounce_append: ignoring dsn code "4\.7\.1"')
    here.wait_log(r"to=<u@here\.test>.*dsn=5\.0\.0, status=bounced \(temporary text\)")


def test_lists_with_an_owner(make, sink):
    """Addresses of include files outlive the file; nothing is sent on while a part has to be tried again; the list's address does not show."""
    remote = sink()
    here = make(started=False, main_cf=f"relayhost = [127.0.0.1]:{remote.port}\nallow_mail_to_commands = alias,include\n"
                                       "alias_maps = texthash:{directory}/etc/alias_rows\n")
    here.write("alias_rows", "list :include:%s/etc/members\nowner-list boss@remote.test\nhalf later@remote.test, \"|exit 75\"\nowner-half boss@remote.test\n"
                             "outer Nested\nowner-outer boss@remote.test\nnested \"|exit 0\"\n"
                             "broken \"|exit 69\"\nowner-broken boss@remote.test\n" % here.directory)
    here.write("members", "".join(f"member{i}@remote.test\n" for i in range(40)) + '"|cat > /dev/null"\n')
    here.start()
    here.inject("a@client.test", "List@here.test")
    messages = remote.wait_messages(1)
    recipients = sorted(recipient for message in messages for recipient in message[1])
    assert recipients == sorted(f"member{i}@remote.test" for i in range(40)) and messages[0][0] == "owner-list@here.test"
    assert "\r\nDelivered-To: list@here.test\r\n" in messages[0][2]
    here.inject("a@client.test", "half@here.test")
    here.wait_log(r"to=<half@here\.test>.*status=deferred")
    here.inject("a@client.test", "outer@here.test")
    here.wait_log(r": to=<Nested@here\.test>, relay=local,.*delivered to command: exit 0")
    here.wait_log("forwarded as")
    assert not any("later@remote.test" in message[1] for message in remote.wait_messages(1))
    here.inject("a@client.test", "broken@here.test")
    here.wait_log(r"to=<broken@here\.test>.*status=bounced \(service unavailable\)")
    here.wait_log(r"sender non-delivery notification")
    notice = [message for message in remote.wait_messages(2) if "Undelivered" in message[2]]
    assert notice[0][1] == ["boss@remote.test"] and "\r\nTo: owner-broken@here.test\r\n" in notice[0][2]
    assert "\r\nX-Postfix-Sender: rfc822; a@client.test\r\n" in notice[0][2] and "Original-Recipient" not in notice[0][2]


def test_nested_aliases_make_one_message(make, sink):
    remote = sink()
    here = make(started=False, main_cf=f"relayhost = [127.0.0.1]:{remote.port}\nalias_maps = texthash:{{directory}}/etc/alias_rows\n")
    here.write("alias_rows", "outer inner, a@remote.test\ninner b@remote.test, innermost\ninnermost c@remote.test\n")
    here.start()
    here.inject("a@client.test", "outer@here.test")
    here.wait_queue_empty()
    message, = remote.wait_messages(1)
    assert sorted(message[1]) == ["a@remote.test", "b@remote.test", "c@remote.test"] and message[2].count("\r\nDelivered-To: outer@here.test\r\n") == 1


def test_comsat_hears_of_mail(make):
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        listener.bind(("127.0.0.1", 512))
    except PermissionError:
        pytest.skip("only root may listen at port 512")
    listener.settimeout(20)
    here = make(main_cf="biff = yes\nhome_mailbox =\nmail_spool_directory = {directory}/mail\n")
    for offset in (0, None):
        here.inject("a@here.test", f"{here.user}@here.test")
        user, where = listener.recv(200).rstrip(b"\0").decode().split("@")
        assert user == here.user and (int(where) == offset or (offset is None and int(where) > 0))
    listener.close()
