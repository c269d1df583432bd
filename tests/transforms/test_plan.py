"""The plan type, what it refuses, and its way to disk and back."""

import dataclasses
import itertools
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.errors import StorageError, UsageError
from transforms.plan import (
    FORMATS,
    LONGEST_ID,
    MODES,
    Mixture,
    Part,
    RenderOptions,
    Shard,
    Source,
    StoredPlan,
    Variant,
    id_problem,
    mixture_problems,
    shard_runs,
    write_plan,
)
from transforms.storage import OutputTree

PART = Part("librimix", "Libri2Mix", "train-100")
ROOTS = ("librispeech", "wham")
SPEECH = Source("s1", "librispeech", "a/1.flac")
NOISE = Source("noise", "wham", "tr/n.wav", fit="loop")


SOURCE_FIELDS = [field.name for field in dataclasses.fields(Source)]


def unusual(kind: Any) -> Any:
    """A value of a field's type that is not its default."""
    return {str: "tr/ü ñ 漢.wav", int: 1 << 40, float: 0.1 + 0.2}.get(kind) or get_args(kind)[-1]


EVERYTHING = Source(**{field.name: unusual(field.type) for field in dataclasses.fields(Source)})


def mixture(number: int) -> Mixture:
    return Mixture(f"m{number}", (dataclasses.replace(SPEECH, level=number / 7), NOISE))


@pytest.fixture
def tree(tmp_path: Path) -> OutputTree:
    return OutputTree(str(tmp_path))


@pytest.fixture(params=["local", "memory"])
def any_tree(request: pytest.FixtureRequest, tmp_path: Path) -> OutputTree:
    return OutputTree(str(tmp_path) if request.param == "local" else f"memory:/{tmp_path}")


def stored(tree: OutputTree, mixtures: list[Mixture], *, shard_size: int = 3) -> StoredPlan:
    write_plan(tree, "plan.parquet", PART, mixtures, shard_size=shard_size)
    return StoredPlan.open(tree.url("plan.parquet"))


# --- values ------------------------------------------------------------------------------------


def test_names() -> None:
    assert Source("s1", "wham", "tr/a.wav").name == "wham:tr/a.wav"
    assert PART.name == "Libri2Mix-train-100"
    assert Shard(PART, 12, 40).name == "Libri2Mix-train-100-000012"
    assert Variant(16000, "max").folder == "wav16k"


def test_speech_is_all_but_noise() -> None:
    second = dataclasses.replace(SPEECH, role="s2")
    assert Mixture("a", (SPEECH, second, NOISE)).speech == (SPEECH, second)


def test_variants_come_rates_first() -> None:
    options = RenderOptions(rates_hz=(16000, 8000), modes=("max", "min"))
    assert options.variants == (
        Variant(16000, "max"), Variant(16000, "min"), Variant(8000, "max"), Variant(8000, "min"),
    )  # fmt: skip


def test_closed_sets_of_names() -> None:
    assert MODES == ("min", "max")
    assert FORMATS == ("wav", "webdataset", "tfrecord")


def test_options_survive_json() -> None:
    options = RenderOptions(rates_hz=(8000,), modes=("min",), types=("mix_both",), table_paths="relative")
    fields = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(options).items()
    }
    assert RenderOptions.from_json(fields) == options


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("good", ["a", "7", "19-198-0000_26-495-0001", "A.b_c+d,e=f@g-h", "a" * LONGEST_ID])
def test_good_ids(good: str) -> None:
    assert id_problem(good) is None


@pytest.mark.parametrize(
    "bad", ["", ".a", "-a", "_a", "a/b", "a\\b", "a b", "a..b", "ä", "a\n", "a\0", "a:b", "~"]
)
def test_ids_that_cannot_name_files(bad: str) -> None:
    problem = id_problem(bad)
    assert problem is not None
    assert problem.startswith("may hold letters, digits and . _ + , = @ - only, no '..'")


def test_ids_that_are_too_long() -> None:
    assert id_problem("a" * (LONGEST_ID + 1)) == "is longer than 200 characters"


def test_good_mixtures_have_no_problems() -> None:
    assert mixture_problems(mixture(1), ROOTS) == []
    assert mixture_problems(Mixture("a", (NOISE, SPEECH)), iter(ROOTS)) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"root": "wsj0"}, "root 'wsj0' of s1 is not given (known: ['librispeech', 'wham'])"),
        ({"path": "/etc/passwd"}, "path '/etc/passwd' of s1 must be relative and stay below its root"),
        ({"path": "a/../../b"}, "path 'a/../../b' of s1 must be relative and stay below its root"),
        ({"path": ""}, "path '' of s1 must be relative and stay below its root"),
        ({"level": float("nan")}, "level nan of s1 is not a finite number"),
        ({"level": float("inf")}, "level inf of s1 is not a finite number"),
        ({"level": float("-inf")}, "level -inf of s1 is not a finite number"),
        ({"level_kind": "lufs"}, "level kind 'lufs' or fit 'pad' of s1 is not known"),
        ({"level_kind": "active_level", "active_power": 0.0}, "active power 0.0 of s1 is not above 0"),
        (
            {"level_kind": "active_level", "active_power": float("nan")},
            "active power nan of s1 is not above 0",
        ),
        ({"level_kind": "active_level", "level": -1e9}, "level -1000000000.0 dB of s1 is beyond 1000.0 dB"),
        ({"start_samples": -1}, "start -1 or speed 1.0 of s1 is not possible"),
        ({"speed": 0.0}, "start 0 or speed 0.0 of s1 is not possible"),
        ({"speed": 0.933}, "speed 0.933 of s1 has more than 2 decimals"),
        ({"rir": "../x.wav"}, "room response '../x.wav' of s1 must be relative and stay below its root"),
        ({"level_kind": "target", "level": -26.0}, "level of s1 names no measure"),
        ({"channel": -2}, "channel, offset or length of s1 is negative"),
        ({"offset_samples": -1}, "channel, offset or length of s1 is negative"),
        ({"length_samples": -2}, "channel, offset or length of s1 is negative"),
        ({"length_samples": 0}, "length of s1 is 0 samples"),
        ({"fit": "loop"}, "no source decides the length (fit 'pad')"),
        ({"role": "noise"}, "roles ['noise', 'noise'] are not all different"),
        *(
            (
                {"role": role},
                f"role {role!r} may hold small letters, digits and _ only, and begins with a letter",
            )
            for role in ("../../x", "", "S1", "a/b", "1s", "s1\n")
        ),
    ],
)
def test_what_forbids_rendering(change: dict[str, object], problem: str) -> None:
    source = dataclasses.replace(SPEECH, **change)  # type: ignore[arg-type]
    assert mixture_problems(Mixture("a", (source, NOISE)), ROOTS) == [problem]


def test_an_unknown_fit_is_refused() -> None:
    source = dataclasses.replace(NOISE, fit="stretch")  # type: ignore[arg-type]
    assert mixture_problems(Mixture("a", (SPEECH, source)), ROOTS) == [
        "level kind 'gain' or fit 'stretch' of noise is not known"
    ]


def test_all_problems_are_told_together() -> None:
    source = dataclasses.replace(SPEECH, root="x", path="..", level=float("nan"))
    problems = mixture_problems(Mixture("a/b", (source, source)), ROOTS)
    assert len(problems) == 1 + 2 * 3 + 1
    assert problems[0].startswith("id 'a/b' may hold")


def test_a_mixture_of_nothing_is_refused() -> None:
    assert mixture_problems(Mixture("a", ()), ROOTS) == ["no source decides the length (fit 'pad')"]


# --- on disk -----------------------------------------------------------------------------------


def test_every_field_comes_back(any_tree: OutputTree) -> None:
    planned = [Mixture("m1", (SPEECH, EVERYTHING, NOISE)), Mixture("m2", (SPEECH,))]
    assert all(getattr(EVERYTHING, name) != getattr(SPEECH, name) for name in SOURCE_FIELDS)
    plan = stored(any_tree, planned)
    assert (plan.part, plan.shard_count, plan.mixture_count) == (PART, 1, 2)
    assert list(plan.read_all()) == planned
    assert {type(value) for value in dataclasses.astuple(plan.read_shard(0)[0].sources[0])} == {
        str,
        int,
        float,
    }


def test_one_row_group_per_shard(tree: OutputTree) -> None:
    planned = [mixture(number) for number in range(8)]
    plan = stored(tree, planned, shard_size=3)
    assert plan.shards == [Shard(PART, 0, 3), Shard(PART, 1, 3), Shard(PART, 2, 3)]
    assert [plan.read_shard(index) for index in range(3)] == [planned[:3], planned[3:6], planned[6:]]
    assert list(plan.read_all()) == planned
    assert plan.read_ids() == [f"m{number}" for number in range(8)]
    assert plan.shard_starts() == [0, 3, 6]
    assert pq.ParquetFile(plan.url).metadata.num_row_groups == 3


def test_settings_come_back_and_change_the_bytes(tree: OutputTree) -> None:
    settings = {"peak": "joint", "rate_hz": 16000, "level_db": -26.5}
    write_plan(tree, "a.parquet", PART, [mixture(1)], shard_size=3, settings=settings)
    write_plan(tree, "b.parquet", PART, [mixture(1)], shard_size=3)
    assert StoredPlan.open(tree.url("a.parquet")).settings == settings
    assert StoredPlan.open(tree.url("b.parquet")).settings == {}
    assert tree.read("a.parquet") != tree.read("b.parquet")


def test_licences_come_back_and_a_plan_without_any_is_as_it_was(tree: OutputTree) -> None:
    licences = {"speech": ["CC BY 4.0", "unknown"], "noise": ["CC0 1.0"]}
    write_plan(tree, "a.parquet", PART, [mixture(1)], shard_size=3, licences=licences)
    write_plan(tree, "b.parquet", PART, [mixture(1)], shard_size=3, licences={})
    found = StoredPlan.open(tree.url("a.parquet"))
    assert found.licences == {"speech": ("CC BY 4.0", "unknown"), "noise": ("CC0 1.0",)}
    assert list(found.read_all()) == [mixture(1)]
    assert StoredPlan.open(tree.url("b.parquet")).licences == {}
    assert b"mixtape.licences" not in tree.read("b.parquet")


@pytest.mark.parametrize(("count", "size", "shards"), [(0, 3, 0), (1, 3, 1), (3, 3, 1), (4, 3, 2), (5, 1, 5)])
def test_number_of_shards(tree: OutputTree, count: int, size: int, shards: int) -> None:
    planned = [mixture(number) for number in range(count)]
    assert write_plan(tree, "plan.parquet", PART, planned, shard_size=size) == shards
    plan = StoredPlan.open(tree.url("plan.parquet"))
    assert (plan.shard_count, plan.mixture_count) == (shards, count)
    assert list(plan.read_all()) == planned


def test_a_stream_of_mixtures_is_held_a_shard_at_a_time(tree: OutputTree) -> None:
    def peak_bytes(count: int) -> int:
        tracemalloc.start()
        try:
            write_plan(tree, "plan.parquet", PART, map(mixture, range(count)), shard_size=100)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak_bytes(200), peak_bytes(4_000)
    assert many < few + 200_000
    assert StoredPlan.open(tree.url("plan.parquet")).mixture_count == 4_000


def test_equal_plans_are_equal_bytes(tree: OutputTree) -> None:
    planned = [mixture(number) for number in range(50)]
    write_plan(tree, "a.parquet", PART, planned, shard_size=7)
    write_plan(tree, "b.parquet", PART, iter(planned), shard_size=7)
    assert tree.read("a.parquet") == tree.read("b.parquet")


@pytest.mark.parametrize(
    ("part", "count", "size"),
    [(dataclasses.replace(PART, subset="dev"), 50, 7), (PART, 49, 7), (PART, 50, 8)],
)
def test_unequal_plans_are_unequal_bytes(tree: OutputTree, part: Part, count: int, size: int) -> None:
    write_plan(tree, "a.parquet", PART, map(mixture, range(50)), shard_size=7)
    write_plan(tree, "b.parquet", part, map(mixture, range(count)), shard_size=size)
    assert tree.read("a.parquet") != tree.read("b.parquet")


def test_an_equal_plan_is_left_untouched(tree: OutputTree) -> None:
    plan = stored(tree, [mixture(1), mixture(2)])
    os.utime(plan.url, ns=(1, 1))
    stored(tree, [mixture(1), mixture(2)])
    assert Path(plan.url).stat().st_mtime_ns == 1
    stored(tree, [mixture(1), mixture(3)])
    assert Path(plan.url).stat().st_mtime_ns > 1


def test_a_changed_plan_is_seen(any_tree: OutputTree) -> None:
    assert list(stored(any_tree, [mixture(1)]).read_all()) == [mixture(1)]
    assert list(stored(any_tree, [mixture(2)]).read_all()) == [mixture(2)]


def test_a_plan_that_fails_half_way_leaves_the_old_one(tree: OutputTree) -> None:
    plan = stored(tree, [mixture(1)])

    def failing() -> Iterator[Mixture]:
        yield mixture(2)
        raise UsageError("a problem of the planner")

    with pytest.raises(UsageError, match="a problem of the planner"):
        write_plan(tree, "plan.parquet", PART, failing(), shard_size=1)
    assert list(plan.read_all()) == [mixture(1)]
    assert tree.names("") == ["_mixtape", "plan.parquet"]


_words = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)


def _values(kind: Any) -> st.SearchStrategy[Any]:
    known = {str: _words, int: st.integers(-(2**63), 2**63 - 1), float: st.floats(allow_nan=False)}
    return known[kind] if kind in known else st.sampled_from(get_args(kind))


_sources = st.builds(Source, **{field.name: _values(field.type) for field in dataclasses.fields(Source)})
_mixtures = st.lists(
    st.builds(Mixture, _words, st.lists(_sources, min_size=1, max_size=4).map(tuple)),
    max_size=12,
    unique_by=lambda one: one.id,
)


@given(_mixtures, st.integers(1, 5))
def test_any_plan_comes_back(planned: list[Mixture], shard_size: int) -> None:
    tree = OutputTree("memory://test-any-plan")
    plan = stored(tree, planned, shard_size=shard_size)
    shards = [planned[first : first + shard_size] for first in range(0, len(planned), shard_size)]
    assert [plan.read_shard(index) for index in range(plan.shard_count)] == shards
    assert plan.mixture_count == len(planned)


# --- what is no plan ---------------------------------------------------------------------------


def test_a_missing_plan_is_named(any_tree: OutputTree) -> None:
    url = any_tree.url("absent.parquet")
    with pytest.raises(UsageError, match=r"absent\.parquet: no such plan; check the path"):
        StoredPlan.open(url)


def test_a_folder_is_no_plan(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such plan"):
        StoredPlan.open(str(tmp_path))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"mixture_ID,source_1_path\n" * 10])
def test_what_is_no_parquet_is_named(any_tree: OutputTree, data: bytes) -> None:
    any_tree.write("plan.csv", data)
    with pytest.raises(UsageError, match=r"plan\.csv: is not a Parquet plan .*; plan again"):
        StoredPlan.open(any_tree.url("plan.csv"))


def parquet(path: Path, **metadata: str) -> str:
    schema = pa.schema(
        [pa.field("mixture_id", pa.string())],
        metadata={f"mixtape.{key}": value for key, value in metadata.items()},
    )
    pq.write_table(pa.table({"mixture_id": ["a"]}, schema=schema), path)
    return str(path)


FACTS = {
    "recipe": "librimix",
    "corpus": "Libri2Mix",
    "subset": "dev",
    "format": "1",
    "mixtures": "1",
    "settings": "{}",
    "roles": "s1",
}


def test_other_parquet_files_are_no_plans(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a plan of format 1 or 2 \(found None\); plan again"):
        StoredPlan.open(parquet(tmp_path / "a.parquet"))


def test_plans_of_another_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a plan of format 1 or 2 \(found 3\); plan again"):
        StoredPlan.open(parquet(tmp_path / "a.parquet", **FACTS | {"format": "3"}))


@pytest.mark.parametrize("change", [{"corpus": "../../home"}, {"subset": "a/b"}, {"subset": ""}])
def test_plans_cannot_lead_out_of_the_output(tmp_path: Path, change: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"a\.parquet: corpus '.*' or subset '.*' may hold letters"):
        StoredPlan.open(parquet(tmp_path / "a.parquet", **FACTS | change))


def test_a_plan_without_its_columns_is_damaged(tmp_path: Path) -> None:
    plan = StoredPlan.open(parquet(tmp_path / "a.parquet", **FACTS))
    with pytest.raises(StorageError, match=r"a\.parquet: is damaged \(.*role.*\); plan again"):
        plan.read_shard(0)


def test_a_plan_with_damaged_rows_is_named(tree: OutputTree) -> None:
    plan = stored(tree, [mixture(number) for number in range(300)], shard_size=300)
    data = bytearray(tree.read("plan.parquet"))
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    data[4:footer] = bytes(footer - 4)
    tree.write("plan.parquet", data)
    with pytest.raises(StorageError, match=r"plan\.parquet: is damaged"):
        plan.read_shard(0)
    with pytest.raises(StorageError, match=r"plan\.parquet: is damaged"):
        plan.read_ids()
    with pytest.raises(StorageError, match=r"plan\.parquet: is damaged"):
        plan.shard_starts()


# --- runs of shards ----------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from(["dev", "test"]), st.integers(0, 9)), unique=True))
def test_runs_hold_the_same_shards_in_the_same_order(places: list[tuple[str, int]]) -> None:
    shards = [Shard(Part("librimix", "Libri2Mix", subset), index, 10) for subset, index in places]
    runs = shard_runs(shards)
    assert [shard for run in runs for shard in run.shards] == shards
    breaks = sum(a.part != b.part or a.index + 1 != b.index for a, b in itertools.pairwise(shards))
    assert len(runs) == (breaks + 1 if shards else 0)


def test_a_whole_part_is_one_run_however_many_shards_it_has() -> None:
    (run,) = shard_runs(Shard(PART, index, 100_000) for index in range(100_000))
    assert (run.start, run.stop) == (0, 100_000)
