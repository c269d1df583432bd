"""Lhotse: exported cuts and Shar archives, and its own preparation of LibriMix from our plans."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import TinyCorpora
from tests.consumers.conftest import Made, Make
from transforms.plan import Part, Variant

pytestmark = pytest.mark.consumers

MAIN = {"librimix": "mix_both", "wsj0mix": "mix", "mixtures": "mix_both", "avse": "mixed"}


@pytest.fixture(scope="module")
def lhotse() -> Any:
    return importlib.import_module("lhotse")


def assert_cut(cut: Any, made: Made, part: Part, item_id: str, variant: Variant) -> None:
    """Compares every stream of a cut with the ledger, and its talkers with the plan."""
    record = dict(made.records(part, variant))[item_id]
    main = MAIN[made.recipe]
    assert (cut.sampling_rate, cut.num_samples) == (variant.rate_hz, record.samples)
    assert {name for name in (cut.custom or {}) if name in record.crc32c} == set(record.crc32c) - {main}
    for stream in record.crc32c:
        values = cut.load_audio() if stream == main else cut.load_custom(stream)
        assert values.shape[0] == 1
        np.testing.assert_array_equal(np.round(values[0] * 32768), made.pcm(part, stream, item_id, variant))
    end_s = record.samples / variant.rate_hz
    speech = [one for one in made.mixtures(part)[item_id].speech if one.start_samples / 16000 < end_s]
    assert [one.speaker for one in cut.supervisions] == [source.speaker for source in speech]
    assert [one.text or "" for one in cut.supervisions] == [source.text for source in speech]


def test_cuts(lhotse: Any, mixing: tuple[Made, Variant], tmp_path: Path) -> None:
    made, variant = mixing
    made.export("lhotse", "--to", tmp_path)
    validate = importlib.import_module("lhotse.qa").validate
    for part in made.parts:
        folder = tmp_path / part.corpus / variant.folder / variant.mode
        cuts = lhotse.CutSet.from_file(folder / f"cuts_{part.subset}.jsonl.gz").to_eager()
        validate(cuts, read_data=True)
        assert [cut.id for cut in cuts] == [item_id for item_id, _ in made.records(part, variant)]
        for cut in cuts:
            assert_cut(cut, made, part, cut.id, variant)


def test_shar(lhotse: Any, mixing: tuple[Made, Variant], tmp_path: Path) -> None:
    made, variant = mixing
    made.export("lhotse", "--shar", "--to", tmp_path)
    for part in made.parts:
        folder = tmp_path / part.corpus / variant.folder / variant.mode / f"shar_{part.subset}"
        cuts = list(lhotse.CutSet.from_shar(in_dir=folder))
        assert [cut.id for cut in cuts] == [item_id for item_id, _ in made.records(part, variant)]
        for cut in cuts:
            assert_cut(cut, made, part, cut.id, variant)


def test_talkers_who_start_late(lhotse: Any, make: Make, tmp_path: Path) -> None:
    made = make("mixtures")
    made.export("lhotse", "--to", tmp_path)
    cuts = lhotse.CutSet.from_file(tmp_path / "mixtures/wav8k/max/cuts_train.jsonl.gz")
    starts = {cut.id: [one.start for one in cut.supervisions] for cut in cuts}
    planned = {
        item_id: [source.start_samples / 16000 for source in mixture.speech]
        for item_id, mixture in made.mixtures(made.parts[0]).items()
    }
    assert starts == planned
    assert max(max(values) for values in starts.values()) > 0.5


def listed(lhotse: Any, corpora: TinyCorpora, folder: Path) -> None:
    """Lists LibriSpeech and WHAM as lhotse's own preparation of them does: cuts, and recordings."""
    for subset in ("train-clean-100", "dev-clean", "test-clean"):
        paths = sorted((corpora.librispeech / subset).rglob("*.flac"))
        recordings = lhotse.RecordingSet.from_recordings(lhotse.Recording.from_file(path) for path in paths)
        cuts = lhotse.CutSet.from_manifests(recordings=recordings)
        cuts.to_file(folder / f"librispeech_cutset_{subset}.jsonl.gz")
    for subset in ("tr", "cv", "tt"):
        paths = sorted((corpora.wham / subset).glob("*.wav"))
        recordings = lhotse.RecordingSet.from_recordings(lhotse.Recording.from_file(path) for path in paths)
        recordings.to_file(folder / f"wham_recordings_{subset}.jsonl.gz")


def test_its_own_mixing_of_our_plan(
    lhotse: Any, librimix: Made, tiny_corpora: TinyCorpora, tmp_path: Path
) -> None:
    """Lhotse mixes the plan by itself; its sums are ours but for the rounding to 16 bits."""
    listed(lhotse, tiny_corpora, tmp_path)
    prepare = importlib.import_module("lhotse.recipes.librimix").prepare_librimix
    prepared = prepare(tmp_path, tmp_path, librimix.out / "metadata", tmp_path / "work", n_src=2)
    variant = Variant(16000, "max")
    for part in librimix.parts:
        listing = part.subset.replace("train", "train-clean").replace("dev", "dev-clean")
        name = f"libri2mix_{listing.replace('test', 'test-clean')}"
        for key, mix_type in ((name, "mix_clean"), (f"{name}_noisy", "mix_both")):
            cuts = list(prepared[key]["cutset"])
            ids = [item_id for item_id, _ in librimix.records(part, variant)]
            assert sorted(cut.id for cut in cuts) == sorted(ids)
            for cut in cuts:
                ours = librimix.pcm(part, mix_type, cut.id, variant)
                theirs = cut.load_audio()[0] * 32768
                assert theirs.shape == ours.shape
                assert np.abs(theirs - ours).max() < 1 + 1 / 256
