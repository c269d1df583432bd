"""``mixtape pack`` from the command line, and corpora that it makes readable."""

from pathlib import Path

import pytest

from pipelines.pack import size_bytes
from tests.conftest import TinyCorpora
from tests.pipelines.conftest import Mixtape
from tests.transforms.test_archives import FILES, make_tar, make_zip, read_all
from transforms.archives import corpus_root
from transforms.errors import UsageError
from transforms.storage import PACK_TABLE


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return make_tar(tmp_path / "dev-clean.tar.gz", FILES)


def test_packing_says_what_it_made(mixtape: Mixtape, archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = mixtape("pack", archive, "--out", out)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith(f"packed 6 files of 0.00 GB into 1 shard in {out} in ")
    assert read_all(corpus_root(str(out))) == FILES


def test_packing_again_has_nothing_to_do(mixtape: Mixtape, archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert mixtape("pack", archive, "--out", out, "--quiet").out == ""
    before = (out / "shard-000000.tar").stat().st_mtime_ns
    outcome = mixtape("pack", archive, "--out", out)
    assert outcome.out == f"nothing to do: {out} holds 1 archive already\n"
    assert (out / "shard-000000.tar").stat().st_mtime_ns == before
    assert mixtape("pack", archive, "--out", out, "--force").out.startswith("packed 6 files")
    assert (out / "shard-000000.tar").stat().st_mtime_ns != before


def test_other_archives_are_not_mixed_in_unasked(mixtape: Mixtape, archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    other = make_tar(tmp_path / "other.tar", {"x": b"1"}, "w")
    assert mixtape("pack", archive, "--out", out).status == 0
    outcome = mixtape("pack", other, "--out", out)
    assert outcome.status == 2
    assert outcome.problems == [
        f"--out {out}: holds shards of other archives, or of what these were before; "
        "use another folder, or --force to replace them"
    ]
    assert mixtape("pack", other, "--out", out, "--force").status == 0
    assert read_all(corpus_root(str(out))) == {"x": b"1"}


def test_a_dry_run_writes_nothing(mixtape: Mixtape, archive: Path, tmp_path: Path) -> None:
    outcome = mixtape("pack", archive, "--out", tmp_path / "out", "--dry-run")
    assert outcome.status == 0
    assert outcome.out == f"would pack 1 archive of 0.00 GB into {tmp_path}/out; nothing was written\n"
    assert not (tmp_path / "out").exists()


def test_all_problems_are_named_together(mixtape: Mixtape, tmp_path: Path) -> None:
    outcome = mixtape("pack", tmp_path / "a.tar.gz", tmp_path / "b.tar.gz", "--shard-bytes", "many")
    assert outcome.status == 2
    assert outcome.problems == [
        "--out is needed; see mixtape pack --help",
        "--shard-bytes many: wanted a number of bytes of 10K or more, for instance 1G",
        f"{tmp_path}/a.tar.gz: no such file; check the path",
        f"{tmp_path}/b.tar.gz: no such file; check the path",
    ]


def test_a_damaged_archive_breaks_off_and_leaves_no_corpus(
    mixtape: Mixtape, archive: Path, tmp_path: Path
) -> None:
    archive.write_bytes(archive.read_bytes()[:-200])
    outcome = mixtape("pack", archive, "--out", tmp_path / "out")
    assert outcome.status == 1
    (problem,) = outcome.problems
    assert problem.startswith(f"{archive}: is no tar archive, or damaged or cut short (")
    assert not (tmp_path / "out" / PACK_TABLE).exists()


@pytest.mark.parametrize(("text", "size"), [("10000", 10000), ("512M", 512 * 10**6), ("2g", 2 * 10**9)])
def test_sizes(text: str, size: int) -> None:
    assert size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "1", "9K", "-1G", "1T", "1.5G", "G"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--shard-bytes .*: wanted a number of bytes"):
        size_bytes(text)


@pytest.mark.parametrize("kind", ["packed", "tar", "zip"])
def test_listings_of_archives_are_those_of_folders(
    mixtape: Mixtape, tiny_corpora: TinyCorpora, tmp_path: Path, kind: str
) -> None:
    files = {f"wham_noise/{name}": data for name, data in read_all(str(tiny_corpora.wham)).items()}
    corpus = tmp_path / "packed"
    match kind:
        case "packed":
            assert mixtape("pack", make_tar(tmp_path / "a.tar.gz", files), "--out", corpus).status == 0
        case "tar":
            corpus = make_tar(tmp_path / "a.tar", files, "w")
        case _:
            corpus = make_zip(tmp_path / "a.zip", files)
    for root, out in ((tiny_corpora.wham, "folder"), (corpus, "archive")):
        assert mixtape("metadata", "wham", "--corpus", root, "--out", tmp_path / out).status == 0
    for name in ("train.csv", "dev.csv", "test.csv"):
        assert (tmp_path / "archive" / name).read_bytes() == (tmp_path / "folder" / name).read_bytes()


def test_jobs_refuse_a_compressed_archive_with_advice(
    mixtape: Mixtape, archive: Path, tmp_path: Path
) -> None:
    outcome = mixtape("metadata", "librispeech", "--corpus", archive, "--out", tmp_path / "out")
    assert outcome.status == 2
    assert outcome.problems[0] == (
        f"{archive}: is a compressed tar archive; pack it once with `mixtape pack URL --out URL`, "
        "and give the folder that this makes"
    )


def test_copies_cannot_be_written_into_an_archive(
    mixtape: Mixtape, tiny_corpora: TinyCorpora, tmp_path: Path
) -> None:
    corpus = make_tar(tmp_path / "a.tar", read_all(str(tiny_corpora.wham)), "w")
    outcome = mixtape("augment", "wham", "--corpus", corpus, "--engine", "soxr")
    assert outcome.status == 2
    assert "is in an archive, which can only be read; unpack it first" in outcome.problems[0]
