"""Bad input of every kind: the exit status, the message, and that nothing good is lost."""

import csv
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests import trees
from tests.conftest import TinyCorpora
from tests.pipelines.conftest import Mixtape, Outcome

pytestmark = pytest.mark.usefixtures("short_report")
SILENCE = np.zeros(700, dtype=np.int16)
NOISE = np.random.default_rng(5).integers(-3000, 3000, 40000, dtype=np.int16)


def render(mixtape: Mixtape, corpus: trees.Corpus, out: Path, *more: str) -> Outcome:
    words = corpus.flags(out)
    return mixtape(*words, "--rates", "8000", "--modes", "min", *more)


def rejects(folder: Path) -> list[dict[str, str]]:
    with (folder / "_mixtape" / "rejects.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def rewrite(path: Path, samples: object, rate_hz: int = 16000) -> None:
    path.unlink()
    soundfile.write(path, samples, rate_hz, format=path.suffix[1:].upper(), subtype="PCM_16")


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


Damage = Callable[[Path], object]
DAMAGES: dict[str, tuple[Damage, str, str]] = {
    "missing": (Path.unlink, "no such file or folder; check the path", "restore the file or plan without it"),
    "truncated": (cut_short, "is not decodable audio or is damaged (", "fetch it again, or plan without it"),
    "empty": (lambda path: os.truncate(path, 0), "the file is empty (0 bytes)", "fetch it again"),
    "not audio": (
        lambda path: path.write_text("words " * 300),
        "is not decodable audio or is damaged (",
        "fetch it again, or plan without it",
    ),
    "without samples": (
        lambda path: soundfile.write(path, SILENCE[:0], 16000, format="WAV"),
        "holds no samples",
        "fetch it again, or plan without it",
    ),
    "of another rate": (
        lambda path: rewrite(path, NOISE, 44100),
        "has 44100 Hz, wanted 16000 Hz",
        "resample the corpus to the wanted rate first",
    ),
    "silent": (
        lambda path: rewrite(path, SILENCE),
        "is silent: every sample is zero",
        "replace it, or plan without it",
    ),
    "stereo": (
        lambda path: rewrite(path, NOISE.reshape(-1, 2)),
        "has 2 channels, wanted 1",
        "make it mono, or name the channel in the plan",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_an_utterance_that_cannot_serve(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, kind: str
) -> None:
    damage, reason, remedy = DAMAGES[kind]
    damage(corpus.utterance(2))
    outcome = render(mixtape, corpus, tmp_path / "out")
    assert outcome.only_rejected
    assert "planned 5 = written 3 + rejected 2" in outcome.out
    found = rejects(tmp_path / "out")
    assert [row["item"] for row in found] == ["m0001", "m0002"]
    for row in found:
        assert row["source"] == "librispeech:train-clean-100/102/1/102-1-0000.flac"
        assert row["stage"] == "read"
        assert row["reason"].startswith(reason)
        assert row["remedy"] == remedy
    written = tmp_path / "out" / "Libri2Mix" / "wav8k" / "min" / "train-100" / "mix_both"
    assert sorted(path.stem for path in written.iterdir()) == ["m0000", "m0003", "m0004"]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut_short, "is truncated: its header promises more samples"),
        (lambda path: rewrite(path, NOISE[:90]), "has 90 samples; to fill 710 it needs more than 8001"),
        (lambda path: rewrite(path, NOISE, 8000), "has 8000 Hz, wanted 16000 Hz"),
    ],
    ids=["truncated", "too short to be extended", "of another rate"],
)
def test_a_noise_that_cannot_serve(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, damage: Damage, reason: str
) -> None:
    damage(corpus.folder / "wham" / "tr" / "n0.wav")
    outcome = render(mixtape, corpus, tmp_path / "out")
    assert outcome.only_rejected
    assert [(row["item"], row["source"]) for row in rejects(tmp_path / "out")] == [
        ("m0000", "wham:tr/n0.wav"),
        ("m0003", "wham:tr/n0.wav"),
    ]
    assert rejects(tmp_path / "out")[0]["reason"].startswith(reason)


def test_without_any_usable_source_nothing_is_written_and_all_is_accounted_for(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    shutil.rmtree(corpus.folder / "LibriSpeech" / "train-clean-100")
    outcome = render(mixtape, corpus, tmp_path / "out")
    assert outcome.status == 1
    assert "planned 5 = written 0 + rejected 5" in outcome.out
    assert len(rejects(tmp_path / "out")) == 5
    assert not any(name.endswith((".wav", ".tar")) for name in trees.files(tmp_path / "out"))


HEADER = "mixture_ID,source_1_path,source_1_gain,source_2_path,source_2_gain,noise_path,noise_gain\n"
ROW = "a,x/1-1-1.flac,1.0,x/2-2-2.flac,1,tr/n0.wav,1\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "{plan}: the file is empty; fetch it again, or plan again"),
        (
            HEADER.replace("noise_gain", "noise"),
            "{plan}: wanted one column each of noise_gain; found the columns",
        ),
        (HEADER + ROW.replace("1.0", "loud"), "{plan}, line 2: source_1_gain 'loud' is not a number"),
        (HEADER + ROW.replace("1.0", "nan"), "{plan}, line 2: level nan of s1 is not a finite number"),
        (HEADER + ROW + ROW, "{plan}, line 3: mixture_ID 'a' is on line 2 already"),
        (HEADER + ROW.replace("a,", "a/b,", 1), "{plan}, line 2: id 'a/b' may hold letters, digits"),
        (HEADER + ROW.replace("a,", "..,", 1), "{plan}, line 2: id '..' may hold letters, digits"),
        (
            HEADER + ROW.replace("x/1", "../1", 1),
            "{plan}, line 2: path '../1-1-1.flac' of s1 must be relative and stay below its root",
        ),
        (HEADER + "a,b\n", "{plan}, line 2: 2 fields, wanted 7"),
        (
            "mixture_ID,source_1_path,source_2_path,noise_path\na,b,c,d\n",
            "{plan}: was planned without audio and has no gains; plan again with --librispeech",
        ),
    ],
)
def test_bad_plans_are_refused_before_any_work(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, text: str, problem: str
) -> None:
    corpus.plan.write_text(text)
    outcome = render(mixtape, corpus, tmp_path / "out")
    assert outcome.status == 2
    (found,) = outcome.problems
    assert found.startswith(problem.format(plan=corpus.plan))
    assert not (tmp_path / "out").exists()


def test_all_problems_of_all_plans_are_named_together(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    corpus.plan.write_text(HEADER + ROW.replace("1.0", "x") + ROW.replace("a,", "b/c,", 1))
    corpus.plan.with_name("libri2mix_dev-clean.csv").write_text("")
    outcome = mixtape(
        *("render", "librimix", "--plan", corpus.plan.parent, "--out", tmp_path / "out"),
        *("--librispeech", "/nowhere", "--wham", corpus.plan),
    )
    assert outcome.status == 2
    assert len(outcome.problems) == 5


def test_a_source_that_is_in_no_corpus(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    corpus.plan.write_text(HEADER + ROW)
    outcome = render(mixtape, corpus, tmp_path / "out")
    assert outcome.status == 1
    (row,) = rejects(tmp_path / "out")
    assert (row["item"], row["source"]) == ("a", "librispeech:x/1-1-1.flac")
    assert row["reason"] == "no such file or folder; check the path"


@pytest.mark.parametrize("name", ["librispeech", "wham"])
def test_a_missing_root(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, name: str) -> None:
    outcome = render(mixtape, corpus, tmp_path / "out", f"--{name}", str(tmp_path / "none"))
    assert (outcome.status, outcome.problems) == (
        2,
        [f"--{name} {tmp_path / 'none'}: no such folder; check the path"],
    )


def test_folders_that_are_no_corpora(mixtape: Mixtape, tiny_corpora: TinyCorpora, tmp_path: Path) -> None:
    speech, wham = tiny_corpora.librispeech, tiny_corpora.wham
    outcome = mixtape("build", "librimix", "--librispeech", wham, "--wham", speech, "--out", tmp_path / "out")
    assert outcome.status == 2
    first, second = outcome.problems
    assert first.startswith(f"{wham}: is not LibriSpeech: looked for the file SPEAKERS.TXT, found ")
    assert second.startswith(f"{speech}: is not WHAM: looked for a folder cv or tr or tt, found ")
    assert not (tmp_path / "out").exists()


def plan(mixtape: Mixtape, corpora: TinyCorpora, out: Path) -> Outcome:
    """Plans with gains from listings that are in ``out``."""
    return mixtape(
        *("plan", "librimix", "--librispeech-metadata", out / "librispeech", "--wham-metadata", out / "wham"),
        *("--librispeech", corpora.librispeech, "--wham", corpora.wham, "--out", out / "plans"),
        *("--subsets", "train-clean-100", "--round-to", "1"),
    )


@pytest.mark.parametrize(
    ("damage", "stage", "reason"),
    [
        (lambda path: rewrite(path, 0 * NOISE), "read", "is silent: every sample is zero"),
        (
            lambda path: rewrite(path, NOISE // 3000),
            "loudness",
            "is silent: no block of 0.4 s is louder than",
        ),
        (Path.unlink, "read", "no such file or folder; check the path"),
    ],
    ids=["zeros", "too quiet", "missing"],
)
def test_an_utterance_that_has_no_loudness(
    mixtape: Mixtape, tiny_corpora: TinyCorpora, tmp_path: Path, damage: Damage, stage: str, reason: str
) -> None:
    copy = TinyCorpora(tmp_path / "speech", tiny_corpora.wham)
    shutil.copytree(tiny_corpora.librispeech, copy.librispeech)
    for kind, root in (("librispeech", copy.librispeech), ("wham", copy.wham)):
        assert mixtape("metadata", kind, "--corpus", root, "--out", tmp_path / kind).status == 0
    assert "planned 3 = written 3 + rejected 0" in plan(mixtape, copy, tmp_path).out
    planned = tmp_path / "plans" / "Libri2Mix" / "libri2mix_train-clean-100.csv"
    victim = copy.librispeech / planned.read_text().splitlines()[1].split(",")[1]
    damage(victim)
    outcome = plan(mixtape, copy, tmp_path)
    assert outcome.only_rejected
    assert "planned 3 = written 2 + rejected 1" in outcome.out
    (row,) = rejects(tmp_path / "plans")
    assert row["source"] == f"librispeech:{victim.relative_to(copy.librispeech)}"
    assert victim.stem in row["item"]
    assert row["stage"] == stage
    assert row["reason"].startswith(reason)
    assert len(planned.read_text().splitlines()) == 1 + 2
    assert row["item"] not in planned.read_text()


def test_mixtures_shorter_than_loudness_can_be_measured_of(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    speech, noise = tmp_path / "speech", tmp_path / "noise"
    speech.mkdir()
    noise.mkdir()
    paths = [f"train-clean-100/{100 + index}/1/{100 + index}-1-0000.flac" for index in range(4)]
    (speech / "train-clean-100.csv").write_text(
        "speaker_ID,sex,subset,length,origin_path\n"
        + "".join(f"{100 + index},F,train-clean-100,700,{path}\n" for index, path in enumerate(paths))
    )
    (noise / "train.csv").write_text(
        "noise_ID,subset,length,augmented,origin_path\n"
        + "".join(f"n{index}.wav,tr,800,False,tr/n{index}.wav\n" for index in range(3))
    )
    outcome = mixtape(
        *("plan", "librimix", "--librispeech-metadata", speech, "--wham-metadata", noise, "--round-to", "1"),
        *("--librispeech", corpus.roots["librispeech"], "--wham", corpus.roots["wham"]),
        *("--out", tmp_path / "plans"),
    )
    assert outcome.status == 1
    assert "planned 2 = written 0 + rejected 2" in outcome.out
    for row in rejects(tmp_path / "plans"):
        assert row["stage"] == "loudness"
        assert row["reason"].endswith("loudness is defined from 0.4 s on")


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_an_output_in_the_place_of_a_file(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("mine")
    outcome = render(mixtape, corpus, tmp_path / place)
    assert (outcome.status, outcome.problems) == (
        2,
        [
            f"--out {tmp_path / place}: cannot be written to: "
            "a file stands where a folder is needed; choose another path"
        ],
    )
    assert (tmp_path / "file").read_text() == "mine"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB, which root can make larger."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "mixtape-test", str(disk)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system of its own can be mounted here by nobody but root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def test_an_output_that_is_read_only(mixtape: Mixtape, corpus: trees.Corpus, small_disk: Path) -> None:
    remount(small_disk, "ro")
    outcome = render(mixtape, corpus, small_disk / "out")
    assert outcome.status == 2
    (problem,) = outcome.problems
    assert problem.startswith(f"--out {small_disk / 'out'}: cannot be written to: ")
    assert "Read-only file system" in problem


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_ends_the_run_and_room_completes_it(
    mixtape: Mixtape, tmp_path: Path, small_disk: Path, workers: int
) -> None:
    corpus = trees.make_corpus(tmp_path / "corpus", mixtures=8, samples=40000)
    words = ["--formats", "wav", "--shard-size", "1", "--table-paths", "relative"]
    outcome = mixtape(*corpus.flags(small_disk / "out"), *words, workers=workers)
    assert outcome.status == 1
    (problem,) = outcome.problems
    assert problem.startswith("shard Libri2Mix-train-100-00000")
    assert f"cannot write {small_disk}/out/Libri2Mix/wav" in problem
    assert problem.endswith(": no space left on the device; free some, then run the same command again")
    remount(small_disk, "size=60m")
    again = mixtape(*corpus.flags(small_disk / "out"), *words, workers=workers)
    assert (again.status, again.problems) == (0, [])
    mixtape(*corpus.flags(tmp_path / "fresh"), *words)
    assert trees.contents(small_disk / "out") == trees.contents(tmp_path / "fresh")
