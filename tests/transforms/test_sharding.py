"""One shard: made, kept, made again when something changed, and whole whenever a run is killed."""

import dataclasses
import io
import os
import random
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trees import (
    PART,
    SMALL,
    Corpus,
    changed,
    contents,
    files,
    identities,
    make_corpus,
    mixture,
    render,
    write_noise,
)
from transforms import ledger as ledgers
from transforms import sharding
from transforms.errors import MixtapeError
from transforms.finishing import finish_part
from transforms.inventory import INVENTORY_PATH
from transforms.plan import Mixture, Part, RenderOptions, Shard, Variant
from transforms.recipes import recipe_named
from transforms.rendering import RenderedMixture, RenderedVariant
from transforms.sharding import (
    RenderJob,
    item_record,
    kept_shard,
    plan_path,
    process_shard,
    render_shard,
    samples_crc32c,
    shard_fingerprint,
    stamps_path,
    store_plan,
    summary_path,
)
from transforms.storage import OutputTree

LEDGERS = "_mixtape/ledger/shard-Libri2Mix-train-100-"
TARS = "Libri2Mix/webdataset/wav8k/min/train-100-"
RECORDS = "Libri2Mix/tfrecord/libri2mix_wav8k_min/1.0.0/libri2mix_wav8k_min-train-100.tfrecord-"
WAVS = "Libri2Mix/wav8k/min/train-100"


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Five mixtures in shards of two: utterance 1 serves shard 0 alone, utterance 2 shards 0 and 1."""
    return make_corpus(tmp_path / "corpora")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[..., dict[str, bytes]]:
    """Returns ``fresh(corpus, options)``: what a build in an empty place holds."""

    def build(corpus: Corpus, options: RenderOptions = SMALL) -> dict[str, bytes]:
        folder = tmp_path / f"fresh-{len(list(tmp_path.glob('fresh-*')))}"
        render(corpus.job(folder, options), corpus.mixtures)
        return contents(folder)

    return build


def ledger_of(out: Path, index: int) -> ledgers.ShardLedger:
    found = ledgers.read_ledger(OutputTree(str(out)), Shard(PART, index, 3).name)
    assert found is not None
    return found


def test_a_shard_is_made_once_and_then_kept(corpus: Corpus, out: Path) -> None:
    first = render(corpus.job(out), corpus.mixtures)
    assert first.rendered == [0, 1, 2]
    assert [(result.written, result.rejected) for result in first.results] == [(2, 0), (2, 0), (1, 0)]
    before = identities(out)
    again = [process_shard(corpus.job(out), shard) for shard in first.plan.shards]
    assert [result.status for result in again] == ["kept"] * 3
    assert [(result.written, result.rejected) for result in again] == [(2, 0), (2, 0), (1, 0)]
    assert changed(before, out) == set()


def test_what_a_shard_leaves(corpus: Corpus, out: Path) -> None:
    render(corpus.job(out), corpus.mixtures)
    there = files(out)
    assert [name for name in there if name.startswith(TARS)] == [
        f"{TARS}{index:06d}.{suffix}" for index in range(3) for suffix in ("idx", "tar")
    ]
    assert [name for name in there if name.startswith(RECORDS)] == [
        f"{RECORDS}{index:05d}-of-00003" for index in range(3)
    ]
    wavs = [name for name in there if name.startswith(WAVS)]
    assert wavs == sorted(
        f"{WAVS}/{stream}/m{index:04d}.wav"
        for stream in ("s1", "s2", "noise", "mix_clean", "mix_both")
        for index in range(5)
    )
    assert [name for name in there if name.startswith("_mixtape")] == sorted(
        [
            plan_path(PART.name),
            summary_path(PART.name),
            f"_mixtape/checksums/{PART.name}.sha256",
            INVENTORY_PATH,
            f"_mixtape/{RECORDS.rpartition('/')[0]}/train-100.json",
        ]
        + [f"_mixtape/{RECORDS.rpartition('/')[0]}/train-100.json".replace("_min", "_max")]
        + [f"{LEDGERS}{index:06d}.json" for index in range(3)]
        + [stamps_path(Shard(PART, index, 3).name) for index in range(3)]
    )


def test_the_ledger_names_content_of_sources_and_files(corpus: Corpus, out: Path) -> None:
    render(corpus.job(out), corpus.mixtures)
    ledger = ledger_of(out, 0)
    paths = {f"{root}:{path.relative_to(folder)}": path for root, folder in corpus.roots.items()
             for path in Path(folder).rglob("*.*")}  # fmt: skip
    used = [f"librispeech:{corpus.utterance(k).relative_to(corpus.roots['librispeech'])}" for k in range(3)]
    assert sorted(ledger.sources) == sorted([*used, "wham:tr/n0.wav", "wham:tr/n1.wav"])
    for name, content in ledger.sources.items():
        data = paths[name].read_bytes()
        assert content == f"{len(data)}-{ledgers.crc32c(data):08x}"
    for file in ledger.files:
        data = (out / file.path).read_bytes()
        assert (file.size_bytes, file.crc32c) == (len(data), ledgers.crc32c(data))
    wav = (out / WAVS / "mix_both/m0001.wav").read_bytes()
    assert ledger.items[1].variants[0].crc32c["mix_both"] == ledgers.crc32c(wav[44:])


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_shards_changes_nothing(
    corpus: Corpus, out: Path, fresh: Callable[..., dict[str, bytes]], seed: int
) -> None:
    render(corpus.job(out), corpus.mixtures, order=random.Random(seed))
    assert contents(out) == fresh(corpus)


def test_a_source_that_is_replaced_between_two_items_is_noticed_by_the_next_run(
    corpus: Corpus, out: Path, fresh: Callable[..., dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def replace_after_first(rendered: Any, recipe: Any) -> ledgers.ItemRecord:
        made.append(rendered.mixture.id)
        if len(made) == 1:
            corpus.write_utterance(1, 700, seed=99)
        return item_record(rendered, recipe)

    monkeypatch.setattr(sharding, "item_record", replace_after_first)
    rendering = render(corpus.job(out), corpus.mixtures)
    assert len(made) == 5
    monkeypatch.undo()
    kept = [kept_shard(corpus.job(out), shard) is not None for shard in rendering.plan.shards]
    assert kept == [False, True, True]
    assert render(corpus.job(out), corpus.mixtures).rendered == [0]
    assert contents(out) == fresh(corpus)


def test_force_makes_everything_anew(corpus: Corpus, out: Path) -> None:
    rendering = render(corpus.job(out), corpus.mixtures)
    before, held = identities(out), contents(out)
    assert render(corpus.job(out, force=True), corpus.mixtures).rendered == [0, 1, 2]
    assert contents(out) == held
    assert all(ledgers.ledger_path(shard.name) in changed(before, out) for shard in rendering.plan.shards)


class TestSources:
    """What a change of sources does."""

    def test_a_touched_source_is_read_once_more_and_then_trusted_again(
        self, corpus: Corpus, out: Path
    ) -> None:
        rendering = render(corpus.job(out), corpus.mixtures)
        before = identities(out)
        os.utime(corpus.utterance(1), ns=(1, 1))
        assert [process_shard(corpus.job(out), shard).status for shard in rendering.plan.shards] == [
            "kept"
        ] * 3
        assert changed(before, out) == {stamps_path(rendering.shard(0).name)}
        size = corpus.utterance(1).stat().st_size
        corpus.utterance(1).write_bytes(bytes(size))
        os.utime(corpus.utterance(1), ns=(1, 1))
        assert kept_shard(corpus.job(out), rendering.shard(0)) is not None, (
            "it was read though its stamp is known"
        )

    @pytest.mark.parametrize(("index", "shards"), [(0, [0]), (1, [0]), (2, [0, 1]), (5, [2])])
    def test_a_changed_source_redoes_the_shards_that_use_it(
        self, corpus: Corpus, out: Path, fresh: Callable[..., dict[str, bytes]], index: int, shards: list[int]
    ) -> None:
        render(corpus.job(out), corpus.mixtures)
        before = identities(out)
        write_noise(corpus.utterance(index), 640, seed=77)
        assert render(corpus.job(out), corpus.mixtures).rendered == shards
        assert contents(out) == fresh(corpus)
        items = {f"m{number:04d}.wav" for shard in shards for number in (2 * shard, 2 * shard + 1)}
        redone = {name.rpartition("/")[2] for name in changed(before, out) if name.endswith(".wav")}
        assert redone == items & {f"m{number:04d}.wav" for number in range(5)}

    def test_a_removed_source_rejects_its_items_and_a_restored_one_brings_them_back(
        self, corpus: Corpus, out: Path, fresh: Callable[..., dict[str, bytes]]
    ) -> None:
        render(corpus.job(out), corpus.mixtures)
        whole, data = contents(out), corpus.utterance(2).read_bytes()
        corpus.utterance(2).unlink()
        rendering = render(corpus.job(out), corpus.mixtures)
        assert [(result.written, result.rejected) for result in rendering.results] == [(1, 1), (1, 1), (1, 0)]
        assert contents(out) == fresh(corpus)
        assert [reject.item for reject in rendering.summary.rejects] == ["m0001", "m0002"]
        assert not [name for name in files(out) if name.endswith(("m0001.wav", "m0002.wav"))]
        with tarfile.open(out / f"{TARS}000000.tar") as tar:
            assert {name.partition(".")[0] for name in tar.getnames()} == {"m0000"}
        corpus.utterance(2).write_bytes(data)
        assert render(corpus.job(out), corpus.mixtures).rendered == [0, 1]
        assert contents(out) == whole

    def test_sources_that_stay_missing_redo_nothing(self, corpus: Corpus, out: Path) -> None:
        corpus.utterance(2).unlink()
        render(corpus.job(out), corpus.mixtures)
        assert render(corpus.job(out), corpus.mixtures).rendered == []

    def test_a_shard_of_rejects_has_no_files(
        self, corpus: Corpus, out: Path, fresh: Callable[..., dict[str, bytes]]
    ) -> None:
        render(corpus.job(out), corpus.mixtures)
        corpus.utterance(1).unlink()
        rendering = render(corpus.job(out), corpus.mixtures)
        assert [(result.written, result.rejected) for result in rendering.results] == [(0, 2), (2, 0), (1, 0)]
        assert ledger_of(out, 0).files == ()
        assert not [name for name in files(out) if name.startswith((f"{TARS}000000", f"{RECORDS}00000-"))]
        assert contents(out) == fresh(corpus)

    def test_what_could_not_be_read_is_tried_again(self, corpus: Corpus, out: Path) -> None:
        data = corpus.utterance(0).read_bytes()
        corpus.utterance(0).unlink()
        corpus.utterance(0).mkdir()
        rendering = render(corpus.job(out), corpus.mixtures)
        (reject,) = rendering.summary.rejects
        assert reject.reason == "a folder stands where a file is needed; choose another path"
        corpus.utterance(0).rmdir()
        corpus.utterance(0).write_bytes(data)
        assert render(corpus.job(out), corpus.mixtures).results[0].written == 2

    def test_a_source_that_the_disk_cannot_stamp_rejects_its_items_in_every_run(
        self, corpus: Corpus, out: Path
    ) -> None:
        corpus.utterance(0).unlink()
        corpus.utterance(0).symlink_to(corpus.utterance(0))
        for rendered in ([0, 1, 2], []):
            rendering = render(corpus.job(out), corpus.mixtures)
            assert rendering.rendered == rendered
            assert [reject.item for reject in rendering.summary.rejects] == ["m0000"]


class TestOptions:
    """What a change of options does."""

    @pytest.mark.parametrize(
        "change",
        [
            {"rates_hz": (8000, 16000)},
            {"rates_hz": (16000,)},
            {"modes": ("min",)},
            {"types": ("mix_clean",)},
            {"types": ("mix_clean", "mix_both", "mix_single")},
        ],
        ids=str,
    )
    def test_other_streams_redo_everything(
        self, corpus: Corpus, out: Path, fresh: Callable[..., dict[str, bytes]], change: dict[str, Any]
    ) -> None:
        render(corpus.job(out), corpus.mixtures)
        other = dataclasses.replace(SMALL, **change)
        assert render(corpus.job(out, other), corpus.mixtures).rendered == [0, 1, 2]
        expected, found = fresh(corpus, other), contents(out)
        assert {name: found[name] for name in expected} == expected
        left = [name for name in found.keys() - expected.keys() if "wav8k/m" not in name]
        assert [name for name in left if name.endswith((".tar", ".idx")) or ".tfrecord-" in name] == []

    def test_formats_come_and_go(
        self, corpus: Corpus, out: Path, fresh: Callable[..., dict[str, bytes]]
    ) -> None:
        wav = dataclasses.replace(SMALL, formats=("wav",))
        render(corpus.job(out, wav), corpus.mixtures)
        assert render(corpus.job(out), corpus.mixtures).rendered == [0, 1, 2]
        assert contents(out) == fresh(corpus)
        render(corpus.job(out, wav), corpus.mixtures)
        assert f"{TARS}000000.tar" in files(out), "files of formats that are not asked for are left alone"

    def test_a_larger_shard_size_gathers_everything_in_fewer_files(
        self, corpus: Corpus, out: Path, fresh: Callable[..., dict[str, bytes]]
    ) -> None:
        render(corpus.job(out), corpus.mixtures)
        other = dataclasses.replace(SMALL, shard_size=5)
        render(corpus.job(out, other), corpus.mixtures)
        found = contents(out)
        for index in (1, 2):
            del found[f"{LEDGERS}{index:06d}.json"]
        assert found == fresh(corpus, other)

    def test_the_fingerprint_holds_what_the_bytes_follow_from(self, corpus: Corpus, out: Path) -> None:
        shard, mixtures = Shard(PART, 0, 3), corpus.mixtures[:2]
        job = corpus.job(out)

        def of(**changes: Any) -> str:
            return shard_fingerprint(corpus.job(out, dataclasses.replace(SMALL, **changes)), shard, mixtures)

        own = shard_fingerprint(job, shard, mixtures)
        assert of(table_paths="absolute", shard_size=9) == own
        assert own == shard_fingerprint(corpus.job(out / "elsewhere"), shard, mixtures)
        others = [
            of(rates_hz=(16000,)),
            of(modes=("min",)),
            of(types=("mix_both",)),
            of(formats=("wav",)),
            shard_fingerprint(job, Shard(PART, 1, 3), mixtures),
            shard_fingerprint(job, Shard(PART, 0, 4), mixtures),
            shard_fingerprint(job, Shard(Part("librimix", "Libri2Mix", "dev"), 0, 3), mixtures),
            shard_fingerprint(job, shard, mixtures[:1]),
            shard_fingerprint(job, shard, (mixture(0, gain=0.6), mixtures[1])),
        ]
        assert len({own, *others}) == 1 + len(others)

    def test_the_number_of_shards_counts_only_where_it_is_in_file_names(
        self, corpus: Corpus, out: Path
    ) -> None:
        job = corpus.job(out, dataclasses.replace(SMALL, formats=("wav", "webdataset")))
        three, four = (shard_fingerprint(job, Shard(PART, 0, count), corpus.mixtures) for count in (3, 4))
        assert three == four


class TestPlans:
    """What a change of the plan does."""

    def test_a_changed_row_redoes_its_shard(
        self, corpus: Corpus, out: Path, fresh: Callable[..., dict[str, bytes]]
    ) -> None:
        render(corpus.job(out), corpus.mixtures)
        rows = list(corpus.mixtures)
        rows[3] = mixture(3, gain=0.25)
        other = corpus.with_mixtures(rows)
        assert render(corpus.job(out), other.mixtures).rendered == [1]
        assert contents(out) == fresh(other)

    @pytest.mark.parametrize("count", [1, 2, 3, 4])
    @pytest.mark.parametrize("formats", [("wav", "webdataset"), ("wav", "webdataset", "tfrecord")])
    def test_a_grown_plan_keeps_the_shards_before(
        self,
        corpus: Corpus,
        out: Path,
        fresh: Callable[..., dict[str, bytes]],
        count: int,
        formats: tuple[Any, ...],
    ) -> None:
        options = dataclasses.replace(SMALL, formats=formats)
        render(corpus.job(out, options), corpus.mixtures[:count])
        expected = list(range(3)) if "tfrecord" in formats else list(range(count // 2, 3))
        assert render(corpus.job(out, options), corpus.mixtures).rendered == expected
        assert contents(out) == fresh(corpus, options)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "removed": lambda path: path.unlink(),
    "truncated": lambda path: os.truncate(path, path.stat().st_size - 1),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(
    "name", [f"{WAVS}/noise/m0002.wav", f"{TARS}000001.tar", f"{TARS}000001.idx", f"{RECORDS}00001-of-00003"]
)
def test_a_damaged_file_is_made_again_with_its_shard(
    corpus: Corpus, out: Path, name: str, damage: str
) -> None:
    render(corpus.job(out), corpus.mixtures)
    held = contents(out)
    DAMAGE[damage](out / name)
    assert render(corpus.job(out), corpus.mixtures).rendered == [1]
    assert contents(out) == held


NOT_A_LEDGER = [
    b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format": 1}', b'{"format": 2, "shard": "x"}', b'"text"'
]  # fmt: skip


@pytest.mark.parametrize("data", [None, *NOT_A_LEDGER], ids=repr)
def test_a_shard_without_a_readable_ledger_is_made_again(
    corpus: Corpus, out: Path, data: bytes | None
) -> None:
    render(corpus.job(out), corpus.mixtures)
    held = contents(out)
    path = out / f"{LEDGERS}000001.json"
    path.unlink() if data is None else path.write_bytes(data)
    assert render(corpus.job(out), corpus.mixtures).rendered == [1]
    assert contents(out) == held


def test_a_ledger_of_a_newer_format_is_not_trusted(corpus: Corpus, out: Path) -> None:
    render(corpus.job(out), corpus.mixtures)
    path = out / f"{LEDGERS}000000.json"
    data = path.read_bytes()
    newer = data.replace(b'"format":%d' % ledgers.LEDGER_FORMAT, b'"format":%d' % (ledgers.LEDGER_FORMAT + 1))
    assert newer != data
    path.write_bytes(newer)
    assert render(corpus.job(out), corpus.mixtures).rendered == [0]
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    "data", [None, b"", b"{", b"[]", b"3", b'{"a": 1}', b'{"wham:tr/n0.wav": [1]}', b"\xff"], ids=repr
)
def test_without_stamps_sources_are_compared_by_content(
    corpus: Corpus, out: Path, data: bytes | None
) -> None:
    rendering = render(corpus.job(out), corpus.mixtures)
    path = out / stamps_path(rendering.shard(1).name)
    held = path.read_bytes()
    path.unlink() if data is None else path.write_bytes(data)
    assert process_shard(corpus.job(out), rendering.shard(1)).status == "kept"
    assert path.read_bytes() == held


def test_a_file_that_cannot_be_written_is_named_with_shard_and_item(corpus: Corpus, out: Path) -> None:
    (out / WAVS).mkdir(parents=True)
    (out / WAVS / "mix_both").write_text("in the way")
    with pytest.raises(
        MixtapeError,
        match=r"^shard Libri2Mix-train-100-000000, item m0000: cannot write .*/mix_both/m0000\.wav: "
        r"a file stands where a folder is needed",
    ):
        render(corpus.job(out), corpus.mixtures)
    assert not [name for name in files(out) if name.startswith((TARS, RECORDS, LEDGERS))]
    OutputTree(str(out)).remove_temporary()
    assert not [name for name in files(out) if "tmp" in name]


def test_progress_is_a_byte_per_item_rejects_too(corpus: Corpus, out: Path, tmp_path: Path) -> None:
    corpus.utterance(2).unlink()
    render(corpus.job(out, progress=str(tmp_path / "items")), corpus.mixtures)
    assert (tmp_path / "items").read_bytes() == b"....."


def test_progress_counts_the_items_of_shards_that_stand(corpus: Corpus, out: Path, tmp_path: Path) -> None:
    corpus.utterance(3).unlink()
    rendering = render(corpus.job(out), corpus.mixtures)
    job = corpus.job(out, progress=str(tmp_path / "items"))
    statuses = [process_shard(job, shard).status for shard in rendering.plan.shards]
    assert statuses == ["kept"] * len(statuses)
    assert (tmp_path / "items").stat().st_size == len(corpus.mixtures)


_RENDER_ONE = """
import sys
from transforms.plan import RenderOptions
from transforms.sharding import RenderJob, render_shard
roots = {"librispeech": sys.argv[2], "wham": sys.argv[3]}
options = RenderOptions(types=("mix_both",), shard_size=2)
job = RenderJob(sys.argv[1], "librimix", roots, options, launcher_pid=int(sys.argv[4]))
render_shard(job, job.stored_plan("Libri2Mix-train-100").shards[0])
"""


@pytest.mark.parametrize("alive", [True, False])
def test_a_worker_stops_when_its_launcher_is_gone(
    corpus: Corpus, out: Path, repository: Path, alive: bool
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    job = corpus.job(out, RenderOptions(types=("mix_both",), shard_size=2))
    store_plan(job, PART, corpus.mixtures)
    launcher = os.getpid() if alive else gone.pid
    arguments = [str(out), corpus.roots["librispeech"], corpus.roots["wham"], str(launcher)]
    worker = subprocess.run(
        [sys.executable, "-c", _RENDER_ONE, *arguments], cwd=repository, capture_output=True, check=False
    )
    assert (worker.returncode, worker.stderr) == (0 if alive else 1, b"")
    assert (out / f"{LEDGERS}000000.json").exists() == alive


def test_samples_are_summed_as_16_bit_little_endian() -> None:
    pcm = np.array([1, -2, 300], dtype=np.int16)
    assert samples_crc32c(pcm) == ledgers.crc32c(b"\x01\x00\xfe\xff\x2c\x01")
    assert samples_crc32c(pcm.astype(">i2")) == samples_crc32c(pcm)
    assert samples_crc32c(np.repeat(pcm, 2)[::2]) == samples_crc32c(pcm)


def test_a_summary_is_there_only_while_all_shards_stand(corpus: Corpus, out: Path) -> None:
    rendering = render(corpus.job(out), corpus.mixtures)
    assert summary_path(PART.name) in files(out)
    render_shard(corpus.job(out), rendering.shard(1))
    assert summary_path(PART.name) not in files(out)


class Killed(BaseException):
    """The process ends here."""


class Kill:
    """Ends a process, as it were, at one of its changes to the file system; nothing works from then on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        self.left = after
        for name in ("replace", "remove", "unlink"):
            monkeypatch.setattr(os, name, self._counting(getattr(os, name)))

    def _counting(self, change: Callable[..., None]) -> Callable[..., None]:
        def counted(*arguments: Any, **options: Any) -> None:
            if self.left <= 0:
                raise Killed
            self.left -= 1
            change(*arguments, **options)

        return counted


def _grow(corpus: Corpus, out: Path) -> Corpus:
    """Renders a shorter plan first: TFRecord names hold the number of shards."""
    render(corpus.job(out), corpus.mixtures[:1])
    return corpus


def _lose_source(corpus: Corpus, out: Path) -> Corpus:
    """Renders everything, then takes away what all items of shard 0 need."""
    render(corpus.job(out), corpus.mixtures)
    corpus.utterance(1).unlink()
    return corpus


def _change_rows(corpus: Corpus, out: Path) -> Corpus:
    """Renders everything, then changes the levels of the last row."""
    render(corpus.job(out), corpus.mixtures)
    return corpus.with_mixtures([*corpus.mixtures[:-1], mixture(len(corpus.mixtures) - 1, gain=0.1)])


# Files that were being written when the process "ended" are closed, and complain, when collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("before", [lambda corpus, _: corpus, _grow, _lose_source, _change_rows])
def test_killed_at_any_change_of_the_file_system(
    tmp_path: Path, before: Callable[[Corpus, Path], Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = dataclasses.replace(SMALL, modes=("min",), types=("mix_clean",))
    for after in range(1000):
        folder = tmp_path / str(after)
        corpus = before(make_corpus(folder / "corpora", mixtures=3, samples=200), folder / "out")
        job = corpus.job(folder / "out", options)
        killed = _killed(job, corpus, after, monkeypatch)
        OutputTree(str(folder / "out")).remove_temporary()
        render(job, corpus.mixtures)
        if not after:
            expected = _built_anew(job, corpus, tmp_path / "fresh")
        found = {name: data for name, data in contents(folder / "out").items() if "/max/" not in name}
        assert {name: found.get(name) for name in expected} == expected, f"killed after {after} changes"
        assert not _shard_files(found.keys() - expected.keys()), f"killed after {after} changes"
        if not killed:
            break
    assert 10 < after < 999


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_change_that_was_killed_can_be_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = dataclasses.replace(SMALL, modes=("min",), types=("mix_clean",), formats=("wav", "webdataset"))
    corpus = make_corpus(tmp_path / "corpora", mixtures=3, samples=200)
    render(corpus.job(tmp_path / "out", options), corpus.mixtures)
    whole = contents(tmp_path / "out")
    louder = dataclasses.replace(corpus, mixtures=tuple(mixture(k, gain=0.9) for k in range(3)))
    for after in range(0, 1000, 2):
        killed = _killed(corpus.job(tmp_path / "out", options), louder, after, monkeypatch)
        OutputTree(str(tmp_path / "out")).remove_temporary()
        render(corpus.job(tmp_path / "out", options), corpus.mixtures)
        assert contents(tmp_path / "out") == whole, f"killed after {after} changes"
        if not killed:
            break
    assert 10 < after < 999


def _killed(job: RenderJob, corpus: Corpus, after: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    with monkeypatch.context() as patch:
        Kill(patch, after)
        try:
            render(job, corpus.mixtures)
        except Killed:
            return True
    return False


def _built_anew(job: RenderJob, corpus: Corpus, folder: Path) -> dict[str, bytes]:
    render(dataclasses.replace(job, out=str(folder)), corpus.mixtures)
    return contents(folder)


def _shard_files(names: Any) -> list[str]:
    return [name for name in names if name.endswith((".tar", ".idx")) or "tfrecord-" in name or "tmp" in name]


def test_two_workers_on_one_shard_leave_what_one_leaves(
    corpus: Corpus, out: Path, fresh: Callable[..., dict[str, bytes]]
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    plan = store_plan(corpus.job(out), PART, corpus.mixtures)
    with ThreadPoolExecutor(4) as pool:
        twice = pool.map(lambda shard: render_shard(corpus.job(out), shard), plan.shards * 2)
        assert [result.written for result in twice] == [2, 2, 1] * 2
    finish_part(corpus.job(out), PART.name)
    assert contents(out) == fresh(corpus)


def test_archives_hold_each_item_of_their_shard(corpus: Corpus, out: Path) -> None:
    render(corpus.job(out), corpus.mixtures)
    data = (out / f"{TARS}000001.tar").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        streams = ["s1", "s2", "noise", "mix_clean", "mix_both"]
        members = [*(f"{stream}.wav" for stream in streams), "json"]
        assert tar.getnames() == [f"m000{k}.{member}" for k in (2, 3) for member in members]
        wav = tar.extractfile("m0003.s2.wav")
        assert wav is not None
        assert wav.read() == (out / WAVS / "s2/m0003.wav").read_bytes()


def test_checksums_of_beginnings_go_on_where_the_shorter_one_ends() -> None:
    whole = np.arange(-300, 300, dtype=np.int16)
    own = np.arange(7, dtype=np.int16)
    variants = tuple(
        RenderedVariant(Variant(16000, mode), {"s1": pcm, "mix_clean": pcm, "noise": other}, {}, {}, {}, {})
        for mode, pcm, other in (("max", whole, whole[:600] + 1), ("min", whole[:200], own))
    )
    rendered = RenderedMixture(Mixture("a", ()), variants)
    for variant, record in zip(
        variants, item_record(rendered, recipe_named("librimix")).variants, strict=True
    ):
        assert list(record.crc32c) == list(variant.pcm)
        for name, pcm in variant.pcm.items():
            assert record.crc32c[name] == ledgers.crc32c(pcm.astype("<i2").tobytes())
