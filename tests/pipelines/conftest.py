"""Whole commands in this process, and small corpora to run them on."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines import cli
from tests import trees
from tests.conftest import TinyCorpora
from transforms import report

_PROGRESS = re.compile(r"[\d,]+ of [\d,]+ items, ")


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        status: exit status.
        out: what it printed.
        err: what it complained of.
    """

    status: int
    out: str
    err: str

    @property
    def problems(self) -> list[str]:
        """The complaints, one per line, each of which must say whose it is; slow runs show progress too."""
        lines = [line for line in self.err.splitlines() if not _PROGRESS.match(line)]
        assert all(line.startswith("mixtape: ") for line in lines), self.err
        return [line.removeprefix("mixtape: ") for line in lines]

    @property
    def only_rejected(self) -> bool:
        """Whether the run finished, and complained of nothing but too many rejects."""
        (problem,) = self.problems or [""]
        return self.status == 1 and "rejected, more than --max-rejects allows" in problem


Mixtape = Callable[..., Outcome]


@pytest.fixture
def mixtape(capfd: pytest.CaptureFixture[str]) -> Mixtape:
    """Returns ``mixtape(*words, workers=1)``: runs a command line; a stack trace is a failure.

    Words may be paths. With ``workers=None`` nothing is said of workers.
    """

    def run(*words: str | Path, workers: int | None = 1) -> Outcome:
        more = [] if workers is None else ["--workers", str(workers)]
        capfd.readouterr()
        try:
            status = cli.main([*map(str, words), *more])
        except SystemExit as error:
            status = int(error.code or 0)
        said = capfd.readouterr()
        assert "Traceback" not in said.err + said.out
        return Outcome(status, said.out, said.err)

    return run


@pytest.fixture
def short_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a line in place of the report, which takes most of the time of a small run."""
    monkeypatch.setattr(report, "make_report", lambda job, summaries: f"{len(summaries)} parts")


@pytest.fixture
def corpus(tmp_path: Path) -> trees.Corpus:
    """Five mixtures of six utterances and three noises, all shorter than 0.1 s."""
    return trees.make_corpus(tmp_path / "corpus")


@pytest.fixture(scope="session")
def build_flags(tiny_corpora: TinyCorpora) -> list[str]:
    """The command line, output apart, that builds 12 mixtures in 3 subsets from the tiny corpora."""
    return [
        *("build", "librimix", "--librispeech", str(tiny_corpora.librispeech)),
        *("--wham", str(tiny_corpora.wham), "--round-to", "1", "--dev-test-size", "4"),
        *("--rates", "8000", "--modes", "min", "--shard-size", "2"),
    ]
