"""One run at a time holds an output in a store, and what a dead run held is free again."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from pipelines.recording import recorded_run
from tests.conftest import REPOSITORY
from tests.servers import Store
from transforms import storage
from transforms.errors import StorageError, UsageError
from transforms.history import HISTORY_PATH
from transforms.storage import OutputTree, locks

LOCK = "_mixtape/lock"
HOLDER = """
import sys
from transforms.storage import OutputTree, only_run
with only_run(OutputTree(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def tree(store: Store, tmp_path: Path) -> OutputTree:
    return OutputTree(f"{store.url}/{tmp_path.name}")


@pytest.fixture
def holder(tree: OutputTree, store: Store) -> Iterator[subprocess.Popen[str]]:
    """Another run on the same output."""
    command = [sys.executable, "-c", HOLDER, tree.root]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, cwd=REPOSITORY, env=store.environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def from_elsewhere(tree: OutputTree) -> None:
    """Makes the lock look as if another machine had written it."""
    fields = json.loads(tree.read(LOCK))
    tree.write(LOCK, json.dumps(fields | {"host": "elsewhere", "machine": "x"}).encode())


def test_a_second_run_is_refused(tree: OutputTree, holder: subprocess.Popen[str]) -> None:
    wanted = (
        rf"^{tree.root}: another run \(process {holder.pid} on .+\) is writing here; "
        r"wait for it or end it; if it was killed, its hold ends in 1\d\d s$"
    )
    with pytest.raises(UsageError, match=wanted), storage.only_run(tree):
        pass
    assert json.loads(tree.read(LOCK))["process"] == holder.pid


def test_a_finished_run_frees_its_output(tree: OutputTree, holder: subprocess.Popen[str]) -> None:
    holder.communicate("")
    assert not tree.exists(LOCK)
    with storage.only_run(tree):
        assert json.loads(tree.read(LOCK))["process"] == os.getpid()
    assert storage.list_folder(tree.root) == []


def test_a_run_killed_on_this_machine_frees_its_output_at_once(
    tree: OutputTree, holder: subprocess.Popen[str]
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert json.loads(tree.read(LOCK))["process"] == holder.pid
    with storage.only_run(tree):
        assert json.loads(tree.read(LOCK))["process"] == os.getpid()
    assert not tree.exists(LOCK)


def test_a_run_killed_elsewhere_frees_its_output_when_its_lease_ends(
    tree: OutputTree, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    from_elsewhere(tree)
    with pytest.raises(UsageError, match=rf"process {holder.pid} on elsewhere"), storage.only_run(tree):
        pass
    monkeypatch.setattr(locks, "LEASE_S", -1.0)
    with storage.only_run(tree):
        assert json.loads(tree.read(LOCK))["process"] == os.getpid()
    assert not tree.exists(LOCK)


def test_a_lease_is_renewed(tree: OutputTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "RENEWAL_S", 0.05)
    system = fsspec.filesystem(tree.root.partition("://")[0], use_listings_cache=False)
    with storage.only_run(tree):
        first = system.modified(tree.url(LOCK))
        renewed = threading.Event()
        for _ in range(100):
            if system.modified(tree.url(LOCK)) > first:
                renewed.set()
                break
            renewed.wait(0.05)
        assert renewed.is_set()


def test_two_that_take_over_at_once_do_not_both_get_it(
    tree: OutputTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both see a dead lock; whoever comes second finds another lock than the one it saw, or a claim."""
    monkeypatch.setattr(locks, "LEASE_S", -1.0)
    tree.write(LOCK, b'{"process": 1, "host": "elsewhere", "machine": "x", "token": "t"}')
    seen = storage.stamp(tree.url(LOCK))
    assert seen is not None
    first, second = locks._Lease(tree), locks._Lease(tree)
    first._take_over(seen)
    with pytest.raises(UsageError, match=r"another run \(just starting\) is writing here"):
        second._take_over(seen)
    first.check()
    first.release()
    assert not tree.exists(LOCK)


def test_many_that_start_at_once_are_one(tree: OutputTree) -> None:
    taken: list[locks._Lease] = []
    refused: list[UsageError] = []

    def start() -> None:
        lease = locks._Lease(tree)
        try:
            lease.take()
            taken.append(lease)
        except UsageError as error:
            refused.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), len(refused)) == (1, 7)
    taken[0].release()


def test_a_run_that_lost_its_output_breaks_off(tree: OutputTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "RENEWAL_S", 0.05)

    def lose() -> None:
        with recorded_run(tree, ("mixtape", "render")):
            fields = json.loads(tree.read(LOCK))
            for _ in range(100):
                tree.write(LOCK, json.dumps(fields | {"token": "other"}).encode())
                threading.Event().wait(0.5)

    with pytest.raises(StorageError, match="another run took it over, as nothing was heard of this one"):
        lose()
    assert json.loads(tree.read(LOCK))["token"] == "other"
    assert not tree.exists(HISTORY_PATH), "the history is another run's to write"


def test_what_killed_runs_left_is_removed(tree: OutputTree, store: Store) -> None:
    tree.write("_mixtape/tmp/probe-1", b"")
    tree.write("kept", b"1")
    other = OutputTree(f"{tree.root}-other")
    if store.url.startswith("s3"):
        system = fsspec.filesystem("s3")
        for place in (tree, other):
            bucket, key, _ = system.split_path(place.url("half"))
            system.call_s3("create_multipart_upload", Bucket=bucket, Key=key)
    with storage.only_run(tree):
        assert storage.list_folder(tree.url("_mixtape")) == ["lock"]
    assert [entry.path for entry in storage.find(tree.root)] == ["kept"]
    if store.url.startswith("s3"):
        (left,) = system.list_multipart_uploads(bucket)
        assert left["Key"] == key
        storage.OutputTree(other.root).remove_temporary()
        assert system.list_multipart_uploads(bucket) == []
