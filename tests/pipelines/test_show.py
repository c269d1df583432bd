"""``mixtape show``: a story on the screen, and files to play."""

from pathlib import Path

import pytest
import soundfile

from tests import trees
from tests.pipelines.conftest import Mixtape

pytestmark = pytest.mark.usefixtures("short_report")


def render(mixtape: Mixtape, corpus: trees.Corpus, out: Path, *formats: str) -> None:
    words = [*corpus.flags(out), "--rates", "8000", "--modes", "min", "--formats", *formats]
    assert mixtape(*words).status == 0


@pytest.mark.parametrize("form", trees.ALL_FORMATS)
def test_files_to_play_come_out_of_any_format(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, form: str
) -> None:
    render(mixtape, corpus, tmp_path / "wavs", "wav")
    render(mixtape, corpus, tmp_path / "out", form)
    before = trees.identities(tmp_path / "out")
    outcome = mixtape("show", tmp_path / "out", "m0002", "--play-files", tmp_path / "play", workers=None)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith("m0002: written; LibriMix, part Libri2Mix-train-100\n")
    assert outcome.out.endswith(f"\n6 files written below {tmp_path / 'play'}\n")
    folder = "Libri2Mix-train-100/m0002/8000-min"
    assert trees.files(tmp_path / "play") == [
        f"{folder}/{stream}.wav" for stream in sorted(corpus.kind.streams)
    ]
    for stream in corpus.kind.streams:
        written = tmp_path / f"wavs/Libri2Mix/wav8k/min/train-100/{stream}/m0002.wav"
        played = tmp_path / "play" / folder / f"{stream}.wav"
        assert played.read_bytes() == written.read_bytes()
        assert soundfile.info(played).samplerate == 8000
    assert trees.changed(before, tmp_path / "out") == set()


def test_a_rejected_item_has_no_files(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    corpus.utterance(5).unlink()
    assert mixtape(*corpus.flags(tmp_path / "out")).only_rejected
    outcome = mixtape("show", tmp_path / "out", "m0004", "--play-files", tmp_path / "play", workers=None)
    assert outcome.status == 0
    assert outcome.out.startswith("m0004: rejected; ")
    assert outcome.out.endswith(f"\n0 files written below {tmp_path / 'play'}\n")
    assert not (tmp_path / "play").exists() or trees.files(tmp_path / "play") == []


def test_a_file_in_place_of_the_folder_to_play_from_is_refused_at_once(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    render(mixtape, corpus, tmp_path / "out", "wav")
    (tmp_path / "play").write_text("mine")
    outcome = mixtape("show", tmp_path / "out", "m0002", "--play-files", tmp_path / "play", workers=None)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.problems == [f"--play-files {tmp_path / 'play'}: is a file; name a folder"]
    assert (tmp_path / "play").read_text() == "mine"


def test_mistakes_are_one_line_each(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert mixtape("show", out, "m0001", workers=None).problems == [
        f"{out}: holds no finished corpus (looked for _mixtape/run.json); check the path, or render again"
    ]
    render(mixtape, corpus, out, "wav")
    outcome = mixtape("show", out, "m0O01", workers=None)
    assert (outcome.status, outcome.out) == (2, "")
    (problem,) = outcome.problems
    assert problem.startswith(f"{out}: has no item m0O01; did you mean m0001")
    outcome = mixtape("show", out, "m0001", "--root", "wham", workers=None)
    assert (outcome.status, len(outcome.problems)) == (2, 1)


@pytest.mark.parametrize("command", [["show", "out", "m0001"], ["report", "out"]])
def test_flags_that_are_not_known_are_refused(mixtape: Mixtape, command: list[str]) -> None:
    outcome = mixtape(*command, "--runner", "FlinkRunner", workers=None)
    assert (outcome.status, outcome.problems) == (2, ["--runner is not a flag of this command"])


def test_a_source_that_has_moved(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    render(mixtape, corpus, tmp_path / "out", "wav")
    (corpus.folder / "wham").rename(tmp_path / "noises")
    gone = mixtape("show", tmp_path / "out", "m0001", workers=None)
    assert "gains and starts are not known" in gone.out
    found = mixtape("show", tmp_path / "out", "m0001", "--root", f"wham={tmp_path / 'noises'}", workers=None)
    assert "gains and starts are not known" not in found.out
    assert found.out.count("the same") == 6
