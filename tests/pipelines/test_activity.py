"""The activity job: reference levels, bad input, reruns, places, and what is refused before work."""

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_pipeline

from pipelines.activity import ActivityOptions, build
from transforms import storage

WriteWav = Callable[..., Path]


def run(options: ActivityOptions, flags: list[str] | None = None) -> dict[str, int]:
    """Runs the job and returns its counters."""
    with test_pipeline.TestPipeline(options=PipelineOptions(flags or ["--runner=FnApiRunner"])) as pipeline:
        build(pipeline, options)
    found = pipeline.result.metrics().query()["counters"]
    return {
        counter.key.metric.name: counter.committed
        for counter in found
        if counter.key.metric.namespace == "activity"
    }


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def levels(path: Path) -> dict[str, float]:
    return {name: float(level) for name, level in map(str.split, path.read_text().splitlines())}


def rejects(folder: Path) -> list[dict[str, str]]:
    with (folder / "_mixtape" / "rejects.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def golden(repository: Path) -> Path:
    return repository / "tests" / "golden" / "active_level"


@pytest.fixture
def corpus(tmp_path: Path, write_wav: WriteWav) -> Path:
    """Three utterances in two folders, and a text that is no audio by its name."""
    random = np.random.default_rng(8)
    for name in ("wsj0/01t/b.wav", "wsj0/01t/a.wav", "wsj0/02t/c.flac"):
        write_wav(tmp_path / name, random.uniform(-0.2, 0.2, 4000))
    (tmp_path / "wsj0" / "readme.txt").write_text("words")
    return tmp_path / "wsj0"


def test_reference_levels(beam_mode: list[str], golden: Path, tmp_path: Path) -> None:
    before = tree(golden)
    options = ActivityOptions(str(golden), str(tmp_path / "out" / "levels.txt"))
    assert options.check() == []
    assert list(tmp_path.iterdir()) == []
    assert run(options, beam_mode) == {"written": 8, "rejected": 1}
    assert tree(golden) == before
    with (golden / "levels.csv").open(newline="") as file:
        rows = {Path(row["path"]).stem: row for row in csv.DictReader(file)}
    assert rows.pop("a_silence")["active_level_power"].startswith("0.0")
    found = levels(tmp_path / "out" / "levels.txt")
    expected = {name: float(row["active_level_power"]) for name, row in sorted(rows.items())}
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, rel=1e-9, abs=0)
    table = pq.read_table(tmp_path / "out" / "levels.parquet").to_pylist()
    assert {row["id"]: row["level"] for row in table} == found
    for row in table:
        wanted = rows[row["id"]]
        assert (row["path"], row["rate_hz"]) == (wanted["path"], int(wanted["sample_rate"]))
        assert row["samples"] == int(wanted["frames"])
        assert row["activity_factor"] == pytest.approx(float(wanted["activity_factor"]), rel=1e-9)
        assert row["mean_power"] == pytest.approx(float(wanted["mean_power"]), rel=1e-9, abs=0)
        assert 10 ** (row["level_db"] / 10) == pytest.approx(row["level"])


def test_reference_levels_of_the_voltmeter(golden: Path, tmp_path: Path) -> None:
    assert run(ActivityOptions(str(golden), str(tmp_path / "v.txt"), "plain")) == {
        "written": 7,
        "rejected": 2,
    }
    with (golden / "levels.csv").open(newline="") as file:
        expected = {
            Path(row["path"]).stem: float(row["itu_tool_active_level_dbov"]) for row in csv.DictReader(file)
        }
    found = {row["id"]: row["level_db"] for row in pq.read_table(tmp_path / "v.parquet").to_pylist()}
    silent = {name for name, level_db in expected.items() if level_db == -np.inf}
    assert silent == {row["item"] for row in rejects(tmp_path)} == {"a_click", "a_silence"}
    assert found == pytest.approx({name: expected[name] for name in found}, abs=0.2)
    assert set(found) == set(expected) - silent


def test_every_running_mode_gives_the_same_bytes(beam_mode: list[str], corpus: Path, tmp_path: Path) -> None:
    run(ActivityOptions(str(corpus), str(tmp_path / "one" / "levels.txt")))
    run(ActivityOptions(str(corpus), str(tmp_path / "two" / "levels.txt")), beam_mode)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert set(tree(tmp_path / "one")) == {"levels.txt", "levels.parquet"}
    assert list(levels(tmp_path / "one" / "levels.txt")) == ["a", "b", "c"]


def test_unusable_utterances_are_rejected_until_they_are_mended(
    beam_mode: list[str], corpus: Path, tmp_path: Path, write_wav: WriteWav
) -> None:
    options = ActivityOptions(str(corpus), str(tmp_path / "out" / "levels.txt"))
    write_wav(corpus / "silent.wav", np.zeros(4000))
    write_wav(corpus / "stereo.wav", np.full((4000, 2), 0.1))
    (corpus / "empty.wav").touch()
    (corpus / "disc.wv1").write_bytes(
        b"NIST_1A\n   1024\nsample_coding -s26 pcm,embedded-shorten-v2.00\nend_head\n".ljust(2000)
    )
    assert options.check() == []
    assert run(options, beam_mode) == {"written": 3, "rejected": 4}
    found = {row["item"]: row for row in rejects(tmp_path / "out")}
    assert {name: row["stage"] for name, row in found.items()} == {
        "disc": "read", "empty": "read", "silent": "read", "stereo": "read",
    }  # fmt: skip
    assert found["disc"]["source"] == "levels:disc.wv1"
    assert "compressed samples (pcm,embedded-shorten-v2.00)" in found["disc"]["reason"]
    assert "sph2pipe" in found["disc"]["remedy"]
    assert list(levels(tmp_path / "out" / "levels.txt")) == ["a", "b", "c"]
    for name in ("silent.wav", "stereo.wav", "empty.wav"):
        write_wav(corpus / name, np.full(4000, 0.1))
    (corpus / "disc.wv1").unlink()
    assert run(options, beam_mode) == {"written": 6, "rejected": 0}
    assert set(tree(tmp_path / "out")) == {"levels.txt", "levels.parquet"}


def test_a_corpus_without_any_level_gives_empty_tables(tmp_path: Path, write_wav: WriteWav) -> None:
    write_wav(tmp_path / "corpus" / "a.wav", np.zeros(4000))
    options = ActivityOptions(str(tmp_path / "corpus"), str(tmp_path / "out" / "levels.txt"))
    assert run(options) == {"written": 0, "rejected": 1}
    assert (tmp_path / "out" / "levels.txt").read_bytes() == b""
    assert pq.read_table(tmp_path / "out" / "levels.parquet").num_rows == 0


def test_tables_in_one_folder_keep_their_rejects_apart(
    corpus: Path, tmp_path: Path, write_wav: WriteWav
) -> None:
    write_wav(corpus / "01t" / "x.wav", np.zeros(4000))
    write_wav(corpus / "02t" / "y.wav", np.zeros(4000))
    for folder in ("01t", "02t"):
        run(ActivityOptions(str(corpus / folder), str(tmp_path / "out" / f"activlev_{folder}.txt")))
    sources = [row["source"] for row in rejects(tmp_path / "out")]
    assert sources == ["activlev_01t:x.wav", "activlev_02t:y.wav"]
    (corpus / "01t" / "x.wav").unlink()
    run(ActivityOptions(str(corpus / "01t"), str(tmp_path / "out" / "activlev_01t.txt")))
    assert [row["source"] for row in rejects(tmp_path / "out")] == ["activlev_02t:y.wav"]


def test_a_rerun_leaves_what_is_the_same(corpus: Path, tmp_path: Path) -> None:
    options = ActivityOptions(str(corpus), str(tmp_path / "out" / "levels.txt"))
    run(options)
    times = {name: os.stat(tmp_path / "out" / name).st_mtime_ns for name in tree(tmp_path / "out")}
    assert run(options) == {"written": 3, "rejected": 0}
    assert times == {name: os.stat(tmp_path / "out" / name).st_mtime_ns for name in tree(tmp_path / "out")}


def test_relative_paths(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ActivityOptions("wsj0", "levels.txt")
    assert options.check() == []
    assert run(options)["written"] == 3
    assert (tmp_path / "levels.txt").exists()


def test_other_stores(corpus: Path) -> None:
    root = "memory://activity-job"
    for name, data in tree(corpus).items():
        storage.OutputTree(f"{root}/wsj0").write(name, data)
    options = ActivityOptions(f"{root}/wsj0", f"{root}/levels/all.txt")
    assert options.check() == []
    assert run(options) == {"written": 3, "rejected": 0}
    assert storage.list_folder(f"{root}/levels") == ["all.parquet", "all.txt"]


# --- what is refused before work


def test_all_problems_are_named_together(tmp_path: Path) -> None:
    measure: Any = "rms"
    options = ActivityOptions(str(tmp_path / "none"), str(tmp_path / "levels.parquet"), measure)
    problems = options.check()
    assert problems[0] == "--measure rms: wanted bandpass or plain"
    assert problems[1].startswith(f"{tmp_path}/levels.parquet: names the text file, and .parquet is")
    assert problems[2] == f"{tmp_path}/none: no such folder; check the path"
    assert len(problems) == 3


def test_utterances_of_one_name_are_refused(corpus: Path, tmp_path: Path) -> None:
    shutil.copyfile(corpus / "01t" / "a.wav", corpus / "02t" / "a.wav")
    assert ActivityOptions(str(corpus), str(tmp_path / "levels.txt")).check() == [
        "utterance id 'a' belongs to 01t/a.wav and 02t/a.wav; keep one of them"
    ]


def test_of_two_microphones_only_the_first_is_measured(corpus: Path, tmp_path: Path) -> None:
    for suffix in (".wv1", ".WV2", ".wv2"):
        (corpus / f"both{suffix}").write_bytes(b"words")
    options = ActivityOptions(str(corpus), str(tmp_path / "levels.txt"))
    assert options.check() == []
    assert run(options) == {"written": 3, "rejected": 1}
    assert [row["source"] for row in rejects(tmp_path)] == ["levels:both.wv1"]


def test_names_that_are_no_text_are_refused(corpus: Path, tmp_path: Path) -> None:
    (corpus / os.fsdecode(b"\xff.wav")).touch()
    assert ActivityOptions(str(corpus), str(tmp_path / "levels.txt")).check() == [
        "'\\udcff.wav': its name is not UTF-8; rename it"
    ]


def test_a_folder_without_audio(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (problem,) = ActivityOptions(str(tmp_path / "corpus"), str(tmp_path / "levels.txt")).check()
    assert problem.startswith(f"{tmp_path}/corpus: holds no audio; looked for .wav, .flac")
    assert problem.endswith(".wv1 at any depth")


@pytest.mark.parametrize("folder", ["levels.txt", "levels.parquet"])
def test_a_folder_in_the_place_of_a_table(corpus: Path, tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    (problem,) = ActivityOptions(str(corpus), str(tmp_path / "levels.txt")).check()
    assert (
        problem
        == f"{tmp_path}/{folder}: is a folder; name a file to write, such as {tmp_path}/{folder}/levels.txt"
    )


def test_no_file_name(corpus: Path, tmp_path: Path) -> None:
    (problem,) = ActivityOptions(str(corpus), f"{tmp_path}/").check()
    assert problem == f"{tmp_path}/: wanted the name of a file to write, such as levels.txt"
