"""Any speech with any noise, from folders of audio to a verified corpus, on the command line."""

import csv
import dataclasses
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipelines import cli
from tests import trees
from tests.pipelines.conftest import Mixtape
from transforms import report
from transforms.plan import Mixture, Settings, Source, StoredPlan, write_plan
from transforms.storage import OutputTree

TYPES = ("mix_clean", "mix_both", "mix_single")
PLANNING = (
    *("--count", "9", "--speakers", "1:1", "2:1", "3:1", "--overlap", "uniform(0,1)", "--seed", "5"),
    *("--speed", "uniform(0.9,1.1)", "--shard-size", "3"),
)


@pytest.fixture(autouse=True, scope="module")
def short_reports() -> Iterator[None]:
    """Puts a line in place of the report, which no test here reads and which takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "make_report", lambda job, summaries: f"{len(summaries)} parts")
        yield


def speak(path: Path, samples: int, *, rate_hz: int, seed: int) -> None:
    """Writes noise in bursts: something with pauses."""
    values = np.random.default_rng(seed).uniform(-0.3, 0.3, samples)
    values *= (np.arange(samples) // 1500) % 4 != 3
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, values, rate_hz, subtype="PCM_16")


@dataclass(frozen=True)
class Sounds:
    """Folders of audio, and their listings."""

    folder: Path

    @property
    def roots(self) -> list[str]:
        return [
            f"{name}={self.folder / sub}" for name, sub in (("speech", "s"), ("noise", "n"), ("rir", "r"))
        ]

    def plan(self, out: Path, *flags: str) -> int:
        """Runs ``plan mixtures``; flags given later win."""
        listings = (("--speech", "s"), ("--noise", "n"), ("--rirs", "r"))
        words = [
            word for flag, name in listings for word in (flag, str(self.folder / f"{name}.csv/audio.csv"))
        ]
        return cli.main(["plan", "mixtures", *words, "--out", str(out), "--quiet", "--workers", "1", *flags])

    def words(self, plan: Path, out: Path, *flags: str) -> list[str]:
        """Returns the words that render a plan."""
        given = ["--plan", str(plan), "--root", *self.roots, "--out", str(out), "--table-paths", "relative"]
        return ["render", "mixtures", *given, "--shard-size", "3", *flags]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Sounds:
    """Five talkers with two utterances at two rates, noises long and short, two rooms; all listed."""
    folder = tmp_path_factory.mktemp("sounds")
    for talker in range(5):
        for turn in range(2):
            seed = 10 * talker + turn
            rate_hz = 8000 if talker == 4 else 16000
            path = folder / "s" / f"t{talker}" / f"{turn}.flac"
            speak(path, rate_hz + 997 * seed // 10, rate_hz=rate_hz, seed=seed)
    for index, samples in enumerate((60000, 8500, 60000)):
        trees.write_noise(folder / "n" / f"n{index}.wav", samples, seed=100 + index, channels=1 + index % 2)
    for index in range(6):
        path = folder / "r" / f"room{index // 3}" / f"{index % 3}.wav"
        trees.write_response(path, 900, delay=20 + 40 * index, seed=200 + index)
    pattern = ["--speaker-pattern", "^(?P<speaker>t[0-9])/"]
    for name in ("s", "n", "r"):
        words = ["metadata", "audio", "--corpus", str(folder / name), "--out", str(folder / f"{name}.csv")]
        assert cli.main([*words, *(pattern if name == "s" else []), "--quiet", "--workers", "1"]) == 0
    return Sounds(folder)


@pytest.fixture(scope="module")
def plan(sounds: Sounds) -> Path:
    """Nine mixtures of one to three talkers in rooms, overlapping and at different speeds."""
    assert sounds.plan(sounds.folder / "plan", *PLANNING) == 0
    return sounds.folder / "plan" / "mixtures" / "mixtures_train.parquet"


@pytest.fixture(scope="module")
def out(sounds: Sounds, plan: Path) -> Path:
    """The plan rendered at two rates and in both modes, in all formats."""
    flags = ["--rates", "8000", "16000", "--modes", "min", "max", "--formats", *trees.ALL_FORMATS]
    folder = sounds.folder / "out"
    assert cli.main([*sounds.words(plan, folder, *flags), "--quiet", "--workers", "1"]) == 0
    return folder


def mixtures_of(plan: Path) -> list[Mixture]:
    return list(StoredPlan.open(str(plan)).read_all())


def samples_of(out: Path, mixture: Mixture, stream: str, *, variant: str = "wav16k/max") -> Any:
    return soundfile.read(out / f"mixtures/{variant}/train/{stream}/{mixture.id}.wav", dtype="int16")[0]


def ledger_items(out: Path) -> dict[str, Any]:
    ledgers = sorted((out / "_mixtape" / "ledger").glob("*.json"))
    return {item["id"]: item for path in ledgers for item in json.loads(path.read_bytes())["items"]}


def rejects(out: Path) -> list[dict[str, str]]:
    with (out / "_mixtape" / "rejects.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# What is made.


def test_the_plan_holds_what_was_asked_for(plan: Path) -> None:
    mixtures = mixtures_of(plan)
    assert {len(mixture.speech) for mixture in mixtures} == {1, 2, 3}
    sources = [source for mixture in mixtures for source in mixture.sources]
    assert any(source.start_samples for source in sources)
    assert any(source.path == "n1.wav" for source in sources), "the noise that must be repeated is used"
    assert all(source.rir for source in sources if source.role != "noise")
    for mixture in mixtures:
        assert len({source.speaker for source in mixture.speech}) == len(mixture.speech)
        assert len({source.rir.split("/")[0] for source in mixture.speech}) == 1


def test_every_item_has_the_streams_of_its_sources(plan: Path, out: Path) -> None:
    for mixture in mixtures_of(plan):
        talkers = {source.role for source in mixture.speech}
        wanted = {*talkers, *(f"{role}_dry" for role in talkers), "noise", *TYPES}
        for variant in ("wav8k/min", "wav8k/max", "wav16k/min", "wav16k/max"):
            found = {path.parent.name for path in (out / f"mixtures/{variant}").rglob(f"{mixture.id}.wav")}
            assert found == wanted


@pytest.mark.parametrize("variant", ["wav8k/min", "wav8k/max", "wav16k/min", "wav16k/max"])
def test_references_sum_to_every_mixture(plan: Path, out: Path, variant: str) -> None:
    for mixture in mixtures_of(plan):
        roles = [source.role for source in mixture.speech]
        for name, members in {"mix_clean": roles, "mix_both": [*roles, "noise"]}.items():
            streams = [samples_of(out, mixture, role, variant=variant).astype(int) for role in members]
            mixed = samples_of(out, mixture, name, variant=variant)
            assert np.abs(mixed - sum(streams)).max() <= (len(members) + 1) / 2


def test_the_ledger_has_the_planned_snr_of_every_item(plan: Path, out: Path) -> None:
    items = ledger_items(out)
    for mixture in mixtures_of(plan):
        (noise,) = (source for source in mixture.sources if source.role == "noise")
        assert (noise.level_kind, noise.measure, noise.against) == ("snr", "rms", "speech")
        (record,) = (
            one for one in items[mixture.id]["variants"] if (one["rate_hz"], one["mode"]) == (16000, "max")
        )
        assert record["snr_db"]["mix_both"][-1] == pytest.approx(-noise.level, abs=5e-3)
        speech, sound = (samples_of(out, mixture, name) / 32768 for name in ("mix_clean", "noise"))
        measured = 10 * np.log10(np.sum(speech**2) / np.sum(sound**2))
        assert measured == pytest.approx(noise.level, abs=0.02)


def test_wet_and_dry_references_are_aligned(plan: Path, out: Path) -> None:
    """The response's direct path leads by far, so both correlate best without any shift."""
    for mixture in mixtures_of(plan):
        for source in mixture.speech:
            wet, dry = (samples_of(out, mixture, source.role + end).astype(float) for end in ("", "_dry"))
            spectrum = np.fft.rfft(wet, 2 * len(wet)) * np.conj(np.fft.rfft(dry, 2 * len(dry)))
            assert int(np.argmax(np.fft.irfft(spectrum))) == 0


def test_archives_hold_the_same_and_tell_what_it_is(plan: Path, out: Path) -> None:
    mixtures = {mixture.id: mixture for mixture in mixtures_of(plan)}
    seen = set()
    for archive in sorted((out / "mixtures/webdataset/wav16k/max").glob("*.tar")):
        with tarfile.open(archive) as tar:
            for member in tar:
                data = tar.extractfile(member).read()  # type: ignore[union-attr]
                key, _, extension = member.name.partition(".")
                if extension == "json":
                    facts, mixture = json.loads(data), mixtures[key]
                    assert facts["speakers"] == [source.speaker for source in mixture.sources]
                    assert facts["sources"] == [source.name for source in mixture.sources]
                    seen.add(key)
                else:
                    stream = extension.removesuffix(".wav")
                    assert data == (out / f"mixtures/wav16k/max/train/{stream}/{key}.wav").read_bytes()
    assert seen == set(mixtures)
    assert len(list((out / "mixtures/tfrecord").rglob("*.tfrecord-*"))) == 4 * 3


def test_tables_leave_empty_what_an_item_has_not(plan: Path, out: Path) -> None:
    table = out / "mixtures/wav16k/max/metadata/mixture_train_mix_both.csv"
    with table.open(newline="") as file:
        rows = {row["mixture_ID"]: row for row in csv.DictReader(file)}
    for mixture in mixtures_of(plan):
        filled = [k for k in (1, 2, 3) if rows[mixture.id][f"source_{k}_path"]]
        assert filled == list(range(1, len(mixture.speech) + 1))
        assert (table.parent / rows[mixture.id]["mixture_path"]).exists()


@pytest.mark.parametrize("variant", ["wav8k/min", "wav16k/max"])
def test_records_are_those_in_the_archives_in_plan_order(plan: Path, out: Path, variant: str) -> None:
    packed = []
    for archive in sorted((out / f"mixtures/webdataset/{variant}").glob("*.tar")):
        with tarfile.open(archive) as tar:
            packed += [tar.extractfile(one).read() for one in tar if one.name.endswith(".json")]  # type: ignore[union-attr]
    lines = (out / f"mixtures/{variant}/metadata/items_train.jsonl").read_bytes().splitlines()
    assert lines == packed
    mixtures = mixtures_of(plan)
    assert [json.loads(line)["id"] for line in lines] == [mixture.id for mixture in mixtures]
    for line, mixture in zip(map(json.loads, lines), mixtures, strict=True):
        drawn = ("roles", "speeds", "rooms", "offsets_samples", "levels", "level_references")
        fields = ("role", "speed", "rir", "offset_samples", "level", "against")
        for name, field in zip(drawn, fields, strict=True):
            assert line[name] == [getattr(source, field) for source in mixture.sources]
        assert line["starts_s"] == [source.start_samples / 16000 for source in mixture.sources]


def test_rttm_says_who_speaks_when(plan: Path, out: Path) -> None:
    """Where nobody speaks by the RTTM, the dry speech of the longest form is silent, and the other way."""
    lines = (out / "mixtures/wav16k/max/metadata/items_train.rttm").read_text().splitlines()
    spoken = {(line.split()[1], line.split()[7]): tuple(map(float, line.split()[3:5])) for line in lines}
    speech = [(mixture, source) for mixture in mixtures_of(plan) for source in mixture.speech]
    assert len(lines) == len(speech)
    for mixture, source in speech:
        onset_s, duration_s = spoken[mixture.id, source.speaker]
        heard = np.flatnonzero(np.abs(samples_of(out, mixture, source.role + "_dry")) > 2)
        assert onset_s <= heard[0] / 16000 < onset_s + 0.1
        assert onset_s + duration_s - 0.25 < heard[-1] / 16000 <= onset_s + duration_s


def test_without_transcripts_there_is_no_stm(out: Path) -> None:
    assert not list(out.rglob("*.stm"))


def test_the_ledger_tells_planned_snrs_as_measured(plan: Path, out: Path) -> None:
    items = ledger_items(out)
    for mixture in mixtures_of(plan):
        told = items[mixture.id]["planned_snr_db"]
        planned = {source.role: source.level for source in mixture.sources if source.level_kind == "snr"}
        assert {role: snr["planned"] for role, snr in told.items()} == planned
        assert all(abs(snr["deviation"]) <= 1e-6 for snr in told.values())


def test_all_of_it_is_verified(mixtape: Mixtape, out: Path) -> None:
    outcome = mixtape("verify", out, "--all")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith("checked 9 items and ")


def test_nothing_is_made_twice(mixtape: Mixtape, sounds: Sounds, plan: Path, out: Path) -> None:
    before = trees.identities(out)
    flags = ["--rates", "8000", "16000", "--modes", "min", "max", "--formats", *trees.ALL_FORMATS]
    assert "nothing to do" in mixtape(*sounds.words(plan, out, *flags)).out
    assert trees.changed(before, out) == set()


def test_a_smaller_plan_is_the_beginning_of_a_larger_one(
    mixtape: Mixtape, sounds: Sounds, plan: Path, tmp_path: Path
) -> None:
    """Shards that are there already stay as they are when the plan grows."""
    assert sounds.plan(tmp_path / "small", *PLANNING, "--count", "6") == 0
    small = tmp_path / "small" / "mixtures" / "mixtures_train.parquet"
    assert mixtures_of(small) == mixtures_of(plan)[:6]
    flags = ("--formats", "wav", "webdataset")
    assert mixtape(*sounds.words(small, tmp_path / "out", *flags)).status == 0
    before = trees.identities(tmp_path / "out")
    outcome = mixtape(*sounds.words(plan, tmp_path / "out", *flags))
    assert (outcome.status, outcome.out.splitlines()[0]) == (0, "planned 9 = written 9 + rejected 0")
    assert "1 shard made in " in outcome.out
    redone = trees.changed(before, tmp_path / "out")
    assert {Path(name).stem for name in redone if name.endswith(".wav")} == {
        f"train-{number:07d}" for number in (6, 7, 8)
    }
    assert {Path(name).name for name in redone if name.endswith((".tar", ".idx"))} == {
        "train-000002.tar", "train-000002.idx"
    }  # fmt: skip
    assert mixtape(*sounds.words(plan, tmp_path / "fresh", *flags)).status == 0
    assert trees.contents(tmp_path / "fresh") == trees.contents(tmp_path / "out")


def test_subsets_of_one_folder_are_rendered_together(
    mixtape: Mixtape, sounds: Sounds, tmp_path: Path
) -> None:
    shares = ("--subsets", "train:0.5", "dev:0.5", "--talkers", "any", "--speakers", "1", "--noises", "0")
    assert (
        sounds.plan(tmp_path / "plan", *PLANNING, *shares, "--count", "train:3", "dev:2", "--rirs", "") == 0
    )
    outcome = mixtape(*sounds.words(tmp_path / "plan", tmp_path / "out"))
    assert (outcome.status, outcome.out.splitlines()[0]) == (0, "planned 5 = written 5 + rejected 0")
    found = {path.parent.parent.name for path in (tmp_path / "out").rglob("*.wav")}
    assert found == {"train", "dev"}


def test_texts_of_a_listing_are_carried_to_records_and_stm(
    mixtape: Mixtape, sounds: Sounds, tmp_path: Path
) -> None:
    """Two talkers one after the other, the words of one of whom are known."""
    for line, name in (("0 GO ON\n1 STAY\n", "t0"), ("0 UNUSED\n", "t9")):
        path = tmp_path / "s" / name / "x.trans.txt"
        path.parent.mkdir(parents=True)
        path.write_text(line)
    for talker in ("t0", "t1"):
        for turn in range(2):
            speak(tmp_path / "s" / talker / f"{turn}.flac", 16000, rate_hz=16000, seed=turn)
    listed = ("--corpus", tmp_path / "s", "--out", tmp_path / "list", "--transcripts")
    assert mixtape("metadata", "audio", *listed, "--speaker-pattern", "^(?P<speaker>t[0-9])/").status == 0
    flags = ("--speech", str(tmp_path / "list/audio.csv"), "--rirs", "", "--noises", "0", "--count", "2")
    assert sounds.plan(tmp_path / "plan", *flags, "--speakers", "2", "--overlap", "sequential") == 0
    roots = ["--root", f"speech={tmp_path / 's'}", "--out", tmp_path / "out", "--rates", "8000"]
    assert mixtape("render", "mixtures", "--plan", tmp_path / "plan", *roots, "--modes", "max").status == 0
    folder = tmp_path / "out/mixtures/wav8k/max/metadata"
    records = [json.loads(line) for line in (folder / "items_train.jsonl").read_text().splitlines()]
    lines = (folder / "items_train.stm").read_text().splitlines()
    assert len(records) == len(lines) == 2
    for record, line in zip(records, lines, strict=True):
        place = record["speakers"].index("t0")
        assert record["texts"][place] in ("GO ON", "STAY")
        assert record["texts"][1 - place] == ""
        times = f"{record['starts_s'][place]:.6f} {record['ends_s'][place]:.6f}"
        assert line == f"{record['id']} 1 t0 {times} {record['texts'][place]}"
    assert len((folder / "items_train.rttm").read_text().splitlines()) == 4


# What is rejected.


@pytest.fixture
def corpus(tmp_path: Path) -> trees.Corpus:
    """Five mixtures of two talkers in a room with a noise; utterance k is in mixtures k-1 and k."""
    return trees.make_corpus(tmp_path / "corpus", recipe="mixtures")


def render(mixtape: Mixtape, corpus: trees.Corpus, out: Path, *more: str) -> Any:
    return mixtape(*corpus.flags(out), "--rates", "16000", "--modes", "max", *more)


LOST: dict[str, tuple[Callable[[trees.Corpus], Path], set[int]]] = {
    "an utterance": (lambda corpus: corpus.utterance(2), {1, 2}),
    "a noise": (lambda corpus: corpus.folder / "noise/n0.wav", {0, 3}),
    "a response": (lambda corpus: corpus.folder / "rooms/hall/1.wav", {0, 1, 2, 3, 4}),
}


@pytest.mark.parametrize("what", LOST)
def test_what_is_missing_rejects_the_items_that_need_it(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, what: str
) -> None:
    path, items = LOST[what]
    path(corpus).unlink()
    outcome = render(mixtape, corpus, tmp_path / "out")
    assert outcome.only_rejected
    kept = 5 - len(items)
    assert outcome.out.startswith(f"planned 5 = written {kept} + rejected {len(items)}\n")
    found = rejects(tmp_path / "out")
    assert {row["item"] for row in found} == {corpus.mixtures[k].id for k in items}
    assert all(row["source"].endswith(path(corpus).name) and row["stage"] == "read" for row in found)
    written = {path.stem for path in (tmp_path / "out").rglob("*.wav")}
    assert written == {corpus.mixtures[k].id for k in range(5)} - {row["item"] for row in found}


def test_mixtures_that_clip_are_rejected_where_the_plan_wants_it(
    mixtape: Mixtape, sounds: Sounds, tmp_path: Path
) -> None:
    loud = ("--speech-level", "uniform(-40,0)", "--level-measure", "rms", "--clip", "reject", "--count", "12")
    assert sounds.plan(tmp_path / "plan", *PLANNING, *loud) == 0
    outcome = mixtape(*sounds.words(tmp_path / "plan", tmp_path / "out"), "--max-rejects", "90%")
    assert outcome.status == 0
    found = rejects(tmp_path / "out")
    assert 0 < len(found) < 12
    assert {row["stage"] for row in found} == {"mix"}
    assert all(re.match(r"would clip: its peak is \d+\.\d+ of full scale", row["reason"]) for row in found)
    peaks = [np.abs(soundfile.read(path)[0]).max() for path in (tmp_path / "out").rglob("*.wav")]
    assert max(peaks) <= 32767 / 32768


# What is refused.


def store(corpus: trees.Corpus, mixtures: list[Mixture], **changes: Any) -> None:
    """Writes any plan at all in the place of the corpus's."""
    facts = {"part": corpus.part, "settings": {"rate_hz": 16000, "clip": "scale"}, "shard_size": 3, **changes}
    write_plan(OutputTree(str(corpus.plan.parent)), corpus.plan.name, mixtures=mixtures, **facts)


def with_source(place: int, **fields: Any) -> Callable[[list[Mixture]], list[Mixture]]:
    """Returns a change of one source of the second mixture."""

    def change(mixtures: list[Mixture]) -> list[Mixture]:
        sources: list[Source] = list(mixtures[1].sources)
        sources[place] = dataclasses.replace(sources[place], **fields)
        return [mixtures[0], dataclasses.replace(mixtures[1], sources=tuple(sources)), *mixtures[2:]]

    return change


HOSTILE: dict[str, tuple[Callable[[list[Mixture]], list[Mixture]], str]] = {
    "a path upwards": (with_source(0, path="../../secret.wav"), r"'\.\./\.\./secret\.wav' of s1 must be"),
    "an absolute path": (with_source(0, path="/etc/passwd"), "path '/etc/passwd' of s1 must be relative"),
    "a URL": (with_source(0, path="http://host/a.wav"), "path 'http://host/a.wav' of s1 must be relative"),
    "a room elsewhere": (with_source(0, rir="../r.wav"), "room response '../r.wav' of s1 must be relative"),
    "an unknown root": (with_source(0, root="home"), "root 'home' of s1 is not given"),
    "an id upwards": (lambda m: [dataclasses.replace(m[0], id="../../x"), *m[1:]], r"'\.\./\.\./x' may hold"),
    "an id twice": (lambda m: [*m, m[0]], "1 ids stand in it twice; every id must be unique"),
    "a role as a path": (with_source(0, role="../s1"), r"role '\.\./s1' may hold small letters"),
    "a role like a mixture": (with_source(1, role="mix_both"), "'mix_both' is the name of another stream"),
    "a role like a reference": (with_source(1, role="s1_dry"), "role 's1_dry' is the name of another stream"),
    "an unknown measure": (with_source(1, measure="loud"), "measure 'loud' of s2 is not known"),
    "an unknown reference": (with_source(1, against="s7"), "SNR of s2 is against 's7'"),
    "a level of another recipe": (with_source(0, level_kind="active_level"), "of s1 is wsj0-mix's"),
    "a start beyond all": (with_source(1, start_samples=10**14), "s2 starts at sample 100000000000000"),
    "no speech": (
        lambda m: [dataclasses.replace(m[0], sources=(Source("noise", "noise", "n0.wav"),)), *m[1:]],
        "holds no speech",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_plans_are_refused_and_nothing_is_written(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, case: str
) -> None:
    change, problem = HOSTILE[case]
    store(corpus, change(list(corpus.mixtures)))
    outcome = render(mixtape, corpus, tmp_path / "out")
    assert outcome.status == 2
    assert re.search(problem, outcome.err), outcome.err
    assert all(str(corpus.plan) in line for line in outcome.problems)
    assert trees.files(tmp_path / "out") == []


@pytest.mark.parametrize("name", ["speech", "noise", "rir"])
def test_a_root_that_is_needed_and_not_given(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, name: str
) -> None:
    words = [word for word in corpus.flags(tmp_path / "out") if not word.startswith(f"{name}=")]
    outcome = mixtape(*words)
    assert outcome.status == 2
    assert outcome.problems == [f"--root {name}=URL is needed: {corpus.plan} has sources there"]
    assert trees.files(tmp_path / "out") == []


def test_the_noise_may_be_away_where_no_type_holds_it(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    words = [word for word in corpus.flags(tmp_path / "out") if not word.startswith("noise=")]
    assert mixtape(*words, "--types", "mix_clean").status == 0


@pytest.mark.parametrize(
    ("root", "problem"),
    [
        ("speech", "--root speech: wanted NAME=URL"),
        ("music=/tmp", "--root music=/tmp: wanted one of speech, noise, rir"),
        ("speech=/nowhere", "--root speech=/nowhere: no such folder; check the path"),
    ],
)
def test_roots_that_are_none(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, root: str, problem: str
) -> None:
    outcome = render(mixtape, corpus, tmp_path / "out", "--root", root)
    assert outcome.status == 2
    assert any(line.startswith(problem) for line in outcome.problems)
    assert not (tmp_path / "out").exists()


def test_plans_of_different_settings_are_not_rendered_together(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    other = corpus.plan.with_name("other.parquet")
    part = dataclasses.replace(corpus.part, subset="dev")
    tree = OutputTree(str(other.parent))
    settings: Settings = {"rate_hz": 8000, "clip": "scale"}
    write_plan(tree, other.name, part, corpus.mixtures, shard_size=3, settings=settings)
    outcome = render(mixtape, corpus, tmp_path / "out", "--plan", str(corpus.plan), str(other))
    assert outcome.status == 2
    assert outcome.problems == ["--plan: the plans differ in rate or clip policy; render them one by one"]
    assert not (tmp_path / "out").exists()


def test_a_plan_of_another_recipe_is_refused(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    store(corpus, list(corpus.mixtures), part=dataclasses.replace(corpus.part, recipe="librimix"))
    outcome = render(mixtape, corpus, tmp_path / "out")
    assert outcome.status == 2
    assert outcome.problems == [f"{corpus.plan}: is a plan of recipe librimix; render it by that recipe"]
    assert not (tmp_path / "out").exists()


def test_an_empty_plan_makes_an_empty_corpus(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    store(corpus, [])
    outcome = render(mixtape, corpus, tmp_path / "out")
    assert (outcome.status, outcome.out.splitlines()[0]) == (0, "planned 0 = written 0 + rejected 0")
    assert not list((tmp_path / "out").rglob("*.wav"))
