"""AVSE scenes from the command line: published samples and videos, every edge case, all formats."""

import csv
import hashlib
import json
import re
import shutil
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tests import trees
from tests.clips import write_clip
from tests.pipelines.conftest import Mixtape, Outcome
from transforms.corpora.avse import Scene, scenes_json
from transforms.weighting import faded, weighted_rms

pytestmark = pytest.mark.usefixtures("short_report")

STREAMS = ("mixed", "target", "interferer")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def rejects(out: Path) -> dict[str, dict[str, str]]:
    return {row["item"]: row for row in rows(out / "_mixtape" / "rejects.csv")}


def samples_of(path: Path) -> NDArray[np.int16]:
    samples, rate_hz = soundfile.read(path, dtype="int16")
    assert rate_hz == 16000
    return np.asarray(samples, dtype=np.int16)


def digest(path: Path) -> str:
    return hashlib.sha256(samples_of(path).astype("<i2").tobytes()).hexdigest()


def payloads(video: Path | bytes) -> list[bytes]:
    """Returns the packets of a file's video, which must be its only stream."""
    with av.open(BytesIO(video) if isinstance(video, bytes) else str(video)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        return [bytes(packet) for packet in container.demux() if packet.size]


# --- the published bits ------------------------------------------------------------------------


@pytest.fixture
def golden(repository: Path, tmp_path: Path) -> Path:
    """The committed scenes, with targets and maskers as WAV, as the list calls them."""
    folder = tmp_path / "golden"
    shutil.copytree(repository / "tests/golden/avse/render", folder)
    for path in sorted(folder.rglob("*.flac")):
        soundfile.write(path.with_suffix(".wav"), samples_of(path), 16000, subtype="PCM_16")
    return folder


def words(golden: Path, out: Path, *more: str | Path) -> list[str | Path]:
    return [
        *("render", "avse", "--plan", golden / "scenes.small.json", "--lrs3", golden / "LRS3"),
        *("--noise-maskers", golden / "noise", "--speech-maskers", golden / "speech", "--out", out, *more),
    ]


def test_published_samples_and_videos(mixtape: Mixtape, golden: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = mixtape(*words(golden, out, "--target-wavs", golden / "targets"))
    assert outcome.status == 0, outcome.err
    assert outcome.out.startswith("planned 4 = written 4 + rejected 0\n")
    for row in rows(golden / "expected_samples.csv"):
        path = out / f"small/scenes/{row['scene']}_{row['stream']}.wav"
        assert digest(path) in (row["sha256"], row["other_sha256"]), path
        assert len(samples_of(path)) == int(row["frames"])
    for row in rows(golden / "expected_videos.csv"):
        packets = payloads(out / f"small/scenes/{row['scene']}_silent.mp4")
        assert hashlib.sha256(b"".join(packets)).hexdigest() == row["sha256"]


def test_the_tree_is_the_published_one(mixtape: Mixtape, golden: Path, tmp_path: Path) -> None:
    assert mixtape(*words(golden, tmp_path / "out")).status == 0
    found = [name for name in trees.files(tmp_path / "out") if "/scenes/" in name]
    ends = ("interferer.wav", "mixed.wav", "silent.mp4", "target.wav")
    assert found == [
        f"small/scenes/{scene}_{end}" for scene in ("S00001", "S90001", "S90005", "S90007") for end in ends
    ]


def test_from_the_videos_it_is_nearly_the_same(mixtape: Mixtape, golden: Path, tmp_path: Path) -> None:
    assert mixtape(*words(golden, tmp_path / "videos")).status == 0
    assert mixtape(*words(golden, tmp_path / "wavs", "--target-wavs", golden / "targets")).status == 0
    for row in rows(golden / "expected_samples.csv"):
        name = f"small/scenes/{row['scene']}_{row['stream']}.wav"
        one, other = (samples_of(tmp_path / kind / name) for kind in ("videos", "wavs"))
        tolerance = 2 if row["scene"] == "S00001" else 0
        assert np.abs(one.astype(int) - other).max() <= tolerance, name


@pytest.mark.golden
@pytest.mark.parametrize("wavs", [True, False], ids=["wavs", "videos"])
def test_all_published_scenes(mixtape: Mixtape, shared_golden: Path, tmp_path: Path, wavs: bool) -> None:
    avse = shared_golden / "avse"
    inputs, expected = avse / "inputs", json.loads((avse / "expected/manifest.json").read_bytes())
    outcome = mixtape(
        *("render", "avse", "--plan", avse / "expected", inputs / "metadata/scenes.edge.json"),
        *("--lrs3", inputs / "LRS3", "--noise-maskers", inputs / "maskers_noise"),
        *("--speech-maskers", inputs / "maskers_speech", "--out", tmp_path, "--shard-size", "5"),
        *(["--target-wavs", inputs / "targets_wav"] if wavs else []),
    )
    assert outcome.only_rejected
    assert outcome.out.startswith("planned 30 = written 25 + rejected 5\n")
    places = {one["path"] for one in (*expected["outputs"], *expected["silent_videos"])}
    assert {name for name in trees.files(tmp_path) if "/scenes/" in name} == places
    for one in expected["outputs"]:
        if wavs:
            known = (one["sha256"], one.get("sha256_numpy2_4_scipy1_17"))
            assert digest(tmp_path / one["path"]) in known, one["path"]
        assert len(samples_of(tmp_path / one["path"])) == one["frames"]
    for one in expected["silent_videos"]:
        packets = payloads(tmp_path / one["path"])
        assert hashlib.sha256(b"".join(packets)).hexdigest() == one["packets_sha256"]
    assert rejects(tmp_path).keys() == {"S90002", "S90004", "S90006", "S90008", "S90009"}


# --- generated scenes --------------------------------------------------------------------------


class Corpus:
    """Videos, maskers and a list of scenes, which tests write as they need them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._scenes: list[Scene] = []

    def target(self, name: str, samples: int = 12_000, *, silent: bool = False) -> Path:
        rng = np.random.default_rng(len(name) + samples)
        sound = np.zeros(samples, np.int16) if silent else rng.integers(-9000, 9000, samples, dtype=np.int16)
        return write_clip(self.folder / f"LRS3/pretrain/{name}.mp4", sound, pictures=19, seed=samples)

    def masker(self, kind: str, name: str, samples: int = 12_000, *, silent: bool = False) -> Path:
        path = self.folder / kind / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        rng = np.random.default_rng(len(name) + 5 * samples)
        sound = np.zeros(samples, np.int16) if silent else rng.integers(-9000, 9000, samples, dtype=np.int16)
        soundfile.write(path, sound, 16000, subtype="PCM_16")
        return path

    def scene(self, name: str, target: str, masker: str, **changes: Any) -> None:
        fields: dict[str, Any] = {"kind": "noise", "offset_samples": 0, "snr_db": 3.0} | changes
        scene = Scene(
            dataset="train",
            name=name,
            target=f"pretrain/{target}",
            duration_samples=1,
            time_start=0,
            time_end=1,
            masker=masker,
            **fields,
        )
        self._scenes.append(scene)
        (self.folder / "scenes.train.json").write_bytes(scenes_json(self._scenes))

    def words(self, out: Path) -> list[str | Path]:
        for kind in ("noise", "speech"):
            (self.folder / kind).mkdir(exist_ok=True)
        return [
            *("render", "avse", "--plan", self.folder, "--lrs3", self.folder / "LRS3", "--out", out),
            *("--noise-maskers", self.folder / "noise", "--speech-maskers", self.folder / "speech"),
        ]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    made = Corpus(tmp_path / "corpus")
    made.target("a/1")
    made.masker("noise", "n")
    return made


def test_a_scene_is_what_its_rules_say(mixtape: Mixtape, corpus: Corpus, tmp_path: Path) -> None:
    corpus.masker("speech", "bob", 40_000)
    corpus.scene("S00001", "a/1", "bob", kind="speech", offset_samples=700, snr_db=-4.5)
    assert mixtape(*corpus.words(tmp_path / "out")).status == 0
    with av.open(str(corpus.folder / "LRS3/pretrain/a/1.mp4")) as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    target = np.concatenate(frames) / 32768
    masker = samples_of(corpus.folder / "speech/bob.wav")[700 : 700 + len(target)] / 32768
    interferer = faded(masker, 16000)
    interferer = interferer * (weighted_rms(target) / weighted_rms(interferer)) * 10 ** (4.5 / 20)
    mixed = target + interferer
    norm = max(np.abs(signal).max() for signal in (mixed, target, interferer))
    for stream, signal in zip(STREAMS, (mixed, target, interferer), strict=True):
        written = samples_of(tmp_path / f"out/train/scenes/S00001_{stream}.wav")
        assert written.tolist() == [int(32767 * value) for value in signal / norm]
    assert (
        max(abs(int(written)) for written in samples_of(tmp_path / "out/train/scenes/S00001_mixed.wav"))
        == 32767
    )


def only_reject(mixtape: Mixtape, corpus: Corpus, out: Path) -> dict[str, str]:
    """Renders, and returns the reject of scene ``bad``, which must be the only one and leave no file."""
    assert mixtape(*corpus.words(out)).only_rejected
    assert rejects(out).keys() == {"bad"}
    assert not [name for name in trees.files(out) if "bad" in name]
    return rejects(out)["bad"]


def test_a_short_target_is_rejected(mixtape: Mixtape, corpus: Corpus, tmp_path: Path) -> None:
    corpus.target("a/short", 7_999)
    corpus.scene("bad", "a/short", "n")
    corpus.scene("good", "a/1", "n")
    reject = only_reject(mixtape, corpus, tmp_path / "out")
    assert reject["source"] == "lrs3:pretrain/a/short.mp4"
    assert reject["reason"] == "is too short: it has 7999 samples, and the ramps of its interferer need 8000"


def test_a_silent_interferer_is_rejected(mixtape: Mixtape, corpus: Corpus, tmp_path: Path) -> None:
    corpus.masker("noise", "silence", silent=True)
    corpus.scene("bad", "a/1", "silence")
    reject = only_reject(mixtape, corpus, tmp_path / "out")
    assert (reject["source"], reject["stage"]) == ("noise_maskers:silence.wav", "level")
    assert reject["reason"] == "is silent once it is faded and weighted"


@pytest.mark.parametrize(
    ("offset", "reason"),
    [
        (1, "has 11999 samples from 1 on; the mixture needs 12000"),
        (11_999, "has 1 samples from 11999 on; the mixture needs 12000"),
        (12_000, "has 12000 samples, the plan begins at 12000"),
        (99_999, "has 12000 samples, the plan begins at 99999"),
    ],
)
def test_an_offset_too_late_is_rejected(
    mixtape: Mixtape, corpus: Corpus, tmp_path: Path, offset: int, reason: str
) -> None:
    corpus.scene("bad", "a/1", "n", offset_samples=offset)
    assert only_reject(mixtape, corpus, tmp_path / "out")["reason"] == reason


def test_the_last_possible_offset(mixtape: Mixtape, corpus: Corpus, tmp_path: Path) -> None:
    corpus.masker("noise", "longer", 12_345)
    corpus.scene("good", "a/1", "longer", offset_samples=345)
    assert mixtape(*corpus.words(tmp_path / "out")).status == 0


def test_a_missing_masker_is_rejected(mixtape: Mixtape, corpus: Corpus, tmp_path: Path) -> None:
    corpus.scene("bad", "a/1", "nobody", kind="speech")
    reject = only_reject(mixtape, corpus, tmp_path / "out")
    assert reject["source"] == "speech_maskers:nobody.wav"
    assert reject["reason"].startswith("no such file")


def test_a_masker_of_another_rate_is_rejected(mixtape: Mixtape, corpus: Corpus, tmp_path: Path) -> None:
    soundfile.write(corpus.folder / "noise/n8.wav", np.ones(30_000) * 0.1, 8000, subtype="PCM_16")
    corpus.scene("bad", "a/1", "n8")
    assert only_reject(mixtape, corpus, tmp_path / "out")["reason"] == "has 8000 Hz, wanted 16000 Hz"


def no_sound(path: Path) -> None:
    write_clip(path, None, pictures=3)


def no_pictures(path: Path) -> None:
    write_clip(path, np.ones(9_000, np.int16), pictures=0)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def no_video(path: Path) -> None:
    path.write_bytes(b"this is no video" * 50)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (Path.unlink, "no such file"),
        (no_sound, "has no audio stream"),
        (no_pictures, "has no video stream"),
        (cut, "is truncated: 100 of "),
        (no_video, "is no audio-visual file or is damaged"),
        (lambda path: path.write_bytes(b""), "the file is empty (0 bytes)"),
    ],
)
def test_a_target_that_cannot_serve_is_rejected(
    mixtape: Mixtape, corpus: Corpus, tmp_path: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    spoil(corpus.target("b/1"))
    corpus.scene("bad", "b/1", "n")
    corpus.scene("good", "a/1", "n")
    reject = only_reject(mixtape, corpus, tmp_path / "out")
    assert reject["source"] == "lrs3:pretrain/b/1.mp4"
    assert reject["reason"].startswith(reason)


def test_a_silent_target_makes_zeros_and_is_flagged(mixtape: Mixtape, corpus: Corpus, tmp_path: Path) -> None:
    corpus.target("a/mute", silent=True)
    corpus.scene("S1", "a/mute", "n")
    corpus.scene("S2", "a/1", "n")
    assert mixtape(*corpus.words(tmp_path / "out")).status == 0
    for stream in STREAMS:
        samples = samples_of(tmp_path / f"out/train/scenes/S1_{stream}.wav")
        assert len(samples) == 12_000
        assert not samples.any()
    assert (tmp_path / "out/train/scenes/S1_silent.mp4").exists()
    ledger = json.loads((tmp_path / "out/_mixtape/ledger/shard-AVSE-train-000000.json").read_bytes())
    flags = {item["id"]: item["variants"][0]["facts"]["silent_target"] for item in ledger["items"]}
    assert flags == {"S1": True, "S2": False}


def test_a_scene_that_is_rejected_later_loses_its_files(
    mixtape: Mixtape, corpus: Corpus, tmp_path: Path
) -> None:
    corpus.scene("bad", "a/1", "n")
    assert mixtape(*corpus.words(tmp_path / "out")).status == 0
    assert any("bad" in name for name in trees.files(tmp_path / "out"))
    (corpus.folder / "noise/n.wav").unlink()
    only_reject(mixtape, corpus, tmp_path / "out")


# --- formats -----------------------------------------------------------------------------------


@pytest.fixture
def packed(mixtape: Mixtape, corpus: Corpus, tmp_path: Path) -> Path:
    """An output in all formats: three scenes in two shards, two of which share a target."""
    corpus.target("a/2", 13_000)
    corpus.masker("noise", "long", 20_000)
    for number, target in enumerate(["a/1", "a/2", "a/1"]):
        corpus.scene(f"S0000{number}", target, "long", offset_samples=number, snr_db=float(number))
    outcome = mixtape(*corpus.words(tmp_path / "out"), "--shard-size", "2", "--formats", *trees.ALL_FORMATS)
    assert outcome.status == 0, outcome.err
    return tmp_path / "out"


def test_the_card_says_what_interferes_and_where_the_scenes_are(packed: Path) -> None:
    card = (packed / "README.md").read_text()
    assert "\n- `interferer`: a talker or a noise, as in the mixture\n- `mixed`: the sum of " in card
    assert "published tree of the recipe: `train/`\n" in card
    assert "wids and DALI: `AVSE/webdataset/`\n" in card


def test_members_of_archives(packed: Path) -> None:
    found = {}
    for path in sorted((packed / "AVSE/webdataset/wav16k/min").glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive.getmembers():
                file = archive.extractfile(member)
                assert file is not None
                found[member.name] = file.read()
    ends = ("target.wav", "interferer.wav", "mixed.wav", "mp4", "json")
    assert list(found) == [f"S0000{number}.{end}" for number in range(3) for end in ends]
    for number in range(3):
        scenes = packed / "train/scenes"
        for stream in STREAMS:
            assert (
                found[f"S0000{number}.{stream}.wav"] == (scenes / f"S0000{number}_{stream}.wav").read_bytes()
            )
        assert found[f"S0000{number}.mp4"] == (scenes / f"S0000{number}_silent.mp4").read_bytes()


def test_facts_of_a_scene(packed: Path) -> None:
    with tarfile.open(packed / "AVSE/webdataset/wav16k/min/train-000000.tar") as archive:
        file = archive.extractfile("S00001.json")
        assert file is not None
        facts = json.loads(file.read())
    assert (facts["id"], facts["rate_hz"], facts["samples"]) == ("S00001", 16000, 13_000)
    assert facts["roles"] == ["target", "interferer"]
    assert facts["levels"] == [1.0, 1.0]
    assert (facts["frame_count"], facts["frame_rate"], facts["silent_target"]) == (19, "25", False)
    assert facts["frame_times_s"] == pytest.approx([number / 25 for number in range(19)])
    target_gain, interferer_gain = facts["gains"]
    assert target_gain == pytest.approx(1 / facts["norm"], rel=1e-7)
    assert interferer_gain == pytest.approx(facts["level_ratio"] * 10 ** (-1 / 20) / facts["norm"], rel=1e-7)


def test_records_hold_the_video_and_its_times(packed: Path) -> None:
    tfds = pytest.importorskip("tensorflow_datasets")
    builder = tfds.builder_from_directory(str(packed / "AVSE/tfrecord/avse_wav16k_min/1.0.0"))
    examples = {one["id"].decode(): one for one in tfds.as_numpy(builder.as_dataset(split="train"))}
    assert examples.keys() == {"S00000", "S00001", "S00002"}
    for name, example in examples.items():
        assert example["video"] == (packed / f"train/scenes/{name}_silent.mp4").read_bytes()
        assert example["frame_times_s"] == pytest.approx([number / 25 for number in range(19)])
        for stream in STREAMS:
            assert np.array_equal(example[stream], samples_of(packed / f"train/scenes/{name}_{stream}.wav"))


def test_silent_videos_of_one_target_are_the_same(packed: Path) -> None:
    one, two, three = (
        (packed / f"train/scenes/S0000{number}_silent.mp4").read_bytes() for number in range(3)
    )
    assert one == three
    assert one != two


def test_any_number_of_workers_makes_the_same(
    mixtape: Mixtape, corpus: Corpus, packed: Path, tmp_path: Path
) -> None:
    more = ("--shard-size", "2", "--formats", *trees.ALL_FORMATS)
    assert mixtape(*corpus.words(tmp_path / "other"), *more, workers=2).status == 0
    assert trees.contents(tmp_path / "other") == trees.contents(packed)


def test_verify_finds_a_flipped_byte_of_a_video(mixtape: Mixtape, packed: Path) -> None:
    assert mixtape("verify", packed, "--all").status == 0
    video = packed / "train/scenes/S00001_silent.mp4"
    data = bytearray(video.read_bytes())
    data[len(data) // 2] ^= 1
    video.write_bytes(data)
    outcome = mixtape("verify", packed, "--all")
    assert outcome.status == 1
    assert "S00001_silent.mp4" in outcome.out + outcome.err + (packed / "_mixtape/verify.csv").read_text()


def test_a_lost_video_is_made_again(mixtape: Mixtape, corpus: Corpus, packed: Path) -> None:
    before = trees.contents(packed)
    (packed / "train/scenes/S00002_silent.mp4").unlink()
    more = ("--shard-size", "2", "--formats", *trees.ALL_FORMATS)
    outcome = mixtape(*corpus.words(packed), *more)
    assert outcome.status == 0, outcome.err
    assert "1 shard made" in outcome.out
    assert trees.contents(packed) == before


# --- the command line --------------------------------------------------------------------------


def refusal(outcome: Outcome) -> list[str]:
    assert outcome.status == 2
    return outcome.problems


def test_everything_that_is_needed_is_named(mixtape: Mixtape) -> None:
    needed = ("--lrs3", "--noise-maskers", "--speech-maskers", "--plan", "--out")
    assert refusal(mixtape("render", "avse")) == [
        f"{flag} is needed; see mixtape render avse --help" for flag in needed
    ]


def test_folders_must_be_there(mixtape: Mixtape, corpus: Corpus, tmp_path: Path) -> None:
    corpus.scene("S1", "a/1", "n")
    flags = corpus.words(tmp_path / "out")
    flags[flags.index("--lrs3") + 1] = "nowhere"
    problems = refusal(mixtape(*flags, "--target-wavs", "neither"))
    assert problems == [
        f"--{name}: no such folder; check the path" for name in ("lrs3 nowhere", "target-wavs neither")
    ]


def test_a_folder_without_lists(mixtape: Mixtape, corpus: Corpus, tmp_path: Path) -> None:
    (problem,) = refusal(mixtape(*corpus.words(tmp_path / "out")))
    assert "holds no scene list; looked for scenes.<subset>.json" in problem


def test_a_dry_run_writes_nothing(mixtape: Mixtape, corpus: Corpus, tmp_path: Path) -> None:
    corpus.scene("S1", "a/1", "n")
    outcome = mixtape(*corpus.words(tmp_path / "out"), "--dry-run")
    assert outcome.status == 0, outcome.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", trees.ALL_FORMATS)
def test_the_bytes_of_a_dry_run_include_the_silent_videos(
    mixtape: Mixtape, corpus: Corpus, tmp_path: Path, form: str
) -> None:
    corpus.scene("S1", "a/1", "n")
    words = [*corpus.words(tmp_path / "out"), "--formats", form]
    (found,) = re.findall(rf"^  {form}: about ([\d.]+) kB$", mixtape(*words, "--dry-run").out, re.MULTILINE)
    assert mixtape(*words).status == 0
    made = (path for path in (tmp_path / "out").rglob("*") if path.suffix in (".wav", ".mp4", ".tar"))
    records = (tmp_path / "out").rglob("*.tfrecord-*")
    total = sum(path.stat().st_size for path in [*made, *records])
    # an archive is padded to whole blocks of 10 kB
    assert float(found) * 1000 == pytest.approx(total, rel=0.05, abs=11_000 if form == "webdataset" else 0)


def test_prune_removes_scenes_that_are_no_longer_planned(
    mixtape: Mixtape, corpus: Corpus, packed: Path, tmp_path: Path
) -> None:
    scenes = json.loads((corpus.folder / "scenes.train.json").read_bytes())
    (corpus.folder / "scenes.train.json").write_text(json.dumps(scenes[:2]))
    more = ("--shard-size", "2", "--formats", *trees.ALL_FORMATS)
    assert mixtape(*corpus.words(packed), *more, "--prune").status == 0
    assert mixtape(*corpus.words(tmp_path / "fresh"), *more).status == 0
    assert trees.contents(packed) == trees.contents(tmp_path / "fresh")
    assert not [name for name in trees.files(packed) if "S00002" in name]


def test_targets_may_change_from_videos_to_wavs(
    mixtape: Mixtape, corpus: Corpus, packed: Path, tmp_path: Path
) -> None:
    """Extracted sound of the same samples gives the same scenes, from other sources."""
    for name in ("a/1", "a/2"):
        with av.open(str(corpus.folder / f"LRS3/pretrain/{name}.mp4")) as container:
            frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
        path = tmp_path / f"wavs/pretrain/{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.concatenate(frames), 16000, subtype="PCM_16")
    before = {name: data for name, data in trees.contents(packed).items() if "/scenes/" in name}
    more = ("--shard-size", "2", "--formats", *trees.ALL_FORMATS, "--target-wavs", tmp_path / "wavs")
    assert mixtape(*corpus.words(packed), *more).status == 0
    assert {name: data for name, data in trees.contents(packed).items() if "/scenes/" in name} == before
    ledger = json.loads((packed / "_mixtape/ledger/shard-AVSE-train-000000.json").read_bytes())
    assert {name.partition(":")[0] for name in ledger["sources"]} == {"lrs3", "noise_maskers", "target_wavs"}


def test_interferers_are_noise_to_espnet(mixtape: Mixtape, corpus: Corpus, tmp_path: Path) -> None:
    corpus.masker("speech", "bob", 40_000)
    corpus.scene("S00001", "a/1", "bob", kind="speech")
    corpus.scene("S00002", "a/1", "n")
    out = tmp_path / "out"
    assert mixtape(*corpus.words(out)).status == 0
    assert mixtape("export", "espnet", out, "--to", tmp_path / "lists").status == 0
    lists = {path.name: path.read_text().splitlines() for path in (tmp_path / "lists").rglob("*.scp")}
    assert set(lists) == {"wav.scp", "spk1.scp", "noise1.scp"}
    for name, stream in (("wav.scp", "mixed"), ("spk1.scp", "target"), ("noise1.scp", "interferer")):
        assert [line.split()[0] for line in lists[name]] == ["S00001", "S00002"]
        assert all(line.endswith(f"_{stream}.wav") for line in lists[name])
