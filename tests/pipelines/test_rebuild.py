"""Running the same command again: nothing, or just what a change asks for, is made anew."""

import dataclasses
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines import cli
from tests.trees import (
    FIXED_KINDS,
    KINDS,
    Corpus,
    changed,
    contents,
    files,
    identities,
    make_corpus,
    run,
    run_without_beam,
)
from transforms import report

every_recipe = pytest.mark.parametrize("recipe", [*KINDS, *FIXED_KINDS], indirect=True, scope="module")

LEDGER = "_mixtape/ledger/shard-{0.part.name}-00000{1}.json"
STAMPS = "_mixtape/stamps/{0.part.name}-00000{1}.json"
SUMMARY = "_mixtape/parts/Libri2Mix-train-100.json"
TABLE = "Libri2Mix/wav8k/min/metadata/mixture_train-100_mix_both.csv"
RUN = ("_mixtape/run.json", "_mixtape/report.html")
INVENTORY = "_mixtape/files.json"


@pytest.fixture(autouse=True, scope="module")
def short_report() -> Iterator[None]:
    """Puts a line in place of the report, which no test here reads and which takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "make_report", lambda job, summaries: f"{len(summaries)} parts")
        yield


@pytest.fixture(scope="module")
def recipe(request: pytest.FixtureRequest) -> str:
    """The recipe: LibriMix, unless the test is one of ``every_recipe``."""
    name: str = getattr(request, "param", "librimix")
    return name


@pytest.fixture(scope="module")
def made(recipe: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corpora, and an output ``out`` rendered from them in shards of two mixtures."""
    folder = tmp_path_factory.mktemp("made")
    corpus = make_corpus(folder / "corpora", recipe=recipe)
    assert run(corpus, folder / "out", *corpus.small_flags()) == 0
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """A copy of ``made`` with all times kept, which the test may change."""
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def corpus(place: Path, recipe: str) -> Corpus:
    corpus = Corpus(place / "corpora", (), recipe)
    return dataclasses.replace(corpus, mixtures=tuple(map(corpus.mixture, range(5))))


@pytest.fixture
def out(place: Path) -> Path:
    return place / "out"


@pytest.fixture
def settled(corpus: Corpus, out: Path) -> None:
    """Lets the output know where its corpora are now."""
    assert run(corpus, out, *corpus.small_flags()) == 0


@pytest.fixture
def rebuilt_equals_fresh(out: Path, tmp_path: Path) -> Callable[..., bool]:
    """Returns ``rebuilt_equals_fresh(corpus, *flags)``: compares ``out`` with a build in a new place."""

    def compare(corpus: Corpus, *flags: str) -> bool:
        folder = tmp_path / f"fresh-{len(list(tmp_path.iterdir()))}"
        run(corpus, folder, *corpus.small_flags(), *flags)
        return contents(out) == contents(folder)

    return compare


def shards_in(names: set[str]) -> set[int]:
    """Returns the numbers of the shards whose ledgers are among some files."""
    return {int(name[-len("0.json")]) for name in names if name.startswith("_mixtape/ledger/")}


def waves_in(names: set[str]) -> set[str]:
    """Returns the ids of the items whose WAV files are among some files."""
    stems = (Path(name).stem for name in names if name.endswith(".wav"))
    return {re.sub("_(mixed|target|interferer)$", "", stem) for stem in stems}


@every_recipe
@pytest.mark.usefixtures("settled")
def test_nothing_changed(corpus: Corpus, out: Path) -> None:
    before = identities(out)
    assert run_without_beam([*corpus.flags(out), *corpus.small_flags()]) == 0
    assert changed(before, out) == set()


@pytest.mark.usefixtures("settled")
def test_touched_sources_are_read_once(corpus: Corpus, out: Path) -> None:
    for index in range(6):
        os.utime(corpus.utterance(index), ns=(1, 1))
    before = identities(out)
    assert run(corpus, out, *corpus.small_flags()) == 0
    assert changed(before, out) == {STAMPS.format(corpus, k) for k in range(3)}
    for index in range(6):
        corpus.utterance(index).write_bytes(bytes(corpus.utterance(index).stat().st_size))
        os.utime(corpus.utterance(index), ns=(1, 1))
    before = identities(out)
    assert run_without_beam([*corpus.flags(out), *corpus.small_flags()]) == 0
    assert changed(before, out) == set(), "sources were read though their stamps are known"


@every_recipe
def test_a_changed_source(corpus: Corpus, out: Path, rebuilt_equals_fresh: Callable[..., bool]) -> None:
    corpus.write_utterance(3, 705, seed=55)
    before = identities(out)
    assert run(corpus, out, *corpus.small_flags()) == 0
    redone = changed(before, out)
    assert shards_in(redone) == {1}
    assert waves_in(redone) == {corpus.mixtures[2].id, corpus.mixtures[3].id}
    assert rebuilt_equals_fresh(corpus)


@every_recipe
def test_a_removed_source_and_its_return(
    corpus: Corpus, out: Path, rebuilt_equals_fresh: Callable[..., bool]
) -> None:
    whole, data = contents(out), corpus.utterance(3).read_bytes()
    corpus.utterance(3).unlink()
    before = identities(out)
    assert run(corpus, out, *corpus.small_flags()) == 1
    assert shards_in(changed(before, out)) == {1}
    ids = [mixture.id for mixture in corpus.mixtures]
    assert waves_in(set(files(out))) == {ids[0], ids[1], ids[4]}
    rejects = (out / "_mixtape/rejects.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in rejects] == ["item", ids[2], ids[3]]
    assert rebuilt_equals_fresh(corpus)
    assert run_without_beam([*corpus.flags(out), *corpus.small_flags()]) == 1, "rejects count in every run"
    corpus.utterance(3).write_bytes(data)
    assert run(corpus, out, *corpus.small_flags()) == 0
    assert contents(out) == whole


@every_recipe
def test_all_sources_removed(corpus: Corpus, out: Path, rebuilt_equals_fresh: Callable[..., bool]) -> None:
    assert run(corpus, out, *corpus.small_flags()) == 0  # the output now knows the corpus at its new place
    for index in range(6):
        corpus.utterance(index).unlink()
    assert run(corpus, out, *corpus.small_flags()) == 1
    assert rebuilt_equals_fresh(corpus)
    assert {name.partition("/")[0] for name in files(out)} == {"_mixtape"}


@pytest.mark.parametrize(
    "flags",
    [
        ("--rates", "8000", "16000"),
        ("--types", "mix_clean", "mix_both", "mix_single"),
        ("--table-paths", "/data"),
        ("--shard-size", "3"),
        ("--shard-size", "100"),
    ],
    ids=" ".join,
)
def test_more_is_asked_for(
    corpus: Corpus, out: Path, rebuilt_equals_fresh: Callable[..., bool], flags: tuple[str, ...]
) -> None:
    assert run(corpus, out, *corpus.small_flags(), *flags) == 0
    assert rebuilt_equals_fresh(corpus, *flags)


@pytest.mark.parametrize(
    "flags",
    [
        ("--formats", "wav"),
        ("--formats", "webdataset"),
        ("--rates", "16000"),
        ("--types", "mix_clean"),
        ("--modes", "min"),
    ],
    ids=" ".join,
)
def test_less_or_other_is_asked_for_with_prune(
    corpus: Corpus, out: Path, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    assert run(corpus, out, *corpus.small_flags(), *flags, "--prune") == 0
    assert run(corpus, tmp_path / "fresh", *corpus.small_flags(), *flags) == 0
    found, fresh = contents(out), contents(tmp_path / "fresh")
    assert {name: found.get(name) for name in fresh} == fresh
    assert not [name for name in found.keys() - fresh.keys() if name.endswith((".wav", ".tar"))]


def test_only_other_paths_in_tables_render_nothing(corpus: Corpus, out: Path) -> None:
    before = identities(out)
    assert run_without_beam([*corpus.flags(out), *corpus.small_flags(), "--table-paths", "/data"]) == 0
    redone = changed(before, out)
    assert redone - {SUMMARY, INVENTORY, *RUN} == {name for name in files(out) if "/metadata/" in name}
    assert json.loads((out / RUN[0]).read_bytes())["options"]["table_paths"] == "/data"


@every_recipe
def test_a_changed_row(corpus: Corpus, out: Path, rebuilt_equals_fresh: Callable[..., bool]) -> None:
    rows = list(corpus.mixtures)
    rows[4] = corpus.mixture(4, gain=0.2)
    other = corpus.with_mixtures(rows)
    before = identities(out)
    assert run(other, out, *corpus.small_flags()) == 0
    assert shards_in(changed(before, out)) == {2}
    assert rebuilt_equals_fresh(other)


@every_recipe
def test_a_grown_plan(corpus: Corpus, out: Path, rebuilt_equals_fresh: Callable[..., bool]) -> None:
    shutil.rmtree(out)
    flags = ("--formats", "wav", "webdataset")
    short = corpus.with_mixtures(corpus.mixtures[:3])
    assert run(short, out, *corpus.small_flags(), *flags) == 0
    before = identities(out)
    longer = corpus.with_mixtures(corpus.mixtures)
    assert run(longer, out, *corpus.small_flags(), *flags) == 0
    assert shards_in(changed(before, out)) == {1, 2}
    redone = changed(before, out)
    assert waves_in(redone) == {mixture.id for mixture in corpus.mixtures[2:]}
    assert not any(name.endswith("-000000.tar") for name in redone)
    assert rebuilt_equals_fresh(longer, *flags)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_shrunk_plan(
    corpus: Corpus, out: Path, rebuilt_equals_fresh: Callable[..., bool], count: int
) -> None:
    short = corpus.with_mixtures(corpus.mixtures[:count])
    assert run(short, out, *corpus.small_flags(), "--prune") == 0
    assert rebuilt_equals_fresh(short)


@every_recipe
def test_a_shrunk_plan_leaves_wavs_but_no_shards(corpus: Corpus, out: Path, tmp_path: Path) -> None:
    short = corpus.with_mixtures(corpus.mixtures[:2])
    assert run(short, out, *corpus.small_flags()) == 0
    assert run(short, tmp_path / "fresh", *corpus.small_flags()) == 0
    found, fresh = contents(out), contents(tmp_path / "fresh")
    left = found.keys() - fresh.keys()
    assert {name: found.get(name) for name in fresh} == fresh
    assert left == {name for name in found if name.endswith((".wav", ".mp4"))} - fresh.keys()
    assert waves_in(left) == {mixture.id for mixture in corpus.mixtures[2:]}


OUTPUTS = [
    "Libri2Mix/wav8k/max/train-100/s2/m0002.wav",
    "Libri2Mix/webdataset/wav8k/min/train-100-000001.tar",
    "Libri2Mix/webdataset/wav8k/min/train-100-000001.idx",
    "Libri2Mix/tfrecord/libri2mix_wav8k_min/1.0.0/libri2mix_wav8k_min-train-100.tfrecord-00001-of-00003",
]


@pytest.mark.parametrize("damage", [os.unlink, lambda path: os.truncate(path, 30)], ids=["gone", "cut"])
@pytest.mark.parametrize("name", OUTPUTS)
def test_a_damaged_shard_is_made_again(
    corpus: Corpus, out: Path, name: str, damage: Callable[[Path], None]
) -> None:
    before, held = identities(out), contents(out)
    damage(out / name)
    assert run(corpus, out, *corpus.small_flags()) == 0
    assert contents(out) == held
    assert shards_in(changed(before, out)) == {1}


MERGED = [
    TABLE,
    "Libri2Mix/webdataset/wav8k/max/train-100.json",
    "Libri2Mix/tfrecord/libri2mix_wav8k_min/1.0.0/dataset_info.json",
    "Libri2Mix/tfrecord/libri2mix_wav8k_min/1.0.0/features.json",
    "_mixtape/rejects.csv",
    SUMMARY,
]


@pytest.mark.parametrize("damage", [os.unlink, lambda path: os.truncate(path, 5)], ids=["gone", "cut"])
@pytest.mark.parametrize("name", MERGED)
def test_damaged_tables_and_indices_are_merged_again(
    corpus: Corpus, out: Path, name: str, damage: Callable[[Path], None]
) -> None:
    before, held = identities(out), contents(out)
    damage(out / name)
    assert run(corpus, out, *corpus.small_flags()) == 0
    assert contents(out) == held
    assert not shards_in(changed(before, out))


@pytest.mark.parametrize("name", RUN)
def test_a_missing_report_is_written_again(corpus: Corpus, out: Path, name: str) -> None:
    before = identities(out)
    (out / name).unlink()
    assert run(corpus, out, *corpus.small_flags()) == 0
    assert (out / name).exists()
    assert changed(before, out) <= {INVENTORY, *RUN}


@pytest.mark.parametrize("data", [None, b'{"format":99}'], ids=repr)
def test_a_ledger_that_cannot_be_read(corpus: Corpus, out: Path, data: bytes | None) -> None:
    before, held = identities(out), contents(out)
    path = out / LEDGER.format(corpus, 1)
    path.unlink() if data is None else path.write_bytes(data)
    assert run(corpus, out, *corpus.small_flags()) == 0
    assert contents(out) == held
    assert shards_in(changed(before, out)) == {1}


@pytest.mark.usefixtures("settled")
def test_stamps_that_cannot_be_read(corpus: Corpus, out: Path) -> None:
    held = contents(out)
    before = identities(out)
    (out / STAMPS.format(corpus, 2)).write_bytes(b"[1]")
    assert run(corpus, out, *corpus.small_flags()) == 0
    assert contents(out) == held
    assert changed(before, out) == {STAMPS.format(corpus, 2)}


@pytest.mark.parametrize("data", [b"", b'{"part": {}}'], ids=repr)
def test_a_summary_that_cannot_be_read(corpus: Corpus, out: Path, data: bytes) -> None:
    held = contents(out)
    (out / SUMMARY).write_bytes(data)
    assert run(corpus, out, *corpus.small_flags()) == 0
    assert contents(out) == held


@pytest.mark.parametrize("damage", [os.unlink, lambda path: os.truncate(path, 5)], ids=["gone", "cut"])
def test_a_damaged_plan_in_the_output(corpus: Corpus, out: Path, damage: Callable[[Path], None]) -> None:
    before, held = identities(out), contents(out)
    damage(out / "_mixtape/plan/Libri2Mix-train-100.parquet")
    assert run(corpus, out, *corpus.small_flags()) == 0
    assert contents(out) == held
    assert not shards_in(changed(before, out))


@every_recipe
def test_force(corpus: Corpus, out: Path) -> None:
    before, held = identities(out), contents(out)
    assert run(corpus, out, *corpus.small_flags(), "--force") == 0
    assert contents(out) == held
    assert shards_in(changed(before, out)) == {0, 1, 2}


def test_a_second_part_leaves_the_first_as_it_is(corpus: Corpus, out: Path) -> None:
    before = identities(out)
    plan = corpus.plan.with_name("libri2mix_train-clean-360.csv")
    corpus.plan.rename(plan)
    flags = [*corpus.flags(out), *corpus.small_flags(), "--quiet", "--workers", "1"]
    flags[flags.index("--plan") + 1] = str(plan)
    assert cli.main(flags) == 0
    touched = {name for name in changed(before, out) if name in before}
    shared = {f"Libri2Mix/tfrecord/libri2mix_wav8k_{mode}/1.0.0/dataset_info.json" for mode in ("min", "max")}
    assert touched == {INVENTORY, *RUN, *shared, "README.md", "croissant.json", "checksums.sha256"}
    parts = json.loads((out / RUN[0]).read_bytes())["parts"]
    assert {name: one["written"] for name, one in parts.items()} == {
        "Libri2Mix-train-100": 5, "Libri2Mix-train-360": 5
    }  # fmt: skip


@every_recipe
def test_the_plan_given_last_counts_when_a_change_is_taken_back(corpus: Corpus, out: Path) -> None:
    held = contents(out)
    louder = corpus.with_mixtures(corpus.mixture(k, gain=0.9) for k in range(5))
    assert run(louder, out, *corpus.small_flags()) == 0
    assert contents(out) != held
    back = corpus.with_mixtures(corpus.mixtures)
    assert run(back, out, *corpus.small_flags()) == 0
    assert contents(out) == held
