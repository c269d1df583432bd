"""Lhotse: manifests of cuts that name the WAV files, and Shar archives that hold them.

A cut is a mixture of the type that sums most (``main_type``); every other stream is a custom
recording of the cut under its own name (``cut.load_custom("s1")``), and every talker a supervision.
Shar, as ``lhotse.shar`` reads it: per shard ``cuts.<six digits>.jsonl.gz`` and, of each field, a tar of
pairs ``<cut id>.wav`` and ``<cut id>.json``, or ``.nodata`` and ``.nometa`` where a cut lacks the field.
"""

import gzip
import json
from collections.abc import Iterable
from typing import Any, BinaryIO

from transforms import storage
from transforms.exports.base import Item, Talk, View
from transforms.sinks.description import item_key
from transforms.sinks.webdataset import END_OF_ARCHIVE, tar_header
from transforms.storage import OutputTree

RECORDING = "recording"
_LONGEST_ID = 90
_BLOCK_BYTES = 512


def main_type(view: View) -> str:
    """Returns the mixture type that is the recording of a cut: the first that sums most roles."""
    return max(view.types, key=lambda mix_type: len(view.members(mix_type)))


def cut_id(mixture_id: str) -> str:
    """Returns the id of a cut: the mixture's, made shorter where an archive could not name it."""
    return mixture_id if len(mixture_id) <= _LONGEST_ID else item_key(mixture_id)


def write_cuts(view: View, to: OutputTree) -> list[str]:
    """Writes the manifest of one subset at one rate and mode.

    Args:
        view: of what.
        to: where to, ``<corpus>/<rate>/<mode>/cuts_<subset>.jsonl.gz``.

    Returns:
        What was written.

    Raises:
        StorageError: the output cannot be read, or the manifest not be written.
    """
    path = f"{view.folder}/cuts_{view.part.subset}.jsonl.gz"
    with to.open(path, keep_equal=True) as file:
        _write_lines(file, (_cut(view, item, placeholder=False) for item in view.items()))
    return [path]


def shar_shards(view: View) -> list[int]:
    """Returns which shards have items; their places in this list are the numbers of their archives."""
    return [index for index, count in enumerate(view.counts) if count]


def write_shar(view: View, index: int, to: OutputTree) -> list[str]:
    """Packs the WAV files of one shard. Reads each file once and holds one at a time; the cuts come last.

    Args:
        view: of what.
        index: number of the shard in the output; it has items.
        to: where to, ``<corpus>/<rate>/<mode>/shar_<subset>/``.

    Returns:
        What was written.

    Raises:
        StorageError: a WAV file is missing, or an archive cannot be written.
    """
    number = shar_shards(view).index(index)
    items = view.shard_items(index)
    folder = f"{view.folder}/shar_{view.part.subset}"
    main = main_type(view)
    paths = []
    for stream in view.streams:
        field = RECORDING if stream == main else stream
        paths.append(f"{folder}/{field}.{number:06d}.tar")
        with to.open(paths[-1], keep_equal=True) as file:
            for item in items:
                _add_pair(file, view, item, stream)
            file.write(END_OF_ARCHIVE)
    paths.append(f"{folder}/cuts.{number:06d}.jsonl.gz")
    with to.open(paths[-1], keep_equal=True) as file:
        _write_lines(file, (_cut(view, item, placeholder=True) for item in items))
    return paths


def _write_lines(file: BinaryIO, cuts: Iterable[dict[str, Any]]) -> None:
    """Writes one cut per line, compressed to the same bytes whenever that is."""
    with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
        for cut in cuts:
            packed.write(json.dumps(cut, separators=(",", ":")).encode() + b"\n")


def _add_pair(file: BinaryIO, view: View, item: Item, stream: str) -> None:
    name = cut_id(item.id)
    if stream in item.record.crc32c:
        wav = storage.read_bytes(view.job.tree.url(view.path(stream, item.id)))
        manifest = json.dumps(_recording(view, item, stream, placeholder=True)).encode() + b"\n"
        members = {f"{name}.wav": wav, f"{name}.json": manifest}
    else:
        members = {f"{name}.nodata": b"", f"{name}.nometa": b""}
    for member, data in members.items():
        file.write(tar_header(member, len(data)) + data + bytes(-len(data) % _BLOCK_BYTES))


def _cut(view: View, item: Item, *, placeholder: bool) -> dict[str, Any]:
    main = main_type(view)
    others = [stream for stream in item.record.crc32c if stream != main]
    return {
        "id": cut_id(item.id),
        "start": 0,
        "duration": item.duration_s,
        "channel": 0,
        "supervisions": [_supervision(item, talk, main) for talk in view.talks(item, main)],
        "recording": _recording(view, item, main, placeholder=placeholder),
        "custom": {stream: _recording(view, item, stream, placeholder=placeholder) for stream in others},
        "type": "MonoCut",
    }


def _recording(view: View, item: Item, stream: str, *, placeholder: bool) -> dict[str, Any]:
    """Returns the manifest of one stream; in an archive its data stand beside it."""
    shown = view.shown(stream, item.id)
    kind = "file" if storage.local_path(shown) is not None else "url"
    source = {"type": "shar", "source": ""} if placeholder else {"type": kind, "source": shown}
    return {
        "id": f"{cut_id(item.id)}-{stream}",
        "sources": [{**source, "channels": [0]}],
        "sampling_rate": view.variant.rate_hz,
        "num_samples": item.record.samples,
        "duration": item.duration_s,
        "channel_ids": [0],
    }


def _supervision(item: Item, talk: Talk, main: str) -> dict[str, Any]:
    source = talk.source
    end_s = item.duration_s if talk.end_s is None else talk.end_s
    known = {"text": source.text, "speaker": source.speaker, "gender": source.sex}
    return {
        "id": f"{cut_id(item.id)}-{source.role}",
        "recording_id": f"{cut_id(item.id)}-{main}",
        "start": talk.start_s,
        "duration": end_s - talk.start_s,
        "channel": 0,
        **{name: value for name, value in known.items() if value},
        "custom": {"role": source.role, "end_known": talk.end_s is not None},
    }
