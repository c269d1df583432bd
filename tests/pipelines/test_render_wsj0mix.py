"""wsj0-mix from the command line: published bits and names, every edge case, all formats."""

import csv
import hashlib
import json
import math
import re
import shutil
import struct
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from tests import trees
from tests.pipelines.conftest import Mixtape, Outcome
from transforms.corpora.wsj0mix import to_mixture

pytestmark = pytest.mark.usefixtures("short_report")

LEVELS = "levels.txt"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def rejects(out: Path) -> list[dict[str, str]]:
    return rows(out / "_mixtape" / "rejects.csv")


def waves(out: Path) -> dict[str, bytes]:
    """Bytes of every WAV file below an output."""
    return {name: (out / name).read_bytes() for name in trees.files(out) if name.endswith(".wav")}


def assert_pcm(manifest: Path, out: Path) -> None:
    """Compares every WAV file below an output with a manifest, both ways."""
    expected = {row["path"]: row for row in rows(manifest)}
    assert {name for name in trees.files(out) if name.endswith(".wav")} == set(expected)
    for path, row in expected.items():
        samples, rate_hz = soundfile.read(out / path, dtype="int16")
        assert hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest() == row["sha256_pcm"], path
        assert (rate_hz, len(samples)) == (int(row["sample_rate"]), int(row["frames"])), path


# The published bits.


@pytest.mark.golden
def test_the_full_golden_corpus_to_the_bit(mixtape: Mixtape, shared_golden: Path, tmp_path: Path) -> None:
    golden = shared_golden / "wsj0mix"
    outcome = mixtape(
        *("render", "wsj0mix", "--plan", golden / "corpus" / "metadata", "--wsj0", golden / "corpus"),
        *("--activity-levels", golden / "corpus" / "metadata" / "activlev", "--out", tmp_path),
        *("--rates", "8000", "16000", "--shard-size", "3"),
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith("planned 42 = written 42 + rejected 0\n")
    assert len(rows(golden / "expected_render.csv")) == 732
    assert_pcm(golden / "expected_render.csv", tmp_path)


@pytest.fixture
def golden(repository: Path, tmp_path: Path) -> Path:
    """The committed golden data with the utterances as WAV, as the lists call them."""
    folder = tmp_path / "golden"
    shutil.copytree(repository / "tests" / "golden" / "wsj0mix", folder)
    for path in sorted(folder.rglob("*.flac")):
        samples, rate_hz = soundfile.read(path, dtype="int16")
        soundfile.write(path.with_suffix(".wav"), samples, rate_hz, subtype="PCM_16")
    return folder


def golden_words(golden: Path, out: Path, root: str = "") -> list[str | Path]:
    lists = sorted(golden.glob("mix_*.txt"))
    words: list[str | Path] = [
        "render",
        "wsj0mix",
        "--plan",
        *lists,
        "--activity-levels",
        golden / "activlev",
    ]
    return [*words, "--wsj0", golden / root, "--out", out, "--rates", "8000", "16000"]


@pytest.mark.parametrize("root", ["", "wsj0"])
def test_the_published_tree_to_the_bit(mixtape: Mixtape, golden: Path, tmp_path: Path, root: str) -> None:
    """Only seven utterances are there; the mixtures that need others are rejected, each with its reason."""
    outcome = mixtape(*golden_words(golden, tmp_path / "out", root), "--max-rejects", "32")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith("planned 42 = written 10 + rejected 32\n")
    assert_pcm(golden / "expected_render.csv", tmp_path / "out")
    there = {Path(row["path"]).stem for row in rows(golden / "expected_render.csv")}
    names = [line.rpartition("/")[2] for line in (golden / "expected_names.txt").read_text().split()]
    assert sorted(row["item"] for row in rejects(tmp_path / "out")) == sorted(set(names) - there)
    assert {(row["stage"], row["reason"]) for row in rejects(tmp_path / "out")} == {
        ("read", "no such file or folder; check the path")
    }


def test_rejects_beyond_the_limit_fail_the_run_and_all_else_is_written(
    mixtape: Mixtape, golden: Path, tmp_path: Path
) -> None:
    assert mixtape(*golden_words(golden, tmp_path / "out"), "--max-rejects", "31").status == 1
    assert_pcm(golden / "expected_render.csv", tmp_path / "out")


@pytest.mark.parametrize("mode", ["min", "max"])
def test_one_mode_alone_gives_the_same_bits(
    mixtape: Mixtape, golden: Path, tmp_path: Path, mode: str
) -> None:
    words = golden_words(golden, tmp_path / "out")
    assert mixtape(*words, "--modes", mode, "--rates", "16000", "--max-rejects", "32").status == 0
    expected = [row for row in rows(golden / "expected_render.csv") if f"/wav16k/{mode}/" in row["path"]]
    for row in expected:
        samples, _ = soundfile.read(tmp_path / "out" / row["path"], dtype="int16")
        assert hashlib.sha256(samples.tobytes()).hexdigest() == row["sha256_pcm"], row["path"]
    assert set(waves(tmp_path / "out")) == {row["path"] for row in expected}


# A slow, obvious version of the published rules.


def published(
    recordings: Sequence[NDArray[np.float32]],
    powers: Sequence[float],
    snrs_db: Sequence[float],
    *,
    rate_hz: int,
    mode: str,
) -> dict[str, NDArray[np.int16]]:
    resampled = [resample_poly(one, rate_hz, 16000) if rate_hz != 16000 else one for one in recordings]
    longest = max(map(len, resampled))
    length = longest if mode == "max" else min(map(len, resampled))
    scaled = []
    for samples, power, snr_db in zip(resampled, powers, snrs_db, strict=True):
        whole = np.zeros(longest)
        whole[: len(samples)] = samples
        scaled.append((whole / math.sqrt(power) * 10 ** (snr_db / 20))[:length])
    mixed = scaled[0]
    for one in scaled[1:]:
        mixed = mixed + one
    divisor = max(1.0, *(np.abs(one).max() for one in [mixed, *scaled])) / 0.9
    streams = {"mix": mixed, **{f"s{k}": one for k, one in enumerate(scaled, start=1)}}
    return {name: np.rint(32768 * (one / divisor)).astype(np.int16) for name, one in streams.items()}


def assert_published(corpus: trees.Corpus, out: Path, *, rate_hz: int = 8000) -> None:
    """Compares everything that was made at one rate with the slow version."""
    for mixture in corpus.mixtures:
        recordings = [
            soundfile.read(Path(corpus.roots["wsj0"]) / source.path, dtype="float32")[0]
            for source in mixture.sources
        ]
        for mode in ("min", "max"):
            powers = [source.active_power for source in mixture.sources]
            levels = [source.level for source in mixture.sources]
            expected = published(recordings, powers, levels, rate_hz=rate_hz, mode=mode)
            for stream, pcm in expected.items():
                folder = f"{corpus.part.corpus}/wav{rate_hz // 1000}k/{mode}/{corpus.part.subset}/{stream}"
                found, found_hz = soundfile.read(out / folder / f"{mixture.id}.wav", dtype="int16")
                assert found_hz == rate_hz
                np.testing.assert_array_equal(found, pcm)


@pytest.fixture
def corpus(tmp_path: Path) -> trees.Corpus:
    """Five mixtures of two of six short utterances; utterance k is in mixtures k-1 and k."""
    return trees.make_corpus(tmp_path / "corpus", recipe="wsj0mix")


def render(mixtape: Mixtape, corpus: trees.Corpus, out: Path, *more: str) -> Outcome:
    return mixtape(*corpus.flags(out), "--formats", "wav", "--rates", "8000", *more)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 32000])
def test_rates_below_and_above_that_of_the_sources(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, rate_hz: int
) -> None:
    assert render(mixtape, corpus, tmp_path / "out", "--rates", str(rate_hz)).status == 0
    assert {name.split("/")[1] for name in waves(tmp_path / "out")} == {f"wav{rate_hz // 1000}k"}
    assert_published(corpus, tmp_path / "out", rate_hz=rate_hz)


def test_the_default_is_8_khz_in_both_modes(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    words = ["render", "wsj0mix", "--plan", str(corpus.plan), "--out", str(tmp_path / "out")]
    assert mixtape(*words, *corpus.kind.flags(corpus)).status == 0
    folders = {tuple(name.split("/")[:4]) for name in waves(tmp_path / "out")}
    assert folders == {("2speakers", "wav8k", mode, "tr") for mode in ("min", "max")}


# Edge cases: what can be made.


def test_blanks_mean_nothing(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    lines = corpus.plan.read_text().splitlines()
    assert all(line.endswith(" ") for line in lines)
    assert render(mixtape, corpus, tmp_path / "blank").status == 0
    corpus.plan.write_text("\n\n".join("  ".join(line.split()) for line in lines))
    assert render(mixtape, corpus, tmp_path / "none").status == 0
    assert waves(tmp_path / "blank") == waves(tmp_path / "none") != {}


def test_sources_of_equal_lengths_make_equal_modes(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    for index in range(6):
        trees.write_noise(corpus.utterance(index), 700, seed=index)
    assert render(mixtape, corpus, tmp_path / "out").status == 0
    found = waves(tmp_path / "out")
    shortest = {name: data for name, data in found.items() if "/min/" in name}
    assert len(shortest) == 15
    assert all(data == found[name.replace("/min/", "/max/")] for name, data in shortest.items())
    assert_published(corpus, tmp_path / "out")


def test_an_utterance_may_occur_twice(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    name = "wsj0/si_tr_s/101/101o0300.wav"
    corpus.plan.write_text(f"{name} 0.5 {name} -0.5 \n")
    assert render(mixtape, corpus, tmp_path / "out").status == 0
    (first, second) = (
        waves(tmp_path / "out")[f"2speakers/wav8k/min/tr/s{k}/{stem}"]
        for k, stem in ((1, "101o0300_0.5_101o0300_-0.5.wav"), (2, "101o0300_0.5_101o0300_-0.5.wav"))
    )
    samples = [np.frombuffer(data[44:], dtype="<i2").astype(float) for data in (first, second)]
    ratio_db = 10 * np.log10(np.sum(samples[0] ** 2) / np.sum(samples[1] ** 2))
    assert ratio_db == pytest.approx(1.0, abs=1e-3)


def test_a_silent_mixture_is_written(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    """Sources that cancel each other: the gain stays finite, and the mixture is all zeros."""
    samples, _ = soundfile.read(corpus.utterance(0), dtype="int16")
    soundfile.write(corpus.utterance(1), -samples, 16000, subtype="PCM_16")
    paths = [f"wsj0/{corpus.kind.utterance.format(100 + k)}" for k in range(2)]
    corpus.plan.write_text(f"{paths[0]} 0 {paths[1]} 0 \n")
    assert render(mixtape, corpus, tmp_path / "out").status == 0
    found = {name.split("/")[4]: data for name, data in waves(tmp_path / "out").items() if "/max/" in name}
    streams = {name: np.frombuffer(data[44:], dtype="<i2") for name, data in found.items()}
    assert not streams["mix"].any()
    assert np.abs(streams["s1"]).max() == 29491
    np.testing.assert_array_equal(streams["s1"], -streams["s2"])


def test_a_quiet_mixture_is_lowered_to_nine_tenths(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    quiet = [
        to_mixture([source.path for source in one.sources], [1.5, -1.5], [9.0, 9.0])
        for one in corpus.mixtures
    ]
    corpus = corpus.with_mixtures(quiet)
    assert render(mixtape, corpus, tmp_path / "out").status == 0
    assert_published(corpus, tmp_path / "out")
    peaks = [np.abs(np.frombuffer(data[44:], "<i2")).max() for data in waves(tmp_path / "out").values()]
    assert max(peaks) < 0.2 * 32768


def test_other_suffixes_and_containers(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    """NIST SPHERE as the discs have it: the id does not hold the suffix, so all is the same."""
    assert render(mixtape, corpus, tmp_path / "wav").status == 0
    for index in range(6):
        path = corpus.utterance(index)
        samples, rate_hz = soundfile.read(path, dtype="int16")
        path.unlink()
        soundfile.write(path.with_suffix(".wv1"), samples, rate_hz, format="NIST", subtype="PCM_16")
    corpus.plan.write_text(corpus.plan.read_text().replace(".wav", ".wv1"))
    assert render(mixtape, corpus, tmp_path / "sphere").status == 0
    assert waves(tmp_path / "wav") == waves(tmp_path / "sphere") != {}


# Edge cases: what is rejected, while all else is written.


def level(corpus: trees.Corpus, text: str) -> None:
    """Gives utterance 2 another level, or none."""
    table = corpus.plan.with_name(LEVELS)
    kept = [line for line in table.read_text().splitlines() if not line.startswith("102o0300 ")]
    table.write_text("\n".join([*kept, *([f"102o0300 {text}"] if text else [])]) + "\n")


def rewrite(corpus: trees.Corpus, samples: NDArray[Any], rate_hz: int = 16000) -> None:
    soundfile.write(corpus.utterance(2), samples, rate_hz, subtype="PCM_16")


NOISE = np.random.default_rng(6).integers(-3000, 3000, 1400, dtype=np.int16)
REJECTED: dict[str, tuple[Callable[[trees.Corpus], object], str, str]] = {
    "no level": (lambda c: level(c, ""), "plan", "has no activity level; wanted a mean square above 0"),
    "level 0": (lambda c: level(c, "0"), "plan", "has the activity level 0.0; wanted"),
    "negative level": (lambda c: level(c, "-1e-3"), "plan", "has the activity level -0.001; wanted"),
    "level nan": (lambda c: level(c, "nan"), "plan", "has the activity level nan; wanted"),
    "level inf": (lambda c: level(c, "inf"), "plan", "has the activity level inf; wanted"),
    "no audio": (lambda c: c.utterance(2).unlink(), "read", "no such file or folder"),
    "another rate": (lambda c: rewrite(c, NOISE, 8000), "read", "has 8000 Hz, wanted 16000 Hz"),
    "stereo": (lambda c: rewrite(c, NOISE.reshape(-1, 2)), "read", "has 2 channels, wanted 1"),
    "silent": (lambda c: rewrite(c, NOISE * 0), "read", "is silent: every sample is zero"),
    "not audio": (lambda c: c.utterance(2).write_text("words"), "read", "is not decodable audio"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_an_utterance_that_cannot_serve(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, case: str
) -> None:
    assert render(mixtape, corpus, tmp_path / "whole").status == 0
    damage, stage, reason = REJECTED[case]
    damage(corpus)
    outcome = render(mixtape, corpus, tmp_path / "out")
    assert outcome.only_rejected
    assert outcome.out.startswith("planned 5 = written 3 + rejected 2\n")
    lost = [corpus.mixtures[1].id, corpus.mixtures[2].id]
    found = rejects(tmp_path / "out")
    assert [row["item"] for row in found] == lost
    for row in found:
        assert (row["source"], row["stage"]) == ("wsj0:si_tr_s/102/102o0300.wav", stage)
        assert row["reason"].startswith(reason)
        assert row["remedy"]
    good = {name: data for name, data in waves(tmp_path / "whole").items() if Path(name).stem not in lost}
    assert waves(tmp_path / "out") == good
    assert render(mixtape, corpus, tmp_path / "out", "--max-rejects", "2").status == 0
    assert render(mixtape, corpus, tmp_path / "out", "--max-rejects", "39%").status == 1


def test_a_short_line_is_rejected_by_its_number(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    assert render(mixtape, corpus, tmp_path / "whole").status == 0
    lines = corpus.plan.read_text().splitlines()
    lines[1] = " ".join(lines[1].split()[:3])
    corpus.plan.write_text("\n".join(lines))
    outcome = render(mixtape, corpus, tmp_path / "out")
    assert outcome.status == 1
    assert outcome.out.startswith("planned 5 = written 4 + rejected 1\n")
    (row,) = rejects(tmp_path / "out")
    assert (row["item"], row["source"], row["stage"]) == ("mix_2_spk_tr.txt:2", str(corpus.plan), "plan")
    assert row["reason"] == "the line has 3 fields, wanted 4, a path and an SNR for each of 2 speakers"
    lost = corpus.mixtures[1].id
    good = {name: data for name, data in waves(tmp_path / "whole").items() if Path(name).stem != lost}
    assert waves(tmp_path / "out") == good


def test_a_level_that_comes_back_completes_the_corpus(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    out, table = tmp_path / "out", corpus.plan.with_name(LEVELS)
    assert render(mixtape, corpus, tmp_path / "whole").status == 0
    text = table.read_text()
    level(corpus, "")
    assert render(mixtape, corpus, out).status == 1
    table.write_text(text)
    outcome = render(mixtape, corpus, out)
    assert (outcome.status, outcome.out.splitlines()[0]) == (0, "planned 5 = written 5 + rejected 0")
    assert waves(out) == waves(tmp_path / "whole")
    assert rejects(out) == []


# What is refused before any work.


def without(words: Sequence[str], flag: str) -> list[str]:
    """Leaves out a flag and its one value."""
    place = list(words).index(flag)
    return [*words[:place], *words[place + 2 :]]


@pytest.mark.parametrize("flag", ["--plan", "--activity-levels", "--wsj0", "--out"])
def test_needed_flags(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, flag: str) -> None:
    outcome = mixtape(*without(corpus.flags(tmp_path / "out"), flag))
    assert outcome.status == 2
    assert outcome.problems == [f"{flag} is needed; see mixtape render wsj0mix --help"]
    assert not (tmp_path / "out").exists()


REFUSED: Mapping[str, tuple[Callable[[trees.Corpus], object], str]] = {
    "a path out of the corpus": (
        lambda c: c.plan.write_text("wsj0/../../a.wav 1 wsj0/b.wav -1\n"),
        r"line 1: path '\.\./\.\./a\.wav' of s1 must be relative and stay below its root",
    ),
    "an absolute path": (lambda c: c.plan.write_text("/etc/a 1 wsj0/b.wav -1\n"), "path '/etc/a' of s1 must"),
    "no number": (lambda c: c.plan.write_text("wsj0/a.wav x wsj0/b.wav -1\n"), "SNR 'x' is not a number"),
    "too loud": (lambda c: c.plan.write_text("wsj0/a.wav 1e5 wsj0/b.wav -1\n"), "is beyond 1000.0 dB"),
    "a line twice": (lambda c: c.plan.write_text(c.plan.read_text() * 2), "is on line 1 already"),
    "too many fields": (
        lambda c: c.plan.write_text(c.plan.read_text() + "a 1 b 2 c 3\n"),
        "6 fields, wanted",
    ),
    "levels that are none": (lambda c: c.plan.with_name(LEVELS).write_text("words\n"), "wanted an utterance"),
    "an empty list": (lambda c: c.plan.write_text("\n"), "holds no mixture"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, case: str) -> None:
    spoil, problem = REFUSED[case]
    spoil(corpus)
    outcome = render(mixtape, corpus, tmp_path / "out")
    assert outcome.status == 2
    assert re.search(problem, outcome.err), outcome.err
    assert not (tmp_path / "out").exists()


# Packed formats.


def records(path: Path) -> Iterator[bytes]:
    data, place = path.read_bytes(), 0
    while place < len(data):
        (size,) = struct.unpack_from("<Q", data, place)
        yield data[place + 12 : place + 12 + size]
        place += 12 + size + 4


def test_keys_of_archives_have_no_dots_and_lead_back_to_ids(
    mixtape: Mixtape, golden: Path, tmp_path: Path
) -> None:
    words = golden_words(golden, tmp_path / "out")
    formats = ("--formats", "wav", "webdataset", "tfrecord", "--rates", "8000", "--modes", "min")
    assert mixtape(*words, *formats, "--max-rejects", "32").status == 0
    found = waves(tmp_path / "out")
    streams: dict[str, bytes] = {}
    keys: dict[tuple[str, str], str] = {}
    for archive in sorted((tmp_path / "out").rglob("*.tar")):
        with tarfile.open(archive) as tar:
            members = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        facts = {
            name.partition(".")[0]: json.loads(data) for name, data in members.items() if name[-5:] == ".json"
        }
        for name, data in members.items():
            key, _, extension = name.partition(".")
            fact = facts[key]
            assert fact["key"] == key
            if extension != "json":
                stream = extension.removesuffix(".wav")
                folder = f"{fact['corpus']}/wav8k/min/{fact['subset']}/{stream}"
                streams[f"{folder}/{fact['id']}.wav"] = data
                keys[fact["corpus"] + fact["subset"], key] = fact["id"]
    assert streams == found
    assert len(set(keys)) == len({(place, item) for (place, _), item in keys.items()}) == 10
    assert all(len(key) <= 80 and "." not in key for _, key in keys)
    assert any("." in item and len(item) > 80 for item in keys.values()), "five speakers make long names"
    held = [record for path in (tmp_path / "out").rglob("*.tfrecord-*") for record in records(path)]
    told = {re.search(rb'"id":"([^"]+)"', record)[1].decode() for record in held}  # type: ignore[index]
    assert (len(held), told) == (10, set(keys.values()))


def test_a_finished_corpus_is_verified(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert mixtape(*corpus.flags(out), "--shard-size", "2").status == 0
    outcome = mixtape("verify", out, "--all")
    assert outcome.status == 0
    assert outcome.out.startswith("checked 5 items and ")
    assert outcome.out.endswith(": 0 mismatches\n")
    trees.write_noise(corpus.utterance(2), 700, seed=77)
    outcome = mixtape("verify", out, "--all")
    assert outcome.status == 1
    assert {line.split(",")[0] for line in outcome.out.splitlines()[2:]} == {
        corpus.mixtures[1].id, corpus.mixtures[2].id
    }  # fmt: skip
