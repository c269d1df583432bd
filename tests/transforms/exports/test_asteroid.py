"""Asteroid's views: what stands in a subset's folder."""

import csv
import dataclasses
import io
import json

import pytest

from tests.transforms.exports.conftest import ViewsOf
from transforms.exports.asteroid import write_views
from transforms.plan import Mixture
from transforms.storage import OutputTree

FOLDER = "Libri2Mix/wav8k/min/train-100"


def rows(to: OutputTree, path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to.read(path).decode())))


def test_a_folder_holds_the_tables_of_one_subset_and_nothing_else(views: ViewsOf, to: OutputTree) -> None:
    paths = write_views(views()[0], to)
    types = ["mix_clean", "mix_both", "mix_single"]
    assert paths == [f"{FOLDER}/mixture_train-100_{mix_type}.csv" for mix_type in types]
    assert to.names(FOLDER) == sorted(path.rpartition("/")[2] for path in paths)


def test_tables_are_those_of_the_corpus_with_full_paths(views: ViewsOf, to: OutputTree) -> None:
    view = views()[0]
    for path in write_views(view, to):
        own = view.job.tree.read(f"Libri2Mix/wav8k/min/metadata/{path.rpartition('/')[2]}")
        assert to.read(path) == own


def test_a_talker_who_is_not_there_has_no_path(views: ViewsOf, to: OutputTree) -> None:
    def without_second(mixtures: tuple[Mixture, ...]) -> list[Mixture]:
        first = mixtures[0]
        kept = tuple(source for source in first.sources if source.role != "s2")
        return [dataclasses.replace(first, sources=kept), *mixtures[1:]]

    write_views(views("mixtures", without_second)[0], to)
    found = rows(to, "mixtures/wav8k/min/train/mixture_train_mix_both.csv")
    assert [row["source_2_path"] == "" for row in found] == [True, False, False, False, False]
    assert all(row["source_1_path"] and row["noise_path"] for row in found)


@pytest.mark.parametrize("place", [0, 1])
def test_corpora_without_tables_get_lists(views: ViewsOf, to: OutputTree, place: int) -> None:
    view = views("wsj0mix")[place]
    folder = f"2speakers/wav8k/{view.variant.mode}/tr"
    assert sorted(write_views(view, to)) == [f"{folder}/{stream}.json" for stream in ("mix", "s1", "s2")]
    for stream in ("mix", "s1", "s2"):
        assert json.loads(to.read(f"{folder}/{stream}.json")) == [
            [view.shown(stream, item.id), item.record.samples] for item in view.items()
        ]
