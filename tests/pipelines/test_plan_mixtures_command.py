"""``mixtape plan mixtures`` from the command line: what it writes, what it says, what it refuses."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import trees
from tests.pipelines.conftest import Mixtape, Outcome
from transforms.listing import AudioFile, audio_files_csv
from transforms.plan import Mixture, StoredPlan

SPEAKERS, UTTERANCES = 12, 3


@pytest.fixture
def listings(tmp_path: Path) -> list[str]:
    """Flags that name listings of 36 utterances (2 to 3.75 s) by 12 speakers, 4 noises and 2 rooms."""
    speech = [
        AudioFile(f"{s:02}/{u}.wav", 16000, 1, 32000 + 800 * (3 * s + u), "WAV", "PCM_16", f"r{s:02}")
        for s in range(SPEAKERS)
        for u in range(UTTERANCES)
    ]
    noise = [AudioFile(f"n{n}.wav", 16000, 2, 90000, "WAV", "PCM_16") for n in range(4)]
    rooms = [AudioFile(f"room{k // 3}/{k}.wav", 16000, 1, 4000, "WAV", "PCM_16") for k in range(6)]
    flags = []
    for flag, rows in (("--speech", speech), ("--noise", noise), ("--rirs", rooms)):
        (tmp_path / f"{flag[2:]}.csv").write_bytes(audio_files_csv(rows))
        flags += [flag, str(tmp_path / f"{flag[2:]}.csv")]
    return flags


def plan(mixtape: Mixtape, listings: list[str], out: Path, *flags: str) -> Outcome:
    return mixtape("plan", "mixtures", *listings, "--out", out, *flags)


def mixtures(out: Path, subset: str = "train") -> list[Mixture]:
    return list(StoredPlan.open(str(out / "mixtures" / f"mixtures_{subset}.parquet")).read_all())


# What is written.


@pytest.mark.parametrize("workers", [1, 2])
def test_a_plan_and_its_configuration(
    mixtape: Mixtape, listings: list[str], tmp_path: Path, workers: int
) -> None:
    out = tmp_path / "out"
    outcome = mixtape("plan", "mixtures", *listings, "--out", out, "--count", "7", workers=workers)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith("planned 7 mixtures in ")
    assert outcome.out.endswith(f"; see {out}/mixtures\n")
    assert trees.files(out) == ["mixtures/config.yaml", "mixtures/mixtures_train.parquet"]
    assert [mixture.id for mixture in mixtures(out)] == [f"train-{number:07d}" for number in range(7)]


def test_the_same_plan_whoever_makes_it(
    mixtape: Mixtape, listings: list[str], tmp_path: Path, beam_mode: list[str]
) -> None:
    flags = ["--count", "train:20", "dev:5", "--subsets", "train:0.7", "dev:0.3", "--speakers", "1"]
    shares = ["--noises", "0", "--rirs", "", "--shard-size", "4"]
    modes = [flag for flag in beam_mode if not flag.startswith("--runner")]
    assert plan(mixtape, listings, tmp_path / "one", *flags, *shares).status == 0
    assert plan(mixtape, listings, tmp_path / "two", *flags, *shares, *modes).status == 0
    assert trees.contents(tmp_path / "one") == trees.contents(tmp_path / "two") != {}


def test_the_same_again_writes_nothing(mixtape: Mixtape, listings: list[str], tmp_path: Path) -> None:
    assert plan(mixtape, listings, tmp_path / "out", "--count", "7").status == 0
    before = trees.identities(tmp_path / "out")
    assert plan(mixtape, listings, tmp_path / "out", "--count", "7").status == 0
    assert trees.changed(before, tmp_path / "out") == set()
    assert plan(mixtape, listings, tmp_path / "out", "--count", "7", "--seed", "1").status == 0
    assert trees.changed(before, tmp_path / "out") == set(before)


@pytest.mark.parametrize("reuse", ["independent", "even"])
def test_a_smaller_plan_is_the_beginning_of_a_larger_one(
    mixtape: Mixtape, listings: list[str], tmp_path: Path, reuse: str
) -> None:
    for count in ("8", "30"):
        assert plan(mixtape, listings, tmp_path / count, "--count", count, "--reuse", reuse).status == 0
    assert mixtures(tmp_path / "8") == mixtures(tmp_path / "30")[:8]


def test_a_listing_without_one_source_changes_only_its_mixtures(
    mixtape: Mixtape, listings: list[str], tmp_path: Path
) -> None:
    assert plan(mixtape, listings, tmp_path / "all", "--count", "40").status == 0
    speech = Path(listings[1])
    lines = speech.read_text().splitlines(keepends=True)
    speech.write_text("".join(line for line in lines if not line.startswith("03/1.wav")))
    assert plan(mixtape, listings, tmp_path / "less", "--count", "40").status == 0
    pairs = list(zip(mixtures(tmp_path / "all"), mixtures(tmp_path / "less"), strict=True))
    had = [any(source.path == "03/1.wav" for source in before.sources) for before, _ in pairs]
    assert [before != after for before, after in pairs] == had
    assert 0 < sum(had) < 10


def test_quiet(mixtape: Mixtape, listings: list[str], tmp_path: Path) -> None:
    outcome = plan(mixtape, listings, tmp_path / "out", "--count", "2", "--quiet")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")


def test_a_dry_run_says_what_there_is_and_writes_nothing(
    mixtape: Mixtape, listings: list[str], tmp_path: Path
) -> None:
    outcome = plan(mixtape, listings, tmp_path / "out", "--hours", "3", "--dry-run")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [
        "train: 3.0 h of mixtures would be planned of 36 utterances (0.0 h) by 12 speakers, 4 noises and 6 "
        "room responses",
        "dry run: nothing was written",
    ]
    assert not (tmp_path / "out").exists()


def test_hours(mixtape: Mixtape, listings: list[str], tmp_path: Path) -> None:
    assert plan(mixtape, listings, tmp_path / "out", "--hours", "0.02", "--rirs", "").status == 0
    lengths: dict[str, int] = {}
    for line in Path(listings[1]).read_text().splitlines()[1:]:
        path, *fields = line.split(",")
        lengths[path] = next(int(field) for field in fields if field.isdigit() and int(field) > 20000)
    spans = [
        max(source.start_samples + lengths[source.path] for source in mixture.speech)
        for mixture in mixtures(tmp_path / "out")
    ]
    assert sum(spans[:-1]) < 0.02 * 3600 * 16000 <= sum(spans)


# Configuration files.


def configured(folder: Path, **options: Any) -> str:
    (folder / "options.yaml").write_text(yaml.safe_dump(options))
    return str(folder / "options.yaml")


def test_flags_win_over_the_file(mixtape: Mixtape, listings: list[str], tmp_path: Path) -> None:
    file = configured(tmp_path, count=3, speakers=1, overlap="none", rate_hz=8000, noises=0)
    words = ("--config", file, "--count", "5", "--overlap", "full", "--rate-hz", "11025")
    assert plan(mixtape, listings, tmp_path / "out", *words).status == 0
    assert len(mixtures(tmp_path / "out")) == 5
    assert all(len(mixture.sources) == 1 for mixture in mixtures(tmp_path / "out"))
    effective = yaml.safe_load((tmp_path / "out/mixtures/config.yaml").read_text())
    found = {name: str(effective[name]) for name in ("count", "speakers", "overlap", "rate_hz", "noises")}
    assert found == {"count": "5", "speakers": "1", "overlap": "full", "rate_hz": "11025", "noises": "0"}
    stored = StoredPlan.open(str(tmp_path / "out/mixtures/mixtures_train.parquet"))
    assert stored.settings == {"rate_hz": 11025, "clip": "scale"}


def test_the_stored_configuration_makes_the_same_plan(
    mixtape: Mixtape, listings: list[str], tmp_path: Path
) -> None:
    flags = ("--count", "9", "--speakers", "1:0.5", "3:0.5", "--overlap", "uniform(0.2,0.8)", "--seed", "4")
    assert plan(mixtape, listings, tmp_path / "one", *flags).status == 0
    again = ("--config", str(tmp_path / "one/mixtures/config.yaml"))
    assert mixtape("plan", "mixtures", "--out", tmp_path / "two", *again).status == 0
    assert trees.contents(tmp_path / "one") == trees.contents(tmp_path / "two")


def test_wrong_files_are_refused(mixtape: Mixtape, listings: list[str], tmp_path: Path) -> None:
    file = configured(tmp_path, cuont=3, clip="hard")
    outcome = plan(mixtape, listings, tmp_path / "out", "--config", file)
    assert outcome.status == 2
    assert {problem.partition(":")[0] for problem in outcome.problems} == {"--cuont", "--clip 'hard'"}
    assert not (tmp_path / "out").exists()


# Impossible requests, with the numbers.


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (
            ("--count", "5", "--speakers", "13"),
            "13 different speakers per mixture are wanted, 12 available; it has 36 of 36 utterances",
        ),
        (
            ("--count", "5", "--speakers", "4", "--talkers", "same"),
            "4 utterances of one speaker are wanted, the most that one has is 3",
        ),
        (("--count", "5", "--noises", "5"), "5 noises per mixture are wanted, 4 of the 4 listed"),
        (("--count", "5", "--speakers", "4"), "4 responses of one room are wanted, the most"),
        (
            ("--count", "19", "--reuse", "even", "--max-uses", "1", "--rirs", ""),
            "19 mixtures need 38 utterances or more, 36 used at most 1 times give 36; lower --count to 18",
        ),
        (
            ("--hours", "1", "--reuse", "even", "--max-uses", "2", "--rirs", ""),
            "1.00 h are wanted, 0.03 h of speech used at most 2 times give 0.06 h at most",
        ),
        (("--count", "5", "--min-utterance-s", "9"), "2 different speakers per mixture are wanted, 0"),
        ((), "give one of --count and --hours"),
        (("--count", "5", "--hours", "5"), "give one of --count and --hours"),
        (("--count", "0"), "--count 0: wanted numbers above 0"),
        (("--count", "5", "--overlap", "uniform(0,2)"), "--overlap uniform(0,2): gives values from 0 to 2"),
        (("--count", "5", "--rate-hz", "10"), "--rate-hz 10: wanted 1000 to 768000"),
        (("--count", "5", "--shard-size", "0"), "--shard-size 0: wanted a whole number of 1 or more"),
    ],
)
def test_impossible_requests(
    mixtape: Mixtape, listings: list[str], tmp_path: Path, flags: tuple[str, ...], problem: str
) -> None:
    outcome = plan(mixtape, listings, tmp_path / "out", *flags)
    assert outcome.status == 2
    found = [line.removeprefix("subset train: ") for line in outcome.problems]
    assert any(line.startswith(problem) for line in found), found
    assert not (tmp_path / "out").exists()


def test_all_that_is_missing_is_named_together(mixtape: Mixtape) -> None:
    outcome = mixtape("plan", "mixtures", "--count", "3", "--workers", "x", workers=None)
    assert outcome.status == 2
    assert [problem.partition(" is")[0].partition(" x")[0] for problem in outcome.problems][:2] == [
        "--workers", "--out"
    ]  # fmt: skip


def test_speakers_must_be_known(mixtape: Mixtape, listings: list[str], tmp_path: Path) -> None:
    rows = [AudioFile(f"{n}.wav", 16000, 1, 40000, "WAV", "PCM_16") for n in range(3)]
    Path(listings[1]).write_bytes(audio_files_csv(rows))
    outcome = plan(mixtape, listings, tmp_path / "out", "--count", "2")
    assert outcome.status == 2
    assert outcome.problems[0].startswith("the speakers of 3 of 3 utterances are not known; list them with")
    assert plan(mixtape, listings, tmp_path / "out", "--count", "2", "--talkers", "any").status == 0


def test_numbers_of_speakers_come_as_they_are_wanted(
    mixtape: Mixtape, listings: list[str], tmp_path: Path
) -> None:
    """A thousand draws: the share of each number lies within five standard deviations."""
    words = ("--count", "1000", "--speakers", "1:0.2", "2:0.5", "3:0.3")
    assert plan(mixtape, listings, tmp_path / "out", *words).status == 0
    counts = [len(mixture.speech) for mixture in mixtures(tmp_path / "out")]
    for number, share in ((1, 0.2), (2, 0.5), (3, 0.3)):
        deviation = math.sqrt(1000 * share * (1 - share))
        assert abs(counts.count(number) - 1000 * share) < 5 * deviation
