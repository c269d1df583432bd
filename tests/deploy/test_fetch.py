"""Fetching what runners need: once, whole or not at all, with reasons."""

from pathlib import Path

import pytest

from deploy import fetch
from deploy.fetch import CannotFetchError, Thing


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(fetch, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def offer(monkeypatch: pytest.MonkeyPatch, thing: Thing) -> None:
    monkeypatch.setattr(fetch, "things", lambda: {"thing": thing})


def test_what_is_there_is_not_made_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "bin").mkdir()
        (folder / "bin/it").touch()

    offer(monkeypatch, Thing(make, "sh", "bin/it", "1"))
    assert [fetch.fetch("thing") for _ in range(2)] == [cache / "thing-1/bin/it"] * 2
    assert len(made) == 1
    offer(monkeypatch, Thing(make, "sh", "bin/it", "2"))
    assert fetch.fetch("thing") == cache / "thing-2/bin/it"
    assert len(made) == 2


def half_made(folder: Path) -> None:
    (folder / "half").touch()
    raise CannotFetchError("broke off")


@pytest.mark.parametrize(
    ("make", "reason"),
    [(half_made, "broke off"), (lambda folder: None, "thing: it was not made")],
    ids=["broken", "without result"],
)
def test_an_attempt_that_fails_leaves_nothing(
    make: object, reason: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, Thing(make, "sh", "it", "1"))  # type: ignore[arg-type]
    with pytest.raises(CannotFetchError, match=reason):
        fetch.fetch("thing")
    assert [path.name for path in cache.iterdir()] == [".thing.lock"]


def test_a_program_that_is_missing_is_named(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, Thing(half_made, "no-such-program", "it", "1"))
    assert fetch.main(["thing"]) == 1
    said = capsys.readouterr().err
    assert said == f"thing is not in {cache}, and there is no no-such-program to make it with\n"


def test_a_command_that_fails_is_told_with_its_last_words() -> None:
    with pytest.raises(CannotFetchError, match=r"sh -c .* failed:\nthe reason$"):
        fetch._run("sh", "-c", "echo the reason >&2; exit 3")


def test_job_servers_are_built_again_when_their_project_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: thing.version for name, thing in fetch.things().items()}
    monkeypatch.setattr(fetch, "_pom", lambda name: "changed")
    after = {name: thing.version for name, thing in fetch.things().items()}
    assert {name for name in before if before[name] != after[name]} == {
        "flink-job-server",
        "spark-job-server",
        "spark-job-server-embedded",
    }


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fetch.main(["storm"])
    assert "invalid choice: 'storm'" in capsys.readouterr().err
