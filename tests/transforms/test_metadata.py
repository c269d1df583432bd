"""The steps of a metadata pipeline, in all local running modes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to

from transforms import metadata
from transforms.corpora.audio_folder import AudioFolder
from transforms.corpora.wham import Wham
from transforms.errors import StorageError
from transforms.listing import Header, NoiseClip
from transforms.metadata import FinishRun, ListFiles, MakeRows, ReadHeaders, ReadManifest, WriteListings
from transforms.rejects import REJECTS_PATH, Reject, rejects_csv
from transforms.storage import OutputTree

WriteWav = Callable[..., Path]

IN_PROCESS = ["--runner=FnApiRunner"]


def pipeline(flags: list[str]) -> Any:
    return test_pipeline.TestPipeline(options=PipelineOptions(flags))


def header(path: str, frames: int) -> Header:
    return Header(path, 16000, 1, frames, "WAV", "PCM_16")


def noise(path: str, length: int) -> NoiseClip:
    return NoiseClip(path.rpartition("/")[2], path.partition("/")[0], length, False, path)


def reject(source: str, item: str = "", reason: str = "r") -> Reject:
    return Reject(item or source.partition(":")[2], source, "header", reason, "fetch it again")


@pytest.fixture
def corpus(tmp_path: Path, write_wav: WriteWav) -> Path:
    root = tmp_path / "corpus"
    for place, name in enumerate(["tr/b.wav", "tr/deep/a.WAV", "cv/c.wav", "d.wav"]):
        write_wav(root / name, np.ones(10 + place, dtype=np.int16))
    (root / "tr" / "notes.txt").write_text("not audio")
    return root


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("",), ["cv/c.wav", "d.wav", "tr/b.wav", "tr/deep/a.WAV"]),
        (("tr",), ["tr/b.wav", "tr/deep/a.WAV"]),
        (("cv", "tr"), ["cv/c.wav", "tr/b.wav", "tr/deep/a.WAV"]),
        ((), []),
    ],
)
def test_list_files(
    beam_mode: list[str], corpus: Path, folders: tuple[str, ...], expected: list[str]
) -> None:
    with pipeline(beam_mode) as root:
        assert_that(root | ListFiles(str(corpus), (".wav",), folders), equal_to(expected))


def test_all_files_are_listed_if_no_endings_are_given(corpus: Path) -> None:
    assert metadata.list_files(str(corpus), "tr") == ["tr/b.wav", "tr/deep/a.WAV", "tr/notes.txt"]


def test_a_missing_folder_cannot_be_listed(corpus: Path) -> None:
    with pytest.raises(StorageError, match="no such folder"):
        metadata.list_files(str(corpus), "tt")


def test_read_manifest(beam_mode: list[str], tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text("b.wav\nx/a.wav\n")
    with pipeline(beam_mode) as root:
        assert_that(root | ReadManifest(str(tmp_path / "m.txt")), equal_to(["b.wav", "x/a.wav"]))


def test_every_path_comes_out_of_read_headers_once(
    beam_mode: list[str], tmp_path: Path, write_wav: WriteWav
) -> None:
    data = write_wav(tmp_path / "good.wav", np.ones(500, dtype=np.int16)).read_bytes()
    write_wav(tmp_path / "fast.wav", np.ones(500, dtype=np.int16), 44100)
    (tmp_path / "cut.wav").write_bytes(data[:300])
    (tmp_path / "empty.wav").touch()
    paths = ["good.wav", "fast.wav", "cut.wav", "empty.wav", "none.wav", "../x.wav"]
    with pipeline(beam_mode) as root:
        read = root | beam.Create(paths) | ReadHeaders(str(tmp_path), "wham", 16000)
        assert_that(read.headers, equal_to([header("good.wav", 500)]), label="Headers")
        reasons = read.rejects | beam.Map(lambda made: (made.item, made.source, made.stage, made.reason))
        expected = {
            "fast.wav": "has 44100 Hz, wanted 16000 Hz",
            "cut.wav": "is truncated: its header promises more samples",
            "empty.wav": "the file is empty (0 bytes)",
            "none.wav": "no such file",
            "../x.wav": "its name holds a backslash, a line end, '::' or '://', which listings cannot hold",
        }
        rows = [(name, f"wham:{name}", "header", reason) for name, reason in expected.items()]
        assert_that(reasons, equal_to(rows), label="Rejects")


def test_any_rate_is_read_if_none_is_wanted(tmp_path: Path, write_wav: WriteWav) -> None:
    write_wav(tmp_path / "a.wav", np.ones(5, dtype=np.int16), 11025)
    with pipeline(IN_PROCESS) as root:
        read = root | beam.Create(["a.wav"]) | ReadHeaders(str(tmp_path), "audio")
        assert_that(read.headers | beam.Map(lambda made: made.rate_hz), equal_to([11025]))


def test_make_rows_leaves_out_short_files_and_refuses_others(beam_mode: list[str]) -> None:
    layout = AudioFolder(r"(?P<speaker>\d+)/")
    with pipeline(beam_mode) as root:
        wham = root | "Noises" >> beam.Create([header("tr/a.wav", 48000), header("tt/b.wav", 47999)])
        rows = wham | "Wham" >> MakeRows(Wham())
        assert_that(rows.rows, equal_to([("train.csv", noise("tr/a.wav", 48000))]), label="Rows")
        audio = root | "Audio" >> beam.Create([header("7/a.wav", 1), header("x/b.wav", 1)])
        made = audio | "Folder" >> MakeRows(layout)
        speakers = made.rows | beam.MapTuple(lambda name, row: (name, row.path, row.speaker))
        assert_that(speakers, equal_to([("audio.csv", "7/a.wav", "7")]), label="Speakers")
        rejects = made.rejects | "Items" >> beam.Map(lambda reject: (reject.item, reject.stage))
        assert_that(rejects, equal_to([("x/b.wav", "speaker")]), label="Rejects")


def test_listings_are_written_sorted_and_whole(beam_mode: list[str], tmp_path: Path) -> None:
    rows = [("train.csv", noise(f"tr/{name}.wav", length)) for name, length in (("b", 7), ("a", 7), ("c", 5))]
    rows.append(("dev.csv", noise("cv/d.wav", 9)))
    with pipeline(beam_mode) as root:
        located = root | beam.Create(rows)
        written = located | WriteListings(str(tmp_path / "out"), Wham(), ("train.csv", "test.csv"))
        assert_that(written, equal_to(["train.csv", "dev.csv", "test.csv"]))
    head = "noise_ID,subset,length,augmented,origin_path\n"
    train = "c.wav,tr,5,False,tr/c.wav\na.wav,tr,7,False,tr/a.wav\nb.wav,tr,7,False,tr/b.wav\n"
    assert (tmp_path / "out" / "train.csv").read_text() == head + train
    assert (tmp_path / "out" / "dev.csv").read_text() == head + "d.wav,cv,9,False,cv/d.wav\n"
    assert (tmp_path / "out" / "test.csv").read_text() == head


def test_listings_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    rows = [("train.csv", noise(f"tr/{n % 37}-{n}.wav", n % 5 + 1)) for n in range(500)]
    for place, order in enumerate((rows, rows[::-1])):
        with pipeline(IN_PROCESS) as root:
            _ = root | beam.Create(order) | WriteListings(str(tmp_path / str(place)), Wham())
    first, second = ((tmp_path / str(place) / "train.csv").read_bytes() for place in range(2))
    assert first == second
    assert first.count(b"\n") == 501


def test_rejects_of_other_files_are_kept_and_those_of_the_same_replaced() -> None:
    stored = rejects_csv([reject("wham:tr/a.wav"), reject("wham:cv/b.wav"), reject("librispeech:x")])
    merged = metadata.merged_rejects(stored, [reject("wham:tr/c, d.wav")], ("wham:tr/",))
    assert merged == rejects_csv(
        [reject("librispeech:x"), reject("wham:cv/b.wav"), reject("wham:tr/c, d.wav")]
    )


def test_without_rejects_there_is_nothing_to_store() -> None:
    stored = rejects_csv([reject("wham:tr/a.wav")])
    assert metadata.merged_rejects(stored, [], ("wham:",)) == b""
    assert metadata.merged_rejects(stored, [], ("wham:cv/",)) == stored
    assert metadata.merged_rejects(b"", [], ()) == b""


def test_rejects_survive_being_merged_twice() -> None:
    made = [reject("wham:tr/a.wav", item=f"tr/asp{speed}.wav") for speed in ("12", "08")]
    once = metadata.merged_rejects(b"", made, ("wham:tr/",))
    assert metadata.merged_rejects(once, made, ("wham:tr/",)) == once
    assert metadata.merged_rejects(once, made, ()) == once
    assert once.decode().splitlines()[1].startswith("tr/asp08.wav,wham:tr/a.wav,")


def finish(flags: list[str], out: Path, rejects: list[Reject]) -> dict[str, int]:
    with pipeline(flags) as root:
        written = root | "Written" >> beam.Create(["a.csv"])
        made = root | "Rejects" >> beam.Create(rejects)
        _ = made | FinishRun(str(out), ("wham:tr/",), written)
    found = root.result.metrics().query()["counters"]
    return {counter.key.metric.name: counter.committed for counter in found}


def test_rejects_are_stored_and_removed_when_a_later_run_has_none(
    beam_mode: list[str], tmp_path: Path
) -> None:
    made = [reject("wham:tr/b.wav"), reject("wham:tr/a.wav")]
    assert finish(beam_mode, tmp_path, made) == {"rejected": 2}
    stored = tmp_path / REJECTS_PATH
    assert stored.read_bytes() == rejects_csv(made[::-1])
    assert finish(beam_mode, tmp_path, []) == {"rejected": 0}
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_killed_runs_are_removed(tmp_path: Path) -> None:
    leftover = tmp_path / "_mixtape" / "tmp" / "1"
    leftover.mkdir(parents=True)
    (leftover / "0").write_text("half a fi")
    finish(IN_PROCESS, tmp_path, [])
    assert list(tmp_path.iterdir()) == []


def test_listings_go_to_any_store() -> None:
    name = metadata.write_listing("memory://metadata-test/out", Wham(), "train.csv", [noise("tr/a.wav", 5)])
    assert name == "train.csv"
    written = OutputTree("memory://metadata-test/out").read("train.csv")
    assert written.endswith(b"\na.wav,tr,5,False,tr/a.wav\n")


def test_rows_of_a_listing_gather_in_any_pieces() -> None:
    rows = [noise(f"tr/{length}.wav", length) for length in range(1, 8)]
    gather = metadata._Gather(NoiseClip)
    for cut in range(len(rows) + 1):
        pieces = []
        for part in (rows[:cut], rows[cut:]):
            piece = gather.create_accumulator()
            for row in part:
                piece = gather.add_input(piece, row)
            pieces.append(piece)
        gathered = gather.extract_output(gather.merge_accumulators(pieces))
        assert [NoiseClip(*fields) for fields in gathered] == rows


@pytest.mark.parametrize("stage", ["header", "speaker"])
def test_rejects_with_commas_quotes_and_line_ends_are_kept_whole(stage: str) -> None:
    odd = Reject('a, "b".wav', 'wham:cv/a, "b".wav', stage, "line one\nline two", "rename it, then go on")
    stored = rejects_csv([odd])
    assert metadata.merged_rejects(stored, [], ("wham:tr/",)) == stored
