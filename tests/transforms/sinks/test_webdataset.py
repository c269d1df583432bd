import io
import itertools
import json
import sys
import tarfile
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from transforms.errors import StorageError
from transforms.ledger import crc32c
from transforms.plan import Part, Shard
from transforms.recipes import LIBRIMIX
from transforms.rendering import RenderedMixture
from transforms.sinks import SINKS, sinks_for
from transforms.sinks.webdataset import WebDatasetSink, tar_header
from transforms.storage import OutputTree

NARROW = "Libri2Mix/webdataset/wav8k/min"
WIDE = "Libri2Mix/webdataset/wav16k/min"
FIRST = f"{NARROW}/train-100-000000.tar"
LONG_ID = "0.123456789_" * 16
AWKWARD_IDS = ("103-1240-0000_26-495-0001", "01aa0101_0.76421_02bb0202_-0.76421", LONG_ID)


@pytest.fixture
def items(make_item: Callable[..., RenderedMixture]) -> list[RenderedMixture]:
    """Three items: a plain id, one with dots, one too long for a member's name; odd lengths."""
    return [make_item(name, samples=801 + 13 * number) for number, name in enumerate(AWKWARD_IDS)]


@pytest.fixture
def wids(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The reader itself; only its import of the tensor library, for distributed runs, is stood in."""
    torch: Any = types.ModuleType("torch")
    torch.distributed = types.ModuleType("torch.distributed")
    torch.utils = types.ModuleType("torch.utils")
    torch.utils.data = types.ModuleType("torch.utils.data")
    torch.utils.data.Dataset = type("Dataset", (), {"__class_getitem__": classmethod(lambda cls, _: cls)})
    torch.utils.data.Sampler = type("Sampler", (), {})
    for module in (torch, torch.distributed, torch.utils, torch.utils.data):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    import wids

    return wids


def batched(values: Iterable[Any], size: int) -> list[list[Any]]:
    whole = list(values)
    return [whole[first : first + size] for first in range(0, len(whole), size)]


def pcm_of(item: RenderedMixture, variant: int) -> dict[str, np.ndarray]:
    return dict(item.variants[variant].pcm)


@given(
    name=st.text(
        st.characters(codec="ascii", categories=("L", "N", "P", "S"), exclude_characters="/"),
        min_size=1,
        max_size=100,
    ),
    size_bytes=st.integers(0, 8**11 - 1),
)
def test_header_is_what_tarfile_writes(name: str, size_bytes: int) -> None:
    info = tarfile.TarInfo(name)
    info.size = size_bytes
    assert tar_header(name, size_bytes) == info.tobuf(tarfile.USTAR_FORMAT, "ascii")


def test_header_refuses_a_name_that_ustar_cannot_hold() -> None:
    with pytest.raises(ValueError, match="has 101 characters, at most 100 fit"):
        tar_header("x" * 101, 0)


def test_shard_has_one_archive_and_index_per_variant(
    tree: OutputTree,
    corpus_of: Callable[..., Any],
    part: Part,
    items: list[RenderedMixture],
    contents: Callable[[OutputTree], dict[str, bytes]],
) -> None:
    ledger = corpus_of(WebDatasetSink, tree).write_shard(Shard(part, 0, 1), items)
    found = contents(tree)
    assert sorted(found) == sorted(
        f"{folder}/train-100-000000.{kind}" for folder in (NARROW, WIDE) for kind in ("tar", "idx")
    )
    assert {(file.path, file.size_bytes, file.crc32c) for file in ledger.files} == {
        (path, len(data), crc32c(data)) for path, data in found.items()
    }


def test_plain_tarfile_reads_members_in_order(
    tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    corpus_of(WebDatasetSink, tree).write_shard(Shard(part, 0, 1), items)
    with tarfile.open(fileobj=io.BytesIO(tree.read(FIRST))) as archive:
        members = archive.getmembers()
        for item, own in zip(items, batched(members, 6), strict=True):
            facts = json.load(archive.extractfile(own[-1]))
            key = facts["key"]
            assert [member.name for member in own] == [
                f"{key}.{stream}.wav" for stream in item.variants[0].pcm
            ] + [f"{key}.json"]
            assert facts["id"] == item.mixture.id
            for member, expected in zip(own, pcm_of(item, 0).values(), strict=False):
                samples, rate = soundfile.read(archive.extractfile(member), dtype="int16")
                assert rate == 8000
                np.testing.assert_array_equal(samples, expected)
    assert {(m.mode, m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0o644, 0, 0, "", "", 0)}


def test_archive_is_ustar_with_two_empty_blocks_at_its_end(
    local_tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    corpus_of(WebDatasetSink, local_tree).write_shard(Shard(part, 0, 1), items)
    data = local_tree.read(FIRST)
    assert data[257:265] == b"ustar\x0000"
    assert len(data) % 512 == 0
    assert data[-1024:] == bytes(1024)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        last = archive.getmembers()[-1]
    assert last.offset_data + last.size + (-last.size % 512) + 1024 == len(data)
    assert not last.pax_headers


def test_webdataset_reads_samples(
    local_tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    corpus_of(WebDatasetSink, local_tree).write_part(part, [items[:2], items[2:]])
    urls = local_tree.url(f"{WIDE}/train-100-{{000000..000001}}.tar")
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert len(samples) == 3
    for sample, item in zip(samples, items, strict=True):
        facts = json.loads(sample["json"])
        assert facts["id"] == item.mixture.id
        assert sample["__key__"] == facts["key"]
        for stream, expected in pcm_of(item, 1).items():
            decoded, _ = soundfile.read(io.BytesIO(sample[f"{stream}.wav"]), dtype="int16")
            np.testing.assert_array_equal(decoded, expected)


def test_wids_reads_samples_by_number(
    local_tree: OutputTree,
    corpus_of: Callable[..., Any],
    part: Part,
    items: list[RenderedMixture],
    wids: Any,
    tmp_path: Path,
) -> None:
    corpus_of(WebDatasetSink, local_tree).write_part(part, [items[:2], [], items[2:]])
    dataset = wids.ShardListDataset(
        local_tree.url(f"{NARROW}/train-100.json"), cache_dir=str(tmp_path), transformations=[]
    )
    assert len(dataset) == 3
    for number, item in enumerate(items):
        sample = dataset[number]
        assert json.load(sample[".json"])["id"] == item.mixture.id
        decoded, _ = soundfile.read(sample[".mix_both.wav"], dtype="int16")
        np.testing.assert_array_equal(decoded, pcm_of(item, 0)["mix_both"])
    dataset.close()


def test_wids_index_names_shards_beside_it(
    tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    files = corpus_of(WebDatasetSink, tree).write_part(part, [items[:2], items[2:]])
    assert files == (f"{WIDE}/train-100.json", f"{NARROW}/train-100.json")
    assert json.loads(tree.read(f"{NARROW}/train-100.json")) == {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": f"{NARROW}/train-100",
        "shardlist": [
            {
                "url": f"train-100-{number:06d}.tar",
                "nsamples": samples,
                "filesize": tree.size(f"{NARROW}/train-100-{number:06d}.tar"),
            }
            for number, samples in enumerate((2, 1))
        ],
    }


def dali_entries(index: str) -> Iterator[list[tuple[str, int, int, str]]]:
    """Reads a DALI index: per sample its members as (extension, offset, size, name)."""
    head, *lines = index.splitlines()
    version, count = head.split(" ")
    assert version == "v1.2"
    assert int(count) == len(lines)
    for line in lines:
        yield [(kind, int(at), int(size), name) for kind, at, size, name in batched(line.split(" "), 4)]


def test_dali_index_points_at_the_data_of_every_member(
    tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    corpus_of(WebDatasetSink, tree).write_shard(Shard(part, 0, 1), items)
    data = tree.read(FIRST)
    index = tree.read(FIRST.replace(".tar", ".idx")).decode("ascii")
    assert index.endswith("\n")
    samples = list(dali_entries(index))
    assert len(samples) == len(items)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for kind, at, size, name in itertools.chain(*samples):
            assert name.partition(".")[2] == kind
            assert data[at : at + size] == archive.extractfile(name).read()
        assert len(archive.getmembers()) == sum(map(len, samples))


def test_equal_items_make_equal_bytes(
    tmp_path: Path,
    corpus_of: Callable[..., Any],
    part: Part,
    items: list[RenderedMixture],
    contents: Callable[[OutputTree], dict[str, bytes]],
) -> None:
    trees = [OutputTree(str(tmp_path / name)) for name in ("a", "b")]
    for tree in trees:
        corpus_of(WebDatasetSink, tree).write_part(part, [items])
    wides = [{k.partition("webdataset")[2]: v for k, v in contents(tree).items()} for tree in trees]
    assert wides[0] == wides[1]
    assert len(wides[0]) == 6


def test_an_error_inside_a_shard_leaves_no_file(
    tree: OutputTree,
    corpus_of: Callable[..., Any],
    part: Part,
    items: list[RenderedMixture],
    contents: Callable[[OutputTree], dict[str, bytes]],
) -> None:
    corpus = corpus_of(WebDatasetSink, tree)
    with pytest.raises(RuntimeError, match="boom"):
        corpus.crash(Shard(part, 0, 1), items[0])
    assert contents(tree) == {}


def test_an_error_inside_a_shard_keeps_the_files_of_an_earlier_run(
    tree: OutputTree,
    corpus_of: Callable[..., Any],
    part: Part,
    items: list[RenderedMixture],
    contents: Callable[[OutputTree], dict[str, bytes]],
) -> None:
    corpus = corpus_of(WebDatasetSink, tree)
    corpus.write_shard(Shard(part, 0, 1), items)
    before = contents(tree)
    with pytest.raises(RuntimeError, match="boom"):
        corpus.crash(Shard(part, 0, 1), items[1])
    assert contents(tree) == before


def test_a_shard_without_items_has_no_file_and_no_place_in_the_index(
    tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    corpus = corpus_of(WebDatasetSink, tree)
    assert corpus.write_shard(Shard(part, 0, 2), []).files == ()
    corpus.write_part(part, [[], items])
    assert tree.names(NARROW) == ["train-100-000001.idx", "train-100-000001.tar", "train-100.json"]
    shards = json.loads(tree.read(f"{NARROW}/train-100.json"))["shardlist"]
    assert [shard["url"] for shard in shards] == ["train-100-000001.tar"]


def test_the_index_of_a_part_that_lost_its_items_is_removed(
    tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    corpus = corpus_of(WebDatasetSink, tree)
    corpus.write_part(part, [items])
    assert corpus.write_part(part, [[]]) == ()
    assert "train-100.json" not in tree.names(NARROW)


def test_the_index_of_a_rate_no_longer_made_is_removed(
    tree: OutputTree,
    corpus_of: Callable[..., Any],
    part: Part,
    items: list[RenderedMixture],
) -> None:
    corpus_of(WebDatasetSink, tree).write_part(part, [items])
    narrow_only = [RenderedMixture(item.mixture, item.variants[:1]) for item in items]
    corpus_of(WebDatasetSink, tree, rates_hz=(8000,)).write_part(part, [narrow_only])
    assert "train-100.json" in tree.names(NARROW)
    assert "train-100.json" not in tree.names(WIDE)


def test_an_unchanged_index_is_not_written_again(
    local_tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    corpus = corpus_of(WebDatasetSink, local_tree)
    corpus.write_part(part, [items])
    index = Path(local_tree.url(f"{NARROW}/train-100.json"))
    before = index.stat()
    corpus.write_part(part, [items])
    assert (index.stat().st_mtime_ns, index.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_parts_of_a_corpus_share_folders_and_nothing_else(
    tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    corpus = corpus_of(WebDatasetSink, tree)
    corpus.write_part(part, [items[:1]])
    before = tree.read(f"{NARROW}/train-100.json")
    corpus.write_part(Part("librimix", "Libri2Mix", "test"), [items[1:]])
    assert tree.read(f"{NARROW}/train-100.json") == before
    assert json.loads(tree.read(f"{NARROW}/test.json"))["shardlist"][0]["nsamples"] == 2


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (FIRST, True),
        (f"{WIDE}/train-100-000000.idx", True),
        ("Libri2Mix/webdataset/wav44k/max/train-100-1234567.tar", True),
        (f"{NARROW}/train-100.json", False),
        (f"{NARROW}/train-000000.tar", False),
        (f"{NARROW}/train-100-00000.tar", False),
        (f"{NARROW}/train-1000-000000.tar", False),
        (f"{NARROW}/notes.txt", False),
        ("Libri3Mix/webdataset/wav8k/min/train-100-000000.tar", False),
    ],
)
def test_names_of_shard_files(
    path: str, expected: bool, local_tree: OutputTree, corpus_of: Callable[..., Any], part: Part
) -> None:
    assert corpus_of(WebDatasetSink, local_tree).sink.is_shard_file(part, path) is expected


def test_folders_are_those_that_there_are(
    tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    corpus = corpus_of(WebDatasetSink, tree)
    assert corpus.sink.folders(part) == ()
    corpus.write_shard(Shard(part, 0, 1), items)
    assert corpus_of(WebDatasetSink, tree, rates_hz=(8000,)).sink.folders(part) == (WIDE, NARROW)


def test_a_file_in_the_way_is_named(
    local_tree: OutputTree, corpus_of: Callable[..., Any], part: Part, items: list[RenderedMixture]
) -> None:
    local_tree.write("Libri2Mix/webdataset", b"")
    with pytest.raises(StorageError, match=r"a file stands where a folder is needed"):
        corpus_of(WebDatasetSink, local_tree).write_shard(Shard(part, 0, 1), items)


def test_sinks_are_found_by_name_in_the_order_asked_for(local_tree: OutputTree, options: Any) -> None:
    found = sinks_for(local_tree, LIBRIMIX, options)
    assert [sink.name for sink in found] == ["webdataset", "tfrecord"]
    assert all(SINKS[sink.name] is type(sink) for sink in found)  # type: ignore[index]
    assert set(SINKS) == {"wav", "webdataset", "tfrecord"}
