"""``mixtape report``: the page of a finished output, made anew."""

from pathlib import Path

from tests import trees
from tests.pipelines.conftest import Mixtape

SMALL = ("--rates", "8000", "--modes", "min", "--formats", "wav")


def test_the_report_is_made_anew_and_nothing_else(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert mixtape(*corpus.flags(out), *SMALL).status == 0
    page = out / "_mixtape" / "report.html"
    held = page.read_bytes()
    page.write_text("damaged")
    before = trees.identities(out)
    outcome = mixtape("report", out, workers=None)
    assert (outcome.status, outcome.out, outcome.err) == (0, f"report: {page}\n", "")
    assert page.read_bytes() == held
    assert trees.changed(before, out) == {"_mixtape/report.html"}


def test_the_page_tells_how_to_make_it_again(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    words = [*corpus.flags(tmp_path / "out"), *SMALL]
    assert mixtape(*words).status == 0
    text = (tmp_path / "out/_mixtape/report.html").read_text()
    assert f"<pre><code>mixtape {' '.join(words)} --workers 1</code></pre>" in text
    assert "<dt>rates_hz</dt><dd>8000</dd>" in text
    assert f"<dt>root wham</dt><dd>{corpus.roots['wham']}</dd>" in text
    assert "<dt>version of numpy</dt>" in text
    assert '<p class="soft">Made on 20' in text


def test_parts_of_other_recipes_are_heard_too(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    out = tmp_path / "out"
    other = trees.make_corpus(tmp_path / "other", recipe="wsj0mix")
    assert mixtape(*corpus.flags(out), *SMALL).status == 0
    assert mixtape(*other.flags(out), *SMALL).status == 0
    text = (out / "_mixtape/report.html").read_text()
    assert text.count("<audio ") == 5 * 4 + 5 * 3
    assert "There is nothing to listen to" not in text


def test_an_output_that_is_not_finished_is_refused(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    (problem,) = mixtape("report", tmp_path, workers=None).problems
    assert problem.startswith(f"{tmp_path}: holds no finished corpus (looked for _mixtape/run.json)")
    out = tmp_path / "out"
    assert mixtape(*corpus.flags(out), *SMALL).status == 0
    (out / "_mixtape/parts/Libri2Mix-train-100.json").unlink()
    outcome = mixtape("report", out, workers=None)
    assert (outcome.status, len(outcome.problems)) == (2, 1)
    assert "a run broke off before Libri2Mix-train-100 was complete" in outcome.problems[0]


def test_a_corpus_that_has_moved(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert mixtape(*corpus.flags(out), *SMALL).status == 0
    (corpus.folder / "wham").rename(tmp_path / "noises")
    assert mixtape("report", out, workers=None).status == 0
    assert "There is nothing to listen to" in (out / "_mixtape/report.html").read_text()
    assert mixtape("report", out, "--root", f"wham={tmp_path / 'noises'}", workers=None).status == 0
    assert "There is nothing to listen to" not in (out / "_mixtape/report.html").read_text()
