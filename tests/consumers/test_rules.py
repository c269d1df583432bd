"""Preparation rules of recipes that come without a package: followed here as their code states them.

ESPnet's (``egs2/librimix``) cut the mixture tables by position; SpeechBrain's (``recipes/LibriMix``) list
the folders of the published tree. Neither is in what these projects publish on the package index.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.consumers.conftest import Made
from transforms.plan import Part, Variant

pytestmark = pytest.mark.consumers

ESPNET_FIELDS = {"wav.scp": 2, "spk1.scp": 3, "spk2.scp": 4, "noise1.scp": 5}
STREAMS = {"wav.scp": "mix_both", "spk1.scp": "s1", "spk2.scp": "s2", "noise1.scp": "noise"}


def espnet_lists(folder: Path, subset: str) -> dict[str, list[str]]:
    """Makes ESPnet's lists: lines without the header, sorted, each once, cut at commas by position."""
    text = (folder / f"metadata/mixture_{subset}_mix_both.csv").read_text(encoding="ascii")
    lines = sorted({line for line in text.splitlines() if "mixture_ID" not in line})
    rows = [line.split(",") for line in lines]
    return {name: [f"{row[0]} {row[place - 1]}" for row in rows] for name, place in ESPNET_FIELDS.items()}


def assert_scp(lines: list[str], stream: str, made: Made, part: Part, variant: Variant) -> None:
    """Reads a list as Kaldi does, and compares every file that it names with the ledger."""
    for line in lines:
        item_id, path = line.split(" ")
        samples, _ = soundfile.read(path, dtype="int16")
        np.testing.assert_array_equal(samples, made.pcm(part, stream, item_id, variant))
    ids = sorted(item_id for item_id, _ in made.records(part, variant))
    assert [line.split(" ")[0] for line in lines] == ids


def test_espnet_cuts_the_tables(librimix: Made, narrow: Variant) -> None:
    for part in librimix.parts:
        lists = espnet_lists(librimix.folder(part, narrow), part.subset)
        for name, lines in lists.items():
            assert_scp(lines, STREAMS[name], librimix, part, narrow)


def test_espnet_finds_speakers_and_subset(librimix: Made, narrow: Variant) -> None:
    part = librimix.parts[0]
    mixtures = librimix.mixtures(part)
    for line in espnet_lists(librimix.folder(part, narrow), part.subset)["wav.scp"]:
        item_id, path = line.split(" ")
        speakers = [name.split("-")[0] for name in item_id.split("_")]
        assert speakers == [source.speaker for source in mixtures[item_id].speech]
        assert f"/{part.subset}/" in path


def test_exported_lists_are_those_that_espnet_makes(librimix: Made, narrow: Variant, tmp_path: Path) -> None:
    librimix.export("espnet", "--to", tmp_path)
    for part in librimix.parts:
        folder = tmp_path / f"Libri2Mix/wav8k/{narrow.mode}/enh/mix_both/{part.subset}"
        for name, lines in espnet_lists(librimix.folder(part, narrow), part.subset).items():
            assert (folder / name).read_text().splitlines() == lines
        ids = [line.split(" ")[0] for line in lines]
        for name in ("utt2spk", "spk2utt"):
            assert (folder / name).read_text().splitlines() == [f"{item_id} {item_id}" for item_id in ids]


@pytest.mark.parametrize("mix_type", ["mix_both", "mix_clean"])
def test_speechbrain_lists_the_tree(librimix: Made, mix_type: str) -> None:
    variant = Variant(8000, "min")
    root = librimix.out / "Libri2Mix"
    assert "Libri2Mix" in str(root)
    for part in librimix.parts:
        folder = f"{root}/wav8k/min/{part.subset}/"
        names = os.listdir(folder + mix_type + "/")
        assert len(names) == len(librimix.items(part)) >= 2
        for name in names:
            for stream in (mix_type, "s1", "s2", "noise"):
                samples, _ = soundfile.read(folder + stream + "/" + name, dtype="int16")
                expected = librimix.pcm(part, stream, name.removesuffix(".wav"), variant)
                np.testing.assert_array_equal(samples, expected)
