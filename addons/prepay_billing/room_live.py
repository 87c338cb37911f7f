"""From changes in the database to the open room boards.

Collectors and scheduled jobs write past the ORM, so the database itself says what has changed (triggers of
``prepay.room.board``). One thread for each database that has boards open, in a process that serves
websockets, hears it, gathers for a moment and sends it on by the bus. Of several such processes one
works and the others stand by: whoever holds the lock.
"""

import logging
import selectors
import threading
import time

from odoo import SUPERUSER_ID, api
from odoo.modules import module
from odoo.modules.registry import Registry
from odoo.sql_db import db_connect

from odoo.addons.bus.models.bus import stop_event

_logger = logging.getLogger(__name__)

#: Seconds for which changes are gathered, so that many make one notification.
GATHER = 0.5
#: Seconds between two attempts, and between two looks whether the server stops.
PAUSE = 15
#: Advisory lock of the one that works: "room" in ASCII.
LOCK = 0x726F6F6D

_threads = {}
_lock = threading.Lock()


def listen(dbname):
    """See to it that changes of this database reach its boards; returns at once."""
    if module.current_test:
        return  # a second connection would see nothing of the test's transaction
    with _lock:
        thread = _threads.get(dbname)
        if thread is None or not thread.is_alive():
            thread = threading.Thread(
                target=_run, args=(dbname,), daemon=True, name=f"{__name__}.{dbname}"
            )
            _threads[dbname] = thread
            thread.start()


def _run(dbname):
    while not stop_event.is_set():
        try:
            _relay(dbname)
        except Exception:
            _logger.info("Room board: changes are not heard, trying again", exc_info=True)
        stop_event.wait(PAUSE)


def _relay(dbname):
    with db_connect(dbname).cursor() as cr, selectors.DefaultSelector() as selector:
        cr.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        if not cr.fetchone()[0]:
            return
        cr.execute("LISTEN prepay_room")
        # A connection of its own: lock and subscription hold from here on.
        cr.commit()  # pylint: disable=invalid-commit
        connection = cr._cnx
        selector.register(connection, selectors.EVENT_READ)
        try:
            while not stop_event.is_set():
                if not selector.select(PAUSE):
                    continue
                time.sleep(GATHER)
                connection.poll()
                names = {notify.payload for notify in connection.notifies}
                connection.notifies.clear()
                if names:
                    _tell(dbname, names)
        finally:
            cr.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
            cr.execute("UNLISTEN prepay_room")
            cr.commit()  # pylint: disable=invalid-commit


def _tell(dbname, names):
    with Registry(dbname).cursor() as cr:
        api.Environment(cr, SUPERUSER_ID, {})["prepay.room.board"]._tell(names)
