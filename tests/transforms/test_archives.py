"""Packing archives, and corpora that are read out of them."""

import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms import archives, storage
from transforms.archives import corpus_root, pack, read_record
from transforms.errors import StorageError, UsageError
from transforms.storage import PACK_TABLE, OutputTree

FILES = {
    "LibriSpeech/SPEAKERS.TXT": b"; speakers",
    "LibriSpeech/dev/1/2/1-2-0000.flac": random.Random(1).randbytes(3000),
    "LibriSpeech/dev/1/2/1-2-0001.flac": random.Random(2).randbytes(512),
    "LibriSpeech/dev/1/2/empty.flac": b"",
    "LibriSpeech/dev/1/3/" + "long" * 40 + ".flac": b"a name too long for an old header",
    "LibriSpeech/dev/1/3/ümläut.flac": b"not ASCII",
}


def make_tar(path: Path, files: Mapping[str, bytes], mode: str = "w:gz") -> Path:
    """Writes a tar archive with folders, as archives are published."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for folder in sorted({name.rsplit("/", 1)[0] for name in files if "/" in name}):
            info = tarfile.TarInfo(folder)
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(data), 1234567890, 0o640
            archive.addfile(info, io.BytesIO(data))
    return path


def make_zip(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.mkdir("LibriSpeech")
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def pack_quietly(path: Path, out: Path, shard_bytes: int = 10**9) -> archives.PackSummary:
    return pack([str(path)], OutputTree(str(out)), shard_bytes=shard_bytes, advance=lambda size: None)


def read_all(root: str) -> dict[str, bytes]:
    return {entry.path: storage.read_bytes(storage.join(root, entry.path)) for entry in storage.find(root)}


def inner(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name.removeprefix("LibriSpeech/"): data for name, data in files.items()}


# --- packing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("shard_bytes", [10**9, 4000, 1])
def test_members_are_unchanged(tmp_path: Path, mode: str, shard_bytes: int) -> None:
    made = pack_quietly(make_tar(tmp_path / "a", FILES, mode), tmp_path / "out", shard_bytes)
    assert (made.members, made.size_bytes) == (len(FILES), sum(map(len, FILES.values())))
    assert made.shards == {10**9: 1, 4000: 4, 1: len(FILES)}[shard_bytes]
    assert read_all(corpus_root(str(tmp_path / "out"))) == FILES


def test_shards_are_plain_tar_for_everybody(tmp_path: Path) -> None:
    pack_quietly(make_tar(tmp_path / "a.tar.gz", FILES), tmp_path / "out", 4000)
    found = {}
    for shard in sorted((tmp_path / "out").glob("*.tar")):
        assert shard.stat().st_size <= 4000 + 1024
        with tarfile.open(shard, "r:") as archive:
            for info in archive:
                found[info.name] = archive.extractfile(info).read()  # type: ignore[union-attr]
                assert (info.mtime, info.mode) == (1234567890, 0o640)
    assert found == FILES


def test_the_table_says_where_bytes_are(tmp_path: Path) -> None:
    pack_quietly(make_tar(tmp_path / "a.tar.gz", FILES), tmp_path / "out", 4000)
    lines = (tmp_path / "out" / PACK_TABLE).read_text().splitlines()
    assert lines[0] == "path,shard,offset_bytes,size_bytes,crc32c"
    for line in lines[1:]:
        path, shard, offset, size, _ = line.split(",")
        data = (tmp_path / "out" / shard).read_bytes()
        assert data[int(offset) : int(offset) + int(size)] == FILES[path]
    assert len(lines) == 1 + len(FILES)
    assert lines[1:] == sorted(lines[1:])


@settings(max_examples=30)
@given(sizes=st.lists(st.integers(0, 3000), max_size=12), shard_bytes=st.integers(1, 8000))
def test_any_sizes_come_back(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], shard_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("pack")
    files = {f"{index}.bin": random.Random(index).randbytes(size) for index, size in enumerate(sizes)}
    made = pack_quietly(make_tar(folder / "a.tar", files, "w"), folder / "out", shard_bytes)
    assert read_all(f"packed://::{folder}/out") == files
    assert made.shards == len(list((folder / "out").glob("*.tar")))
    limit = max([shard_bytes, *(512 + size + -size % 512 for size in sizes)])
    assert all(shard.stat().st_size <= limit + 1024 for shard in (folder / "out").glob("*.tar"))


def test_equal_archives_give_equal_shards(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar.gz", FILES)
    for name in ("one", "two"):
        pack_quietly(archive, tmp_path / name, 4000)
    names = ["shard-000000.tar", "shard-000001.tar", PACK_TABLE]
    assert all(
        (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names
    )


def test_archives_of_one_corpus_are_packed_together(tmp_path: Path) -> None:
    common = {"LibriSpeech/SPEAKERS.TXT": b"; speakers"}
    first = make_tar(tmp_path / "a.tar.gz", common | {"LibriSpeech/a/1.flac": b"1"})
    second = make_tar(tmp_path / "b.tar.gz", common | {"LibriSpeech/b/2.flac": b"2"})
    tree = OutputTree(str(tmp_path / "out"))
    made = pack([str(first), str(second)], tree, shard_bytes=10**9, advance=lambda size: None)
    assert made.members == 3
    assert read_all(corpus_root(tree.root, inner="LibriSpeech")) == {
        "SPEAKERS.TXT": b"; speakers",
        "a/1.flac": b"1",
        "b/2.flac": b"2",
    }


def test_files_of_one_name_must_be_the_same(tmp_path: Path) -> None:
    first = make_tar(tmp_path / "a.tar", {"x": b"1"}, "w")
    second = make_tar(tmp_path / "b.tar", {"x": b"2"}, "w")
    tree = OutputTree(str(tmp_path / "out"))
    with pytest.raises(
        UsageError, match=r"b\.tar: holds x, which another file of that name before it differs"
    ):
        pack([str(first), str(second)], tree, shard_bytes=10**9, advance=lambda size: None)
    assert read_record(tree) is None


def test_hard_links_are_files_and_other_links_are_left_out(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind, target in (
            ("x", tarfile.REGTYPE, ""),
            ("y", tarfile.LNKTYPE, "x"),
            ("z", tarfile.SYMTYPE, "x"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, 1 if name == "x" else 0
            archive.addfile(info, io.BytesIO(b"1"))
    made = pack_quietly(tmp_path / "a.tar", tmp_path / "out")
    assert (made.members, made.left_out) == (2, ("z",))
    assert read_all(f"packed://::{tmp_path}/out") == {"x": b"1", "y": b"1"}
    assert read_all(f"tar://::{tmp_path}/a.tar") == {"x": b"1", "y": b"1"}


@pytest.mark.parametrize("name", ["../x", "a/../../x", "a//b", "a::b"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    make_tar(tmp_path / "a.tar", {name: b"1"}, "w")
    with pytest.raises(UsageError, match="which leads out of the corpus"):
        pack_quietly(tmp_path / "a.tar", tmp_path / "out")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("missing", [0.99, 0.5, 0.1, 0.01])
def test_an_archive_cut_short_anywhere_leaves_no_packed_corpus(
    tmp_path: Path, mode: str, missing: float
) -> None:
    whole = make_tar(tmp_path / "a.tar.gz", FILES, mode).read_bytes()
    end = len(whole.rstrip(b"\0")) if mode == "w" else len(whole)
    (tmp_path / "a.tar.gz").write_bytes(whole[: int((1 - missing) * end)])
    with pytest.raises(StorageError, match=r"a\.tar\.gz: is no tar archive, or damaged or cut short"):
        pack_quietly(tmp_path / "a.tar.gz", tmp_path / "out", 1)
    assert not (tmp_path / "out" / PACK_TABLE).exists()
    assert corpus_root(str(tmp_path / "out")) == str(tmp_path / "out")


@pytest.mark.parametrize("members", range(len(FILES)))
def test_an_archive_cut_short_between_members_is_not_taken_for_whole(tmp_path: Path, members: int) -> None:
    """To Python's own reader such an archive is in order."""
    path = tmp_path / "a.tar"
    with tarfile.open(make_tar(tmp_path / "b.tar", FILES, "w")) as whole:
        ends = [info.offset for info in whole.getmembers()]
    path.write_bytes((tmp_path / "b.tar").read_bytes()[: ends[members + 1]])
    with tarfile.open(path) as short:
        assert len(short.getmembers()) == members + 1
    with pytest.raises(StorageError, match="it has no end mark"):
        pack_quietly(path, tmp_path / "out")
    with pytest.raises(StorageError, match="it has no end mark"):
        storage.find(f"tar://::{path}")


def test_what_is_no_tar_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(b"no archive" * 1000))
    with pytest.raises(StorageError, match="is no tar archive"):
        pack_quietly(tmp_path / "a.tar.gz", tmp_path / "out")


def test_missing_archives_are_named_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        archives.archives_now([f"{tmp_path}/a.tar", f"{tmp_path}/b.tar"])
    assert caught.value.problems == tuple(f"{tmp_path}/{n}.tar: no such file; check the path" for n in "ab")


def test_packing_anew_removes_shards_that_are_no_more(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar", FILES, "w")
    pack_quietly(archive, tmp_path / "out", 1)
    pack_quietly(archive, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").glob("*.tar")] == ["shard-000000.tar"]
    assert read_all(corpus_root(str(tmp_path / "out"))) == FILES


def test_the_record_tells_what_was_packed(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar.gz", FILES)
    made = pack_quietly(archive, tmp_path / "out", 4000)
    record = read_record(OutputTree(str(tmp_path / "out")))
    assert record is not None
    assert record.archives == archives.archives_now([str(archive)])
    assert (record.shard_bytes, record.summary) == (4000, made)
    (tmp_path / "out" / PACK_TABLE).unlink()
    assert read_record(OutputTree(str(tmp_path / "out"))) is None


# --- roots -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tar", "zip deflated", "zip stored", "packed"])
def test_a_root_in_an_archive_is_where_the_corpus_is(tmp_path: Path, kind: str) -> None:
    match kind:
        case "tar":
            url = make_tar(tmp_path / "train-clean-100.tar", FILES, "w")
        case "packed":
            url = tmp_path / "out"
            pack_quietly(make_tar(tmp_path / "a.tgz", FILES), url)
        case _:
            method = zipfile.ZIP_STORED if "stored" in kind else zipfile.ZIP_DEFLATED
            url = make_zip(tmp_path / "wham.zip", FILES, method)
    root = corpus_root(str(url), inner="LibriSpeech")
    assert root == f"{kind.split()[0]}://LibriSpeech::{url}"
    assert read_all(root) == inner(FILES)
    assert storage.list_folder(root) == ["SPEAKERS.TXT", "dev"]
    assert corpus_root(root, inner="LibriSpeech") == root
    assert corpus_root(str(url)) == f"{kind.split()[0]}://::{url}"


def test_chained_urls_are_descended_too(tmp_path: Path) -> None:
    url = f"zip://::{make_zip(tmp_path / 'wham.zip', FILES)}"
    assert corpus_root(url, inner="LibriSpeech") == f"zip://LibriSpeech::{tmp_path}/wham.zip"


@pytest.mark.parametrize("name", ["folder", "folder.tar", "absent", "list.csv"])
def test_other_roots_stay_as_they_are(tmp_path: Path, name: str) -> None:
    if name.startswith("folder"):
        (tmp_path / name / "LibriSpeech").mkdir(parents=True)
    assert corpus_root(f"{tmp_path}/{name}", inner="LibriSpeech") == f"{tmp_path}/{name}"


@pytest.mark.parametrize("name", ["a.tar.gz", "a.TGZ", "a.tar.bz2", "a.txz", "a.tar.zst"])
def test_compressed_archives_are_refused_with_advice(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"is a compressed tar archive; pack it once with `mixtape pack URL"):
        corpus_root(f"{tmp_path}/{name}")


def test_a_compressed_archive_is_refused_by_what_it_holds_too(tmp_path: Path) -> None:
    make_tar(tmp_path / "a.tar", FILES, "w:gz")
    with pytest.raises(UsageError, match=r"is a tar archive compressed with gzip; pack it once"):
        corpus_root(f"{tmp_path}/a.tar", inner="LibriSpeech")


# --- members -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_headers_in_zip_archives_are_read_without_the_rest(tmp_path: Path, method: int) -> None:
    data = bytes(range(256)) * 4000
    make_zip(tmp_path / "a.zip", {"x.wav": data}, method)
    opened = storage.open_header(f"zip://x.wav::{tmp_path}/a.zip")
    assert not isinstance(opened, str)
    with opened as file:
        assert file.read(1000) == data[:1000]
        assert file.seek(-10, io.SEEK_END) == len(data) - 10
        assert file.read() == data[-10:]


def test_a_damaged_member_of_a_zip_archive_is_named(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"x.wav": b"audio" * 100}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"audio", b"noise", 1))
    with pytest.raises(StorageError, match=r"^zip://x\.wav::.*its checksum differs; fetch the archive again"):
        storage.read_bytes(f"zip://x.wav::{path}")


def test_members_compressed_in_other_ways_are_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"x.wav": b"audio"}, zipfile.ZIP_LZMA)
    with pytest.raises(
        UsageError, match=r"member x\.wav is encrypted or compressed in a way that is not read"
    ):
        storage.read_bytes(f"zip://x.wav::{path}")


def test_a_shard_that_is_shorter_than_its_table_says(tmp_path: Path) -> None:
    pack_quietly(make_tar(tmp_path / "a.tar", {"x": b"1" * 5000}, "w"), tmp_path / "out")
    (tmp_path / "out" / "shard-000000.tar").write_bytes(b"short")
    with pytest.raises(StorageError, match="is shorter than the table of its members says"):
        storage.read_bytes(f"packed://x::{tmp_path}/out")


def test_a_damaged_member_of_a_shard_is_named(tmp_path: Path) -> None:
    pack_quietly(make_tar(tmp_path / "a.tar", {"x": b"sound", "y": b"other"}, "w"), tmp_path / "out")
    shard = tmp_path / "out/shard-000000.tar"
    shard.write_bytes(shard.read_bytes().replace(b"sound", b"sound"[::-1]))
    with pytest.raises(StorageError, match=r"packed://x::.*: is damaged in its shard: its checksum differs"):
        storage.read_bytes(f"packed://x::{tmp_path}/out")
    assert storage.read_bytes(f"packed://y::{tmp_path}/out") == b"other"


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    OutputTree(str(tmp_path)).write(PACK_TABLE, b"a,b\n1,2\n")
    with pytest.raises(UsageError, match="wanted the columns path, shard, offset_bytes"):
        storage.find(f"packed://::{tmp_path}")


def test_nothing_can_be_written_into_an_archive(tmp_path: Path) -> None:
    url = make_zip(tmp_path / "a.zip", FILES)
    with pytest.raises(StorageError, match="is in an archive, which can only be read; unpack it first"):
        OutputTree(f"zip://::{url}").check_writable()
