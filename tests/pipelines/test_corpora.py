"""``mixtape metadata``, ``augment`` and ``activity`` from the command line."""

import csv
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests import trees
from tests.conftest import TinyCorpora
from tests.pipelines.conftest import Mixtape

needs_sox = pytest.mark.skipif(shutil.which("sox") is None, reason="the program sox is not installed")


@pytest.fixture
def noises(tmp_path: Path, write_wav: Callable[..., Path]) -> Path:
    """A WHAM-like corpus with two stereo training noises."""
    random = np.random.default_rng(3)
    for name in ("a", "b"):
        write_wav(tmp_path / "wham" / "tr" / f"{name}.wav", random.uniform(-0.2, 0.2, (1200, 2)))
    return tmp_path / "wham"


@pytest.mark.parametrize("workers", [1, 2])
def test_listing_a_corpus(mixtape: Mixtape, tiny_corpora: TinyCorpora, tmp_path: Path, workers: int) -> None:
    outcome = mixtape(
        "metadata", "librispeech", "--corpus", tiny_corpora.librispeech, "--out", tmp_path, workers=workers
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith("found 24 = written 24 + rejected 0, in ")
    assert outcome.out.endswith(f"; see {tmp_path}\n")
    listings = ["dev-clean", "test-clean", "train-clean-100"]
    assert trees.files(tmp_path) == [
        *(f"_mixtape/listed/{name}.parquet" for name in listings),
        *(f"{name}.csv" for name in listings),
    ]


def test_files_of_several_listings_are_counted_together(
    mixtape: Mixtape, tmp_path: Path, write_wav: Callable[..., Path]
) -> None:
    for name, samples in (("cv/a.wav", 48000), ("tr/b.wav", 60000), ("tt/c.wav", 47999)):
        write_wav(tmp_path / "wham" / name, np.ones(samples, dtype=np.int16))
    outcome = mixtape("metadata", "wham", "--corpus", tmp_path / "wham", "--out", tmp_path / "out")
    assert outcome.out.startswith("found 3 = written 2 + too short 1 + rejected 0, in ")


def test_listings_that_are_there_are_kept_unless_forced(
    mixtape: Mixtape, tiny_corpora: TinyCorpora, tmp_path: Path
) -> None:
    words = ["metadata", "wham", "--corpus", str(tiny_corpora.wham), "--out", str(tmp_path)]
    mixtape(*words)
    before = trees.identities(tmp_path)
    outcome = mixtape(*words)
    assert outcome.out == (
        f"nothing to do: all of it is in {tmp_path} already, and was left as it is "
        "(--force makes it anew, from the files that are there now)\n"
    )
    assert trees.changed(before, tmp_path) == set()
    assert mixtape(*words, "--force").out.startswith("found 18 = written 18 + rejected 0")


def test_unusable_files_are_rejected_within_a_limit(
    mixtape: Mixtape, tiny_corpora: TinyCorpora, tmp_path: Path
) -> None:
    shutil.copytree(tiny_corpora.wham, tmp_path / "wham")
    (tmp_path / "wham" / "tr" / "broken.wav").write_text("words")
    words = ["metadata", "wham", "--corpus", str(tmp_path / "wham"), "--out", str(tmp_path / "out")]
    outcome = mixtape(*words)
    assert outcome.only_rejected
    rejects = tmp_path / "out" / "_mixtape" / "rejects.csv"
    assert outcome.err.endswith(f"allows; with reasons and what to do: {rejects}\n")
    with rejects.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["item"], row["source"]) == ("tr/broken.wav", "wham:tr/broken.wav")
    assert mixtape(*words, "--force", "--max-rejects", "1").status == 0
    assert mixtape(*words, "--force", "--max-rejects", "5%").status == 1
    assert mixtape(*words, "--force", "--max-rejects", "6%").status == 0


def test_quiet(mixtape: Mixtape, tiny_corpora: TinyCorpora, tmp_path: Path) -> None:
    outcome = mixtape("metadata", "wham", "--corpus", tiny_corpora.wham, "--out", tmp_path, "--quiet")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")


def test_a_dry_run_tells_the_listings_and_writes_none(
    mixtape: Mixtape, tiny_corpora: TinyCorpora, tmp_path: Path
) -> None:
    words = ["metadata", "wham", "--corpus", str(tiny_corpora.wham), "--out", str(tmp_path / "out")]
    outcome = mixtape(*words, "--dry-run")
    assert outcome.status == 0
    assert outcome.out.splitlines() == [
        *(f"{tmp_path}/out/{name}.csv: from 6 files" for name in ("dev", "train", "test")),
        "dry run: nothing was written",
    ]
    assert not (tmp_path / "out").exists()
    mixtape(*words)
    assert "nothing to do: all listings are in " in mixtape(*words, "--dry-run").out


@pytest.mark.parametrize(
    "command", [("metadata", "wham"), ("metadata", "librispeech"), ("metadata", "audio")]
)
def test_nothing_given(mixtape: Mixtape, command: tuple[str, str]) -> None:
    outcome = mixtape(*command)
    assert outcome.status == 2
    assert outcome.problems == [
        f"{flag} is needed; see mixtape {' '.join(command)} --help" for flag in ("--corpus", "--out")
    ]


def test_all_bad_options_are_named_together(
    mixtape: Mixtape, tiny_corpora: TinyCorpora, tmp_path: Path
) -> None:
    outcome = mixtape(
        *("metadata", "librispeech", "--corpus", tiny_corpora.librispeech, "--out", tmp_path),
        *("--subsets", "dev", "--max-rejects", "x", "--workers", "-1", "--corpsu", "y"),
        workers=None,
    )
    assert outcome.status == 2
    first, *rest, last = outcome.problems
    assert first == "--corpsu is not a flag of this command; did you mean --corpus?"
    assert [problem.partition(":")[0] for problem in rest] == ["--max-rejects 'x'", "--workers -1"]
    assert last.startswith("--subsets: dev not known; known: dev-clean ")


def test_an_output_in_the_place_of_a_file(
    mixtape: Mixtape, tiny_corpora: TinyCorpora, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    outcome = mixtape("metadata", "wham", "--corpus", tiny_corpora.wham, "--out", tmp_path / "file")
    assert outcome.status == 2
    assert outcome.problems == [
        f"--out {tmp_path / 'file'}: cannot be written to: "
        "a file stands where a folder is needed; choose another path"
    ]


@needs_sox
def test_copies_are_the_published_ones(mixtape: Mixtape, repository: Path, tmp_path: Path) -> None:
    golden = repository / "tests" / "golden" / "listings" / "noises"
    (tmp_path / "tr").mkdir()
    for path in golden.glob("*.wav"):
        shutil.copy(path, tmp_path / "tr")
    outcome = mixtape("augment", "wham", "--corpus", tmp_path)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith("found 2 = written 2 + rejected 0")
    assert_hashes(golden / "expected_augmentation.csv", tmp_path)


@needs_sox
@pytest.mark.golden
def test_copies_of_the_full_golden_corpus(mixtape: Mixtape, shared_golden: Path, tmp_path: Path) -> None:
    golden = shared_golden / "librimix"
    (tmp_path / "tr").mkdir()
    for path in (golden / "corpus" / "wham_noise" / "tr").glob("*.wav"):
        if not path.stem.endswith(("sp08", "sp12")):
            shutil.copy(path, tmp_path / "tr")
    assert mixtape("augment", "wham", "--corpus", tmp_path, "--engine", "sox").status == 0
    assert_hashes(golden / "expected_augmentation.csv", tmp_path)


def assert_hashes(manifest: Path, root: Path) -> None:
    """Compares the samples of every file of a manifest."""
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        samples, rate_hz = soundfile.read(root / row["path"], dtype="int16")
        assert rate_hz == int(row["sample_rate"])
        assert hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest() == row["sha256_pcm"], row["path"]


def test_copies_that_are_there_are_kept(mixtape: Mixtape, noises: Path) -> None:
    words = ["augment", "wham", "--corpus", str(noises), "--engine", "soxr", "--speeds", "0.9"]
    assert mixtape(*words).out.startswith("found 2 = written 2 + rejected 0")
    before = trees.identities(noises)
    assert sorted(before) == ["tr/a.wav", "tr/asp09.wav", "tr/b.wav", "tr/bsp09.wav"]
    assert mixtape(*words).out.startswith(f"nothing to do: all of it is in {noises} already")
    assert trees.changed(before, noises) == set()


def test_force_makes_all_copies_anew_and_the_same(mixtape: Mixtape, noises: Path) -> None:
    words = ["augment", "wham", "--corpus", str(noises), "--engine", "soxr"]
    mixtape(*words)
    before = trees.identities(noises)
    contents = {name: (noises / name).read_bytes() for name in before}
    (noises / "tr" / "asp08.wav").write_bytes(b"damaged")
    assert "4 copies of 2 noises to make" in mixtape(*words, "--force", "--dry-run").out
    assert mixtape(*words, "--force").out.startswith("found 4 = written 4 + rejected 0")
    assert trees.changed(before, noises) == {name for name in before if "sp" in Path(name).name}
    assert {name: (noises / name).read_bytes() for name in trees.files(noises)} == contents


def test_a_dry_run_counts_copies_and_makes_none(mixtape: Mixtape, noises: Path) -> None:
    before = trees.identities(noises)
    outcome = mixtape("augment", "wham", "--corpus", noises, "--engine", "soxr", "--dry-run")
    assert outcome.out.splitlines() == [
        f"4 copies of 2 noises to make in {noises / 'tr'}",
        "dry run: nothing was written",
    ]
    assert trees.changed(before, noises) == set()


def test_bad_speeds_and_engines_are_named_together(mixtape: Mixtape, noises: Path) -> None:
    words = ["--speeds", "fast", "0.85", "--engine", "ffmpeg"]
    outcome = mixtape("augment", "wham", "--corpus", noises, *words)
    assert outcome.status == 2
    first, second, third = outcome.problems
    assert first == "--speeds fast: wanted a number such as 0.8"
    assert second.startswith("--speeds 0.85: ")
    assert third == "--engine ffmpeg: wanted sox or soxr"


def test_augmenting_without_the_program_sox_says_so(
    mixtape: Mixtape, noises: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    outcome = mixtape("augment", "wham", "--corpus", noises)
    assert outcome.status == 2
    (problem,) = outcome.problems
    assert problem.startswith("--engine sox: the program sox is not installed here; install it")


# mixtape activity


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """Six utterances laid out like WSJ0, and the list that needs them."""
    return trees.make_corpus(tmp_path / "spoken", recipe="wsj0mix", samples=8000).folder


def activity_words(spoken: Path, *more: str) -> list[str]:
    words = [
        "activity",
        "--corpus",
        str(spoken / "csr" / "wsj0"),
        "--out",
        str(spoken / "made" / "levels.txt"),
    ]
    return [*words, *more]


def level_lines(spoken: Path) -> dict[str, float]:
    lines = (spoken / "made" / "levels.txt").read_text().splitlines()
    return {name: float(text) for name, text in map(str.split, lines)}


@pytest.mark.parametrize("workers", [1, 2])
def test_levels_of_a_corpus(mixtape: Mixtape, spoken: Path, workers: int) -> None:
    outcome = mixtape(*activity_words(spoken), workers=workers)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith("found 6 = written 6 + rejected 0, in ")
    assert trees.files(spoken / "made") == ["levels.parquet", "levels.txt"]
    assert list(level_lines(spoken)) == [f"{number}o0300" for number in range(100, 106)]
    assert all(0.001 < level < 0.1 for level in level_lines(spoken).values())


def test_measures_differ_and_are_repeatable(mixtape: Mixtape, spoken: Path) -> None:
    found = []
    for measure in ("bandpass", "plain", "bandpass"):
        assert mixtape(*activity_words(spoken, "--measure", measure)).status == 0
        found.append((spoken / "made" / "levels.txt").read_bytes())
    assert found[0] == found[2] != found[1]


def test_measured_levels_are_what_a_list_is_rendered_with(mixtape: Mixtape, spoken: Path) -> None:
    """The whole way: levels are measured, new lists planned with them, and these rendered."""
    assert mixtape(*activity_words(spoken)).status == 0
    wsj0, levels = str(spoken / "csr"), str(spoken / "made" / "levels.txt")
    known = ["--wsj0", wsj0, "--activity-levels", levels]
    words = ["plan", "wsj0mix", *known, "--counts", "tr:3", "cv:0", "tt:0", "--out", str(spoken / "lists")]
    assert mixtape(*words).status == 0
    assert trees.files(spoken / "lists") == ["mix_2_spk_tr.txt"]
    words = ["render", "wsj0mix", *known, "--plan", str(spoken / "lists"), "--out", str(spoken / "out")]
    outcome = mixtape(*words, "--rates", "16000", "--modes", "max")
    assert outcome.out.startswith("planned 3 = written 3 + rejected 0\n")
    for line in (spoken / "lists" / "mix_2_spk_tr.txt").read_text().splitlines():
        _, first, _, second = line.split()
        name = next(path.name for path in (spoken / "out").rglob("mix/*.wav") if f"_{first}_" in path.name)
        places = [spoken / f"out/2speakers/wav16k/max/tr/s{k}/{name}" for k in (1, 2)]
        powers = [power_of_sound(place) for place in places]
        realised_db = 10 * np.log10(powers[0] / powers[1])
        assert realised_db == pytest.approx(float(first) - float(second), abs=0.3)


def power_of_sound(path: Path) -> float:
    """Returns the mean square up to the last sample that sounds; all of these utterances are steady."""
    samples, _ = soundfile.read(path)
    return float(np.mean(np.square(samples[: np.flatnonzero(samples)[-1] + 1])))


def test_utterances_without_a_level_are_rejected(mixtape: Mixtape, spoken: Path) -> None:
    folder = spoken / "csr" / "wsj0" / "si_tr_s" / "100"
    soundfile.write(folder / "100o0301.wav", np.zeros(8000), 16000, subtype="PCM_16")
    (folder / "100o0302.wav").write_text("words")
    outcome = mixtape(*activity_words(spoken))
    assert outcome.status == 1
    assert outcome.out.startswith("found 8 = written 6 + rejected 2, in ")
    with (spoken / "made" / "_mixtape" / "rejects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["item"] for row in rows] == ["100o0301", "100o0302"]
    assert "silent" in rows[0]["reason"]
    assert len(level_lines(spoken)) == 6
    assert mixtape(*activity_words(spoken, "--max-rejects", "2")).status == 0


def test_a_dry_run_of_activity_counts_and_writes_nothing(mixtape: Mixtape, spoken: Path) -> None:
    outcome = mixtape(*activity_words(spoken, "--dry-run"))
    assert outcome.out.splitlines() == [
        f"6 utterances to measure into {spoken}/made/levels.txt",
        "dry run: nothing was written",
    ]
    assert not (spoken / "made").exists()


def test_what_activity_needs(mixtape: Mixtape, tmp_path: Path) -> None:
    outcome = mixtape("activity")
    assert outcome.status == 2
    assert outcome.problems == [
        f"{flag} is needed; see mixtape activity --help" for flag in ("--corpus", "--out")
    ]
    (tmp_path / "empty").mkdir()
    outcome = mixtape("activity", "--corpus", tmp_path / "empty", "--out", tmp_path / "levels.txt")
    assert outcome.status == 2
    assert outcome.problems[0].startswith(f"{tmp_path}/empty: holds no audio; looked for ")
    assert not (tmp_path / "levels.txt").exists()
