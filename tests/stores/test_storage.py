"""Reading, writing and listing in real stores, and corpora in archives there."""

import tarfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
import soundfile

from pipelines import cli
from tests.conftest import TinyCorpora
from tests.servers import Store, visit
from tests.stores.conftest import stored, upload
from transforms import storage
from transforms.archives import corpus_root
from transforms.errors import SourceError, StorageError
from transforms.listing import read_header
from transforms.storage import FileEntry, Listings, OutputTree

NAMES = ("a.txt", "b/ümläut.txt", "b/c/blank space.txt", "odd/#?%+&*[].txt", "odd/é=,;@!'().txt")


@pytest.fixture
def tree(store: Store, tmp_path: Path) -> OutputTree:
    return OutputTree(f"{store.url}/{tmp_path.name}")


@pytest.mark.parametrize("name", NAMES)
def test_any_name_comes_back(tree: OutputTree, name: str) -> None:
    tree.write(name, b"by", b"tes")
    assert tree.read(name) == b"bytes"
    assert storage.find(tree.root) == [FileEntry(name, 5)]
    folder, _, last = name.rpartition("/")
    assert tree.names(folder) == [last]
    assert storage.find(tree.root)[0].stamp == storage.stamp(tree.url(name))
    tree.remove(name)
    assert storage.stamp(tree.url(name)) is None
    tree.remove(name)


def test_a_stamp_is_the_same_however_it_is_told(tree: OutputTree) -> None:
    tree.write("b/a", b"12345")
    url = tree.url("b/a")
    stamp = storage.stamp(url)
    assert stamp is not None
    assert stamp.version
    assert storage.read_with_stamp(url) == (b"12345", stamp)
    assert Listings().stamp(url) == stamp
    assert storage.find(tree.root)[0].stamp == stamp
    with storage.open_ranges(url) as file:
        assert file.stamp == stamp
    tree.write("b/a", b"54321")
    assert storage.stamp(url) != stamp


def test_what_others_write_is_seen_at_once(tree: OutputTree) -> None:
    """Listing caches lie; there is none."""
    tree.write("a", b"1")
    assert tree.names("") == ["a"]
    other = fsspec.filesystem(tree.root.partition("://")[0], skip_instance_cache=True)
    other.pipe_file(tree.url("a"), b"longer")
    other.pipe_file(tree.url("b"), b"2")
    assert tree.names("") == ["a", "b"]
    assert tree.read("a") == b"longer"
    assert tree.size("a") == 6


def test_folders_are_prefixes(tree: OutputTree) -> None:
    tree.write("b/c/a", b"1")
    assert storage.is_folder(tree.url("b"))
    assert storage.is_folder(tree.root)
    assert not storage.is_folder(tree.url("b/c/a"))
    assert storage.stamp(tree.url("b")) is None
    assert tree.exists("b/c")
    assert not tree.exists("b/ca")
    with pytest.raises(StorageError, match="no such folder; check the path"):
        storage.find(tree.url("b/c/a"))


@pytest.mark.parametrize("size_bytes", [0, 1, 5 << 20, 70 << 20])
def test_files_of_any_size_are_written_in_one_go(tree: OutputTree, size_bytes: int) -> None:
    data = np.random.default_rng(size_bytes).bytes(size_bytes)
    with tree.open("a") as file:
        file.write(data)
        assert tree.names("") == []
    assert tree.read("a") == data


def test_equal_files_are_left_alone(tree: OutputTree) -> None:
    data = bytes(range(256)) * 10000
    stamps = []
    for changed in (False, False, True):
        with tree.open("a", keep_equal=True) as file:
            file.write(data + b"!" * changed)
        stamps.append(storage.stamp(tree.url("a")))
    assert stamps[0] == stamps[1]
    assert stamps[1] != stamps[2]


def test_many_writes_all_stand(tree: OutputTree) -> None:
    with tree.many_writes() as writes:
        for number in range(100):
            writes.write(f"n/{number}", b"%d" % number, b"!")
    assert stored(tree.root) == {f"n/{number}": b"%d!" % number for number in range(100)}


def test_a_failing_write_among_many_is_raised(store: Store) -> None:
    tree = OutputTree(f"{store.url}-absent/a")
    with pytest.raises(StorageError, match="no such bucket"), tree.many_writes() as writes:
        writes.write("a", b"1")


def test_headers_are_read_by_ranges(tree: OutputTree, tmp_path: Path) -> None:
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, 100000)
    for name in ("a.flac", "a.wav"):
        soundfile.write(tmp_path / name, samples, 16000)
        tree.write(name, (tmp_path / name).read_bytes())
        header = read_header(tree.root, name, root_name="speech")
        assert (header.frames, header.rate_hz, header.channels) == (100000, 16000, 1)


# --- archives ----------------------------------------------------------------------------------


def test_empty_files_are_called_empty(tree: OutputTree) -> None:
    """Stores answer the request for any range of them with an error."""
    tree.write("empty.wav", b"")
    with storage.open_ranges(tree.url("empty.wav")) as file:
        assert (file.read(), file.size_bytes) == (b"", 0)
        assert file.stamp == storage.stamp(tree.url("empty.wav"))
    with pytest.raises(SourceError, match=r"^speech:empty\.wav: the file is empty \(0 bytes\)"):
        read_header(tree.root, "empty.wav", root_name="speech")


@pytest.fixture(scope="module")
def archive(tiny_corpora: TinyCorpora, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LibriSpeech as it is published."""
    path = tmp_path_factory.mktemp("archive") / "train-clean-100.tar.gz"
    with tarfile.open(path, "w:gz") as made:
        made.add(tiny_corpora.librispeech, "LibriSpeech")
    return path


@pytest.fixture(scope="module")
def listings(tiny_corpora: TinyCorpora, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("listings")
    words = ["metadata", "librispeech", "--corpus", str(tiny_corpora.librispeech), "--out", str(out)]
    assert cli.main([*words, "--workers", "1", "--quiet"]) == 0
    return {path.name: path.read_bytes() for path in out.glob("*.csv")}


def listed(corpus: str, out: Path) -> dict[str, bytes]:
    words = ["metadata", "librispeech", "--corpus", corpus, "--out", str(out), "--workers", "1", "--quiet"]
    assert cli.main(words) == 0
    return {path.name: path.read_bytes() for path in out.glob("*.csv")}


def test_a_published_archive_is_packed_and_listed_in_a_store(
    store: Store, archive: Path, listings: dict[str, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f"{store.url}/{tmp_path.name}"
    OutputTree(url).write(archive.name, archive.read_bytes())
    assert (
        cli.main(["metadata", "librispeech", "--corpus", f"{url}/{archive.name}", "--out", str(tmp_path)])
        == 2
    )
    assert "mixtape pack" in capfd.readouterr().err
    pack = ["pack", f"{url}/{archive.name}", "--out", f"{url}/packed", "--shard-bytes", "300K"]
    assert cli.main(pack) == 0
    assert "shards in" in capfd.readouterr().out
    assert cli.main(pack) == 0
    assert "nothing to do" in capfd.readouterr().out
    assert len([name for name in storage.list_folder(f"{url}/packed") if name.endswith(".tar")]) > 1
    assert listed(f"{url}/packed", tmp_path / "out") == listings


def test_a_plain_archive_in_a_store_is_a_corpus(
    store: Store, archive: Path, listings: dict[str, bytes], tmp_path: Path, tiny_corpora: TinyCorpora
) -> None:
    plain = tmp_path / "train-clean-100.tar"
    with tarfile.open(plain, "w") as made:
        made.add(tiny_corpora.librispeech, "LibriSpeech")
    url = f"{store.url}/{tmp_path.name}/{plain.name}"
    OutputTree(f"{store.url}/{tmp_path.name}").write(plain.name, plain.read_bytes())
    assert listed(url, tmp_path / "out") == listings


# --- HTTP --------------------------------------------------------------------------------------


@pytest.fixture
def web(http_store: Store, tmp_path: Path) -> Iterator[str]:
    """Root of a web server; a folder of this test's own below it is in ``http_store.folder``."""
    with visit(http_store):
        yield f"{http_store.url}/{tmp_path.name}"


def test_files_are_read_by_http(http_store: Store, web: str, tmp_path: Path) -> None:
    folder = http_store.folder / tmp_path.name
    folder.mkdir()
    (folder / "a b.bin").write_bytes(bytes(range(256)) * 1000)
    data, stamp = storage.read_with_stamp(f"{web}/a b.bin")
    assert data == bytes(range(256)) * 1000
    assert stamp.size_bytes == len(data)
    assert stamp.version
    with storage.open_ranges(f"{web}/a b.bin") as file:
        assert file.size_bytes == len(data)
        assert file.seek(100000) == 100000
        assert file.read(4) == data[100000:100004]
        assert file.stamp == stamp
    assert storage.stamp(f"{web}/absent") is None
    with pytest.raises(StorageError, match="no such file or folder"):
        storage.read_bytes(f"{web}/absent")


def test_a_packed_corpus_is_read_by_http(
    http_store: Store, web: str, archive: Path, listings: dict[str, bytes], tmp_path: Path
) -> None:
    folder = http_store.folder / tmp_path.name
    assert cli.main(["pack", str(archive), "--out", str(folder), "--quiet"]) == 0
    assert corpus_root(web, inner="LibriSpeech") == f"packed://LibriSpeech::{web}"
    assert listed(web, tmp_path / "out") == listings


def test_a_packed_corpus_is_built_from(
    store: Store, archive: Path, tiny_corpora: TinyCorpora, tmp_path: Path
) -> None:
    """A corpus made from packed shards in a store is that made from the folder on disk."""
    url = f"{store.url}/{tmp_path.name}"
    assert cli.main(["pack", str(archive), "--out", f"{url}/packed", "--quiet"]) == 0
    upload(tiny_corpora.wham, f"{url}/wham")
    choices = (
        "--subsets",
        "dev-clean",
        "--round-to",
        "1",
        "--dev-test-size",
        "4",
        "--rates",
        "8000",
        "--types",
        "mix_both",
    )
    form = ("--formats", "webdataset", "--workers", "1", "--quiet")
    for speech, noise, out in (
        (str(tiny_corpora.librispeech), str(tiny_corpora.wham), str(tmp_path / "disk")),
        (f"{url}/packed", f"{url}/wham", f"{url}/out"),
    ):
        words = ["build", "librimix", "--librispeech", speech, "--wham", noise, "--out", out]
        assert cli.main([*words, *choices, *form]) == 0
    found = stored(f"{url}/out/Libri2Mix")
    folder = tmp_path / "disk" / "Libri2Mix"
    assert found == {entry.path: (folder / entry.path).read_bytes() for entry in storage.find(str(folder))}
