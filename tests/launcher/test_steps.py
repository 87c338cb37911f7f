"""Steps of the set-up are skipped when done and redone when interrupted."""

import pytest

from tools.launcher import paths, steps
from tools.launcher.errors import LauncherError
from tools.launcher.steps import Step


@pytest.fixture(autouse=True)
def stamps(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "STAMPS", tmp_path / "stamps")


def step(name, calls, key="1", after=(), error=None):
    def action():
        calls.append(name)
        if error:
            raise error

    return Step(name, name, key, action, after=after)


def test_runs_once_and_again_when_its_inputs_change():
    calls = []
    for key in ("1", "1", "2"):
        steps.run_all([step("a", calls, key)])
    assert calls == ["a", "a"]


def test_order():
    calls = []
    steps.run_all([step("b", calls, after=("a",)), step("a", calls)])
    assert calls == ["a", "b"]


def test_failure_names_the_step_and_leaves_no_mark():
    calls = []
    bad = step("a", calls, error=LauncherError("no network", "plug it in", "last line"))
    with pytest.raises(LauncherError) as caught:
        steps.run_all([bad, step("b", calls, after=("a",))])
    report = caught.value.report()
    assert "a: no network" in report
    assert "last line" in report
    assert "plug it in" in report
    assert calls == ["a"]
    assert not bad.done()


def test_result_that_vanished_is_made_again(tmp_path):
    calls = []
    result = tmp_path / "result"

    def action():
        calls.append(1)
        result.touch()

    once = Step("a", "a", "1", action, result.exists)
    steps.run_all([once])
    result.unlink()
    steps.run_all([once])
    assert calls == [1, 1]
