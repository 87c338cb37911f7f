"""The simulator as a process, and independent programs beside it."""

import shutil
import socket

import pytest

from tests.support import processes
from tests.support.database import Database
from tests.support.stack import Simulator, free_port, wait_for


@pytest.fixture
def simulate(tmp_path):
    """Start a simulator with some gateways; it needs no database."""
    started = []

    def start(gateways):
        started.append(Simulator(Database("none", tmp_path), tmp_path, gateways))
        return started[-1]

    yield start
    for simulator in started:
        processes.stop(simulator.process)


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """Port of a mosquitto of our own."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    assert program, "mosquitto is missing; ./prepay setup installs it"
    folder, port = tmp_path_factory.mktemp("mosquitto"), free_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    process = processes.start([program, "-c", config], folder / "mosquitto.log")

    def listens():
        assert process.poll() is None, (folder / "mosquitto.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for(listens, 10, "mosquitto listens")
        yield port
    finally:
        processes.stop(process)
