"""Rendering from the command line: exact, resumable, and only what is asked for."""

import csv
import dataclasses
import hashlib
import json
import multiprocessing
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import soundfile

from tests import trees
from tests.pipelines.conftest import Mixtape
from transforms import storage
from transforms.storage import OutputTree


def flags(corpus: trees.Corpus, out: Path, *more: str) -> list[str]:
    """A command line that renders one rate and mode as WAV."""
    roots = [f"--{name}={url}" for name, url in corpus.roots.items()]
    plan = ["--plan", str(corpus.plan), "--out", str(out)]
    return ["render", "librimix", *plan, *roots, "--rates", "8000", "--modes", "min", *more]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def assert_pcm(manifest: Path, out: Path) -> None:
    """Compares every WAV file below an output with a manifest, both ways."""
    expected = {row["path"]: row for row in rows(manifest)}
    assert {name for name in trees.files(out) if name.endswith(".wav")} == set(expected)
    for path, row in expected.items():
        samples, rate_hz = soundfile.read(out / path, dtype="int16")
        assert hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest() == row["sha256_pcm"], path
        assert (rate_hz, len(samples)) == (int(row["sample_rate"]), int(row["frames"])), path


def assert_tables(expected: Path, out: Path) -> None:
    """Compares all tables: paths and lengths exactly, SNRs to 1e-3 dB, in the same order."""
    names = trees.files(expected)
    assert [name for name in trees.files(out) if "/metadata/" in name] == names
    for name in names:
        made, wanted = rows(out / name), rows(expected / name)
        if "/mixture_" in name:
            made = [{column: text.removeprefix(f"{out}/") for column, text in row.items()} for row in made]
            assert made == wanted, name
            continue
        assert [row["mixture_ID"] for row in made] == [row["mixture_ID"] for row in wanted]
        for row, other in zip(made, wanted, strict=True):
            assert row.keys() == other.keys()
            for column in row.keys() - {"mixture_ID"}:
                assert float(row[column]) == pytest.approx(float(other[column]), abs=1e-3), (name, column)


def test_the_published_tree_to_the_bit(mixtape: Mixtape, repository: Path, tmp_path: Path) -> None:
    golden = repository / "tests" / "golden" / "render"
    outcome = mixtape(
        *("render", "librimix", "--plan", golden / "libri2mix_test-clean.csv", "--out", tmp_path),
        *("--librispeech", golden / "LibriSpeech", "--wham", golden / "wham_noise"),
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert_pcm(golden / "expected_render.csv", tmp_path)
    assert_tables(golden / "expected_csv", tmp_path)


@pytest.mark.golden
@pytest.mark.parametrize(
    ("plan", "manifest", "tables"),
    [
        ("plan", "expected_render.csv", "render"),
        ("plan_extra", "expected_render_extra.csv", "render_extra"),
    ],
)
def test_the_full_golden_corpus_to_the_bit(
    mixtape: Mixtape, shared_golden: Path, tmp_path: Path, plan: str, manifest: str, tables: str
) -> None:
    golden = shared_golden / "librimix"
    corpora = golden / "corpus"
    outcome = mixtape(
        *("render", "librimix", "--plan", golden / plan, "--out", tmp_path, "--shard-size", "3"),
        *("--librispeech", corpora / "LibriSpeech", "--wham", corpora / "wham_noise"),
        workers=2,
    )
    assert outcome.status == 0
    assert_pcm(golden / manifest, tmp_path)
    assert_tables(golden / "expected_csv" / tables, tmp_path)


def test_summary_accounts_for_every_planned_item(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    outcome = mixtape(*flags(corpus, tmp_path / "out", "--formats", "wav", "tfrecord", "--shard-size", "2"))
    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == "planned 5 = written 5 + rejected 0"
    assert lines[1] == "  Libri2Mix-train-100: 5 mixtures (8000/min 0 s)"
    assert [line.split(":")[0] for line in lines[2:4]] == ["  wav", "  tfrecord"]
    assert lines[4].startswith("3 shards made in ")
    assert lines[4].endswith(f"; in {tmp_path / 'out'}")
    report = tmp_path / "out" / "_mixtape" / "report.html"
    assert lines[5:] == [f"report: {report}"]
    assert report.read_text().startswith("<!DOCTYPE html>")


def test_quiet_prints_problems_only(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    outcome = mixtape(*flags(corpus, tmp_path / "out", "--quiet"))
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")


def test_a_run_with_nothing_to_do_rewrites_nothing(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    mixtape(*corpus.flags(out))
    before = trees.identities(out)
    outcome = mixtape(*corpus.flags(out), "--resume")
    assert outcome.status == 0
    assert "nothing to do: all of it stands and is unchanged; in" in outcome.out
    assert trees.changed(before, out) == set()


def test_force_makes_everything_anew_and_the_same(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    mixtape(*corpus.flags(out))
    before, contents = trees.identities(out), trees.contents(out)
    outcome = mixtape(*corpus.flags(out), "--force")
    assert "1 shard made in" in outcome.out
    assert {name for name in contents if name.endswith((".wav", ".tar"))} < trees.changed(before, out)
    assert trees.contents(out) == contents


@pytest.mark.parametrize("size", ["1", "2", "5", "100"])
def test_wav_bytes_do_not_depend_on_the_shard_size(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, size: str
) -> None:
    out = tmp_path / "out"
    mixtape(*flags(corpus, out, "--shard-size", "3", "--table-paths", "relative"))
    published = {name: data for name, data in trees.contents(out).items() if name.startswith("Libri2Mix/")}
    outcome = mixtape(*flags(corpus, out, "--shard-size", size, "--table-paths", "relative"))
    assert outcome.status == 0
    assert published == {
        name: data for name, data in trees.contents(out).items() if name.startswith("Libri2Mix/")
    }
    count = -(-5 // int(size))
    assert [name for name in trees.files(out) if "/ledger/" in name] == [
        f"_mixtape/ledger/shard-Libri2Mix-train-100-{index:06d}.json" for index in range(count)
    ]


def test_another_shard_size_leaves_no_file_of_the_old_shards(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    for size in ("1", "4"):
        mixtape(*corpus.flags(tmp_path / "out"), "--shard-size", size)
    mixtape(*corpus.flags(tmp_path / "fresh"), "--shard-size", "4")
    assert trees.contents(tmp_path / "out") == trees.contents(tmp_path / "fresh")


def test_other_formats_are_left_alone_and_whole(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    mixtape(*flags(corpus, out, "--formats", "tfrecord", "--shard-size", "1"))
    before = {name: data for name, data in trees.contents(out).items() if "/tfrecord/" in name}
    mixtape(*flags(corpus, out, "--formats", "wav", "--shard-size", "3"))
    assert before == {name: data for name, data in trees.contents(out).items() if "/tfrecord/" in name}


FORMS = {"wav": ".wav", "webdataset": ".tar", "tfrecord": "-of-00001"}


@pytest.mark.parametrize(
    "formats",
    [("wav",), ("webdataset",), ("tfrecord",), ("tfrecord", "wav"), ("webdataset", "wav", "tfrecord")],
    ids=" ".join,
)
def test_formats_give_the_same_files_alone_and_together(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, formats: Sequence[str]
) -> None:
    assert mixtape(*flags(corpus, tmp_path / "all", "--formats", *FORMS)).status == 0
    assert mixtape(*flags(corpus, tmp_path / "some", "--formats", *formats)).status == 0
    complete, made = trees.contents(tmp_path / "all"), trees.contents(tmp_path / "some")
    for form, ending in FORMS.items():
        kept = {name for name in made if name.endswith(ending)}
        assert bool(kept) == (form in formats)
        assert all(made[name] == complete[name] for name in kept)


def test_types_without_noise_need_and_make_no_noise(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    shutil.rmtree(corpus.folder / "wham")
    words = flags(corpus, tmp_path / "out", "--types", "mix_clean")
    outcome = mixtape(*(word for word in words if not word.startswith("--wham")))
    assert outcome.status == 0
    streams = tmp_path / "out" / "Libri2Mix" / "wav8k" / "min" / "train-100"
    assert sorted(path.name for path in streams.iterdir()) == ["mix_clean", "s1", "s2"]


@pytest.mark.parametrize("mix_type", ["mix_both", "mix_single"])
def test_types_with_noise_need_its_root(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, mix_type: str
) -> None:
    words = flags(corpus, tmp_path / "out", "--types", "mix_clean", mix_type)
    outcome = mixtape(*(word for word in words if not word.startswith("--wham")))
    assert (outcome.status, outcome.problems) == (
        2,
        ["--wham is needed; see mixtape render librimix --help"],
    )


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("absolute", "{out}/Libri2Mix/wav8k/min/train-100/s1/m0000.wav"),
        ("relative", "../train-100/s1/m0000.wav"),
        ("gs://bucket/corpus/", "gs://bucket/corpus/Libri2Mix/wav8k/min/train-100/s1/m0000.wav"),
    ],
)
def test_paths_in_tables(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, given: str, shown: str
) -> None:
    out = tmp_path / "out"
    mixtape(*flags(corpus, out))
    wavs = {name: one for name, one in trees.identities(out).items() if name.endswith(".wav")}
    mixtape(*flags(corpus, out, "--table-paths", given))
    table = rows(out / "Libri2Mix/wav8k/min/metadata/mixture_train-100_mix_both.csv")
    assert table[0]["source_1_path"] == shown.format(out=out)
    assert wavs.items() <= trees.identities(out).items()


@pytest.mark.parametrize(
    ("limit", "status"), [("0", 1), ("1", 1), ("2", 0), ("39%", 1), ("40%", 0), ("100%", 0)]
)
def test_a_limit_of_rejects_decides_the_exit_status(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, limit: str, status: int
) -> None:
    corpus.utterance(2).unlink()
    outcome = mixtape(*flags(corpus, tmp_path / "out", "--max-rejects", limit))
    assert outcome.status == status
    assert "planned 5 = written 3 + rejected 2" in outcome.out
    where = f"with reasons and what to do: {tmp_path}/out/_mixtape/rejects.csv"
    assert (f"rejects, {where}" in outcome.out) is (status == 0)
    assert (f"2 of 5 items rejected, more than --max-rejects allows; {where}" in outcome.err) is (status == 1)


def test_a_mended_source_makes_its_mixtures_and_no_other(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    mixtape(*flags(corpus, tmp_path / "whole", "--table-paths", "relative", "--shard-size", "1"))
    kept = corpus.utterance(0).rename(tmp_path / "kept")
    assert mixtape(*flags(corpus, out, "--table-paths", "relative", "--shard-size", "1")).status == 1
    kept.rename(corpus.utterance(0))
    outcome = mixtape(*flags(corpus, out, "--table-paths", "relative", "--shard-size", "1"))
    assert outcome.status == 0
    assert "1 shard made in" in outcome.out
    assert trees.contents(out) == trees.contents(tmp_path / "whole")


def test_another_plan_adds_to_an_output(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    out = tmp_path / "out"
    mixtape(*flags(corpus, out))
    before = {name: one for name, one in trees.identities(out).items() if name.startswith("Libri2Mix")}
    dev = corpus.plan.with_name("libri2mix_dev-clean.csv")
    shutil.copy(corpus.plan, dev)
    words = flags(corpus, out, "--formats", "webdataset")
    outcome = mixtape(*(str(dev) if word == str(corpus.plan) else word for word in words))
    assert outcome.status == 0
    assert "planned 5 = written 5 + rejected 0" in outcome.out
    assert before.items() <= trees.identities(out).items()
    run = json.loads((out / "_mixtape" / "run.json").read_text())
    assert sorted(run["parts"]) == ["Libri2Mix-dev", "Libri2Mix-train-100"]


def test_a_plan_and_an_output_that_do_not_belong_together(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    mixtape(*flags(corpus, out))
    before = trees.identities(out)
    other = corpus.with_mixtures([dataclasses.replace(trees.mixture(0), id="other")])
    outcome = mixtape(*flags(other, out))
    assert (outcome.status, outcome.problems) == (
        2,
        [
            f"{out}: holds Libri2Mix-train-100 made from another plan (5 mixtures, none of them in the plan "
            "given); use another --out, or --prune to replace it"
        ],
    )
    assert trees.changed(before, out) == set()
    assert mixtape(*flags(other, out, "--prune")).status == 0
    assert not any("m0000" in name for name in trees.files(out))


def hold(out: str, held: "threading.Event", done: "threading.Event") -> None:
    with storage.only_run(OutputTree(out)):
        held.set()
        done.wait(60)


@pytest.fixture
def held_output(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """An output that another process writes to, and the number of that process."""
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    process = context.Process(target=hold, args=(str(tmp_path / "out"), held, done))
    process.start()
    assert held.wait(60)
    assert process.pid is not None
    yield tmp_path / "out", process.pid
    done.set()
    process.join()


def test_the_second_of_two_runs_on_one_output_refuses(
    mixtape: Mixtape, corpus: trees.Corpus, held_output: tuple[Path, int]
) -> None:
    out, holder = held_output
    outcome = mixtape(*flags(corpus, out))
    assert (outcome.status, outcome.problems) == (
        2,
        [f"{out}: another run (process {holder}) is writing here; wait for it or end it"],
    )
    assert not (out / "Libri2Mix").exists()


def test_leftovers_of_a_killed_run_go(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    out = tmp_path / "out"
    mixtape(*corpus.flags(out))
    whole = trees.files(out)
    for name in ("_mixtape/tmp/99-abc/1", "_mixtape/lock"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("left")
    assert mixtape(*corpus.flags(out)).status == 0
    assert trees.files(out) == whole


def test_workers_and_modes_make_the_same_bytes(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, beam_mode: list[str]
) -> None:
    words = [*corpus.flags(tmp_path / "out"), "--shard-size", "1"]
    assert mixtape(*words, *beam_mode).status == 0
    reference = [*corpus.flags(tmp_path / "reference"), "--shard-size", "1"]
    assert mixtape(*reference).status == 0
    assert trees.contents(tmp_path / "out") == trees.contents(tmp_path / "reference")


def test_corpora_plans_and_outputs_in_another_store(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    inputs = OutputTree("memory://render/in")
    for name in trees.files(corpus.folder):
        inputs.write(name, (corpus.folder / name).read_bytes())
    outcome = mixtape(
        *("render", "librimix", "--plan", inputs.url("plan"), "--out", "memory://render/out"),
        *("--librispeech", inputs.url("LibriSpeech"), "--wham", inputs.url("wham")),
        *("--rates", "8000", "--modes", "min", "--table-paths", "relative"),
    )
    assert outcome.status == 0
    mixtape(*flags(corpus, tmp_path / "out", "--table-paths", "relative"))
    for name, data in trees.contents(tmp_path / "out").items():
        if name.startswith("Libri2Mix/"):
            assert OutputTree("memory://render/out").read(name) == data


def test_a_root_that_holds_nothing_of_a_finished_corpus_is_refused(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert mixtape(*flags(corpus, out)).status == 0
    before = trees.identities(out)
    outcome = mixtape(*flags(corpus, out, "--librispeech", str(elsewhere)))
    assert outcome.status == 2
    (problem,) = outcome.problems
    assert problem.startswith(f"{elsewhere}: holds none of ")
    assert problem.endswith(f"; {out} holds mixtures made from them; check where librispeech is")
    assert trees.identities(out) == before


def test_a_root_that_holds_nothing_only_rejects_where_nothing_was_made_before(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    outcome = mixtape(*flags(corpus, tmp_path / "out", "--librispeech", str(elsewhere)))
    assert outcome.only_rejected
    assert "planned 5 = written 0 + rejected 5" in outcome.out
    assert outcome.out.count("rejected: ") == 3


def test_a_corpus_is_not_written_into(mixtape: Mixtape, corpus: trees.Corpus) -> None:
    outcome = mixtape(*flags(corpus, Path(corpus.roots["librispeech"])))
    assert outcome.status == 2
    assert outcome.problems[0].endswith("is the corpus root librispeech itself; choose another folder")


def test_a_quiet_run_still_says_why_it_is_no_good(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    corpus.utterance(2).unlink()
    outcome = mixtape(*flags(corpus, tmp_path / "out", "--quiet"))
    assert outcome.only_rejected
    assert outcome.out == ""
