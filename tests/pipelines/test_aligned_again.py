"""An aligned corpus, whose shards differ in length, item by item: as told by ``show``, and virtually."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.clips import write_clip
from tests.pipelines.conftest import Mixtape
from transforms.plan import StoredPlan
from transforms.virtual import VirtualCorpus

PICTURES = (20, 40, 50, 10, 70)
LENGTHS = (6, 6, 7)
PART = "aligned-all"


@pytest.fixture
def out(tmp_path: Path, mixtape: Mixtape) -> Path:
    """Segments of ten frames; those of one file share a shard, so that shards have 6, 6 and 7."""
    for number, pictures in enumerate(PICTURES):
        noise = np.random.default_rng(number).integers(-9000, 9000, 640 * pictures, dtype=np.int16)
        write_clip(tmp_path / f"clips/c{number}.mov", noise, pictures=pictures, seed=number)
    flags = ("--segment", "0.4", "--shard-size", "6")
    assert mixtape("align", "--corpus", tmp_path / "clips", "--out", tmp_path / "out", *flags).status == 0
    plan = StoredPlan.open(str(tmp_path / f"out/_mixtape/plan/{PART}.parquet"))
    assert tuple(len(plan.read_shard(index)) for index in range(plan.shard_count)) == LENGTHS
    assert plan.shard_starts() == [0, 6, 12]
    return tmp_path / "out"


def test_every_item_is_found(out: Path, mixtape: Mixtape) -> None:
    for item, row in (("c0_0000", 1), ("c2_0004", 11), ("c3_0000", 12), ("c4_0000", 13), ("c4_0006", 19)):
        outcome = mixtape("show", out, item, workers=None)
        assert outcome.status == 0, outcome.err
        assert outcome.out.startswith(f"{item}: written; Aligned video, part {PART}\n")
        assert f"plan row {row}, in " in outcome.out


@pytest.mark.parametrize("tool", ["lhotse", "espnet", "asteroid", "speechbrain"])
def test_lists_of_mixtures_are_refused(out: Path, mixtape: Mixtape, tool: str) -> None:
    outcome = mixtape("export", tool, out)
    assert outcome.status == 2
    assert outcome.problems == [
        f"{PART}: holds no mixtures, which these lists are of; read it as it is, or export hf"
    ]
    assert not (out / "exports").exists()


def test_the_card_speaks_of_no_mixtures(out: Path) -> None:
    card = (out / "README.md").read_text()
    assert "\n19 items by the recipe Aligned video, made from video.\n" in card
    assert "| corpus | subset | items | speakers |" in card
    assert "\n- `audio`: the sound of each item\n- `frames`: jpg files that go with each item\n" in card
    assert "mixture" not in card


def test_the_folder_loader_gets_its_metadata(out: Path, mixtape: Mixtape) -> None:
    assert mixtape("export", "hf", out).status == 0
    rows = pq.read_table(out / "aligned/wav16k/max/all/audio/metadata.parquet").to_pylist()
    assert [row["id"] for row in rows][::6] == ["c0_0000", "c2_0000", "c4_0000", "c4_0006"]
    assert all((out / "aligned/wav16k/max/all/audio" / row["audio_file_name"]).is_file() for row in rows)


def test_every_item_is_the_written_one(out: Path) -> None:
    corpus = VirtualCorpus.of_output(str(out), PART, rate_hz=16000, mode="max")
    wavs = {path.stem: path for path in sorted((out / "aligned/wav16k/max/all/audio").iterdir())}
    assert [item["facts"]["id"] for item in corpus] == list(wavs)
    for item in corpus:
        name = item["facts"]["id"]
        written, _ = soundfile.read(wavs[name], dtype="int16")
        assert np.array_equal(item["pcm"]["audio"], written)
        frames = sorted((out / "aligned/frames/all" / name).iterdir())
        assert item["attachments"]["frames"] == tuple(frame.read_bytes() for frame in frames)
