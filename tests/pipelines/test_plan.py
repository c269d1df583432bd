"""Planning LibriMix from the command line: exact, resumable, with and without the audio."""

import csv
import gzip
import shutil
from pathlib import Path

import pytest

from tests import trees
from tests.conftest import TinyCorpora
from tests.pipelines.conftest import Mixtape, Outcome
from transforms.plan import StoredPlan


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same_plan(made: Path, expected: Path) -> None:
    """Compares ids, paths and their order exactly, gains to 1e-12 relative."""
    found, wanted = rows(made), rows(expected)
    assert len(found) == len(wanted)
    for row, other in zip(found, wanted, strict=True):
        assert list(row) == list(other)
        for column, text in other.items():
            if column.endswith("_gain"):
                assert float(row[column]) == pytest.approx(float(text), rel=1e-12, abs=0)
            else:
                assert row[column] == text


@pytest.fixture
def listings(mixtape: Mixtape, tiny_corpora: TinyCorpora, tmp_path: Path) -> Path:
    """Listings of the tiny corpora, in ``librispeech`` and ``wham``."""
    for kind, root in (("librispeech", tiny_corpora.librispeech), ("wham", tiny_corpora.wham)):
        assert mixtape("metadata", kind, "--corpus", root, "--out", tmp_path / kind).status == 0
    return tmp_path


def flags(listings: Path, *more: str) -> list[str]:
    return [
        *("plan", "librimix", "--librispeech-metadata", str(listings / "librispeech")),
        *("--wham-metadata", str(listings / "wham"), "--out", str(listings / "plans")),
        *("--round-to", "1", "--dev-test-size", "4", *more),
    ]


def with_audio(corpora: TinyCorpora) -> list[str]:
    return ["--librispeech", str(corpora.librispeech), "--wham", str(corpora.wham)]


def golden_flags(listings: Path, noises: Path, out: Path) -> list[str]:
    return [
        *("plan", "librimix", "--librispeech-metadata", str(listings), "--wham-metadata", str(noises)),
        *("--out", str(out), "--subsets", "train-clean-100", "train-clean-360", "--round-to", "1"),
    ]


@pytest.mark.parametrize("speakers", [2, 3])
def test_listings_alone_give_the_published_choice(
    mixtape: Mixtape, repository: Path, tmp_path: Path, speakers: int
) -> None:
    golden = repository / "tests" / "golden" / "librimix"
    folder = golden / "metadata"
    (tmp_path / "speech").mkdir()
    for name in ("train-clean-100.csv", "train-clean-360.csv"):
        shutil.copy(folder / name, tmp_path / "speech")
    (tmp_path / "noise").mkdir()
    shutil.copy(folder / "train.csv", tmp_path / "noise")
    words = golden_flags(tmp_path / "speech", tmp_path / "noise", tmp_path / "out")
    outcome = mixtape(*words, "--speakers", str(speakers))
    assert outcome.status == 0
    assert "without the audio (--librispeech, --wham) the plans have no gains" in outcome.out
    corpus = f"Libri{speakers}Mix"
    for subset in ("train-clean-100", "train-clean-360"):
        name = f"{corpus}/libri{speakers}mix_{subset}.csv"
        expected = [
            {column: text for column, text in row.items() if not column.endswith("_gain")}
            for row in rows(golden / "plan" / name)
        ]
        assert rows(tmp_path / "out" / name) == expected
        info = name.replace(".csv", "_info.csv")
        assert (tmp_path / "out" / info).read_bytes() == (golden / "plan" / info).read_bytes()


def test_a_dev_subset_gives_the_published_choice(mixtape: Mixtape, repository: Path, tmp_path: Path) -> None:
    golden = repository / "tests" / "golden" / "librimix" / "listing_only"
    for source, target in (("dev-clean", "speech/dev-clean"), ("noise_dev", "noise/dev")):
        path = tmp_path / f"{target}.csv"
        path.parent.mkdir()
        path.write_bytes(gzip.decompress((golden / f"{source}.csv.gz").read_bytes()))
    outcome = mixtape(
        *("plan", "librimix", "--librispeech-metadata", tmp_path / "speech"),
        *("--wham-metadata", tmp_path / "noise", "--out", tmp_path / "out"),
    )
    assert "planned 3,000 = written 3,000 + rejected 0" in outcome.out
    expected = gzip.decompress((golden / "expected_libri2mix_dev-clean.csv.gz").read_bytes()).decode()
    kept = ("mixture_ID", "source_1_path", "source_2_path", "noise_path")
    wanted = [[row[column] for column in kept] for row in csv.DictReader(expected.splitlines())]
    made = rows(tmp_path / "out" / "Libri2Mix" / "libri2mix_dev-clean.csv")
    assert [[row[column] for column in kept] for row in made] == wanted


@pytest.mark.golden
@pytest.mark.parametrize("speakers", [2, 3])
def test_the_golden_corpus_gives_the_published_plans_with_gains(
    mixtape: Mixtape, shared_golden: Path, tmp_path: Path, speakers: int
) -> None:
    golden = shared_golden / "librimix"
    words = golden_flags(golden / "metadata/LibriSpeech", golden / "metadata/Wham_noise", tmp_path)
    audio = ["--librispeech", golden / "corpus/LibriSpeech", "--wham", golden / "corpus/wham_noise"]
    assert mixtape(*words, *audio, "--speakers", str(speakers), workers=2).status == 0
    for subset in ("train-clean-100", "train-clean-360"):
        name = f"Libri{speakers}Mix/libri{speakers}mix_{subset}"
        assert_same_plan(tmp_path / f"{name}.csv", golden / "plan" / f"{name}.csv")
        info = f"{name}_info.csv"
        assert (tmp_path / info).read_bytes() == (golden / "plan" / info).read_bytes()


def test_plans_with_gains_in_both_forms(mixtape: Mixtape, tiny_corpora: TinyCorpora, listings: Path) -> None:
    outcome = mixtape(*flags(listings, *with_audio(tiny_corpora), "--shard-size", "3"))
    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    plans = listings / "plans" / "Libri2Mix"
    assert lines[0] == "planned 12 = written 12 + rejected 0"
    assert lines[1] == f"  test-clean: 4 mixtures planned, in {plans / 'libri2mix_test-clean.csv'}"
    assert lines[-1].startswith("3 plans made in ")
    for subset, count in (("test-clean", 4), ("dev-clean", 4), ("train-clean-100", 4)):
        published = rows(plans / f"libri2mix_{subset}.csv")
        parquet = listings / "plans/parquet/Libri2Mix" / f"libri2mix_{subset}.parquet"
        stored = list(StoredPlan.open(str(parquet)).read_all())
        assert len(published) == count
        assert [mixture.id for mixture in stored] == [row["mixture_ID"] for row in published]
        for mixture, row in zip(stored, published, strict=True):
            assert [source.level for source in mixture.sources] == [
                float(row[f"{stem}_gain"]) for stem in ("source_1", "source_2", "noise")
            ]


def test_plans_that_stand_are_not_made_again(
    mixtape: Mixtape, tiny_corpora: TinyCorpora, listings: Path
) -> None:
    words = flags(listings, *with_audio(tiny_corpora))
    mixtape(*words)
    before = trees.identities(listings / "plans")
    outcome = mixtape(*words)
    assert outcome.out.splitlines()[-1] == "nothing to do: all plans stand"
    assert trees.changed(before, listings / "plans") == set()
    assert mixtape(*words, "--force").out.splitlines()[-1].startswith("3 plans made in ")


def test_another_seed_or_order_makes_other_plans(mixtape: Mixtape, listings: Path) -> None:
    plan = listings / "plans" / "Libri2Mix" / "libri2mix_dev-clean.csv"
    made = set()
    for more in ([], ["--seed", "73"], ["--subsets", "dev-clean"], ["--subsets", "dev-clean", "test-clean"]):
        assert mixtape(*flags(listings, *more)).status == 0
        made.add(plan.read_bytes())
    assert len(made) == 3


def test_quiet(mixtape: Mixtape, listings: Path) -> None:
    outcome = mixtape(*flags(listings, "--quiet"))
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")


def test_a_dry_run_counts_and_writes_nothing(mixtape: Mixtape, listings: Path) -> None:
    outcome = mixtape(*flags(listings, "--dry-run"))
    assert outcome.status == 0
    lines = outcome.out.splitlines()
    assert [line.rpartition(",")[0] for line in lines[:-1]] == [
        "test-clean: 4 mixtures",
        "dev-clean: 4 mixtures",
        "train-clean-100: 4 mixtures",
    ]
    seconds = [int(line.rpartition(",")[2].removesuffix(" s")) for line in lines[:-1]]
    assert all(4 * 3 <= second <= 4 * 4 for second in seconds[:2])
    assert lines[-1] == "dry run: nothing was written"
    assert not (listings / "plans").exists()


def test_cutting_to_a_multiple_can_leave_nothing_and_says_so(mixtape: Mixtape, listings: Path) -> None:
    outcome = mixtape(*flags(listings, "--round-to", "100"))
    assert outcome.status == 0
    assert "planned 0 = written 0 + rejected 0" in outcome.out
    assert "fewer than 100 mixtures leave an empty plan; --round-to 1 keeps them" in outcome.out


def refused(outcome: Outcome) -> list[str]:
    assert (outcome.status, outcome.out) == (2, "")
    return outcome.problems


def test_more_mixtures_than_there_can_be(mixtape: Mixtape, listings: Path) -> None:
    (problem,) = refused(mixtape(*flags(listings, "--dev-test-size", "3000")))
    assert problem.startswith("listing test-clean: 3000 mixtures are wanted, at most 6 are possible: ")


def test_all_bad_options_are_named_together(mixtape: Mixtape, listings: Path) -> None:
    words = ["--speakers", "0", "--seed", "x", "--librispeech", str(listings / "none"), "--max-rejects", "-1"]
    assert refused(mixtape(*flags(listings, *words), "--workers", "0", workers=None)) == [
        "--librispeech is given alone; gains need both --librispeech and --wham",
        f"--librispeech {listings / 'none'}: no such folder; check the path",
        "--speakers 0: wanted a whole number of 1 or more",
        "--seed x: wanted a whole number of 0 or more",
        "--max-rejects '-1': wanted a count such as 10 or a share such as 0.5%",
        "--workers 0: wanted a whole number of 1 or more",
    ]


def test_nothing_given(mixtape: Mixtape) -> None:
    needed = ("--librispeech-metadata", "--wham-metadata", "--out")
    assert refused(mixtape("plan", "librimix")) == [
        f"{flag} is needed; see mixtape plan librimix --help" for flag in needed
    ]


def test_folders_without_the_listings(mixtape: Mixtape, listings: Path) -> None:
    (listings / "empty").mkdir()
    swapped = ["--librispeech-metadata", str(listings / "wham"), "--wham-metadata", str(listings / "empty")]
    assert refused(mixtape(*flags(listings, *swapped))) == [
        f"{listings / 'wham'}: has no listing test-clean.csv dev-clean.csv train-clean-360.csv "
        "train-clean-100.csv; it has dev test train",
        f"{listings / 'empty'}: has no listing; looked for train.csv, dev.csv, test.csv",
    ]


def test_a_subset_that_is_not_listed(mixtape: Mixtape, listings: Path) -> None:
    assert refused(mixtape(*flags(listings, "--subsets", "dev-clean", "dev-other", "dev"))) == [
        f"{listings / 'librispeech'}: has no listing dev.csv dev-other.csv; "
        "it has dev-clean test-clean train-clean-100"
    ]


def test_listings_that_are_damaged(mixtape: Mixtape, listings: Path) -> None:
    (listings / "librispeech" / "dev-clean.csv").write_text("speaker_ID,sex\n1,F\n")
    (listings / "wham" / "train.csv").write_text("")
    first, second = refused(mixtape(*flags(listings)))
    assert first.startswith(f"{listings}/librispeech/dev-clean.csv: wanted one column each of subset, length")
    assert second.startswith(f"{listings}/wham/train.csv: wanted one column each of noise_ID, subset")
