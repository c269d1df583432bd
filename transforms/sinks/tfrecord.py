"""TFRecord: shards of ``tf.train.Example`` in the layout that TFDS loads without builder code.

A corpus is one data set per rate and mode, a subset one split of it; the streams are 16-bit tensors
stored as their bytes. Nothing of TensorFlow is needed to write them. Formats: TFRecord framing
(length, masked CRC-32C, data, masked CRC-32C; little-endian), protocol buffer wire format,
``dataset_info.json`` and ``features.json`` of TensorFlow Datasets 4.
"""

import contextlib
import functools
import hashlib
import json
import re
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import google_crc32c

from transforms.attachments import Fact, FeatureKind
from transforms.ledger import ShardLedger
from transforms.plan import Mixture, Part, Shard, Variant
from transforms.recipes import Recipe
from transforms.rendering import RenderedMixture
from transforms.sinks.base import PartWriter, ShardWriter, Sink
from transforms.sinks.description import PackedFiles, Piece, describe_json, sample_bytes
from transforms.storage import OWN_FOLDER

VERSION = "1.0.0"
_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
_ALL_SPLITS = "all"
_MASK = 0xA282EAD8
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3
_HIGHEST_UINT64 = (1 << 64) - 1

_DTYPES: Mapping[FeatureKind, str] = {
    "flag": "bool",
    "int": "int64",
    "ints": "int64",
    "float": "float32",
    "floats": "float32",
    "text": "string",
    "texts": "string",
    "file": "string",
    "files": "string",
}

Values = tuple[int, Sequence[Piece]]


def varint(number: int) -> bytes:
    """Returns a protocol buffer varint, 7 bits per byte, lowest first. ``number`` is not negative."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def delimiter(field: int, size_bytes: int) -> bytes:
    """Returns what precedes a length-delimited field: its tag (field below 16) and its size."""
    return bytes((field << 3 | 2,)) + varint(size_bytes)


def feature_pieces(name: str, kind: int, values: Sequence[Piece]) -> list[Piece]:
    """Returns one entry of an Example's map of features, in pieces.

    Args:
        name: the feature.
        kind: field of ``Feature``: 1 for a bytes list, 2 for a float list, 3 for an int64 list.
        values: the encoded values; of numbers, all of them packed into one.
    """
    content: list[Piece] = []
    for value in values:
        content += [delimiter(1, len(value)), value]
    size = sum(map(len, content))
    key = name.encode()
    head = delimiter(kind, size)
    head = delimiter(1, len(key)) + key + delimiter(2, len(head) + size) + head
    return [delimiter(1, len(head) + size) + head, *content]


def encoded_values(kind: FeatureKind, value: Fact | Sequence[bytes]) -> Values:
    """Returns a fact, or the files of an attachment, as the encoded values of a feature."""
    values: Any = value if kind in ("ints", "floats", "texts", "file", "files") else [value]
    match kind:
        case "text" | "texts":
            return _BYTES_LIST, [text.encode() for text in values]
        case "file" | "files":
            return _BYTES_LIST, list(values)
        case "float" | "floats":
            packed = struct.pack(f"<{len(values)}f", *values)
            return _FLOAT_LIST, [packed] if packed else []
        case _:
            packed = b"".join(varint(int(number) & _HIGHEST_UINT64) for number in values)
            return _INT64_LIST, [packed] if packed else []


def example_pieces(features: Mapping[str, Piece | int | Values]) -> list[Piece]:
    """Returns a serialised ``tf.train.Example`` in pieces, features sorted by name.

    Args:
        features: of each feature its one value, bytes or an integer that is not negative; or its
            kind and encoded values.
    """
    pieces: list[Piece] = []
    for name in sorted(features):
        value = features[name]
        if isinstance(value, tuple):
            pieces += feature_pieces(name, *value)
        elif isinstance(value, int):
            pieces += feature_pieces(name, _INT64_LIST, [varint(value)])
        else:
            pieces += feature_pieces(name, _BYTES_LIST, [value])
    return [delimiter(1, sum(map(len, pieces))), *pieces]


def masked_crc(crc: int) -> int:
    """Returns a CRC-32C as TFRecord stores it: rotated right by 15 bits, plus a constant."""
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def record_pieces(pieces: Sequence[Piece]) -> list[Piece]:
    """Returns one TFRecord around data that comes in pieces."""
    length = struct.pack("<Q", sum(map(len, pieces)))
    crc = 0
    for piece in pieces:
        crc = google_crc32c.extend(crc, piece)
    head = length + struct.pack("<I", masked_crc(google_crc32c.value(length)))
    return [head, *pieces, struct.pack("<I", masked_crc(crc))]


def dataset_name(corpus: str, variant: Variant) -> str:
    """Returns the TFDS name of a corpus at one rate and mode, for instance ``libri2mix_wav8k_min``."""
    name = re.sub(r"[^a-z0-9_]", "_", corpus.lower())
    prefix = "" if name[:1].isalpha() else "corpus_"
    return f"{prefix}{name}_{variant.folder}_{variant.mode}"


def split_name(subset: str) -> str:
    """Returns the TFDS split of a subset: itself, if made of letters, digits, ``_`` and ``-``.

    Other characters become ``_``, and 6 digits of the subset's SHA-256 keep two such names apart. So they
    do with ``all``, which is TFDS's name for all splits together.
    """
    name = re.sub(r"[^A-Za-z0-9_-]", "_", subset)
    is_free = name == subset and name != _ALL_SPLITS
    return name if is_free else f"{name}_{hashlib.sha256(subset.encode()).hexdigest()[:6]}"


def _folder(corpus: str, dataset: str) -> str:
    return f"{corpus}/{TFRecordSink.name}/{dataset}/{VERSION}"


def _split_path(folder: str, subset: str) -> str:
    """Place of what is known of one split, from which a data set's description is put together."""
    return f"{OWN_FOLDER}/{folder}/{split_name(subset)}.json"


def records_path(shard: Shard, variant: Variant) -> str:
    """Returns the place of a shard's records of one rate and mode."""
    dataset = dataset_name(shard.part.corpus, variant)
    stem = f"{_folder(shard.part.corpus, dataset)}/{dataset}-{split_name(shard.part.subset)}"
    return f"{stem}.{TFRecordSink.name}-{shard.index:05d}-of-{shard.count:05d}"


class _RecordShardWriter(ShardWriter):
    def __init__(self, part: Part, files: PackedFiles, recipe: Recipe) -> None:
        self._part = part
        self._files = files
        self._kinds = recipe.features

    def add(self, item: RenderedMixture) -> None:
        attached = {one.name: one.pieces for one in item.attachments}
        for rendered in item.variants:
            features: dict[str, Piece | int | Values] = {
                "id": item.mixture.id.encode(),
                "description": describe_json(self._part, item.mixture, rendered),
                "sample_rate": rendered.variant.rate_hz,
                "samples": rendered.samples,
            }
            features |= {stream: sample_bytes(pcm) for stream, pcm in rendered.pcm.items()}
            more = {**rendered.facts, **attached}
            features |= {name: encoded_values(kind, more[name]) for name, kind in self._kinds.items()}
            self._files.of(rendered.variant).append(*record_pieces(example_pieces(features)))


@dataclass
class _Split:
    """What a data set's description says of one split.

    ``streams`` are those that every item has, ``features`` the recipe's facts and attachments.
    """

    features: Mapping[str, FeatureKind]
    size_bytes: int = 0
    shard_lengths: list[int] = field(default_factory=list)
    streams: set[str] | None = None

    def to_json(self, name: str) -> bytes:
        info = {
            "name": name,
            "filepathTemplate": _TEMPLATE,
            "numBytes": str(self.size_bytes),
            "shardLengths": [str(length) for length in self.shard_lengths],
        }
        more = {"features": self.features} if self.features else {}
        return _json({"split": info, "streams": sorted(self.streams or ()), **more})


class _SplitWriter(PartWriter):
    """Gathers what is known of a part's splits, one per variant, and stores it."""

    def __init__(self, sink: "TFRecordSink", part: Part) -> None:
        self._tree = sink.tree
        self._subset = part.subset
        self._folders = {
            variant: _folder(part.corpus, dataset_name(part.corpus, variant))
            for variant in sink.options.variants
        }
        folders = (*self._folders.values(), *sink.folders(part))
        self._splits = {folder: _Split(sink.recipe.features) for folder in folders}

    def add(self, ledger: ShardLedger, mixtures: Sequence[Mixture]) -> None:
        del mixtures
        for split in self._splits.values():
            split.shard_lengths.append(len(ledger.items))
        for file in ledger.files:
            folder = file.path.rpartition("/")[0]
            if folder in self._splits:
                self._splits[folder].size_bytes += file.size_bytes
        for item in ledger.items:
            for record in item.variants:
                split = self._splits[self._folders[record.variant]]
                known = record.crc32c.keys() if split.streams is None else split.streams
                split.streams = known & record.crc32c.keys()

    def close(self) -> None:
        """Stores the splits, and removes that of a variant without records."""
        for folder, split in self._splits.items():
            path = _split_path(folder, self._subset)
            if split.size_bytes:
                self._tree.write_if_changed(path, split.to_json(split_name(self._subset)))
                self.files += (path,)
            else:
                self._tree.remove(path)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def _feature(kind: str, **details: Any) -> dict[str, Any]:
    return {"pythonClassName": f"tensorflow_datasets.core.features.{kind}", **details}


def _tensor(dtype: str, *, encoding: str = "none", vector: bool) -> dict[str, Any]:
    shape = {"dimensions": ["-1"]} if vector else {}
    tensor = {"dtype": dtype, "encoding": encoding, "shape": shape}
    return _feature("tensor_feature.Tensor", tensor=tensor)


def _declared(kind: FeatureKind) -> dict[str, Any]:
    """Returns what ``features.json`` says of a fact or an attachment."""
    return _tensor(_DTYPES[kind], vector=kind in ("ints", "floats", "texts", "files"))


def features_json(streams: Collection[str], more: Mapping[str, FeatureKind]) -> bytes:
    """Returns ``features.json``: every stream a vector of 16-bit samples stored as its bytes.

    Args:
        streams: names of the streams.
        more: facts and attachments, by name; real numbers have 32 bits here, texts and files are strings.
    """
    text = _feature("text_feature.Text", text={})
    number = _tensor("int64", vector=False)
    features = {"id": text, "description": text, "sample_rate": number, "samples": number}
    features |= dict.fromkeys(streams, _tensor("int16", encoding="bytes", vector=True))
    features |= {name: _declared(kind) for name, kind in more.items()}
    return _json(_feature("features_dict.FeaturesDict", featuresDict={"features": features}))


class TFRecordSink(Sink):
    """TFDS data sets ``<corpus>/tfrecord/<data set>/1.0.0``, one per rate and mode, splits = subsets.

    Records have the features ``id``, ``description`` (JSON), ``sample_rate`` (Hz), ``samples``, every
    stream, and what the recipe declares as facts and attachments. A shard whose items were all
    rejected has no file and the length 0, which TFDS passes over.
    """

    name: ClassVar[str] = "tfrecord"

    @contextlib.contextmanager
    def open_shard(self, shard: Shard) -> Iterator[ShardWriter]:
        """Opens the files of a shard, one per rate and mode. Raises StorageError."""
        with PackedFiles(self.tree, functools.partial(records_path, shard)) as files:
            writer = _RecordShardWriter(shard.part, files, self.recipe)
            yield writer
        writer.files = files.written

    def open_part(self, part: Part, shard_count: int, roles: Sequence[str]) -> PartWriter:
        """Begins what the data sets' descriptions say of a part; shards come with their ledgers."""
        del shard_count, roles
        return _SplitWriter(self, part)

    def close_corpus(self, parts: Sequence[Part]) -> None:
        """Describes each data set by its stored splits: ``dataset_info.json``, ``features.json``."""
        for corpus in sorted({part.corpus for part in parts}):
            subsets = sorted(part.subset for part in parts if part.corpus == corpus)
            for dataset in self.tree.names(f"{corpus}/{self.name}"):
                folder = _folder(corpus, dataset)
                paths = [_split_path(folder, subset) for subset in subsets]
                stored = [self.tree.read(path) for path in paths if self.tree.size(path) is not None]
                self._describe(folder, dataset, [json.loads(data) for data in stored])

    def _describe(self, folder: str, dataset: str, splits: Sequence[Mapping[str, Any]]) -> None:
        info_path, features_path = f"{folder}/dataset_info.json", f"{folder}/features.json"
        if not splits:
            self.tree.remove(info_path)
            self.tree.remove(features_path)
            return
        info = {
            "fileFormat": self.name,
            "name": dataset,
            "splits": [facts["split"] for facts in splits],
            "version": VERSION,
        }
        common = set.intersection(*(set(facts["streams"]) for facts in splits))
        own = [facts.get("features", {}).items() for facts in splits]
        more = {name: kind for name, kind in own[0] if all((name, kind) in one for one in own)}
        self.tree.write_if_changed(features_path, features_json(common, more))
        self.tree.write_if_changed(info_path, _json(info))

    def is_shard_file(self, part: Part, path: str) -> bool:
        """Tells whether a path is named like a record file of this part, of any number of shards."""
        corpus, split, version = map(re.escape, (part.corpus, split_name(part.subset), VERSION))
        pattern = rf"{corpus}/{self.name}/(\w+)/{version}/\1-{split}\.{self.name}-\d{{5,}}-of-\d{{5,}}"
        return re.fullmatch(pattern, path) is not None

    def folders(self, part: Part) -> tuple[str, ...]:
        """Returns the folder of each rate and mode that there is, whatever options made it."""
        return tuple(
            _folder(part.corpus, dataset) for dataset in self.tree.names(f"{part.corpus}/{self.name}")
        )
