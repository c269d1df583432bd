"""Verifying an output: what is on disk, and what the sources give now."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.verify import choose_checks, recorded_job
from tests import trees
from tests.pipelines.conftest import Mixtape
from transforms.errors import UsageError
from transforms.plan import write_plan
from transforms.storage import OutputTree

pytestmark = pytest.mark.usefixtures("short_report")
WAV = "Libri2Mix/wav8k/min/train-100/s1/m0003.wav"
TAR = "Libri2Mix/webdataset/wav8k/min/train-100-000001.tar"
RECORDS = "Libri2Mix/tfrecord/libri2mix_wav8k_min/1.0.0/libri2mix_wav8k_min-train-100.tfrecord-00000-of-00003"


@pytest.fixture
def out(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> Path:
    """Five mixtures in three shards, three formats, one rate and mode."""
    folder = tmp_path / "out"
    words = [*corpus.flags(folder), "--rates", "8000", "--modes", "min", "--shard-size", "2"]
    assert mixtape(*words).status == 0
    return folder


def test_a_clean_output(mixtape: Mixtape, out: Path) -> None:
    before = trees.identities(out)
    outcome = mixtape("verify", out)
    assert (outcome.status, outcome.err) == (0, "")
    # 5 items of 6 streams; 3 shards of an archive, an index, a record file and a ledger;
    # 6 tables, 1 index, 1 split, checksums of the part; 10 files of the whole output
    assert outcome.out == "checked 5 items and 61 files: 0 mismatches\n"
    assert trees.changed(before, out) == set()


def test_quiet_says_nothing_of_a_clean_output(mixtape: Mixtape, out: Path) -> None:
    outcome = mixtape("verify", out, "--quiet")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")


def flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "damage", "finding"),
    [
        (
            WAV,
            flip_last_byte,
            f"m0003,{WAV},its samples are not those that were written; render with --force",
        ),
        (WAV, Path.unlink, f"m0003,{WAV},is missing; render again"),
        (
            TAR,
            flip_last_byte,
            f"Libri2Mix-train-100-000001,{TAR},"
            "its bytes are not those that were written; render with --force",
        ),
        (
            RECORDS,
            Path.unlink,
            f"Libri2Mix-train-100-000000,{RECORDS},is missing; render again",
        ),
    ],
)
def test_a_damaged_file_is_named_in_a_line(
    mixtape: Mixtape, out: Path, name: str, damage: Callable[[Path], None], finding: str
) -> None:
    damage(out / name)
    outcome = mixtape("verify", out)
    assert outcome.status == 1
    assert outcome.out.splitlines() == [
        "checked 5 items and 61 files: 1 mismatch",
        "item,what,problem",
        finding,
    ]
    assert (out / "_mixtape" / "verify.csv").read_text().splitlines()[1:] == [finding]


def append_byte(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\n")


TABLE = "Libri2Mix/wav8k/min/metadata/mixture_train-100_mix_clean.csv"


@pytest.mark.parametrize(
    "words", [["--all"], ["--sample", "1"], ["--items", "m0000"]], ids=lambda one: one[0]
)
@pytest.mark.parametrize(
    ("name", "item"),
    [
        (WAV, "m0003"),
        (TAR, "Libri2Mix-train-100-000001"),
        (TABLE, "Libri2Mix-train-100"),
        ("checksums.sha256", "output"),
    ],
)
@pytest.mark.parametrize("damage", [append_byte, Path.unlink])
def test_files_of_another_size_are_found_however_few_items_are_checked(
    mixtape: Mixtape,
    corpus: trees.Corpus,
    out: Path,
    name: str,
    item: str,
    damage: Callable[[Path], None],
    words: list[str],
) -> None:
    damage(out / name)
    outcome = mixtape("verify", out, *words)
    assert outcome.status == 1
    (finding,) = outcome.out.splitlines()[2:]
    assert finding.startswith(f"{item},{name},")
    assert finding.endswith("; render again")
    if words == ["--all"]:
        again = [*corpus.flags(out), "--rates", "8000", "--modes", "min", "--shard-size", "2"]
        assert mixtape(*again).status == 0
        assert mixtape("verify", out, *words).status == 0


DATA = "Libri2Mix/tfrecord/libri2mix_wav8k_min/1.0.0"
LEDGER = "_mixtape/ledger/shard-Libri2Mix-train-100-000002.json"
OF_PART = (
    TABLE,
    TABLE.replace("mixture_", "metrics_"),
    "Libri2Mix/webdataset/wav8k/min/train-100.json",
    f"_mixtape/{DATA}/train-100.json",
    "_mixtape/checksums/Libri2Mix-train-100.sha256",
)
OF_OUTPUT = (
    f"{DATA}/features.json",
    f"{DATA}/dataset_info.json",
    "README.md",
    "croissant.json",
    "checksums.sha256",
    "_mixtape/parts/Libri2Mix-train-100.json",
    "_mixtape/rejects.csv",
    "_mixtape/report.html",
    "_mixtape/run.json",
)


def flip_a_bit_in_the_middle(path: Path) -> None:
    """Leaves what can be read readable: where there is a digit, another takes its place."""
    data = bytearray(path.read_bytes())
    digits = [place for place, byte in enumerate(data) if chr(byte).isdigit()] or [len(data) // 2]
    data[digits[len(digits) // 2]] ^= 1
    path.write_bytes(data)


def test_a_changed_byte_is_found_wherever_it_is(mixtape: Mixtape, corpus: trees.Corpus, out: Path) -> None:
    """All at once, since nothing that is found hides anything else."""
    for name in (*OF_PART, *OF_OUTPUT, LEDGER):
        flip_a_bit_in_the_middle(out / name)
    outcome = mixtape("verify", out, "--items", "m0000")
    assert outcome.status == 1
    problem = "its bytes are not those that were written; remove it and render again"
    assert sorted(outcome.out.splitlines()[2:]) == sorted(
        [
            *(f"Libri2Mix-train-100,{name},{problem}" for name in OF_PART),
            *(f"output,{name},{problem}" for name in OF_OUTPUT),
            f"Libri2Mix-train-100-000002,{LEDGER},{problem}",
        ]
    )
    for name in (*OF_PART, *OF_OUTPUT, LEDGER):
        (out / name).unlink()
    words = [*corpus.flags(out), "--rates", "8000", "--modes", "min", "--shard-size", "2"]
    assert mixtape(*words).status == 0
    assert mixtape("verify", out).status == 0


@pytest.mark.parametrize("name", [TABLE, "README.md", "_mixtape/report.html", "_mixtape/files.json"])
def test_one_file_is_made_again_without_rendering(
    mixtape: Mixtape, corpus: trees.Corpus, out: Path, name: str
) -> None:
    held = trees.contents(out)
    (out / name).unlink()
    (finding,) = mixtape("verify", out).out.splitlines()[2:]
    assert finding.endswith(f"{name},is missing; render again")
    words = [*corpus.flags(out), "--rates", "8000", "--modes", "min", "--shard-size", "2"]
    assert "nothing to do" in mixtape(*words).out
    assert mixtape("verify", out).status == 0
    assert trees.contents(out) == held


def test_rendering_again_goes_by_sizes_and_reads_no_table(
    mixtape: Mixtape, corpus: trees.Corpus, out: Path
) -> None:
    flip_a_bit_in_the_middle(out / TABLE)
    before = trees.identities(out)
    words = [*corpus.flags(out), "--rates", "8000", "--modes", "min", "--shard-size", "2"]
    assert "nothing to do" in mixtape(*words).out
    assert trees.changed(before, out) == set()


def test_a_changed_plan_is_found(mixtape: Mixtape, corpus: trees.Corpus, out: Path) -> None:
    path = "_mixtape/plan/Libri2Mix-train-100.parquet"
    changed = [*corpus.mixtures[:4], corpus.mixture(4, gain=0.25)]
    write_plan(OutputTree(str(out)), path, trees.PART, changed, shard_size=2)
    findings = mixtape("verify", out, "--items", "m0000").out.splitlines()[2:]
    assert [finding.split(",")[:2] for finding in findings] == [["output", path]]


def test_an_output_of_the_form_that_knew_sizes_alone_is_finished_anew(
    mixtape: Mixtape, corpus: trees.Corpus, out: Path
) -> None:
    held = trees.contents(out)
    summary = out / "_mixtape/parts/Libri2Mix-train-100.json"
    fields = json.loads(summary.read_bytes())
    fields["files"] = {path: record["size_bytes"] for path, record in fields["files"].items()}
    del fields["ledgers"]
    summary.write_text(json.dumps(fields))
    (out / "_mixtape/files.json").unlink()
    (problem,) = mixtape("verify", out).problems
    assert problem.endswith("a run broke off before Libri2Mix-train-100 was complete; run its command again")
    words = [*corpus.flags(out), "--rates", "8000", "--modes", "min", "--shard-size", "2"]
    assert "nothing to do" in mixtape(*words).out
    assert trees.contents(out) == held
    assert mixtape("verify", out).status == 0


def test_a_damaged_summary_is_made_again_from_the_ledgers(
    mixtape: Mixtape, corpus: trees.Corpus, out: Path
) -> None:
    held = trees.contents(out)
    summary = out / "_mixtape/parts/Libri2Mix-train-100.json"
    summary.write_bytes(summary.read_bytes().replace(b'"written": 5', b'"written": 4'))
    assert "parts/Libri2Mix-train-100.json" in mixtape("verify", out).out
    words = [*corpus.flags(out), "--rates", "8000", "--modes", "min", "--shard-size", "2"]
    assert "written 5 + rejected 0" in mixtape(*words).out
    assert mixtape("verify", out).status == 0
    assert trees.contents(out) == held


@pytest.mark.parametrize("place", ["README.md", "croissant.json", "checksums.sha256"])
def test_a_file_of_a_persons_own_is_not_checked(
    mixtape: Mixtape, corpus: trees.Corpus, out: Path, place: str
) -> None:
    words = [*corpus.flags(out), "--rates", "8000", "--modes", "min", "--shard-size", "2"]
    (out / place).write_text("my own notes")
    assert f"_mixtape/{place}: written there" in mixtape(*words).out
    before = trees.identities(out)
    assert "nothing to do" in mixtape(*words).out
    assert trees.changed(before, out) == set()
    assert (mixtape("verify", out).status, (out / place).read_text()) == (0, "my own notes")


@pytest.mark.parametrize("words", [["--prune"], ["--formats", "wav", "--prune"]], ids=" ".join)
def test_what_pruning_left_is_as_it_should_be(
    mixtape: Mixtape, corpus: trees.Corpus, out: Path, words: list[str]
) -> None:
    dev = corpus.plan.with_name("libri2mix_dev-clean.csv")
    shutil.copy(corpus.plan, dev)
    small = ["--rates", "8000", "--modes", "min", "--shard-size", "2"]
    assert (
        mixtape(*(str(dev) if one == str(corpus.plan) else one for one in corpus.flags(out)), *small).status
        == 0
    )
    assert mixtape("verify", out, "--sample", "1").status == 0
    assert mixtape(*corpus.flags(out), *small, *words).status == 0
    outcome = mixtape("verify", out)
    assert (outcome.status, outcome.out.splitlines()[1:]) == (0, [])


@pytest.mark.parametrize("flag", ["--force", "--resume"])
def test_flags_of_commands_that_make_something_are_refused(mixtape: Mixtape, out: Path, flag: str) -> None:
    assert flag not in mixtape("verify", "--help", workers=None).out
    outcome = mixtape("verify", out, flag)
    assert (outcome.status, outcome.problems) == (2, [f"{flag} is not a flag of this command"])


def test_findings_go_when_they_are_mended(mixtape: Mixtape, corpus: trees.Corpus, out: Path) -> None:
    flip_last_byte(out / WAV)
    assert mixtape("verify", out).status == 1
    words = [*corpus.flags(out), "--rates", "8000", "--modes", "min", "--shard-size", "2"]
    assert mixtape(*words, "--force").status == 0
    assert mixtape("verify", out).status == 0
    assert not (out / "_mixtape" / "verify.csv").exists()


def test_a_changed_source_is_found_in_every_stream_that_holds_it(
    mixtape: Mixtape, corpus: trees.Corpus, out: Path
) -> None:
    trees.write_noise(corpus.utterance(0), 700, seed=99)
    outcome = mixtape("verify", out)
    assert outcome.status == 1
    lines = outcome.out.splitlines()[2:]
    streams = ("mix_both", "mix_clean", "mix_single", "s1")
    assert lines == [
        f"m0000,8000/min {stream},the sources give other samples now; render again" for stream in streams
    ]


def test_a_source_that_is_gone(mixtape: Mixtape, corpus: trees.Corpus, out: Path) -> None:
    corpus.utterance(5).unlink()
    outcome = mixtape("verify", out, "--items", "m0004")
    assert outcome.status == 1
    assert "m0004,librispeech:train-clean-100/105/1/105-1-0000.flac,cannot be rendered again: " in outcome.out


@pytest.mark.parametrize(
    ("words", "items"),
    [(["--sample", "2"], 2), (["--sample", "4"], 4), (["--all"], 5), (["--items", "m0001", "m0004"], 2)],
    ids=str,
)
def test_what_to_check_can_be_chosen(mixtape: Mixtape, out: Path, words: list[str], items: int) -> None:
    outcome = mixtape("verify", out, *words, "--dry-run")
    assert outcome.status == 0
    assert outcome.out.startswith(f"{items} items in ")
    assert mixtape("verify", out, *words).out.startswith(f"checked {items} items and ")


def test_a_sample_is_spread_evenly(out: Path) -> None:
    (group,) = choose_checks(recorded_job(str(out), {}), sample=2, ids=None)
    assert [check.ids for check in group.shards] == [("m0000",), ("m0002",), ()]
    (everything,) = choose_checks(recorded_job(str(out), {}), sample=0, ids=None)
    assert [check.ids for check in everything.shards] == [("m0000", "m0001"), ("m0002", "m0003"), ("m0004",)]


def test_an_item_that_was_not_written(mixtape: Mixtape, out: Path) -> None:
    outcome = mixtape("verify", out, "--items", "m0001", "x-9", "y-8")
    assert (outcome.status, outcome.problems) == (2, [f"{out}: has no written item x-9, y-8"])
    outcome = mixtape("verify", out, "--items", "m00O1")
    assert outcome.problems == [f"{out}: has no written item m00O1; ids like it: m0001"]


def test_a_corpus_that_has_moved(mixtape: Mixtape, corpus: trees.Corpus, out: Path, tmp_path: Path) -> None:
    shutil.move(corpus.folder / "wham", tmp_path / "elsewhere")
    outcome = mixtape("verify", out)
    assert (outcome.status, outcome.problems) == (
        2,
        [f"the corpus wham is no longer in {corpus.folder / 'wham'}; say where it is now: --root wham=URL"],
    )
    assert mixtape("verify", out, "--root", f"wham={tmp_path / 'elsewhere'}").status == 0


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("wham", "--root wham: wanted NAME=URL, for instance librispeech=/data/LibriSpeech"),
        ("=x", "--root =x: wanted NAME=URL, for instance librispeech=/data/LibriSpeech"),
        ("timit=/x", "--root timit: this output was made from librispeech, wham only"),
        ("wham=/nowhere", "the corpus wham is no longer in /nowhere; say where it is now: --root wham=URL"),
    ],
)
def test_bad_roots(mixtape: Mixtape, out: Path, word: str, problem: str) -> None:
    outcome = mixtape("verify", out, "--root", word)
    assert (outcome.status, outcome.problems) == (2, [problem])


def test_all_bad_options_are_named_together(mixtape: Mixtape, out: Path) -> None:
    outcome = mixtape("verify", out, "--root", "x", "--sample", "0", "--workers", "0", workers=None)
    assert outcome.status == 2
    assert [problem.split(":")[0] for problem in outcome.problems] == [
        "--sample 0",
        "--root x",
        "--workers 0",
    ]


@pytest.mark.parametrize(
    "run", ["", "{", "[]", '{"roots": {}}', '{"roots": 1, "recipe": "x", "options": {}}']
)
def test_no_such_output(mixtape: Mixtape, tmp_path: Path, run: str) -> None:
    (tmp_path / "_mixtape").mkdir()
    if run:
        (tmp_path / "_mixtape" / "run.json").write_text(run)
    outcome = mixtape("verify", tmp_path)
    assert (outcome.status, outcome.problems) == (
        2,
        [
            f"{tmp_path}: holds no finished corpus (looked for _mixtape/run.json); "
            "check the path, or render again"
        ],
    )


def test_an_output_that_a_run_left_unfinished(out: Path) -> None:
    (out / "_mixtape" / "parts" / "Libri2Mix-train-100.json").unlink()
    with pytest.raises(UsageError, match="a run broke off before Libri2Mix-train-100 was complete; run its"):
        choose_checks(recorded_job(str(out), {}), sample=0, ids=None)


def test_every_part_is_checked_as_it_was_made(
    mixtape: Mixtape, corpus: trees.Corpus, out: Path, tmp_path: Path
) -> None:
    dev = corpus.plan.with_name("libri2mix_dev-clean.csv")
    corpus.plan.rename(dev)
    outcome = mixtape(
        *("render", "librimix", "--plan", dev, "--out", out, "--types", "mix_clean"),
        *("--librispeech", corpus.roots["librispeech"], "--rates", "16000", "8000"),
    )
    assert outcome.status == 0
    checks = choose_checks(recorded_job(str(out), {}), sample=0, ids=None)
    assert sorted(group.job.options.formats for group in checks) == [("wav",), trees.ALL_FORMATS]
    # besides: 5 items of 3 streams in 2 rates and 2 modes; 8 tables, ledger, plan and summary
    assert mixtape("verify", out, "--all").out == "checked 10 items and 132 files: 0 mismatches\n"
    flip_last_byte(out / WAV)
    halve(out / TAR)
    (out / "Libri2Mix/wav16k/max/dev/mix_clean/m0001.wav").unlink()
    assert mixtape("verify", out, "--all").out.startswith("checked 10 items and 132 files: 3 mismatches\n")


def test_the_record_of_a_run_names_everything_that_verify_needs(out: Path, corpus: trees.Corpus) -> None:
    job = recorded_job(str(out), {"wham": "gs://elsewhere"})
    assert job.recipe == "librimix"
    assert job.roots == {"librispeech": corpus.roots["librispeech"], "wham": "gs://elsewhere"}
    recorded = json.loads((out / "_mixtape" / "run.json").read_text())["options"]
    assert job.options.rates_hz == tuple(recorded["rates_hz"])
    assert job.options.formats == trees.ALL_FORMATS
