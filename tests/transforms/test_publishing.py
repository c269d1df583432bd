"""Card, Croissant description and checksums: accepted by their readers, true, and never in the way."""

import csv
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path, PurePath

import pytest
import yaml
from huggingface_hub import DatasetCard

from tests import trees
from transforms.card import MARK, size_category, split_name
from transforms.finishing import stored_summaries
from transforms.inventory import FileRecord, NotedTree
from transforms.publishing import (
    CARD_PATH,
    CHECKSUMS_PATH,
    CROISSANT_PATH,
    publish,
    state_licences,
    stated_licences,
)
from transforms.record import recorded_job
from transforms.sinks.description import item_key
from transforms.storage import OutputTree

PLACES = (CARD_PATH, CROISSANT_PATH, CHECKSUMS_PATH)
RECIPES = list(trees.KINDS)

_ITERATE = """
import json, sys
import mlcroissant
dataset = mlcroissant.Dataset(jsonld=sys.argv[1])
found = {}
for record_set in dataset.metadata.record_sets:
    records = [dict(record) for record in dataset.records(record_set.id)]
    found[record_set.id] = [
        [record[f"{record_set.id}/id"].decode(), record[f"{record_set.id}/audio"].hex()] for record in records
    ]
issues = dataset.metadata.issues
print(json.dumps({"found": found, "errors": sorted(issues.errors), "warnings": sorted(issues.warnings)}))
"""


def render(folder: Path, recipe: str, *flags: str) -> Path:
    corpus = trees.make_corpus(folder / "corpus", recipe=recipe)
    assert trees.run(corpus, folder / "out", *corpus.small_flags(), *flags) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns ``made(recipe)``: an output of five mixtures at 8 kHz, in all formats."""
    outputs: dict[str, Path] = {}

    def make(recipe: str) -> Path:
        if recipe not in outputs:
            outputs[recipe] = render(tmp_path_factory.mktemp(recipe), recipe)
        return outputs[recipe]

    return make


def publish_again(out: Path) -> list[str]:
    job = recorded_job(str(out), {})
    notes = publish(NotedTree(job.out), stored_summaries(job.tree))
    job.tree.remove_temporary()
    return notes


# The card.


@pytest.mark.parametrize(
    ("recipe", "licence", "language"),
    [
        ("librimix", "cc-by-nc-4.0", ["en"]),
        ("wsj0mix", "other", ["en"]),
        ("mixtures", "unknown", None),
    ],
)
def test_the_hub_reads_the_head(
    made: Callable[[str], Path], recipe: str, licence: str, language: list[str] | None
) -> None:
    part = trees.KINDS[recipe].part
    card = DatasetCard.load(made(recipe) / CARD_PATH, ignore_metadata_errors=False)
    assert card.data.license == licence
    assert card.data.language == language
    assert card.data.pretty_name == part.corpus
    assert card.data.task_categories == ["audio-to-audio"]
    assert card.data.size_categories == ["n<1K"]
    head = yaml.safe_load(card.content.split("---\n")[1])
    for configuration in head["configs"]:
        (split,) = configuration["data_files"]
        archives = sorted(made(recipe).glob(split["path"]))
        assert archives
        assert all(path.suffix == ".tar" for path in archives)
        assert PurePath(split["path"].replace("??????", "000000")).match(split["path"])
        assert not PurePath(split["path"].replace("??????", "100-000000")).match(split["path"])
    modes = {name["config_name"].rpartition("_")[2] for name in head["configs"]}
    assert modes <= {"min", "max"}


def test_an_agreement_has_a_name_and_a_link(made: Callable[[str], Path]) -> None:
    head = yaml.safe_load((made("wsj0mix") / CARD_PATH).read_text().split("---\n")[1])
    assert head["license_name"] == "ldc-user-agreement"
    assert head["license_link"].startswith("https://www.ldc.upenn.edu/")


def test_what_the_card_says(made: Callable[[str], Path]) -> None:
    text = (made("librimix") / CARD_PATH).read_text()
    assert "| Libri2Mix | train-100 | 5 | 6 | 0.00 (8000 Hz min), 0.00 (8000 Hz max) |" in text
    assert "- `mix_both`: the sum of `s1`, `s2`, `noise`" in text
    assert "- `s1`: a talker, as in the mixture" in text
    assert "| WHAM! noises | CC BY-NC 4.0 | http://wham.whisper.ai | G. Wichern" in text
    assert "**Terms of the whole: [CC BY-NC 4.0](https://creativecommons.org/licenses/by-nc/4.0/).**" in text
    assert "- WHAM! noises: no commercial use" in text
    assert "published tree of the recipe: `Libri2Mix/`\n" in text
    assert str(made("librimix").parent) not in text


def test_dry_references_are_told(made: Callable[[str], Path]) -> None:
    text = (made("mixtures") / CARD_PATH).read_text()
    assert "- `s1_dry`: the direct sound alone of `s1`, where it is in a room" in text
    names = re.findall(r"^- `(\w+)`:", text, re.MULTILINE)
    kinds = [("mix_" in name, name.startswith("noise")) for name in names]
    assert kinds == sorted(kinds)
    assert "- noise, rir, speech: licence unknown: find out before anything is passed on" in text


@pytest.mark.parametrize(
    ("items", "name"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (99_999, "10K<n<100K"),
        (10**9, "n>1B"),
        (10**12, "n>1B"),
    ],
)
def test_sizes_have_the_names_of_the_hub(items: int, name: str) -> None:
    assert size_category(items) == name


# Croissant.


@pytest.mark.parametrize("recipe", RECIPES)
def test_croissant_gives_the_files_of_the_corpus(
    made: Callable[[str], Path], tmp_path: Path, recipe: str
) -> None:
    out = made(recipe)
    command = [sys.executable, "-c", _ITERATE, str(out / CROISSANT_PATH)]
    environment = os.environ | {"CROISSANT_CACHE": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["errors"] == []
    assert [one for one in told["warnings"] if "datePublished" not in one] == []
    kind = trees.KINDS[recipe]
    found: dict[str, list[list[str]]] = told["found"]
    assert found
    for name, records in found.items():
        part, variant, stream = name.split("/")
        assert part == kind.part.name
        assert len(records) == 5
        rate, mode = variant.split("_")
        for item_id, audio in records:
            (wav,) = (
                path for path in out.glob(f"*/{rate}/{mode}/*/{stream}/*") if item_key(path.stem) == item_id
            )
            assert wav.read_bytes().hex() == audio


def test_croissant_describes_what_is_there_and_no_more(made: Callable[[str], Path]) -> None:
    out = made("librimix")
    document = json.loads((out / CROISSANT_PATH).read_text())
    assert document["license"] == "https://creativecommons.org/licenses/by-nc/4.0/"
    assert "datePublished" not in document
    objects = [one for one in document["distribution"] if one["@type"] == "cr:FileObject"]
    for one in objects:
        assert hashlib.sha256((out / one["contentUrl"]).read_bytes()).hexdigest() == one["sha256"]
    there = {
        str(path.relative_to(out))
        for path in out.rglob("*")
        if path.suffix == ".tar" or ".tfrecord-" in path.name
    }
    assert {one["contentUrl"] for one in objects} == there
    sets = [one for one in document["distribution"] if one["@type"] == "cr:FileSet"]
    trees_of_files = [one for one in sets if "containedIn" not in one]
    assert all(len(list(out.glob(one["includes"]))) == 5 for one in trees_of_files)
    ids = [one["@id"] for one in (*document["distribution"], *document["recordSet"])]
    assert len(set(ids)) == len(ids)


def test_wavs_alone_are_sets_of_files(tmp_path: Path) -> None:
    out = render(tmp_path, "librimix", "--formats", "wav")
    document = json.loads((out / CROISSANT_PATH).read_text())
    assert {one["@type"] for one in document["distribution"]} == {"cr:FileSet"}
    assert document["recordSet"] == []
    assert not (out / CHECKSUMS_PATH).exists()


# Files of a person's own, and changes.


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", [b"", b"my own notes", b"\xff{"])
def test_a_file_of_a_persons_own_is_left_alone(tmp_path: Path, place: str, text: bytes) -> None:
    out = render(tmp_path, "librimix")
    ours = (out / place).read_bytes()
    (out / place).write_bytes(text)
    notes = publish_again(out)
    assert notes == [f"_mixtape/{place}: written there, since the file of that name at the top is not ours"]
    assert (out / place).read_bytes() == text
    assert (out / "_mixtape" / place).read_bytes() == ours
    (out / place).unlink()
    assert publish_again(out) == []
    assert (out / place).read_bytes() == ours
    assert not (out / "_mixtape" / place).exists()


@pytest.mark.parametrize("place", PLACES)
def test_only_files_of_ours_are_known(tmp_path: Path, place: str) -> None:
    out = render(tmp_path, "librimix")
    (out / place).write_bytes(b"my own notes")
    tree = NotedTree(str(out))
    publish(tree, stored_summaries(tree))
    assert tree.noted[place] is None
    assert tree.noted[f"_mixtape/{place}"] == FileRecord.of((out / "_mixtape" / place).read_bytes())
    (out / place).unlink()
    publish(tree, stored_summaries(tree))
    assert tree.noted[place] == FileRecord.of((out / place).read_bytes())
    assert tree.noted[f"_mixtape/{place}"] is None


def test_a_card_without_our_mark_is_a_persons_own(tmp_path: Path) -> None:
    out = render(tmp_path, "librimix")
    text = (out / CARD_PATH).read_text().replace(MARK, "I have changed this.")
    (out / CARD_PATH).write_text(text)
    publish_again(out)
    assert (out / CARD_PATH).read_text() == text


def test_nothing_is_written_again_that_has_not_changed(made: Callable[[str], Path]) -> None:
    before = trees.identities(made("librimix"))
    assert publish_again(made("librimix")) == []
    assert trees.changed(before, made("librimix")) == set()


def test_an_output_without_parts_says_nothing(tmp_path: Path) -> None:
    out = render(tmp_path, "librimix")
    job = recorded_job(str(out), {})
    assert publish(NotedTree(job.out), []) == []
    assert not any((out / place).exists() for place in PLACES)


def test_licences_that_a_person_states(tmp_path: Path) -> None:
    corpus = trees.make_corpus(tmp_path / "corpus", recipe="mixtures")
    out = tmp_path / "out"
    words = [*corpus.small_flags(), "--formats", "wav"]
    assert trees.run(corpus, out, *words, "--licence", "speech=CC BY 4.0", "noise=CC BY-NC 4.0") == 0
    assert DatasetCard.load(out / CARD_PATH).data.license == "unknown"
    assert "rir (licence unknown)" in (out / "_mixtape/report.html").read_text()
    assert trees.run(corpus, out, *words, "--licence", "rir=CC BY-SA 4.0") == 0
    report = (out / "_mixtape/report.html").read_text()
    assert all(one in report for one in ("rir (CC BY-SA 4.0)", "speech (CC BY 4.0)", "noise (CC BY-NC 4.0)"))
    card = DatasetCard.load(out / CARD_PATH)
    assert card.data.license == "other"
    assert "- noise: no commercial use" in card.text
    assert "- rir: share alike" in card.text
    before = trees.identities(out)
    assert trees.run(corpus, out, *words) == 0
    assert trees.changed(before, out) == set()
    record = json.loads((out / "_mixtape/run.json").read_text())
    assert record["licences"] == {"noise": "CC BY-NC 4.0", "rir": "CC BY-SA 4.0", "speech": "CC BY 4.0"}


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', "null"])
def test_licences_that_cannot_be_read_are_none(tmp_path: Path, text: str) -> None:
    tree = OutputTree(str(tmp_path))
    tree.write("_mixtape/licences.json", text.encode())
    assert stated_licences(tree) == {}
    state_licences(tree, {"a": "MIT"})
    assert stated_licences(tree) == {"a": "MIT"}


def test_a_corpus_of_several_recipes_names_them_all(tmp_path: Path) -> None:
    out = render(tmp_path / "one", "librimix")
    other = trees.make_corpus(tmp_path / "two", recipe="wsj0mix")
    assert trees.run(other, out, *other.small_flags()) == 0
    card = DatasetCard.load(out / CARD_PATH)
    assert card.data.pretty_name == "2speakers and Libri2Mix"
    assert card.data.license == "other"
    names = [one["config_name"] for one in yaml.safe_load(card.content.split("---\n")[1])["configs"]]
    assert len(set(names)) == len(names) == 4
    sums = list(csv.reader(io.StringIO((out / CHECKSUMS_PATH).read_text()), delimiter=" "))
    assert {line[-1].split("/")[0] for line in sums[1:]} == {"2speakers", "Libri2Mix"}


@pytest.mark.parametrize(
    ("subset", "split"), [("train-100", "train_100"), ("tr", "tr"), ("all", "all_"), ("all-2", "all_2")]
)
def test_splits_of_the_card_have_names_that_loaders_take(subset: str, split: str) -> None:
    assert split_name(subset) == split
