"""Reading through storage: local paths, other stores and archives, and what failures say."""

import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms import storage
from transforms.errors import StorageError
from transforms.storage import FileEntry, FileStamp

WithoutPrivileges = Callable[[], AbstractContextManager[None]]

FILES = {"b.txt": b"b", "a/z.FLAC": b"four", "a/deep/y.wav": b"", "a-b/x.flac": b"12"}


@pytest.fixture
def local_root(tmp_path: Path) -> str:
    for path, data in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    return str(tmp_path)


@pytest.fixture
def zip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "corpus.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    return path


@pytest.fixture(params=["path", "file://", "memory://", "zip://", "tar://"])
def root(request: pytest.FixtureRequest, local_root: str, tmp_path: Path) -> str:
    """A folder with the same files in every kind of store."""
    match request.param:
        case "path":
            return local_root
        case "file://":
            return f"file://{local_root}"
        case "memory://":
            memory = fsspec.filesystem("memory")
            for path, data in FILES.items():
                memory.pipe_file(f"{local_root}/{path}", data)
            return f"memory:/{local_root}"
        case "zip://":
            zip_file: Path = request.getfixturevalue("zip_file")
            return f"zip://::{zip_file}"
        case _:
            return f"tar://::{_tar(local_root, tmp_path.with_suffix('.tar'))}"


def _tar(folder: str, path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        for name in FILES:
            archive.add(f"{folder}/{name}", name)
    return path


def test_files_are_found_at_any_depth_and_sorted(root: str) -> None:
    assert storage.find(root) == [
        FileEntry("a-b/x.flac", 2),
        FileEntry("a/deep/y.wav", 0),
        FileEntry("a/z.FLAC", 4),
        FileEntry("b.txt", 1),
    ]


def test_suffixes_are_compared_in_lower_case(root: str) -> None:
    found = storage.find(root, suffixes=(".flac", ".WAV"))
    assert [entry.path for entry in found] == ["a-b/x.flac", "a/deep/y.wav", "a/z.FLAC"]


def test_a_listing_tells_the_stamps_that_the_files_have(root: str) -> None:
    for entry in storage.find(root):
        assert entry.stamp == storage.stamp(storage.join(root, entry.path))


def test_find_below_a_folder_of_the_store(root: str) -> None:
    assert [entry.path for entry in storage.find(storage.join(root, "a"))] == ["deep/y.wav", "z.FLAC"]


def test_find_names_a_missing_folder(root: str) -> None:
    missing = storage.join(root, "absent")
    with pytest.raises(StorageError, match="no such folder; check the path") as caught:
        storage.find(missing)
    assert caught.value.url == missing


def test_find_refuses_a_file(root: str) -> None:
    with pytest.raises(StorageError, match="no such folder"):
        storage.find(storage.join(root, "b.txt"))


@pytest.mark.parametrize("path", FILES)
def test_whole_files_are_read(root: str, path: str) -> None:
    assert storage.read_bytes(storage.join(root, path)) == FILES[path]


@pytest.mark.parametrize("path", ["absent", "a/absent/deeper", "b.txt.gz"])
def test_missing_files_are_named(root: str, path: str) -> None:
    url = storage.join(root, path)
    with pytest.raises(StorageError, match="no such file or folder; check the path") as caught:
        storage.read_bytes(url)
    assert caught.value.url == url
    assert storage.stamp(url) is None
    assert not storage.exists(url)
    assert not storage.is_folder(url)


def test_folders_are_folders_and_no_files(root: str) -> None:
    folder = storage.join(root, "a")
    assert storage.exists(folder)
    assert storage.is_folder(folder)
    assert storage.stamp(folder) is None
    file = storage.join(root, "b.txt")
    assert storage.exists(file)
    assert not storage.is_folder(file)


def test_names_directly_in_a_folder(root: str) -> None:
    assert storage.list_folder(root) == ["a", "a-b", "b.txt"]
    assert storage.list_folder(storage.join(root, "a")) == ["deep", "z.FLAC"]
    assert storage.list_folder(storage.join(root, "absent")) == []
    assert storage.list_folder(storage.join(root, "b.txt")) == []


def test_a_header_is_read_by_its_reader(root: str) -> None:
    opened = storage.open_header(storage.join(root, "a/z.FLAC"))
    with open(opened, "rb") if isinstance(opened, str) else opened as file:
        file.seek(1)
        assert file.read(2) == b"ou"


@pytest.mark.parametrize("count", [0, 1, 3, 100_000])
def test_the_beginning_of_a_file_is_read_and_left(root: str, count: int) -> None:
    url = storage.join(root, "a/z.FLAC")
    whole = storage.read_bytes(url)
    opened = storage.open_header(url)
    for _ in range(2):
        assert storage.read_beginning(opened, count) == whole[:count]
    if not isinstance(opened, str):
        with opened:
            assert opened.read() == whole


def test_the_beginning_of_what_cannot_be_read(local_root: str) -> None:
    with pytest.raises(StorageError, match="none: no such file"):
        storage.read_beginning(f"{local_root}/none", 1)
    with pytest.raises(StorageError, match="a folder stands where a file is needed"):
        storage.read_beginning(f"{local_root}/a", 1)


def test_a_file_where_a_folder_is_meant(local_root: str) -> None:
    assert storage.stamp(f"{local_root}/b.txt/x") is None
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        storage.read_bytes(f"{local_root}/b.txt/x")


def test_a_folder_where_a_file_is_meant(local_root: str) -> None:
    with pytest.raises(StorageError, match="a folder stands where a file is needed"):
        storage.read_bytes(f"{local_root}/a")


# --- links -------------------------------------------------------------------------------------


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/a.flac").write_bytes(b"1234")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "train").symlink_to("../disk")
    (corpus / "one.flac").symlink_to("../disk/a.flac")
    assert storage.find(str(corpus)) == [FileEntry("one.flac", 4), FileEntry("train/a.flac", 4)]
    (tmp_path / "short").symlink_to("corpus")
    assert len(storage.find(str(tmp_path / "short"))) == 2


def test_a_link_that_leads_nowhere_is_listed_as_empty(tmp_path: Path) -> None:
    (tmp_path / "gone.flac").symlink_to("nowhere")
    assert storage.find(str(tmp_path)) == [FileEntry("gone.flac", 0)]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.wav").write_bytes(b"1")
    (tmp_path / "a/up").symlink_to("..")
    assert storage.find(str(tmp_path)) == [FileEntry("a/x.wav", 1)]


def test_a_folder_that_may_not_be_read_is_no_empty_folder(
    public_folder: Path, without_privileges: WithoutPrivileges
) -> None:
    closed = public_folder / "closed"
    closed.mkdir(mode=0o700)
    closed.chmod(stat.S_IRWXU if os.geteuid() == 0 else 0)
    with without_privileges(), pytest.raises(StorageError, match="permission denied; check who owns it"):
        storage.find(str(public_folder))


def test_a_file_that_may_not_be_read(public_folder: Path, without_privileges: WithoutPrivileges) -> None:
    file = public_folder / "secret.wav"
    file.write_bytes(b"1")
    file.chmod(0o600 if os.geteuid() == 0 else 0)
    with without_privileges(), pytest.raises(StorageError, match="permission denied"):
        storage.read_bytes(str(file))


# --- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("root", "parts", "joined"),
    [
        ("corpus", ("a.wav",), "corpus/a.wav"),
        ("/data/corpus/", ("a", "b.wav"), "/data/corpus/a/b.wav"),
        ("/", ("a.wav",), "/a.wav"),
        ("gs://bucket", ("a.wav",), "gs://bucket/a.wav"),
        ("gs://bucket/x/", ("a.wav",), "gs://bucket/x/a.wav"),
        ("memory://", ("a.wav",), "memory://a.wav"),
        ("zip://::/x/c.zip", ("tr/a.wav",), "zip://tr/a.wav::/x/c.zip"),
        ("zip://tr::gs://b/c.zip", ("a.wav",), "zip://tr/a.wav::gs://b/c.zip"),
        ("simplecache::gs://b/c", ("a.wav",), "simplecache::gs://b/c/a.wav"),
        ("simplecache::zip://tr::gs://b/c", ("a.wav",), "simplecache::zip://tr/a.wav::gs://b/c"),
    ],
)
def test_join(root: str, parts: tuple[str, ...], joined: str) -> None:
    assert storage.join(root, *parts) == joined


@pytest.mark.parametrize(
    "path",
    ["a.wav", "tr/a.wav", "a/..b/c", "...", "a/.hidden", "ä ö/#?%.wav", "-n", "~/a", "a:b", "a/b:c.wav"],
)
def test_safe_relative_paths(path: str) -> None:
    assert storage.is_safe_relative(path)


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/etc/passwd", "..", "../a", "a/..", "a/../b", "a/../../b", ".", "./a", "a/./b", "a//b",
        "a/",        "a\\b", "a\0b", "a\nb", "a\rb", "zip://x", "file:///etc", "a::b", "a://b",
    ],
)  # fmt: skip
def test_unsafe_relative_paths(path: str) -> None:
    assert not storage.is_safe_relative(path)


@given(st.text(alphabet="ab./\\:~", max_size=12))
def test_safe_paths_stay_below_their_root(path: str) -> None:
    if storage.is_safe_relative(path):
        joined = os.path.normpath(storage.join("/root/corpus", path))
        assert joined.startswith("/root/corpus/")
        assert storage.local_path(storage.join("/root/corpus", path)) is not None


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("a/b", "a/b"),
        ("/a/b", "/a/b"),
        ("file:///a/b", "/a/b"),
        ("gs://b/a", None),
        ("memory://a", None),
        ("zip://a::/b.zip", None),
        ("simplecache::gs://b", None),
    ],
)
def test_local_path(url: str, path: str | None) -> None:
    assert storage.local_path(url) == path


def test_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage.absolute("corpus/../out/") == str(tmp_path / "out")
    assert storage.absolute(f"file://{tmp_path}/x") == str(tmp_path / "x")
    assert storage.absolute("gs://bucket/x/") == "gs://bucket/x/"


# --- text and stamps ---------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"\xef\xbb\xbfid\n", b"id\n"])
def test_text_comes_without_a_byte_order_mark(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    assert storage.read_text(str(tmp_path / "a.csv")) == "id\n"


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"id\xff\n")
    with pytest.raises(StorageError, match=r"a\.csv: is not UTF-8 text \(invalid start byte\)"):
        storage.read_text(str(tmp_path / "a.csv"))


def test_a_local_stamp_is_size_and_time(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"123")
    os.utime(file, ns=(5, 17))
    assert storage.stamp(str(file)) == FileStamp(3, "17")


def test_stamps_change_with_the_file(root: str) -> None:
    url = storage.join(root, "b.txt")
    before = storage.stamp(url)
    assert before is not None
    assert before.version
    assert before == storage.stamp(url)
    if "::" in root:
        return
    with fsspec.open(url, "wb") as file:
        file.write(b"c")
    assert storage.stamp(url) != before


def test_a_changed_member_of_an_archive_is_seen(zip_file: Path) -> None:
    url = f"zip://b.txt::{zip_file}"
    before = storage.stamp(url)
    assert storage.read_bytes(url) == b"b"
    with zipfile.ZipFile(zip_file, "w") as archive:
        archive.writestr("b.txt", b"c")
    assert storage.read_bytes(url) == b"c"
    assert storage.stamp(url) != before


# --- archives and other stores -----------------------------------------------------------------


def test_an_archive_is_opened_once(zip_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    original = zipfile.ZipFile.__init__

    def counted(self: zipfile.ZipFile, *args: object, **options: object) -> None:
        opened.append(args)
        original(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(zipfile.ZipFile, "__init__", counted)
    for path in FILES:
        storage.read_bytes(f"zip://{path}::{zip_file}")
    assert len(opened) == 1


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_threads_read_an_archive_side_by_side(tmp_path: Path, kind: str) -> None:
    members = {f"{number}.bin": bytes([number]) * 5000 for number in range(40)}
    archive = tmp_path / f"many.{kind}"
    for name, data in members.items():
        (tmp_path / name).write_bytes(data)
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as zipped:
            for name in members:
                zipped.write(tmp_path / name, name)
    else:
        with tarfile.open(archive, "w") as tarred:
            for name in members:
                tarred.add(tmp_path / name, name)
    urls = [f"{kind}://{name}::{archive}" for name in members] * 4
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(storage.read_bytes, urls)) == list(members.values()) * 4


def test_an_archive_in_an_archive(tmp_path: Path, zip_file: Path) -> None:
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.write(zip_file, "in/corpus.zip")
    url = f"zip://a/z.FLAC::zip://in/corpus.zip::{tmp_path}/outer.zip"
    assert storage.read_bytes(url) == b"four"


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_what_is_no_archive_is_named(tmp_path: Path, kind: str) -> None:
    (tmp_path / "text").write_bytes(b"no archive, and long enough to have a header" * 30)
    url = f"{kind}://a.wav::{tmp_path}/text"
    for read in (storage.read_bytes, storage.stamp, storage.exists, storage.find, storage.list_folder):
        with pytest.raises(StorageError, match=r"(File is not a zip file|ReadError)"):
            read(url)


def test_a_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file or folder"):
        storage.read_bytes(f"zip://a.wav::{tmp_path}/absent.zip")


def test_a_cache_in_front_of_a_store(local_root: str) -> None:
    url = storage.join(f"simplecache::file://{local_root}", "a/z.FLAC")
    assert storage.read_bytes(url) == b"four"


def test_unknown_stores_are_named() -> None:
    for read in (storage.read_bytes, storage.stamp, storage.exists, storage.find, storage.open_header):
        with pytest.raises(StorageError, match=r"^nosuch://a/b: ValueError: Protocol not known: nosuch"):
            read("nosuch://a/b")
