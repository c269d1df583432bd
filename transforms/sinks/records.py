"""What was drawn and made of every item, as JSON lines; who speaks when, as RTTM; what is said, as STM.

RTTM is NIST's Rich Transcription Time Marked form (SPEAKER lines of ten fields); STM is NIST's
segment time marks (``<file> <channel> <speaker> <begin> <end> <words>``). Times are in seconds from
the mixture's first sample; a file is named by the mixture's id.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from transforms.ledger import ShardLedger, VariantRecord
from transforms.plan import Mixture, Part, RenderOptions, Source
from transforms.recipes import Recipe
from transforms.sinks.base import PartWriter
from transforms.sinks.description import describe_json
from transforms.storage import OutputTree

RECORD_KINDS = ("jsonl", "rttm", "stm")
_BLANKS = re.compile(r"\s+")


def segments(mixture: Mixture, record: VariantRecord) -> Iterator[tuple[Source, float, float]]:
    """Yields the speech of an item with beginning and end in seconds, as far as this length mode holds it."""
    for source in mixture.speech:
        start_s, end_s = record.starts_s.get(source.role, 0.0), record.ends_s.get(source.role, 0.0)
        if end_s > start_s:
            yield source, start_s, end_s


def speaker_label(source: Source) -> str:
    """Returns a talker's id without blanks; of an unknown talker, the role."""
    return _BLANKS.sub("_", source.speaker) or source.role


def rttm_lines(mixture: Mixture, record: VariantRecord) -> bytes:
    """Returns a SPEAKER line for each piece of speech of an item."""
    return "".join(
        f"SPEAKER {mixture.id} 1 {start_s:.6f} {end_s - start_s:.6f} <NA> <NA> {speaker_label(source)}"
        " <NA> <NA>\n"
        for source, start_s, end_s in segments(mixture, record)
    ).encode()


def stm_lines(mixture: Mixture, record: VariantRecord) -> bytes:
    """Returns a line for each piece of speech of an item whose words are known."""
    return "".join(
        f"{mixture.id} 1 {speaker_label(source)} {start_s:.6f} {end_s:.6f} {words}\n"
        for source, start_s, end_s in segments(mixture, record)
        if (words := _BLANKS.sub(" ", source.text).strip())
    ).encode()


class RecordsWriter(PartWriter):
    """Writes the records of one part, one file per kind, rate and mode, in plan order.

    A file that would be empty is not there: without transcripts there is no STM.

    Args:
        tree: the output.
        recipe: places the files.
        options: the rates and modes.
        part: what the records are of.
    """

    def __init__(self, tree: OutputTree, recipe: Recipe, options: RenderOptions, *, part: Part) -> None:
        if recipe.record_path is None:
            raise ValueError(f"recipe {recipe.name} publishes no records")
        self._place = recipe.record_path
        self._tree = tree
        self._options = options
        self._part = part
        self._open = contextlib.ExitStack()
        self._files: dict[str, BinaryIO] = {}

    def add(self, ledger: ShardLedger, mixtures: Sequence[Mixture]) -> None:
        """Takes the next shard's items."""
        by_id = {mixture.id: mixture for mixture in mixtures}
        for item in ledger.items:
            mixture = by_id[item.id]
            for record in item.variants:
                self._write(record, "jsonl", describe_json(self._part, mixture, record) + b"\n")
                self._write(record, "rttm", rttm_lines(mixture, record))
                self._write(record, "stm", stm_lines(mixture, record))

    def _write(self, record: VariantRecord, kind: str, lines: bytes) -> None:
        path = self._place(self._part, record.variant, kind)
        if lines and path not in self._files:
            self._files[path] = self._open.enter_context(self._tree.open(path))
        if lines:
            self._files[path].write(lines)

    def close(self) -> None:
        """Completes the files, and removes those of earlier runs that would be empty now."""
        self._open.close()
        self.files = tuple(self._files)
        for variant in self._options.variants:
            for kind in RECORD_KINDS:
                path = self._place(self._part, variant, kind)
                if path not in self._files:
                    self._tree.remove(path)
