"""Lhotse's manifests and archives, as its documentation describes them."""

import dataclasses
import gzip
import io
import json
import tarfile
from typing import Any

import pytest

from tests.transforms.exports.conftest import ViewsOf
from transforms.exports.lhotse import cut_id, main_type, shar_shards, write_cuts, write_shar
from transforms.plan import Mixture
from transforms.storage import OutputTree

SHAR = "Libri2Mix/wav8k/min/shar_train-100"


def cuts(to: OutputTree, path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(to.read(path)).splitlines()]


def members(to: OutputTree, path: str) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(to.read(path))) as archive:
        return [(one.name, archive.extractfile(one).read()) for one in archive.getmembers()]  # type: ignore[union-attr]


def test_a_cut_is_the_mixture_that_sums_most(views: ViewsOf, to: OutputTree) -> None:
    view = views()[0]
    assert main_type(view) == "mix_both"
    assert write_cuts(view, to) == ["Libri2Mix/wav8k/min/cuts_train-100.jsonl.gz"]
    for cut, item in zip(cuts(to, "Libri2Mix/wav8k/min/cuts_train-100.jsonl.gz"), view.items(), strict=True):
        assert (cut["id"], cut["type"], cut["start"]) == (item.id, "MonoCut", 0)
        recording = cut["recording"]
        assert recording["sources"] == [
            {"type": "file", "source": view.shown("mix_both", item.id), "channels": [0]}
        ]
        assert (recording["num_samples"], recording["sampling_rate"]) == (item.record.samples, 8000)
        assert list(cut["custom"]) == ["s1", "s2", "noise", "mix_clean", "mix_single"]
        assert {one["recording_id"] for one in cut["supervisions"]} == {recording["id"]}
        assert [one["speaker"] for one in cut["supervisions"]] == [one.speaker for one in item.mixture.speech]
        assert all("text" not in one for one in cut["supervisions"])


def test_a_url_is_no_file(views: ViewsOf, to: OutputTree) -> None:
    view = views()[0]
    options = dataclasses.replace(view.job.options, table_paths="gs://bucket/corpus")
    view = dataclasses.replace(view, job=dataclasses.replace(view.job, options=options))
    (path,) = write_cuts(view, to)
    (source,) = cuts(to, path)[0]["recording"]["sources"]
    assert source["type"] == "url"
    assert source["source"].startswith("gs://bucket/corpus/Libri2Mix/")


def test_manifests_have_the_same_bytes_each_time(views: ViewsOf, to: OutputTree) -> None:
    view = views()[0]
    (path,) = write_cuts(view, to)
    first = to.read(path)
    to.remove(path)
    write_cuts(view, to)
    assert to.read(path) == first
    assert first[4:8] == bytes(4)


def test_an_end_that_is_not_known_is_said_to_be_so(views: ViewsOf, to: OutputTree) -> None:
    for view, known in zip(views(), (True, False), strict=True):
        (path,) = write_cuts(view, to)
        for cut in cuts(to, path):
            assert {one["custom"]["end_known"] for one in cut["supervisions"]} == {known}
            assert {one["start"] + one["duration"] for one in cut["supervisions"]} == {cut["duration"]}


def test_archives_hold_pairs(views: ViewsOf, to: OutputTree) -> None:
    view = views()[0]
    paths = [path for index in shar_shards(view) for path in write_shar(view, index, to)]
    fields = ["recording", "s1", "s2", "noise", "mix_clean", "mix_single"]
    assert set(paths) == {
        f"{SHAR}/{name}"
        for number in range(3)
        for name in (*(f"{field}.{number:06d}.tar" for field in fields), f"cuts.{number:06d}.jsonl.gz")
    }
    assert set(to.names(SHAR)) == {path.rpartition("/")[2] for path in paths}
    for number, ids in enumerate([["m0000", "m0001"], ["m0002", "m0003"], ["m0004"]]):
        assert [cut["id"] for cut in cuts(to, f"{SHAR}/cuts.{number:06d}.jsonl.gz")] == ids
        for field in fields:
            found = members(to, f"{SHAR}/{field}.{number:06d}.tar")
            assert [name for name, _ in found] == [f"{one}.{end}" for one in ids for end in ("wav", "json")]
            stream = "mix_both" if field == "recording" else field
            for (name, wav), (_, manifest) in zip(found[::2], found[1::2], strict=True):
                assert wav == view.job.tree.read(view.path(stream, name.removesuffix(".wav")))
                assert json.loads(manifest)["sources"] == [{"type": "shar", "source": "", "channels": [0]}]


def test_a_cut_without_a_field_has_placeholders(views: ViewsOf, to: OutputTree) -> None:
    def without_second(mixtures: tuple[Mixture, ...]) -> list[Mixture]:
        kept = tuple(source for source in mixtures[0].sources if source.role != "s2")
        return [dataclasses.replace(mixtures[0], sources=kept), mixtures[1]]

    view = views("mixtures", without_second)[0]
    write_shar(view, 0, to)
    found = members(to, "mixtures/wav8k/min/shar_train/s2.000000.tar")
    first, second = (one.id for one in view.items())
    assert [name for name, _ in found] == [
        *(f"{first}.nodata", f"{first}.nometa"),
        *(f"{second}.wav", f"{second}.json"),
    ]
    assert [bool(data) for _, data in found] == [False, False, True, True]


def test_shards_without_items_leave_no_gap(views: ViewsOf, to: OutputTree) -> None:
    def lost(mixtures: tuple[Mixture, ...]) -> list[Mixture]:
        def broken(one: Mixture) -> Mixture:
            gone = dataclasses.replace(one.sources[0], path="nowhere.flac")
            return dataclasses.replace(one, sources=(gone, *one.sources[1:]))

        return [*map(broken, mixtures[:2]), *mixtures[2:]]

    view = views(change=lost)[0]
    assert (view.counts, shar_shards(view)) == ((0, 2, 1), [1, 2])
    for index in shar_shards(view):
        write_shar(view, index, to)
    assert [name for name in to.names(SHAR) if name.startswith("cuts")] == [
        "cuts.000000.jsonl.gz",
        "cuts.000001.jsonl.gz",
    ]
    assert [cut["id"] for cut in cuts(to, f"{SHAR}/cuts.000000.jsonl.gz")] == ["m0002", "m0003"]


@pytest.mark.parametrize(
    ("mixture_id", "wanted"), [("a_1.5_b", "a_1.5_b"), ("x" * 90, "x" * 90), ("x" * 91, f"{'x' * 67}-")]
)
def test_ids_that_no_archive_could_name_are_made_shorter(mixture_id: str, wanted: str) -> None:
    assert cut_id(mixture_id).startswith(wanted)
    assert len(cut_id(mixture_id)) <= 90
