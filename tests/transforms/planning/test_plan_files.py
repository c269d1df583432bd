"""Plans on disk, and how a later run knows that they still hold."""

import csv
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trees import changed, files, identities, write_noise
from transforms.corpora.librimix import plan_csv, read_plan
from transforms.listing import NoiseClip, Utterance
from transforms.plan import Mixture, Part, StoredPlan
from transforms.planning.librimix import PlannedMixture, PlannedSubset, to_mixture
from transforms.planning.plan_files import PlanFiles
from transforms.rejects import Reject
from transforms.storage import OutputTree

LISTING = "train-clean-100"
PLAN = "Libri2Mix/libri2mix_train-clean-100.csv"
INFO = "Libri2Mix/libri2mix_train-clean-100_info.csv"
PARQUET = "parquet/Libri2Mix/libri2mix_train-clean-100.parquet"
RECORD = "_mixtape/planned/2-train-clean-100.json"
REJECT = Reject("103-1_104-1", "wham:tr/n.wav", "loudness", "is silent", "replace it")


def planned(first: int, *, target: float = -25.0, noise: str = "tr/n.wav", sex: str = "F") -> PlannedMixture:
    """A mixture of utterances ``first`` and ``first + 1``."""
    utterances = tuple(
        Utterance(str(first + k), sex, LISTING, 1000, f"{LISTING}/{first + k}/1/{first + k}-1.flac")
        for k in range(2)
    )
    return PlannedMixture(utterances, NoiseClip("n.wav", "tr", 2000, False, noise), (target, -26.0, -33.0))


def subset(*mixtures: PlannedMixture, name: str = LISTING) -> PlannedSubset:
    return PlannedSubset(name, mixtures)


BOTH = (planned(101), planned(103))


@pytest.fixture
def corpora(tmp_path: Path) -> dict[str, str]:
    """Roots with the four utterances and the noise of ``BOTH``."""
    for index in range(101, 105):
        write_noise(tmp_path / f"speech/{LISTING}/{index}/1/{index}-1.flac", 300, seed=index)
    write_noise(tmp_path / "noise/tr/n.wav", 400, seed=0)
    write_noise(tmp_path / "noise/tr/other.wav", 400, seed=1)
    return {"librispeech": str(tmp_path / "speech"), "wham": str(tmp_path / "noise")}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def plan_files(out: Path, corpora: dict[str, str]) -> PlanFiles:
    """Plans with gains, two mixtures per shard, digests of ``BOTH`` taken."""
    return PlanFiles(OutputTree(str(out)), 2, 2, corpora).for_subsets([subset(*BOTH)])


def with_gains(*mixtures: PlannedMixture) -> list[Mixture | Reject]:
    return [to_mixture(one, (0.5, 0.25, 0.125)) for one in mixtures]


class TestWrite:
    """What is written, and when it counts."""

    def test_plans_with_gains(self, plan_files: PlanFiles, out: Path) -> None:
        plan_files.write(LISTING, with_gains(*BOTH))
        assert files(out) == sorted([PLAN, INFO, RECORD, PARQUET])
        assert (out / PLAN).read_bytes() == plan_csv(
            [row for row in with_gains(*BOTH) if isinstance(row, Mixture)], 2, with_gains=True
        )
        part, mixtures = read_plan(str(out / PLAN))
        assert (part, mixtures) == (Part("librimix", "Libri2Mix", "train-100"), with_gains(*BOTH))
        stored = StoredPlan.open(str(out / PARQUET))
        assert (stored.part, stored.shard_count, list(stored.read_all())) == (part, 1, mixtures)

    def test_plans_without_audio_have_no_gains(self, out: Path) -> None:
        bare = PlanFiles(OutputTree(str(out)), 2, 2, {}).for_subsets([subset(*BOTH)])
        bare.write(LISTING, [to_mixture(one) for one in BOTH])
        assert files(out) == [PLAN, INFO, RECORD]
        assert "gain" not in (out / PLAN).read_text()
        assert bare.stands(LISTING)

    def test_planning_without_audio_takes_the_gains_away(self, plan_files: PlanFiles, out: Path) -> None:
        plan_files.write(LISTING, with_gains(*BOTH))
        bare = dataclasses.replace(plan_files, roots={}).for_subsets([subset(*BOTH)])
        assert not bare.stands(LISTING)
        bare.write(LISTING, [to_mixture(one) for one in BOTH])
        assert files(out) == [PLAN, INFO, RECORD]

    def test_rejects_are_kept_for_later_runs(self, plan_files: PlanFiles, out: Path) -> None:
        plan_files.write(LISTING, [*with_gains(BOTH[0]), REJECT])
        assert read_plan(str(out / PLAN))[1] == with_gains(BOTH[0])
        assert plan_files.stands(LISTING)
        assert plan_files.rejects() == [REJECT]
        plan_files.write_rejects()
        with (out / "_mixtape/rejects.csv").open(newline="") as file:
            (row,) = csv.DictReader(file)
        assert row == dataclasses.asdict(REJECT)

    def test_rejects_of_all_listings_by_item(self, plan_files: PlanFiles, out: Path) -> None:
        two = plan_files.for_subsets([subset(*BOTH), subset(*BOTH, name="dev-clean")])
        earlier = dataclasses.replace(REJECT, item="101-1_102-1")
        two.write(LISTING, [REJECT])
        two.write("dev-clean", [earlier])
        two.write_rejects()
        with (out / "_mixtape/rejects.csv").open(newline="") as file:
            assert [row["item"] for row in csv.DictReader(file)] == ["101-1_102-1", "103-1_104-1"]

    def test_an_empty_listing_gets_an_empty_plan(self, plan_files: PlanFiles, out: Path) -> None:
        empty = plan_files.for_subsets([subset()])
        empty.write(LISTING, [])
        assert read_plan(str(out / PLAN))[1] == []
        assert empty.stands(LISTING)

    def test_equal_plans_are_left_untouched(self, plan_files: PlanFiles, out: Path) -> None:
        plan_files.write(LISTING, with_gains(*BOTH))
        before = identities(out)
        plan_files.write(LISTING, with_gains(*BOTH))
        assert changed(before, out) == {RECORD}

    def test_a_plan_that_is_being_replaced_does_not_stand(self, plan_files: PlanFiles, out: Path) -> None:
        """Else a run killed here, and then its change taken back, would leave the wrong plan for good."""
        plan_files.write(LISTING, with_gains(*BOTH))
        (out / INFO).unlink()
        (out / INFO).mkdir()
        with pytest.raises(Exception, match="folder"):
            plan_files.write(LISTING, with_gains(BOTH[1]))
        (out / INFO).rmdir()
        (out / INFO).write_bytes(b"")
        assert not plan_files.stands(LISTING)


class TestStands:
    """Whether a plan needs no making again."""

    def test_nothing_stands_where_nothing_is(self, plan_files: PlanFiles) -> None:
        assert not plan_files.stands(LISTING)
        assert plan_files.rejects() == []

    def test_what_was_written_stands(self, plan_files: PlanFiles, out: Path, corpora: dict[str, str]) -> None:
        plan_files.write(LISTING, with_gains(*BOTH))
        later = PlanFiles(OutputTree(str(out)), 2, 2, corpora).for_subsets([subset(*BOTH)])
        assert later.stands(LISTING)

    @pytest.mark.parametrize("name", [PLAN, INFO, PARQUET, RECORD])
    @pytest.mark.parametrize("damage", [os.unlink, lambda path: os.truncate(path, 10)])
    def test_not_when_a_file_is_damaged(
        self, plan_files: PlanFiles, out: Path, name: str, damage: Callable[[Path], None]
    ) -> None:
        plan_files.write(LISTING, with_gains(*BOTH))
        damage(out / name)
        assert not plan_files.stands(LISTING)

    @pytest.mark.parametrize(
        "data",
        [b"", b"[]", b"{}", b"3", b"\xff", b'{"digest": "x"}', b'{"digest": "x", "files": 1, "rejects": []}',
         b'{"digest": "x", "files": {}, "rejects": [{}]}'],
        ids=repr,
    )  # fmt: skip
    def test_not_when_its_record_cannot_be_understood(
        self, plan_files: PlanFiles, out: Path, data: bytes
    ) -> None:
        plan_files.write(LISTING, [*with_gains(BOTH[0]), REJECT])
        (out / RECORD).write_bytes(data)
        assert not plan_files.stands(LISTING)
        assert plan_files.rejects() == []


class TestDigest:
    """What a plan is made from."""

    @pytest.mark.parametrize(
        "other",
        [
            (BOTH[1], BOTH[0]),
            (BOTH[0],),
            (planned(101, target=-25.5), BOTH[1]),
            (planned(101, noise="tr/other.wav"), BOTH[1]),
            (planned(101, sex="M"), BOTH[1]),
        ],
    )
    def test_rows_and_levels(self, plan_files: PlanFiles, other: tuple[PlannedMixture, ...]) -> None:
        assert plan_files.for_subsets([subset(*other)]).digests != plan_files.digests

    @pytest.mark.parametrize("change", [{"speakers": 3}, {"shard_size": 3}, {"roots": {}}], ids=str)
    def test_options(self, plan_files: PlanFiles, change: dict[str, object]) -> None:
        other = dataclasses.replace(plan_files, **change)  # type: ignore[arg-type]
        assert other.for_subsets([subset(*BOTH)]).digests != plan_files.digests

    @pytest.mark.parametrize("name", ["librispeech", "wham"])
    def test_audio_by_stamp(self, plan_files: PlanFiles, corpora: dict[str, str], name: str) -> None:
        path = next(path for path in sorted(Path(corpora[name]).rglob("*")) if path.is_file())
        os.utime(path, ns=(5, 5))
        assert plan_files.for_subsets([subset(*BOTH)]).digests != plan_files.digests

    def test_audio_that_is_not_used_does_not_count(
        self, plan_files: PlanFiles, corpora: dict[str, str]
    ) -> None:
        Path(corpora["wham"], "tr/other.wav").unlink()
        assert plan_files.for_subsets([subset(*BOTH)]).digests == plan_files.digests

    def test_missing_audio_counts(self, plan_files: PlanFiles, corpora: dict[str, str]) -> None:
        Path(corpora["wham"], "tr/n.wav").unlink()
        assert plan_files.for_subsets([subset(*BOTH)]).digests != plan_files.digests

    def test_audio_that_the_disk_cannot_stamp_is_left_to_the_measuring(
        self, plan_files: PlanFiles, corpora: dict[str, str]
    ) -> None:
        noise = Path(corpora["wham"], "tr/n.wav")
        noise.unlink()
        noise.symlink_to(noise)
        assert plan_files.for_subsets([subset(*BOTH)]).digests != plan_files.digests

    def test_without_audio_no_file_is_looked_at(self, tmp_path: Path) -> None:
        tree = OutputTree(str(tmp_path / "nothing"))
        (digest,) = PlanFiles(tree, 2, 2, {}).for_subsets([subset(*BOTH)]).digests.values()
        assert len(digest) == 64

    def test_each_listing_has_its_own(self, plan_files: PlanFiles) -> None:
        digests = plan_files.for_subsets([subset(*BOTH), subset(BOTH[0], name="dev-clean")]).digests
        assert digests[LISTING] == plan_files.digests[LISTING]
        assert digests["dev-clean"] != digests[LISTING]

    def test_where_things_are_does_not_count(
        self, plan_files: PlanFiles, corpora: dict[str, str], tmp_path: Path
    ) -> None:
        os.rename(corpora["wham"], tmp_path / "moved")
        roots = {**corpora, "wham": str(tmp_path / "moved")}
        moved = PlanFiles(OutputTree(str(tmp_path / "elsewhere")), 2, 2, roots)
        assert moved.for_subsets([subset(*BOTH)]).digests == plan_files.digests


class TestKeptRows:
    """Gains that an earlier run measured and that need no measuring again."""

    @pytest.fixture
    def written(self, plan_files: PlanFiles) -> PlanFiles:
        plan_files.write(LISTING, [*with_gains(BOTH[0]), REJECT])
        return plan_files

    def test_all_of_an_unchanged_plan_rejects_too(self, written: PlanFiles) -> None:
        assert written.for_subsets([subset(*BOTH)]).kept_rows(LISTING) == {
            0: with_gains(BOTH[0])[0],
            1: REJECT,
        }

    def test_at_the_places_that_they_have_now(self, written: PlanFiles) -> None:
        moved = written.for_subsets([subset(BOTH[1], planned(105), BOTH[0])])
        assert moved.kept_rows(LISTING) == {0: REJECT, 2: with_gains(BOTH[0])[0]}

    @pytest.mark.parametrize(
        ("root", "path"),
        [("librispeech", f"{LISTING}/102/1/102-1.flac"), ("librispeech", "101"), ("wham", "")],
    )
    def test_not_of_mixtures_whose_audio_changed(
        self, written: PlanFiles, corpora: dict[str, str], root: str, path: str
    ) -> None:
        found = [one for one in sorted(Path(corpora[root]).rglob("*.*")) if path in str(one)]
        os.utime(found[0], ns=(5, 5))
        kept = written.for_subsets([subset(*BOTH)]).kept_rows(LISTING)
        assert kept == ({} if root == "wham" else {1: REJECT})

    def test_not_of_mixtures_with_other_levels(self, written: PlanFiles) -> None:
        other = written.for_subsets([subset(planned(101, target=-25.5), BOTH[1])])
        assert other.kept_rows(LISTING) == {1: REJECT}

    def test_whatever_the_size_of_shards(self, written: PlanFiles) -> None:
        other = dataclasses.replace(written, shard_size=1).for_subsets([subset(*BOTH)])
        assert not other.stands(LISTING)
        assert set(other.kept_rows(LISTING)) == {0, 1}

    def test_none_by_force(self, written: PlanFiles) -> None:
        assert dataclasses.replace(written, force=True).kept_rows(LISTING) == {}

    @pytest.mark.parametrize("name", [PARQUET, RECORD])
    def test_none_where_a_file_is_damaged(self, written: PlanFiles, out: Path, name: str) -> None:
        os.truncate(out / name, 10)
        assert written.kept_rows(LISTING) == {}

    def test_none_of_a_plan_without_gains(self, plan_files: PlanFiles) -> None:
        bare = dataclasses.replace(plan_files, roots={}).for_subsets([subset(*BOTH)])
        bare.write(LISTING, [to_mixture(one) for one in BOTH])
        assert plan_files.kept_rows(LISTING) == {}

    def test_a_source_at_the_top_of_its_root(self, plan_files: PlanFiles, corpora: dict[str, str]) -> None:
        """It is not in a folder that could be listed."""
        write_noise(Path(corpora["wham"], "top.wav"), 400, seed=3)
        mixture = planned(101, noise="top.wav")
        files = plan_files.for_subsets([subset(mixture)])
        files.write(LISTING, with_gains(mixture))
        assert files.for_subsets([subset(mixture)]).stands(LISTING)
        os.utime(Path(corpora["wham"], "top.wav"), ns=(5, 5))
        assert not files.for_subsets([subset(mixture)]).stands(LISTING)
