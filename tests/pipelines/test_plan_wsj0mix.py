"""The job that plans new lists for wsj0-mix, on small corpora, good and bad."""

import dataclasses
from pathlib import Path

import pytest

from pipelines.plan_wsj0mix import PlanSummary, WrittenList, Wsj0MixPlanOptions, write_lists
from transforms.corpora.wsj0mix import find_plans, read_levels, read_plan
from transforms.errors import UsageError
from transforms.storage import OutputTree, only_run

COUNTS = {"tr": 12, "cv": 3, "tt": 2}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """The folder that ``wsj0`` is in: 3 speakers to train on, 2 to test with; sounds do not matter."""
    for folder, speakers, count in (
        ("si_tr_s", "01t 02t 103", 10),
        ("si_dt_05", "423", 2),
        ("si_et_05", "440", 2),
    ):
        for speaker in speakers.split():
            for n in range(count):
                path = tmp_path / "csr" / "wsj0" / folder / speaker / f"{speaker}o03{n:02d}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"")
    return tmp_path / "csr"


@pytest.fixture
def options(corpus: Path, tmp_path: Path) -> Wsj0MixPlanOptions:
    """Options that are good; one utterance has the level 0, and one has none."""
    names = sorted(path.stem for path in corpus.rglob("*.wav"))
    powers = {name: 0.001 * n for n, name in enumerate(names)}
    assert powers.pop("440o0301")
    assert powers["01to0300"] == 0
    table = tmp_path / "levels.txt"
    table.write_text("".join(f"{name} {power:.16e}\n" for name, power in powers.items()))
    return Wsj0MixPlanOptions(str(corpus), (str(table),), str(tmp_path / "out"), counts=COUNTS, seed=7)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if not path.is_dir()
    }


def used_in(url: str, levels: dict[str, float]) -> set[str]:
    return {source.path for mixture in read_plan(url, levels).mixtures for source in mixture.sources}


def test_lists_are_written_and_accounted_for(options: Wsj0MixPlanOptions, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert write_lists(options) == PlanSummary(
        {
            condition: WrittenList(str(out / f"mix_2_spk_{condition}.txt"), count, True)
            for condition, count in COUNTS.items()
        },
        utterances=34,
        without_level=2,
    )
    assert sorted(path.name for path in out.iterdir()) == [
        "mix_2_spk_cv.txt",
        "mix_2_spk_tr.txt",
        "mix_2_spk_tt.txt",
    ]


@pytest.mark.parametrize("speakers", [2, 3])
def test_written_lists_are_plans(speakers: int, options: Wsj0MixPlanOptions) -> None:
    counts = COUNTS if speakers == 2 else {"tr": 5, "cv": 4}
    summary = write_lists(dataclasses.replace(options, speakers=speakers, counts=counts))
    levels = read_levels(options.activity_levels)
    assert find_plans([options.out]) == sorted(written.url for written in summary.lists.values())
    for condition, written in summary.lists.items():
        plan = read_plan(written.url, levels)
        assert (plan.part.corpus, plan.part.subset) == (f"{speakers}speakers", condition)
        assert (len(plan.mixtures), plan.rejects) == (counts[condition], ())
    assert used_in(summary.lists["tr"].url, levels).isdisjoint(used_in(summary.lists["cv"].url, levels))


def test_either_folder_is_taken_and_makes_the_same(options: Wsj0MixPlanOptions, tmp_path: Path) -> None:
    write_lists(options)
    inner, other = str(tmp_path / "csr" / "wsj0"), str(tmp_path / "other")
    write_lists(dataclasses.replace(options, wsj0=inner, out=other))
    assert files(tmp_path / "other") == files(tmp_path / "out") != {}


def test_the_same_again_writes_nothing_and_another_seed_does(options: Wsj0MixPlanOptions) -> None:
    first = write_lists(options)
    assert [written.changed for written in write_lists(options).lists.values()] == [False] * 3
    longer = write_lists(dataclasses.replace(options, counts={**COUNTS, "tr": 13}))
    assert [written.changed for written in longer.lists.values()] == [True, False, False]
    other = write_lists(dataclasses.replace(options, seed=8))
    assert all(written.changed for written in other.lists.values())
    assert first.utterances == other.utterances


def test_a_dry_run_tells_the_same_and_writes_nothing(options: Wsj0MixPlanOptions, tmp_path: Path) -> None:
    summary = write_lists(dataclasses.replace(options, dry_run=True))
    assert not (tmp_path / "out").exists()
    real = write_lists(options)
    assert {key: dataclasses.replace(one, changed=False) for key, one in real.lists.items()} == summary.lists


def test_published_counts_are_the_default() -> None:
    options = Wsj0MixPlanOptions("wsj0", ("levels.txt",), "out")
    assert (options.counts, options.speakers) == ({"tr": 20000, "cv": 5000, "tt": 3000}, 2)


# What is refused.


def test_everything_wrong_is_named_together(tmp_path: Path) -> None:
    table = tmp_path / "levels.txt"
    table.write_text("x\n")
    missing, out = str(tmp_path / "missing"), tmp_path / "out"
    options = Wsj0MixPlanOptions(missing, (str(table), missing), str(out), speakers=7, counts={"tr": -1})
    problems = [
        "--speakers 7: wanted 2 to 5",
        "condition tr: -1 mixtures; wanted 0 or more",
        f"{missing}: no such folder; check the path",
        f"{table}, line 1: 'x'; wanted an utterance and its level",
        f"{missing}: no such file or folder; check the path",
    ]
    assert options.check() == problems
    with pytest.raises(UsageError) as caught:
        write_lists(options)
    assert list(caught.value.problems) == problems
    assert not out.exists()


def test_levels_are_needed(options: Wsj0MixPlanOptions) -> None:
    without = dataclasses.replace(options, activity_levels=())
    assert without.check() == ["no activity levels are given; name a table, or make one (mixtape activity)"]


def test_impossible_requests_are_refused_before_anything_is_written(
    options: Wsj0MixPlanOptions, tmp_path: Path
) -> None:
    assert options.check() == []
    with pytest.raises(
        UsageError, match=r"tt: 3000 mixtures are wanted, at most 2 different ones .* 2 speakers"
    ):
        write_lists(dataclasses.replace(options, counts={"tr": 5, "tt": 3000}))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_corpus_is_refused(options: Wsj0MixPlanOptions, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="is not laid out like WSJ0: looked for a folder si_tr_s or"):
        write_lists(dataclasses.replace(options, wsj0=str(tmp_path / "empty")))


def test_an_output_that_cannot_be_written_to_is_refused(options: Wsj0MixPlanOptions, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="cannot be written to: a file stands where a folder is needed"):
        write_lists(dataclasses.replace(options, out=str(tmp_path / "file")))
    assert (tmp_path / "file").read_text() == "mine"


def test_an_output_that_another_run_writes_to_is_refused(options: Wsj0MixPlanOptions) -> None:
    with (
        only_run(OutputTree(options.out)),
        pytest.raises(UsageError, match="is writing here"),
    ):
        write_lists(options)


def test_lists_go_to_any_store(options: Wsj0MixPlanOptions) -> None:
    out = "memory://test-plan-wsj0mix/lists"
    summary = write_lists(dataclasses.replace(options, out=out))
    assert [written.url for written in summary.lists.values()] == find_plans(
        [f"{out}/mix_2_spk_{condition}.txt" for condition in COUNTS]
    )
    levels = read_levels(options.activity_levels)
    assert len(read_plan(summary.lists["tr"].url, levels).mixtures) == 12
