"""Fixtures: instances that are stopped and removed after the test, whatever happened."""
import os
import shutil
import sys
import tempfile

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
import harness  # noqa: E402
import milter_server  # noqa: E402


@pytest.fixture
def base():
    path = tempfile.mkdtemp(prefix="postern-e2e-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def make(base):
    """make(name, ...) starts an Instance; all end with the test."""
    made = []

    def start(name="here", started=True, **settings):
        instance = harness.Instance(name, base=base, **settings)
        made.append(instance)
        if started:
            instance.start()
        return instance

    yield start
    for instance in made:
        instance.cleanup()


@pytest.fixture
def sink():
    """sink(...) makes an SMTP server."""
    made = []

    def start(**settings):
        server = harness.Sink(**settings)
        made.append(server)
        return server

    yield start
    for server in made:
        server.close()


@pytest.fixture
def dns():
    """dns(zone) makes a name server."""
    made = []

    def start(zone):
        server = harness.Dns(zone)
        made.append(server)
        return server

    yield start
    for server in made:
        server.close()


@pytest.fixture
def filter():
    """filter(script, ...) makes a mail filter."""
    made = []

    def start(script=None, kind=milter_server.MilterServer, **settings):
        server = kind(script, **settings)
        made.append(server)
        return server

    yield start
    for server in made:
        server.close()
