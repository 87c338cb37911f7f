"""Which lane a given path belongs to."""

from tools.launcher import paths, testing


def test_everything():
    chosen = testing.select([])
    assert chosen["system"] == [str(paths.TESTS)]
    assert str(paths.ADDONS / "prepay_meter" / "tests") in chosen["addons"]
    assert not chosen["narrow"]


def test_path_with_node_and_options():
    file = paths.TESTS / "launcher" / "test_select.py"
    chosen = testing.select([f"{file}::test_everything", "-k", "every", "-x"])
    assert chosen["system"] == [f"{file}::test_everything"]
    assert chosen["addons"] is None
    assert chosen["options"] == ["-k", "every", "-x"]
    assert chosen["narrow"]


def test_serial_is_ours():
    chosen = testing.select(["--serial"])
    assert chosen["serial"]
    assert chosen["options"] == []
    assert not chosen["narrow"]
