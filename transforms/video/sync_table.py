"""The sync record of every file of an aligned corpus: what it promised, and what came of it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from transforms import ledger as ledgers
from transforms.inventory import NotedTree, take_inventory
from transforms.plan import StoredPlan
from transforms.planning.aligned import ProbedFile
from transforms.rejects import csv_bytes
from transforms.storage import OutputTree
from transforms.video.clip_record import ClipRecord

COLUMNS = (
    "path", "container", "width", "height", "fps", "variable_rate", "audio_hz", "clock_zero_s",
    "pictures_start_s", "sound_start_s", "av_start_offset_s", "pictures_end_s", "sound_end_s",
    "duration_difference_s", "pictures_promised", "pictures_found", "pictures_decoded",
    "pictures_dropped", "frames_repeated", "frames_written", "packets_lost", "gap_samples",
    "overlap_samples", "segments_planned", "segments_written", "flags", "problem",
)  # fmt: skip
_COUNTED = (
    "pictures_decoded",
    "pictures_dropped",
    "frames_repeated",
    "frame_count",
    "packets_lost",
    "gap_samples",
    "overlap_samples",
)
_DECIMALS = 6


@dataclass
class _Made:
    """What was made of one file."""

    planned: int = 0
    written: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    flags: set[str] = field(default_factory=set)


def sync_path(plan: StoredPlan) -> str:
    """Returns the place of the table in an output."""
    return f"{plan.part.corpus}/sync_{plan.part.subset}.csv"


def write_sync_table(tree: OutputTree, plan: StoredPlan, files: Iterable[ProbedFile]) -> None:
    """Writes a row per file of the corpus, in the order of ``files``, from the ledgers of a part.

    Pictures are counted as decoded over all segments that were written, to the end of the file if the
    last of them was; ``pictures_dropped`` are those that no frame shows, ``frames_repeated`` frames
    that show the picture of the one before. Samples are those at the rate of the file.

    Args:
        tree: the output.
        plan: its stored plan.
        files: what was found out about the files.

    Raises:
        StorageError: a ledger is missing, or the table cannot be written.
    """
    made = _made(tree, plan)
    rows = [_row(file, made.get(file.path, _Made())) for file in files]
    noted = NotedTree(tree.root)
    noted.write_if_changed(sync_path(plan), csv_bytes([COLUMNS, *rows]))
    take_inventory(noted)


def _made(tree: OutputTree, plan: StoredPlan) -> Mapping[str, _Made]:
    made: dict[str, _Made] = {}
    for index, ledger in enumerate(ledgers.read_part(tree, plan.part, plan.shard_count)):
        paths = {mixture.id: mixture.sources[0].path for mixture in plan.read_shard(index)}
        for path in paths.values():
            made.setdefault(path, _Made()).planned += 1
        for item in ledger.items:
            facts, of_file = item.variants[0].facts, made[paths[item.id]]
            of_file.written += 1
            of_file.counts.update({name: int(facts[name]) for name in _COUNTED})
            of_file.flags.update(str(facts["flags"]).split())
    return made


def _row(file: ProbedFile, made: _Made) -> list[object]:
    record, reject = file.record, file.reject
    known = _promised(record) if record is not None else dict.fromkeys(COLUMNS, "")
    flags = [*(record.flags if record else ()), *sorted(made.flags - set(record.flags if record else ()))]
    row: dict[str, object] = {
        **known,
        **{name: made.counts[name] for name in _COUNTED},
        "path": file.path,
        "frames_written": made.counts["frame_count"],
        "segments_planned": made.planned,
        "segments_written": made.written,
        "flags": " ".join(flags),
        "problem": reject.reason if reject else "",
    }
    return [row[column] for column in COLUMNS]


def _promised(record: ClipRecord) -> dict[str, object]:
    seconds = {
        "clock_zero_s": record.zero,
        "pictures_start_s": record.pictures_start,
        "sound_start_s": record.sound_start,
        "av_start_offset_s": record.av_start_offset,
        "pictures_end_s": record.pictures_end,
        "sound_end_s": record.sound_end,
        "duration_difference_s": record.duration_difference,
    }
    return {
        "container": record.container,
        "width": record.width,
        "height": record.height,
        "fps": str(record.fps),
        "variable_rate": int(record.is_vfr),
        "audio_hz": record.audio_hz,
        **{name: f"{float(time):.{_DECIMALS}f}" for name, time in seconds.items()},
        "pictures_promised": record.pictures_promised,
        "pictures_found": record.pictures_found,
    }


def offsets(files: Iterable[ProbedFile]) -> Iterator[tuple[str, float]]:
    """Yields the paths of files whose sound and pictures begin more than 40 ms apart, with the offset."""
    for file in files:
        record = file.record
        if record is not None and "offset" in record.flags:
            yield file.path, float(record.av_start_offset)
