"""Checksums of archives: those of the files, without reading them, in a form that a program checks."""

import dataclasses
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import trees
from transforms.checksums import ChecksumsWriter, checksum_lines, part_checksums_path, read_checksums
from transforms.ledger import ShardLedger, WrittenFile
from transforms.storage import OutputTree

PLACE = part_checksums_path(trees.PART.name)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    corpus = trees.make_corpus(tmp_path / "corpus")
    trees.render(corpus.job(tmp_path / "out"), corpus.mixtures)
    return tmp_path / "out"


def test_every_file_that_holds_a_shard_is_listed(out: Path) -> None:
    suffixes = (".tar", ".idx")
    wanted = {
        name: hashlib.sha256((out / name).read_bytes()).hexdigest()
        for name in trees.files(out)
        if name.endswith(suffixes) or ".tfrecord-" in name
    }
    # 3 shards, 2 variants, an archive, an index and a record file
    assert len(wanted) == 18
    assert read_checksums(OutputTree(str(out)), trees.PART.name) == wanted


def test_the_usual_program_checks_them(out: Path) -> None:
    program = shutil.which("sha256sum")
    assert program is not None
    shutil.copy(out / PLACE, out / "sums")
    command = [program, "--check", "--strict", "--quiet", "sums"]
    assert subprocess.run(command, cwd=out, check=False, capture_output=True).returncode == 0
    damaged = next(out.rglob("*.tar"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    done = subprocess.run(command, cwd=out, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{damaged.relative_to(out)}: FAILED" in done.stdout


def test_a_part_without_archives_has_no_list(tmp_path: Path) -> None:
    corpus = trees.make_corpus(tmp_path / "corpus")
    options = dataclasses.replace(trees.SMALL, formats=("wav",))
    trees.render(corpus.job(tmp_path / "out", options), corpus.mixtures)
    assert not (tmp_path / "out" / PLACE).exists()
    assert read_checksums(OutputTree(str(tmp_path / "out")), trees.PART.name) == {}


def test_a_list_that_is_right_is_left_alone_and_one_that_is_not_goes(tmp_path: Path) -> None:
    tree = OutputTree(str(tmp_path))
    file = WrittenFile("b/x.tar", 3, 1, "12" * 32)
    full, empty = (ShardLedger("shard", "", files=files) for files in ((file,), ()))
    for ledger, files in ((full, (PLACE,)), (full, (PLACE,)), (empty, ())):
        before = trees.identities(tmp_path)
        writer = ChecksumsWriter(tree, trees.PART)
        writer.add(ledger, ())
        writer.close()
        tree.remove_temporary()
        assert writer.files == files
        if ledger is full and before:
            assert trees.changed(before, tmp_path) == set()
    assert not (tmp_path / PLACE).exists()


def test_lines_are_sorted_by_path() -> None:
    assert checksum_lines([("b", "22"), ("a/c", "11")]) == b"11  a/c\n22  b\n"
