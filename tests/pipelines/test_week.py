"""A week of nightly regeneration: each night exactly the shards are made anew that have to be."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipelines import render
from tests import trees
from tests.pipelines.conftest import Mixtape
from tests.trees import write_noise
from transforms.plan import StoredPlan

pytestmark = pytest.mark.usefixtures("short_report")

READERS, UTTERANCES, NOISES = 6, 3, 12
HEAD = "; comment\n" * 11 + ";ID | SEX | SUBSET | MINUTES | NAME\n"


@dataclass
class Place:
    """Corpora that change from night to night, and an output that is made from them.

    Attributes:
        folder: holds everything.
        samples: length of the shortest utterance.
        speech: folder of the utterances.
        noise: folder of the noises.
        roots: of the sources, by the names that plans use.
        commands: the nightly command lines, given the folder of listings and plans and that of the output.
        statuses: exit status of each night.
    """

    folder: Path
    samples: int
    speech: Path
    noise: Path
    roots: dict[str, Path]
    commands: Callable[[Path, Path], Sequence[Sequence[str | Path]]]
    statuses: list[int] = field(default_factory=list)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def utterance(self, reader: int, number: int) -> Path:
        return self.speech / f"{100 + reader}/1/{100 + reader}-1-{number:04d}.flac"

    def write(self, reader: int, number: int, *, seed: int) -> None:
        write_noise(self.utterance(reader, number), self.samples + 160 * (seed % 11), seed=seed)

    def night(self, mixtape: Mixtape) -> None:
        """Runs the nightly command."""
        outcomes = [mixtape(*words) for words in self.commands(self.folder / "work", self.out)]
        assert all(outcome.status in (0, 1) for outcome in outcomes), [one.err for one in outcomes]
        self.statuses.append(max(outcome.status for outcome in outcomes))

    def used(self) -> Path:
        """Returns an utterance that a mixture in the middle of the stored plan is made of."""
        path = max((self.out / "_mixtape/plan").glob("*.parquet"))
        mixtures = list(StoredPlan.open(str(path)).read_all())
        mixture = mixtures[len(mixtures) // 2]
        return self.roots[mixture.sources[0].root] / mixture.sources[0].path

    def shards(self) -> dict[str, str]:
        """Returns, for every shard of the stored plans, a digest of its rows and the bytes of its sources."""
        found = {}
        for path in sorted((self.out / "_mixtape/plan").glob("*.parquet")):
            plan = StoredPlan.open(str(path))
            for shard in plan.shards:
                rows = plan.read_shard(shard.index)
                sources = sorted({(source.root, source.path) for row in rows for source in row.sources})
                facts = [repr(rows), *(_bytes_of(self.roots[root] / name) for root, name in sources)]
                found[shard.name] = hashlib.sha256(repr(facts).encode()).hexdigest()
        return found

    def ledgers(self) -> dict[str, tuple[int, int]]:
        """Returns what changes of the ledger of every shard when it is written, by name of the shard."""
        prefix, suffix = "_mixtape/ledger/shard-", ".json"
        return {
            name.removeprefix(prefix).removesuffix(suffix): identity
            for name, identity in trees.identities(self.out).items()
            if name.startswith(prefix)
        }

    def history(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.out / trees.HISTORY).read_text().splitlines()]


def _bytes_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "absent"


def _fill(place: Place) -> Place:
    for reader in range(READERS):
        for number in range(UTTERANCES):
            place.write(reader, number, seed=10 * reader + number)
    for number in range(NOISES):
        write_noise(place.noise / f"n{number}.wav", place.samples + 20000, seed=1000 + number)
    return place


def _mixtures(folder: Path) -> Place:
    speech, noise = folder / "speech", folder / "noise"

    def commands(work: Path, out: Path) -> Sequence[Sequence[str | Path]]:
        pattern = "^(?P<speaker>[^/]+)/"
        listing = ("metadata", "audio", "--max-rejects", "1", "--corpus")
        return [
            (*listing, speech, "--out", work / "speech", "--speaker-pattern", pattern),
            (*listing, noise, "--out", work / "noise"),
            (
                *("plan", "mixtures", "--speech", work / "speech/audio.csv", "--out", work / "plans"),
                *("--noise", work / "noise/audio.csv", "--count", "24", "--shard-size", "2"),
                *("--min-utterance-s", "0", "--level-measure", "rms", "--snr-measure", "rms"),
            ),
            (
                *("render", "mixtures", "--plan", work / "plans", "--out", out, "--prune"),
                *("--root", f"speech={speech}", f"noise={noise}", "--shard-size", "2", "--rates", "8000"),
                *("--formats", "wav", "webdataset", "--table-paths", "relative"),
            ),
        ]

    return _fill(Place(folder, 3000, speech, noise, {"speech": speech, "noise": noise}, commands))


def _librimix(folder: Path) -> Place:
    corpus, wham = folder / "LibriSpeech", folder / "wham"

    def commands(work: Path, out: Path) -> Sequence[Sequence[str | Path]]:
        return [
            (
                *("build", "librimix", "--librispeech", corpus, "--wham", wham, "--out", out, "--prune"),
                *("--round-to", "1", "--shard-size", "2", "--rates", "8000", "--modes", "min"),
                *("--formats", "wav", "webdataset", "--table-paths", "relative", "--max-rejects", "1"),
            )
        ]

    place = Place(
        folder,
        48200,
        corpus / "train-clean-100",
        wham / "tr",
        {"librispeech": corpus, "wham": wham},
        commands,
    )
    table = "".join(f"{100 + k} | F | train-clean-100 | 1 | R\n" for k in range(READERS + 1))
    corpus.mkdir()
    (corpus / "SPEAKERS.TXT").write_text(HEAD + table)
    return _fill(place)


def _fixed_librimix(folder: Path, mixtape: Mixtape) -> Place:
    """LibriMix whose listings are made once: the pairing stays, whatever becomes of the corpora."""
    place = _librimix(folder)
    fixed = []
    for name, corpus in (("librispeech", folder / "LibriSpeech"), ("wham", folder / "wham")):
        mixtape("metadata", name, "--corpus", corpus, "--out", folder / "fixed" / name)
        fixed += [f"--{name}-metadata", str(folder / "fixed" / name)]
    living = place.commands
    place.commands = lambda work, out: [(*words, *fixed) for words in living(work, out)]
    return place


@pytest.fixture(params=["mixtures", "librimix", "fixed_librimix"])
def place(request: pytest.FixtureRequest, tmp_path: Path, mixtape: Mixtape) -> Place:
    match request.param:
        case "mixtures":
            return _mixtures(tmp_path)
        case "librimix":
            return _librimix(tmp_path)
        case _:
            return _fixed_librimix(tmp_path, mixtape)


def _nothing(place: Place) -> None:
    """A quiet night."""


def _add(place: Place) -> None:
    place.write(0, UTTERANCES, seed=777)
    place.write(READERS, 0, seed=778)


def _change(place: Place) -> None:
    write_noise(place.used(), place.samples + 1000, seed=779)


def _delete(place: Place) -> None:
    place.used().unlink()


def _corrupt(place: Place) -> None:
    """Damages samples, not the header: nothing but decoding can tell."""
    path = place.used()
    data = path.read_bytes()
    path.with_suffix(".aside").write_bytes(data)
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes(200) + data[middle + 200 :])


def _restore(place: Place) -> None:
    (aside,) = place.speech.rglob("*.aside")
    aside.replace(aside.with_suffix(".flac"))


WEEK = (_nothing, _nothing, _add, _change, _delete, _corrupt, _restore, _nothing)
QUIET = [index for index, event in enumerate(WEEK) if event is _nothing and index]


def test_each_night_makes_what_has_to_be_made_and_the_end_equals_a_fresh_build(
    place: Place, mixtape: Mixtape, tmp_path: Path
) -> None:
    before: dict[str, str] = {}
    ledgers: dict[str, tuple[int, int]] = {}
    table = []
    for event in WEEK:
        event(place)
        place.night(mixtape)
        now, written = place.shards(), place.ledgers()
        had_to_be = {name for name in now if now[name] != before.get(name)}
        made = {name for name in written if written[name] != ledgers.get(name)}
        table.append((event.__name__, sorted(made), sorted(had_to_be)))
        assert written.keys() == now.keys(), "shards that no plan holds any more are gone"
        before, ledgers = now, written
    assert [made for _, made, _ in table] == [needed for _, _, needed in table], table
    assert all(made for name, made, _ in table if name in ("_change", "_corrupt", "_restore")), table
    assert [index for index, (_, made, _) in enumerate(table) if index in QUIET and made] == []
    lines = place.history()
    assert [line["shards_made"] for line in lines] == [len(made) for _, made, _ in table]
    assert [line["shards_made"] + line["shards_kept"] for line in lines] == [
        line["parts"][part]["shards"] for line in lines for part in line["parts"]
    ]
    assert {lines[index]["outcome"] for index in QUIET} == {"nothing to do"}
    assert [line["status"] for line in lines] == place.statuses
    fresh = tmp_path / "fresh"
    for words in place.commands(fresh / "work", fresh / "out"):
        assert mixtape(*words).status in (0, 1)
    assert trees.contents(fresh / "out") == trees.contents(place.out)


def test_a_quiet_night_starts_no_job_on_a_cluster(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    run_pipeline = render.run_pipeline

    def count(*arguments: Any) -> dict[str, int]:
        started.append(1)
        return run_pipeline(*arguments)

    def night() -> tuple[int, set[str]]:
        before = trees.identities(tmp_path / "out")
        started.clear()
        elsewhere = ("--runner", "BundleBasedDirectRunner")
        outcome = mixtape(*corpus.flags(tmp_path / "out"), *corpus.small_flags(), *elsewhere, workers=None)
        assert outcome.status == 0, outcome
        written = trees.changed(before, tmp_path / "out")
        return len(started), {Path(name).stem for name in written if "/ledger/" in name}

    monkeypatch.setattr(render, "run_pipeline", count)
    shards = {f"shard-{corpus.part.name}-{number:06d}" for number in range(3)}
    assert night() == (1, shards)
    assert night() == (0, set())
    write_noise(corpus.utterance(3), 650, seed=55)
    assert night() == (1, {f"shard-{corpus.part.name}-000001"})
    os.utime(corpus.utterance(0), ns=(1, 1))
    assert night() == (1, set()), "a source with another stamp is read, by a worker and not by the launcher"
    assert night() == (0, set())
