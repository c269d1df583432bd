import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.io.tfrecordio import ReadFromTFRecord, _TFRecordUtil
from apache_beam.testing.util import assert_that, equal_to
from google.protobuf.internal.encoder import _VarintBytes
from hypothesis import given
from hypothesis import strategies as st

from transforms.ledger import crc32c
from transforms.plan import Part, Shard, Variant
from transforms.rendering import RenderedMixture
from transforms.sinks.tfrecord import (
    TFRecordSink,
    dataset_name,
    delimiter,
    example_pieces,
    features_json,
    masked_crc,
    record_pieces,
    split_name,
    varint,
)
from transforms.storage import OutputTree

NARROW = "Libri2Mix/tfrecord/libri2mix_wav8k_min/1.0.0"
WIDE = "Libri2Mix/tfrecord/libri2mix_wav16k_min/1.0.0"
FIRST = f"{NARROW}/libri2mix_wav8k_min-train-100.tfrecord-00000-of-00001"
FACTS = {"id", "description", "sample_rate", "samples"}
TEST = Part("librimix", "Libri2Mix", "test")
Contents = Callable[[OutputTree], dict[str, bytes]]


@pytest.fixture(scope="session")
def tf() -> Any:
    import tensorflow

    return tensorflow


@pytest.fixture(scope="session")
def tfds() -> Any:
    import tensorflow_datasets

    return tensorflow_datasets


@pytest.fixture
def items(make_item: Callable[..., RenderedMixture]) -> list[RenderedMixture]:
    """Five items of different lengths, one with dots in its id and one with a long id."""
    names = ("103-1240-0000_26-495-0001", "01aa_0.76421_02bb_-0.76421", "x.5" * 60, "b", "a")
    return [make_item(name, samples=801 + 13 * number) for number, name in enumerate(names)]


def joined(pieces: list[Any]) -> bytes:
    return b"".join(bytes(piece) for piece in pieces)


def records(data: bytes) -> Iterator[bytes]:
    """Reads TFRecords with Beam's reader, which checks both checksums."""
    file = io.BytesIO(data)
    while (record := _TFRecordUtil.read_record(file)) is not None:
        yield record


def assert_equal(example: dict[str, Any], item: RenderedMixture, variant: int) -> None:
    """Compares what TFDS read with what was rendered, sample by sample."""
    rendered = item.variants[variant]
    assert example["id"].decode() == item.mixture.id
    assert example["sample_rate"] == rendered.variant.rate_hz
    assert example["samples"] == rendered.samples
    assert json.loads(example["description"])["levels"] == [1.0, 0.25, 2.0]
    assert example.keys() == FACTS | rendered.pcm.keys()
    for stream, expected in rendered.pcm.items():
        assert example[stream].dtype == np.int16
        np.testing.assert_array_equal(example[stream], expected)


@given(st.integers(0, 2**63 - 1))
def test_varint_is_what_protobuf_writes(number: int) -> None:
    assert varint(number) == _VarintBytes(number)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, b"\x00"),
        (1, b"\x01"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (300, b"\xac\x02"),
        (16384, b"\x80\x80\x01"),
    ],
)
def test_varint_of_known_numbers(number: int, expected: bytes) -> None:
    assert varint(number) == expected


def test_delimiter_is_tag_and_size() -> None:
    assert delimiter(1, 5) == b"\x0a\x05"
    assert delimiter(2, 300) == b"\x12\xac\x02"


FEATURES = st.dictionaries(
    st.text(min_size=1, max_size=20),
    st.one_of(st.integers(0, 2**63 - 1), st.binary(max_size=300)),
    max_size=6,
)


@given(features=FEATURES)
def test_example_is_read_by_tensorflow(features: dict[str, Any], tf: Any) -> None:
    example = tf.train.Example.FromString(joined(example_pieces(features)))
    found = {
        name: (feature.bytes_list.value or feature.int64_list.value)[0]
        for name, feature in example.features.feature.items()
    }
    assert found == features


@given(features=FEATURES.filter(bool))
def test_example_is_what_protobuf_writes_feature_by_feature(features: dict[str, Any], tf: Any) -> None:
    def entry(name: str) -> bytes:
        one, value = tf.train.Features(), features[name]
        feature = one.feature[name]
        (feature.int64_list if isinstance(value, int) else feature.bytes_list).value.append(value)
        return bytes(one.SerializeToString())

    data = joined(example_pieces(features))
    entries = b"".join(map(entry, sorted(features)))
    assert data == delimiter(1, len(entries)) + entries
    assert set(tf.train.Example.FromString(data).features.feature) == set(features)


def test_example_does_not_depend_on_the_order_of_its_features() -> None:
    features = {"b": b"1", "a": 2, "c": b"3"}
    backwards = dict(reversed(features.items()))
    assert joined(example_pieces(features)) == joined(example_pieces(backwards))


def test_example_holds_arrays_without_a_copy() -> None:
    samples = np.arange(10, dtype=np.uint8)
    assert any(piece is samples for piece in example_pieces({"s1": samples}))


@given(st.binary(max_size=100))
def test_masked_checksum_is_beams(data: bytes) -> None:
    assert masked_crc(crc32c(data)) == _TFRecordUtil._masked_crc32c(data)


@given(st.lists(st.lists(st.binary(max_size=60), max_size=4), max_size=5))
def test_records_in_pieces_are_framed_as_beam_frames_them(several: list[list[bytes]]) -> None:
    theirs = io.BytesIO()
    for pieces in several:
        _TFRecordUtil.write_record(theirs, b"".join(pieces))
    ours = b"".join(joined(record_pieces(pieces)) for pieces in several)
    assert ours == theirs.getvalue()


@pytest.mark.parametrize(
    ("corpus", "name"),
    [
        ("Libri2Mix", "libri2mix_wav8k_min"),
        ("wsj0-mix", "wsj0_mix_wav8k_min"),
        ("2speakers", "corpus_2speakers_wav8k_min"),
        ("My.Corpus v2", "my_corpus_v2_wav8k_min"),
        ("_x", "corpus__x_wav8k_min"),
    ],
)
def test_names_of_data_sets(corpus: str, name: str, narrow: Variant, tfds: Any) -> None:
    assert dataset_name(corpus, narrow) == name
    assert tfds.core.naming.is_valid_dataset_and_class_name(name)


@pytest.mark.parametrize(
    ("subset", "split"),
    [
        ("train-100", "train-100"),
        ("tr", "tr"),
        ("dev_2", "dev_2"),
        ("a.b", "a_b_2e7336"),
        ("all", "all_5ef5ef"),
        ("allo", "allo"),
    ],
)
def test_names_of_splits(subset: str, split: str) -> None:
    assert split_name(subset) == split


def test_subsets_that_differ_in_an_odd_character_are_different_splits() -> None:
    assert len({split_name(name) for name in ("a.b", "a b", "a_b", "a+b")}) == 4


def test_shard_has_one_file_per_variant(
    tree: OutputTree,
    corpus_of: Callable[..., Any],
    part: Part,
    items: list[RenderedMixture],
    contents: Contents,
) -> None:
    ledger = corpus_of(TFRecordSink, tree).write_shard(Shard(part, 3, 12), items)
    found = contents(tree)
    assert sorted(found) == [
        f"{WIDE}/libri2mix_wav16k_min-train-100.tfrecord-00003-of-00012",
        f"{NARROW}/libri2mix_wav8k_min-train-100.tfrecord-00003-of-00012",
    ]
    assert {(file.path, file.size_bytes, file.crc32c) for file in ledger.files} == {
        (path, len(data), crc32c(data)) for path, data in found.items()
    }


def test_beam_reads_the_records_in_plan_order(
    tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture], tf: Any
) -> None:
    corpus_of(TFRecordSink, tree).write_shard(Shard(part, 0, 1), items)
    found = [tf.train.Example.FromString(record).features.feature for record in records(tree.read(FIRST))]
    assert [one["id"].bytes_list.value[0].decode() for one in found] == [item.mixture.id for item in items]
    for one, item in zip(found, items, strict=True):
        stored = one["mix_both"].bytes_list.value[0]
        assert stored == item.variants[0].pcm["mix_both"].astype("<i2").tobytes()


def test_beam_pipeline_reads_a_shard(
    local_tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    corpus_of(TFRecordSink, local_tree).write_shard(Shard(part, 0, 1), items)
    expected = list(records(local_tree.read(FIRST)))
    assert len(expected) == len(items)
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        assert_that(pipeline | ReadFromTFRecord(local_tree.url(FIRST)), equal_to(expected))


def test_damage_is_found_by_the_checksums(
    local_tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture], tf: Any
) -> None:
    corpus_of(TFRecordSink, local_tree).write_shard(Shard(part, 0, 1), items)
    data = bytearray(local_tree.read(FIRST))
    data[len(data) // 2] ^= 1
    local_tree.write(FIRST, bytes(data))
    with pytest.raises(tf.errors.DataLossError, match="corrupted record"):
        list(tf.data.TFRecordDataset(local_tree.url(FIRST)))


@pytest.mark.parametrize(("folder", "variant"), [(NARROW, 0), (WIDE, 1)])
def test_tfds_reads_what_was_rendered(
    folder: str,
    variant: int,
    local_tree: OutputTree,
    corpus_of: Callable[..., Any],
    part: Part,
    items: list[RenderedMixture],
    tfds: Any,
) -> None:
    corpus = corpus_of(TFRecordSink, local_tree)
    corpus.write_part(part, [items[:2], [], items[2:4]])
    corpus.write_part(TEST, [items[4:]])
    corpus.sink.close_corpus([part, TEST])
    builder = tfds.builder_from_directory(local_tree.url(folder))
    assert sorted(builder.info.splits) == ["test", "train-100"]
    assert builder.info.splits["train-100"].shard_lengths == [2, 0, 2]
    for split, expected in (("train-100", items[:4]), ("test", items[4:])):
        examples = list(tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False)))
        assert len(examples) == len(expected) == builder.info.splits[split].num_examples
        for example, item in zip(examples, expected, strict=True):
            assert_equal(example, item, variant)


@pytest.mark.parametrize(
    ("split", "first", "last"),
    [
        ("train-100[:50%]", 0, 2),
        ("train-100[25%:75%]", 1, 3),
        ("train-100[3:]", 3, 4),
        ("train-100[:1shard]", 0, 2),
    ],
)
def test_tfds_slices_a_split_with_a_hyphen_in_its_name(
    split: str,
    first: int,
    last: int,
    local_tree: OutputTree,
    corpus_of: Callable[..., Any],
    part: Part,
    items: list[RenderedMixture],
    tfds: Any,
) -> None:
    corpus = corpus_of(TFRecordSink, local_tree)
    corpus.write_part(part, [items[:2], items[2:4]])
    corpus.sink.close_corpus([part])
    builder = tfds.builder_from_directory(local_tree.url(NARROW))
    ids = [one["id"].decode() for one in tfds.as_numpy(builder.as_dataset(split=split))]
    assert ids == [item.mixture.id for item in items[first:last]]


def test_tfds_loads_by_name_from_the_folder_of_the_format(
    local_tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture], tfds: Any
) -> None:
    corpus = corpus_of(TFRecordSink, local_tree)
    corpus.write_part(part, [items])
    corpus.sink.close_corpus([part])
    data_dir = local_tree.url("Libri2Mix/tfrecord")
    loaded = tfds.load("libri2mix_wav16k_min", data_dir=data_dir, split="train-100", download=False)
    assert [one["id"].decode() for one in tfds.as_numpy(loaded)] == [item.mixture.id for item in items]


def test_description_of_a_data_set(
    tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    corpus = corpus_of(TFRecordSink, tree)
    corpus.write_part(part, [items[:2], [], items[2:]])
    corpus.sink.close_corpus([part])
    shards = [name for name in tree.names(NARROW) if "tfrecord" in name]
    assert json.loads(tree.read(f"{NARROW}/dataset_info.json")) == {
        "fileFormat": "tfrecord",
        "name": "libri2mix_wav8k_min",
        "version": "1.0.0",
        "splits": [
            {
                "name": "train-100",
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                "numBytes": str(sum(len(tree.read(f"{NARROW}/{name}")) for name in shards)),
                "shardLengths": ["2", "0", "3"],
            }
        ],
    }
    assert tree.read(f"{NARROW}/features.json") == features_json(items[0].variants[0].pcm.keys(), {})
    assert [name.rsplit("-", 3)[-3] for name in shards] == ["00000", "00002"]


def write_both(corpus: Any, part: Part, items: list[RenderedMixture], *, backwards: bool) -> None:
    parts = [(part, [items[:2], items[2:4]]), (TEST, [items[4:]])]
    for one, shards in reversed(parts) if backwards else parts:
        corpus.write_part(one, shards)
    corpus.sink.close_corpus([TEST, part] if backwards else [part, TEST])


def test_equal_parts_make_equal_bytes_in_any_order_and_again(
    tmp_path: Path,
    corpus_of: Callable[..., Any],
    part: Part,
    items: list[RenderedMixture],
    contents: Contents,
) -> None:
    trees = [OutputTree(str(tmp_path / name)) for name in ("a", "b")]
    for tree, backwards in zip(trees, (False, True), strict=True):
        write_both(corpus_of(TFRecordSink, tree), part, items, backwards=backwards)
    once = contents(trees[0])
    assert len(once) == 2 * (3 + 2 + 2)
    assert contents(trees[1]) == once
    write_both(corpus_of(TFRecordSink, trees[0]), part, items, backwards=True)
    assert contents(trees[0]) == once


def test_unchanged_descriptions_are_not_written_again(
    local_tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    corpus = corpus_of(TFRecordSink, local_tree)
    stood = []
    for _ in range(2):
        files = corpus.write_part(part, [items])
        corpus.sink.close_corpus([part])
        paths = [*files, f"{NARROW}/dataset_info.json", f"{NARROW}/features.json"]
        stood.append([Path(local_tree.url(path)).stat().st_ino for path in paths])
    assert stood[0] == stood[1]
    assert len(stood[0]) == 4


def test_what_is_known_of_a_split_stands_apart_from_the_data_set(
    tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    files = corpus_of(TFRecordSink, tree).write_part(part, [items])
    assert sorted(files) == [f"_mixtape/{folder}/train-100.json" for folder in (WIDE, NARROW)]
    assert all(tree.exists(path) for path in files)


def split_names(tree: OutputTree) -> list[str]:
    return [split["name"] for split in json.loads(tree.read(f"{NARROW}/dataset_info.json"))["splits"]]


def test_a_part_that_is_no_longer_stored_is_no_split(
    tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    corpus = corpus_of(TFRecordSink, tree)
    write_both(corpus, part, items, backwards=False)
    assert split_names(tree) == ["test", "train-100"]
    corpus.sink.close_corpus([part])
    assert split_names(tree) == ["train-100"]


def test_a_part_of_an_earlier_run_stays_a_split(
    tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    first, second = corpus_of(TFRecordSink, tree), corpus_of(TFRecordSink, tree)
    first.write_part(part, [items[:3]])
    first.sink.close_corpus([part])
    second.write_part(TEST, [items[3:]])
    second.sink.close_corpus([part, TEST])
    assert split_names(tree) == ["test", "train-100"]


def test_a_part_without_records_is_no_split(
    tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    corpus = corpus_of(TFRecordSink, tree)
    corpus.write_part(part, [items])
    assert corpus.write_part(TEST, [[], []]) == ()
    corpus.sink.close_corpus([part, TEST])
    assert split_names(tree) == ["train-100"]


def test_a_corpus_that_lost_all_items_is_no_longer_described(
    tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    corpus = corpus_of(TFRecordSink, tree)
    corpus.write_part(part, [items])
    corpus.sink.close_corpus([part])
    corpus.write_part(part, [[]])
    corpus.sink.close_corpus([part])
    assert not tree.exists(f"{NARROW}/dataset_info.json")
    assert not tree.exists(f"{NARROW}/features.json")


def test_a_rate_no_longer_made_is_no_longer_described(
    tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    corpus = corpus_of(TFRecordSink, tree)
    corpus.write_part(part, [items])
    corpus.sink.close_corpus([part])
    narrower = corpus_of(TFRecordSink, tree, rates_hz=(8000,))
    narrower.write_part(part, [[RenderedMixture(item.mixture, item.variants[:1]) for item in items]])
    narrower.sink.close_corpus([part])
    assert tree.exists(f"{NARROW}/dataset_info.json")
    assert not tree.exists(f"{WIDE}/dataset_info.json")


def test_features_are_the_streams_that_every_record_has(
    local_tree: OutputTree,
    corpus_of: Callable[..., Any],
    part: Part,
    items: list[RenderedMixture],
    make_item: Callable[..., RenderedMixture],
    tfds: Any,
) -> None:
    corpus = corpus_of(TFRecordSink, local_tree)
    corpus.write_part(part, [items])
    corpus.write_part(TEST, [[make_item("c", streams=("s1", "s2", "mix_clean"))]])
    corpus.sink.close_corpus([part, TEST])
    builder = tfds.builder_from_directory(local_tree.url(NARROW))
    assert set(builder.info.features) == FACTS | {"s1", "s2", "mix_clean"}
    for split, count in (("train-100", 5), ("test", 1)):
        assert len(list(tfds.as_numpy(builder.as_dataset(split=split)))) == count


def test_a_shard_of_mixed_streams_declares_those_that_all_have(
    tree: OutputTree, corpus_of: Callable[..., Any], part: Part, make_item: Callable[..., RenderedMixture]
) -> None:
    corpus = corpus_of(TFRecordSink, tree)
    corpus.write_part(part, [[make_item("a", streams=("s1", "s2"))], [make_item("b", streams=("s2", "s3"))]])
    corpus.sink.close_corpus([part])
    assert tree.read(f"{NARROW}/features.json") == features_json(["s2"], {})


def test_an_error_inside_a_shard_leaves_no_file(
    tree: OutputTree,
    corpus_of: Callable[..., Any],
    part: Part,
    items: list[RenderedMixture],
    contents: Contents,
) -> None:
    corpus = corpus_of(TFRecordSink, tree)
    with pytest.raises(RuntimeError, match="boom"):
        corpus.crash(Shard(part, 0, 1), items[0])
    assert contents(tree) == {}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (FIRST, True),
        (f"{WIDE}/libri2mix_wav16k_min-train-100.tfrecord-00007-of-123456", True),
        (f"{WIDE}/libri2mix_wav8k_min-train-100.tfrecord-00007-of-00012", False),
        (f"{NARROW}/libri2mix_wav8k_min-train-1000.tfrecord-00000-of-00001", False),
        (f"{NARROW}/libri2mix_wav8k_min-test.tfrecord-00000-of-00001", False),
        (f"{NARROW}/dataset_info.json", False),
        (FIRST.replace("Libri2Mix/", "Libri3Mix/"), False),
    ],
)
def test_names_of_shard_files(
    path: str, expected: bool, local_tree: OutputTree, corpus_of: Callable[..., Any], part: Part
) -> None:
    assert corpus_of(TFRecordSink, local_tree).sink.is_shard_file(part, path) is expected


def test_folders_are_those_that_there_are(
    tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    corpus = corpus_of(TFRecordSink, tree)
    assert corpus.sink.folders(part) == ()
    corpus.write_shard(Shard(part, 0, 1), items)
    assert corpus_of(TFRecordSink, tree, rates_hz=(8000,)).sink.folders(part) == (WIDE, NARROW)
