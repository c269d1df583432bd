"""The sync record of every file, from what was found out and from the ledgers."""

import csv
import shutil
from pathlib import Path

import pytest

from tests.flashes import GOLDEN
from transforms.errors import StorageError
from transforms.ledger import ledger_path
from transforms.plan import Part, RenderOptions, StoredPlan
from transforms.planning.aligned import AlignPlan, ProbedFile, listed_files, probed, stems_of
from transforms.sharding import RenderJob, process_shard, store_plan
from transforms.storage import OutputTree
from transforms.video.aligned import ROOT, AlignOptions
from transforms.video.clip_record import FLAGS
from transforms.video.containers import SUFFIXES
from transforms.video.sync_table import COLUMNS, offsets, sync_path, write_sync_table

PART = Part("aligned", "aligned", "all")


@pytest.fixture
def files(tmp_path: Path) -> list[ProbedFile]:
    root = tmp_path / "videos"
    root.mkdir()
    for path in [*GOLDEN.glob("*.m[op]*"), *(GOLDEN / "extra").glob("*.mp4")]:
        shutil.copy(path, root)
    return [probed(str(root), file) for file in listed_files(str(root), SUFFIXES, {})]


def rendered(
    files: list[ProbedFile], folder: Path, *, frames_per_segment: int
) -> tuple[OutputTree, StoredPlan]:
    options = AlignOptions()
    plan = AlignPlan(options, frames_per_segment)
    stems = stems_of(file.path for file in files)
    render = RenderOptions(rates_hz=(16000,), modes=("max",), types=(), formats=("wav",), shard_size=5)
    job = RenderJob(
        str(folder / "out"), "aligned", {ROOT: str(folder / "videos")}, render, settings=options.settings
    )
    stored = store_plan(job, PART, plan.mixtures(files, stems), list(plan.rejects(files, stems)))
    for shard in stored.shards:
        process_shard(job, shard)
    return job.tree, stored


def rows(tree: OutputTree, plan: StoredPlan) -> dict[str, dict[str, str]]:
    text = tree.read(sync_path(plan)).decode().splitlines()
    return {row["path"]: row for row in csv.DictReader(text)}


@pytest.mark.parametrize("frames_per_segment", [0, 20])
def test_counts_do_not_depend_on_the_segments(
    files: list[ProbedFile], tmp_path: Path, frames_per_segment: int
) -> None:
    tree, plan = rendered(files, tmp_path, frames_per_segment=frames_per_segment)
    write_sync_table(tree, plan, files)
    found = rows(tree, plan)
    assert list(found) == [file.path for file in files]
    names = ("pictures_found", "pictures_decoded", "pictures_dropped", "frames_written", "gap_samples")
    counts = {path: tuple(int(row[name]) for name in names) for path, row in found.items() if row["fps"]}
    assert counts == {
        "audio_delayed_500ms.mp4": (75, 75, 0, 75, 6976),
        "audio_short.mp4": (75, 75, 0, 47, 0),
        "cfr25_pcm16k.mov": (75, 75, 0, 75, 0),
        "cut_copy_from_700ms.mp4": (39, 39, 0, 38, 0),
        "no_editlist.mp4": (75, 75, 0, 77, 256),
        "ntsc2997_aac48k.mp4": (90, 90, 14, 75, 0),
        "truncated_moov_first.mp4": (41, 41, 0, 38, 0),
        "vfr_aac16k.mp4": (60, 60, 1, 79, 0),
        "video_delayed_320ms.mp4": (75, 75, 0, 75, 0),
    }
    for path, row in found.items():
        wanted = (
            0 if path == "no_audio.mp4" else -(-int(row["frames_written"]) // (frames_per_segment or 100))
        )
        assert (row["segments_planned"], row["segments_written"]) == (str(wanted), str(wanted))


def test_columns(files: list[ProbedFile], tmp_path: Path) -> None:
    tree, plan = rendered(files, tmp_path, frames_per_segment=0)
    write_sync_table(tree, plan, files)
    found = rows(tree, plan)
    assert tuple(found["no_audio.mp4"]) == COLUMNS
    assert found["no_audio.mp4"]["problem"] == "has no sound (its streams: video)"
    row = found["ntsc2997_aac48k.mp4"]
    names = ("container", "width", "height", "fps", "variable_rate", "audio_hz", "pictures_end_s", "problem")
    assert [row[name] for name in names] == ["mov", "96", "96", "30000/1001", "0", "48000", "3.003000", ""]
    assert found["truncated_moov_first.mp4"]["flags"] == "truncated damaged"
    for row in found.values():
        assert set(row["flags"].split()) <= {*FLAGS, "damaged", "cut"}


def test_rejected_segments_are_planned_and_not_written(files: list[ProbedFile], tmp_path: Path) -> None:
    (tmp_path / "videos/cfr25_pcm16k.mov").unlink()
    tree, plan = rendered(files, tmp_path, frames_per_segment=25)
    write_sync_table(tree, plan, files)
    row = rows(tree, plan)["cfr25_pcm16k.mov"]
    assert (row["segments_planned"], row["segments_written"], row["pictures_decoded"]) == ("3", "0", "0")


def test_a_missing_ledger(files: list[ProbedFile], tmp_path: Path) -> None:
    tree, plan = rendered(files, tmp_path, frames_per_segment=0)
    tree.remove(ledger_path(plan.shards[1].name))
    with pytest.raises(StorageError, match="no readable ledger"):
        write_sync_table(tree, plan, files)


def test_an_equal_table_is_left_alone(files: list[ProbedFile], tmp_path: Path) -> None:
    tree, plan = rendered(files, tmp_path, frames_per_segment=0)
    write_sync_table(tree, plan, files)
    path = tmp_path / "out" / sync_path(plan)
    before = path.stat().st_mtime_ns
    write_sync_table(tree, plan, files)
    assert path.stat().st_mtime_ns == before


def test_offsets_above_40_ms(files: list[ProbedFile]) -> None:
    assert list(offsets(files)) == [
        ("audio_delayed_500ms.mp4", 0.436),
        ("no_editlist.mp4", -0.08),
        ("video_delayed_320ms.mp4", -0.32),
    ]
