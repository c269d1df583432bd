"""What goes wrong with stores: what is survived, what is said, and that nothing is lost or half visible."""

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines import cli
from tests import trees
from tests.conftest import REPOSITORY
from tests.faults import Fault, Proxy, Seen, watched
from tests.servers import Store, visit
from tests.stores.conftest import stored, upload
from tests.trees import UNEQUAL, Corpus
from transforms import report, storage
from transforms.errors import StorageError, StoreUnavailableError
from transforms.storage import OutputTree, failures

LARGE_BYTES = 70 << 20


@pytest.fixture(scope="module", params=["gs", "s3"])
def behind(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, Proxy]]:
    """A store, which this process uses through a proxy."""
    folder = tmp_path_factory.mktemp(request.param) / "data"
    with watched(request.param, folder) as (store, proxy), visit(store):
        yield store, proxy


@pytest.fixture
def proxy(behind: tuple[Store, Proxy]) -> Iterator[Proxy]:
    yield behind[1]
    behind[1].faults.clear()


@pytest.fixture
def tree(behind: tuple[Store, Proxy], tmp_path: Path) -> OutputTree:
    """A folder with one file."""
    made = OutputTree(f"{behind[0].url}/{tmp_path.name}")
    made.write("a", b"hello")
    return made


# --- what passes -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 503])
def test_answers_that_ask_for_patience_are_asked_again(tree: OutputTree, proxy: Proxy, status: int) -> None:
    for work in (lambda: tree.read("a"), lambda: tree.write("b", b"2"), lambda: tree.names("")):
        proxy.faults = [Fault(status=status, times=2)]
        start = len(proxy.seen)
        work()
        assert len(proxy.seen) - start == 3
    assert (tree.read("a"), tree.read("b")) == (b"hello", b"2")


def test_answers_that_break_off_are_asked_for_again(tree: OutputTree, proxy: Proxy) -> None:
    tree.write("long", bytes(100000))
    proxy.faults = [Fault(cut=True, times=2)]
    assert tree.read("long") == bytes(100000)


def test_slow_answers_are_awaited(tree: OutputTree, proxy: Proxy) -> None:
    proxy.faults = [Fault(wait_s=2.0, times=2)]
    assert tree.read("a") == b"hello"
    tree.write("b", b"2")
    assert tree.read("b") == b"2"


def test_a_store_that_is_down_for_seconds(behind: tuple[Store, Proxy], tree: OutputTree) -> None:
    server = behind[0].server
    server.stop()
    back = threading.Timer(5.0, server.start)
    back.start()
    try:
        for number in range(20):
            tree.write(f"{number}", b"%d" % number)
        assert [tree.read(f"{number}") for number in range(20)] == [b"%d" % number for number in range(20)]
    finally:
        back.join()


# --- what does not pass ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
def test_denied_access_is_said_and_not_taken_for_absence(tree: OutputTree, proxy: Proxy, status: int) -> None:
    proxy.faults = [Fault(status=status)]
    start = len(proxy.seen)
    for work in (
        lambda: tree.read("a"),
        lambda: tree.write("b", b"2"),
        lambda: tree.size("a"),
        lambda: tree.exists("a"),
        lambda: storage.is_folder(tree.root),
        lambda: storage.find(tree.root),
        lambda: tree.names(""),
        lambda: tree.remove("a"),
        lambda: storage.open_header(tree.url("a")),
    ):
        with pytest.raises(
            StoreUnavailableError, match="the store denies access; check the credentials, and"
        ):
            work()
    assert len(proxy.seen) - start < 20


def test_a_store_that_stays_away_is_named(
    tree: OutputTree, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "RETRY_S", 0.0)
    proxy.faults = [Fault(status=503)]
    with pytest.raises(
        StoreUnavailableError, match="the store does not answer, or answers with errors"
    ) as caught:
        tree.read("a")
    assert caught.value.url == tree.url("a")


def test_a_missing_bucket_is_named(behind: tuple[Store, Proxy]) -> None:
    tree = OutputTree(f"{behind[0].url}-absent/out")
    with pytest.raises(StorageError, match="no such bucket; make it first, or check its name"):
        tree.write("a", b"1")
    with pytest.raises(StorageError, match="no such bucket"), tree.open("a") as file:
        file.write(b"1")
    with pytest.raises(StorageError, match="no such file or folder; check the path"):
        tree.read("a")
    with pytest.raises(StorageError, match="no such folder; check the path"):
        storage.find(tree.root)
    assert not tree.exists("a")
    assert tree.names("") == []


# --- nothing half visible ----------------------------------------------------------------------


def test_a_block_that_fails_leaves_nothing(tree: OutputTree) -> None:
    def fail() -> None:
        with tree.open("b") as file:
            file.write(bytes(1000))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert tree.names("") == ["a"]


def write_large(tree: OutputTree) -> None:
    with tree.open("large") as file:
        for _ in range(LARGE_BYTES >> 20):
            file.write(os.urandom(1 << 20))


def is_part(seen: Seen) -> bool:
    return "partNumber=2" in seen.query or (
        "upload_id" in seen.query and "uploadType=resumable" in seen.query
    )


def test_an_upload_in_parts_that_fails_leaves_nothing(
    tree: OutputTree, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "RETRY_S", 0.0)
    proxy.faults = [Fault(status=403, where=is_part)]
    with pytest.raises(StoreUnavailableError, match="the store denies access"):
        write_large(tree)
    assert any(map(is_part, proxy.seen))
    assert tree.names("") == ["a"]


def test_an_upload_in_parts_survives_a_failing_part(tree: OutputTree, proxy: Proxy) -> None:
    proxy.faults = [Fault(status=503, times=2, where=is_part)]
    write_large(tree)
    assert tree.size("large") == LARGE_BYTES
    assert proxy.faults[0].times == 0


def test_a_failing_read_of_a_header_is_not_taken_for_a_bad_file(tree: OutputTree, proxy: Proxy) -> None:
    tree.write("long", bytes(200000))
    opened = storage.open_header(tree.url("long"))
    assert not isinstance(opened, str)
    proxy.faults = [Fault(status=403)]
    opened.seek(-10, io.SEEK_END)
    assert opened.read(10) == b""
    with pytest.raises(StoreUnavailableError, match="denies access"):
        opened.close()


def test_a_file_that_is_replaced_while_it_is_read(tree: OutputTree) -> None:
    tree.write("long", bytes(200000))
    with storage.open_ranges(tree.url("long")) as file:
        tree.write("long", bytes([1]) * 200000)
        with pytest.raises(StorageError, match="was replaced while it was read"):
            file.read()
        file._failure = None


# --- whole runs --------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def short_report() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "make_report", lambda job, summaries: f"{len(summaries)} parts")
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return trees.make_corpus(tmp_path_factory.mktemp("corpora"), mixtures=8)


@pytest.fixture(scope="module")
def expected(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("expected") / "out"
    assert trees.run(corpus, out, *corpus.small_flags()) == 0
    return trees.contents(out)


@pytest.fixture(scope="module")
def words(corpus: Corpus, behind: tuple[Store, Proxy]) -> Callable[[str], list[str]]:
    """Returns the command line that renders a corpus in the store into a folder of it, given its name."""
    url = f"{behind[0].url}/whole"
    upload(corpus.folder, f"{url}/corpus")

    def make(out: str) -> list[str]:
        flags = [*corpus.flags(Path("OUT")), *corpus.small_flags(), "--workers", "1", "--quiet"]
        return [
            f"{url}/{out}" if word == "OUT" else word.replace(str(corpus.folder), f"{url}/corpus")
            for word in flags
        ]

    return make


def made(behind: tuple[Store, Proxy], out: str) -> dict[str, bytes]:
    found = stored(f"{behind[0].url}/whole/{out}")
    return {name: data for name, data in found.items() if not name.startswith(UNEQUAL)}


def when_seen(proxy: Proxy, count: int, work: Callable[[], object]) -> threading.Thread:
    """Starts a thread that does something when so many more requests have come."""
    wanted = len(proxy.seen) + count

    def watch() -> None:
        while len(proxy.seen) < wanted:
            time.sleep(0.01)
        work()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_a_run_survives_a_store_that_is_down_in_the_middle(
    behind: tuple[Store, Proxy], words: Callable[[str], list[str]], expected: dict[str, bytes]
) -> None:
    server = behind[0].server

    def interrupt() -> None:
        server.stop()
        time.sleep(5.0)
        server.start()

    interrupting = when_seen(behind[1], 60, interrupt)
    assert cli.main(words("down")) == 0
    interrupting.join()
    assert made(behind, "down") == expected


def test_a_run_that_loses_its_store_breaks_off_and_the_next_goes_on(
    behind: tuple[Store, Proxy],
    proxy: Proxy,
    words: Callable[[str], list[str]],
    expected: dict[str, bytes],
    *,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """No source is rejected because its store was away."""
    monkeypatch.setattr(failures, "RETRY_S", 0.0)
    lost = Fault(status=403, where=lambda seen: seen.path.endswith("105-1-0000.flac"))
    proxy.faults = [lost]
    capfd.readouterr()
    assert cli.main(words("lost")) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("mixtape: ")
    assert "105-1-0000.flac: the store denies access; check the credentials" in line
    proxy.faults = []
    assert cli.main(words("lost")) == 0
    assert made(behind, "lost") == expected


def test_a_killed_run_goes_on(
    behind: tuple[Store, Proxy], words: Callable[[str], list[str]], expected: dict[str, bytes]
) -> None:
    store, proxy = behind
    command = [sys.executable, "-m", "pipelines.cli", *words("killed")]
    with subprocess.Popen(command, cwd=REPOSITORY, env=store.environment) as process:
        when_seen(proxy, 60, process.kill).join()
    assert process.returncode == -9
    assert storage.exists(f"{store.url}/whole/killed/_mixtape/lock")
    assert cli.main(words("killed")) == 0
    assert made(behind, "killed") == expected


@pytest.mark.parametrize("fault", ["credentials", "bucket"])
def test_a_bad_beginning_is_one_line(
    behind: tuple[Store, Proxy],
    proxy: Proxy,
    words: Callable[[str], list[str]],
    capfd: pytest.CaptureFixture[str],
    *,
    fault: str,
) -> None:
    command = words("bad")
    if fault == "credentials":
        proxy.faults = [Fault(status=403)]
    else:
        command = [
            word.replace(f"{behind[0].url}/whole/bad", f"{behind[0].url}-absent/bad") for word in command
        ]
    capfd.readouterr()
    assert cli.main(command) == 2
    lines = capfd.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith("mixtape: ") for line in lines)
    wanted = {"credentials": "the store denies access", "bucket": "cannot be written to: no such bucket"}[
        fault
    ]
    assert all(wanted in line for line in lines)


def test_wrong_keys_of_s3_are_one_line(s3_store: Store, words: Callable[[str], list[str]]) -> None:
    command = [sys.executable, "-m", "pipelines.cli", "metadata", "wham", "--corpus", f"{s3_store.url}/x"]
    environment = s3_store.environment | {"AWS_SECRET_ACCESS_KEY": "wrong"}
    done = subprocess.run(
        [*command, "--out", "/nowhere"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "the store denies access; check the credentials" in line


def test_a_full_disk_of_temporary_files_is_named(
    tree: OutputTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes to a store is collected on a disk first."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("not run: a small file system cannot be mounted here")
    try:
        monkeypatch.setattr("tempfile.tempdir", str(small))
        with pytest.raises(
            StorageError, match=rf"^{small}: no space left on the device; free some, then run"
        ):
            write_large(tree)
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert tree.names("") == ["a"]
