"""The file in which results wait while the database is away."""

import pytest

from odoo.addons.prepay_meter.collector.spool import Spool

LIMIT = 1 << 20


@pytest.fixture(params=["disk", "memory"])
def spool(request, tmp_path):
    made = Spool(tmp_path / "a" / "x.spool" if request.param == "disk" else None, LIMIT)
    yield made
    made.close()


def drained(spool):
    found = []
    while record := spool.peek():
        documents, mark = record
        found += documents
        spool.drop(mark)
    return found


def test_first_in_first_out(spool):
    assert not spool
    for number in range(5):
        assert spool.append([number, {"text": "读数"}])
    assert spool
    assert drained(spool) == [x for n in range(5) for x in (n, {"text": "读数"})]
    assert not spool
    assert spool.pending_bytes == 0


def test_nothing_is_dropped_before_it_is_taken(spool):
    spool.append(["a"])
    assert spool.peek()[0] == ["a"]
    assert spool.peek()[0] == ["a"]


def test_full_spool_refuses_and_keeps_what_it_has(spool):
    assert spool.append(["x" * (LIMIT // 2)])
    assert not spool.append(["y" * LIMIT])
    assert len(drained(spool)) == 1


def test_survives_a_crash_and_a_torn_record(tmp_path):
    path = tmp_path / "x.spool"
    first = Spool(path, LIMIT)
    first.append(["one"])
    first.append(["two"])
    first.close()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 2)
    again = Spool(path, LIMIT)
    assert drained(again) == ["one"]
    again.append(["three"])
    again.close()
    last = Spool(path, LIMIT)
    assert drained(last) == ["three"]
    last.close()


def test_damaged_record_ends_the_file(tmp_path):
    path = tmp_path / "x.spool"
    first = Spool(path, LIMIT)
    first.append(["one"])
    size = path.stat().st_size
    first.append(["two"])
    first.close()
    data = bytearray(path.read_bytes())
    data[size + 12] ^= 0xFF
    path.write_bytes(data)
    again = Spool(path, LIMIT)
    assert drained(again) == ["one"]
    again.close()
