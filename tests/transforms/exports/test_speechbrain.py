"""SpeechBrain's lists: columns and entries."""

import csv
import dataclasses
import io
import json

from tests.transforms.exports.conftest import ViewsOf
from transforms.exports.speechbrain import write_lists
from transforms.plan import Mixture
from transforms.storage import OutputTree

BOTH = "Libri2Mix/wav8k/min/mix_both/train-100"


def test_columns_are_those_of_the_recipe(views: ViewsOf, to: OutputTree) -> None:
    view = views()[0]
    paths = write_lists(view, to)
    types = ("mix_clean", "mix_both", "mix_single")
    assert paths == [
        f"Libri2Mix/wav8k/min/{mix_type}/train-100.{form}" for mix_type in types for form in ("csv", "json")
    ]
    found = list(csv.DictReader(io.StringIO(to.read(f"{BOTH}.csv").decode())))
    columns = ["mix_wav", "s1_wav", "s2_wav", "noise_wav"]
    assert list(found[0]) == [
        "ID", "duration", *(f"{column}{end}" for column in columns for end in ("", "_format", "_opts"))
    ]  # fmt: skip
    for row, item in zip(found, view.items(), strict=True):
        assert (row["ID"], float(row["duration"])) == (item.id, item.duration_s)
        assert row["mix_wav"] == view.shown("mix_both", item.id)
        assert (row["s2_wav"], row["s2_wav_format"], row["s2_wav_opts"]) == (
            view.shown("s2", item.id),
            "wav",
            "",
        )


def test_a_mixture_of_one_talker_lists_no_other(views: ViewsOf, to: OutputTree) -> None:
    write_lists(views()[0], to)
    entry = json.loads(to.read("Libri2Mix/wav8k/min/mix_single/train-100.json"))["m0000"]
    assert list(entry) == ["duration", "mix_wav", "s1_wav", "noise_wav"]


def test_json_has_the_rows_by_id(views: ViewsOf, to: OutputTree) -> None:
    view = views()[1]
    write_lists(view, to)
    found = json.loads(to.read(BOTH.replace("min", "max") + ".json"))
    assert list(found) == [item.id for item in view.items()]
    assert found["m0001"]["noise_wav"] == view.shown("noise", "m0001")


def test_what_is_not_there_is_empty_in_csv_and_absent_in_json(views: ViewsOf, to: OutputTree) -> None:
    def without_noise(mixtures: tuple[Mixture, ...]) -> list[Mixture]:
        kept = tuple(source for source in mixtures[1].sources if source.role != "s2")
        return [mixtures[0], dataclasses.replace(mixtures[1], sources=kept)]

    write_lists(views("mixtures", without_noise)[0], to)
    stem = "mixtures/wav8k/min/mix_clean/train"
    rows = list(csv.DictReader(io.StringIO(to.read(f"{stem}.csv").decode())))
    entries = json.loads(to.read(f"{stem}.json"))
    assert [row["s2_wav"] == "" for row in rows] == [False, True]
    assert ["s2_wav" in entries[row["ID"]] for row in rows] == [True, False]
