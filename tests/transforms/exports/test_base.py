"""Views of a finished corpus: streams, paths, who talks when; and files that grow side by side."""

import dataclasses
import json

import pytest

from tests.transforms.exports.conftest import OPTIONS, ViewsOf
from transforms.exports.base import Lists
from transforms.plan import Mixture, Source, Variant
from transforms.storage import OutputTree


def test_there_is_a_view_per_rate_and_mode(views: ViewsOf) -> None:
    found = views()
    assert [view.variant for view in found] == [Variant(8000, "min"), Variant(8000, "max")]
    assert {view.counts for view in found} == {(2, 2, 1)}
    assert {view.streams for view in found} == {("s1", "s2", "noise", "mix_clean", "mix_both", "mix_single")}
    assert [view.folder for view in found] == ["Libri2Mix/wav8k/min", "Libri2Mix/wav8k/max"]


def test_dry_references_are_streams_and_no_roles(views: ViewsOf) -> None:
    view = views("mixtures")[0]
    assert {"s1_dry", "s2_dry"} < set(view.streams)
    assert view.roles == ["s1", "s2", "noise"]
    assert view.members("mix_single") == ("s1", "noise")


def test_items_are_read_in_plan_order(views: ViewsOf) -> None:
    view = views()[0]
    items = list(view.items())
    assert [item.id for item in items] == [f"m{index:04d}" for index in range(5)]
    assert [item.id for index in range(3) for item in view.shard_items(index)] == [one.id for one in items]
    assert {item.record.variant for item in items} == {view.variant}
    assert items[0].duration_s == items[0].record.samples / 8000


@pytest.mark.parametrize("table_paths", ["absolute", "relative"])
def test_lists_name_files_in_full(views: ViewsOf, table_paths: str) -> None:
    view = views(options=dataclasses.replace(OPTIONS, table_paths=table_paths))[0]
    wanted = f"{view.job.tree.root}/Libri2Mix/wav8k/min/train-100/s1/m0000.wav"
    assert view.shown("s1", "m0000") == wanted


def test_lists_have_the_prefix_of_the_tables(views: ViewsOf) -> None:
    view = views(options=dataclasses.replace(OPTIONS, table_paths="gs://bucket/corpus/"))[1]
    assert view.shown("s1", "a") == "gs://bucket/corpus/Libri2Mix/wav8k/max/train-100/s1/a.wav"


def test_of_a_mixture_only_the_speech_in_it_talks(views: ViewsOf) -> None:
    view = views()[0]
    item = next(view.items())
    assert [talk.source.role for talk in view.talks(item, "mix_both")] == ["s1", "s2"]
    assert [talk.source.role for talk in view.talks(item, "mix_single")] == ["s1"]


def test_who_is_cut_ends_with_the_mixture_and_others_end_nobody_knows_when(views: ViewsOf) -> None:
    shortest, longest = views()
    for view, ends in ((shortest, [True, True]), (longest, [False, False])):
        for item in view.items():
            talks = view.talks(item, "mix_clean")
            assert [talk.start_s for talk in talks] == [0.0, 0.0]
            assert [talk.end_s == item.duration_s for talk in talks] == ends
            assert [talk.end_s is None for talk in talks] == [not end for end in ends]


def test_the_ledger_tells_when_placed_talkers_end(views: ViewsOf) -> None:
    shortest, longest = views("mixtures")
    for item in longest.items():
        for talk in longest.talks(item, "mix_both"):
            assert talk.start_s == talk.source.start_samples / 16000
            assert talk.end_s == item.record.ends_s[talk.source.role] <= item.duration_s
    first = next(shortest.items())
    assert first.mixture.speech[1].start_samples / 16000 > first.duration_s
    assert [talk.source.role for talk in shortest.talks(first, "mix_both")] == ["s1"]
    assert [source.role for source in shortest.speech(first, "mix_both")] == ["s1", "s2"]


def with_texts(mixtures: tuple[Mixture, ...], texts: dict[str, str]) -> list[Mixture]:
    def said(source: Source) -> Source:
        return dataclasses.replace(source, text=texts.get(source.role, ""))

    return [dataclasses.replace(one, sources=tuple(map(said, one.sources))) for one in mixtures]


@pytest.mark.parametrize(
    ("texts", "known"), [({"s1": "A", "s2": "B"}, True), ({"s1": "A"}, False), ({}, False)]
)
def test_transcripts_are_known_where_every_talker_has_one(
    views: ViewsOf, texts: dict[str, str], known: bool
) -> None:
    found = views("mixtures", lambda mixtures: with_texts(mixtures, texts))
    assert {view.texts for view in found} == {known}


def test_nothing_is_known_of_a_corpus_without_items(views: ViewsOf) -> None:
    def lost(mixtures: tuple[Mixture, ...]) -> list[Mixture]:
        gone = dataclasses.replace(mixtures[0].sources[0], path="nowhere.flac")
        return [dataclasses.replace(mixtures[0], sources=(gone, *mixtures[0].sources[1:]))]

    (view, _) = views(change=lost)
    assert (view.counts, view.streams, view.texts, list(view.items())) == ((0,), (), False, [])


def test_files_grow_side_by_side(to: OutputTree) -> None:
    with Lists(to) as lists:
        for number in range(3):
            lists.add("a.csv", f"{number}\n", head="n\n")
            lists.add_json("b.json", json.dumps(number))
            lists.add_json("c.json", f'"{number}": {number}', brackets="{}")
    assert lists.paths == ["a.csv", "b.json", "c.json"]
    assert to.read("a.csv") == b"n\n0\n1\n2\n"
    assert json.loads(to.read("b.json")) == [0, 1, 2]
    assert json.loads(to.read("c.json")) == {"0": 0, "1": 1, "2": 2}


def test_nothing_appears_when_the_block_breaks_off(to: OutputTree) -> None:
    def broken() -> None:
        with Lists(to) as lists:
            lists.add("a.csv", "1\n")
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        broken()
    assert not to.exists("a.csv")
