"""A change that somebody writes into the database reaches an open room board, whoever wrote it."""

import json
import time

import pytest
import requests
import websocket

from tests.support import processes
from tests.support.database import clone_database, drop
from tests.support.stack import User, free_port, wait_for

CHANNEL = "prepay_room_board"
#: What is written, and what is heard of it: kind and the column with its id.
CHANGES = [
    ("UPDATE prepay_meter_state SET relay_reported = 'open', online = NOT online WHERE id = %(state)s", "s"),
    ("UPDATE prepay_meter SET is_protected = is_protected IS NOT TRUE WHERE id = %(meter)s", "m"),
    (
        "INSERT INTO prepay_meter_command (meter_id, target, epoch, cause, reason, state, requested_at) "
        "VALUES (%(meter)s, 'open', 4711, 'test', 'test', 'queued', now())",
        "m",
    ),
    ("UPDATE prepay_meter_command SET state = 'sent' WHERE meter_id = %(meter)s AND epoch = 4711", "m"),
    ("UPDATE prepay_account SET level = 'alarm2' WHERE id = %(account)s", "a"),
    ("UPDATE prepay_account_meter SET end_at = now() WHERE account_id = %(account)s", "a"),
    (
        "INSERT INTO prepay_ledger_entry (account_id, company_id, kind, bucket, amount, key, at, reason, user_id) "
        "SELECT id, company_id, 'topup', 'principal', 5, 'board', now(), 'test', 1 FROM prepay_account "
        "WHERE id = %(account)s",
        "a",
    ),
]  # fmt: skip
#: What moves no tile, or too many: polling that finds nothing new, and consumption posted in bulk.
SILENT = [
    "UPDATE prepay_meter_state SET last_seen = now(), power_w = 7, last_value = 9 WHERE id = %(state)s",
    "UPDATE prepay_account SET days_left = 3 WHERE id = %(account)s",
    "INSERT INTO prepay_ledger_entry (account_id, company_id, kind, bucket, amount, key, at, reason, user_id) "
    "SELECT id, company_id, 'charge', 'principal', -5, 'board2', now(), 'test', 1 FROM prepay_account "
    "WHERE id = %(account)s",
]


class Site:
    def __init__(self, folder) -> None:
        self.database = clone_database("live")
        self.connection = self.database.connect(autocommit=True)
        self.ids = self.connection.execute(
            "SELECT m.state_id AS state, m.id AS meter, a.id AS account, a.location_id AS place "
            "FROM prepay_account a JOIN prepay_account_meter i ON i.account_id = a.id AND i.end_at IS NULL "
            "JOIN prepay_meter m ON m.id = i.meter_id WHERE a.state = 'open' ORDER BY a.id LIMIT 1"
        ).fetchone()
        self.ids = dict(zip(("state", "meter", "account", "place"), self.ids))
        self.folder, self.server = folder, None

    def write(self, statement: str) -> None:
        self.connection.execute(statement, self.ids)

    def serve(self) -> str:
        port = free_port()
        config = self.database.write_config(self.folder, http_port=port)
        self.server = processes.start(self.database.odoo(config), self.folder / "odoo.log")
        url = f"http://127.0.0.1:{port}"

        def answers():
            try:
                return requests.get(f"{url}/web/login", timeout=60).ok
            except requests.ConnectionError:
                return False

        wait_for(answers, 120, "Odoo answers", pause=0.2)
        return url

    def close(self) -> None:
        if self.server:
            processes.stop(self.server)
        self.connection.close()
        drop(self.database)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    running = Site(tmp_path_factory.mktemp("live"))
    try:
        yield running
    finally:
        running.close()


def test_the_database_names_what_has_changed(site):
    with site.database.connect(autocommit=True) as ear:
        ear.execute("LISTEN prepay_room")

        def heard():
            return {notify.payload for notify in ear.notifies(timeout=0.3)}

        for statement, kind in CHANGES:
            site.write(statement)
            key = {"s": "state", "m": "meter", "a": "account"}[kind]
            assert heard() == {f"{kind}{site.ids[key]}"}, statement
        for statement in SILENT:
            site.write(statement)
            assert heard() == set(), statement


def test_a_board_hears_it(site):
    url = site.serve()
    user = User(url, site.database.name, "admin")
    page = user.session.get(f"{url}/odoo", timeout=120).text
    version = page.split('"websocket_worker_version": "', 1)[1].split('"', 1)[0]
    socket = websocket.create_connection(
        f"{url.replace('http', 'ws')}/websocket?version={version}",
        cookie=f"session_id={user.session.cookies['session_id']}",
        origin=url,
        timeout=10,
    )
    try:
        data = {"channels": [CHANNEL], "last": 0}
        socket.send(json.dumps({"event_name": "subscribe", "data": data}))
        until = time.monotonic() + 30
        while True:  # the first change may come before the server listens
            assert time.monotonic() < until, "nothing was heard"
            site.write("UPDATE prepay_meter_state SET online = NOT online WHERE id = %(state)s")
            try:
                socket.settimeout(3)
                messages = [row["message"] for row in json.loads(socket.recv())]
            except websocket.WebSocketTimeoutException:
                continue
            told = [message["payload"] for message in messages if message["type"] == CHANNEL]
            if told:
                break
        assert told[0] == {"places": [site.ids["place"]]}
    finally:
        socket.close()
