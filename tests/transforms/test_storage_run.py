"""One run holds an output on a local disk, and the system frees it however the run ends."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from transforms import storage
from transforms.errors import StorageError, UsageError
from transforms.storage import OWN_FOLDER, OutputTree

HOLDER = """
import sys
from transforms.storage import OutputTree, only_run
with only_run(OutputTree(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    pipe, root = subprocess.PIPE, Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_run_is_refused_with_the_first_ones_number(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    wanted = rf"^{tmp_path}: another run \(process {holder.pid}\) is writing here; wait for it or end it$"
    with pytest.raises(UsageError, match=wanted), storage.only_run(OutputTree(str(tmp_path))):
        pass
    assert (tmp_path / OWN_FOLDER / "lock").exists()


def test_a_killed_run_frees_its_output(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    lock = tmp_path / OWN_FOLDER / "lock"
    assert lock.read_text() == str(holder.pid)
    with storage.only_run(OutputTree(str(tmp_path))):
        assert lock.read_text() == str(os.getpid())
    assert not lock.exists()


def test_a_finished_run_frees_its_output(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.communicate("")
    with storage.only_run(OutputTree(str(tmp_path))):
        pass


def test_a_failed_run_frees_its_output(tmp_path: Path) -> None:
    tree = OutputTree(str(tmp_path / "new/out"))
    with pytest.raises(ValueError, match="boom"), storage.only_run(tree):
        raise ValueError("boom")
    with storage.only_run(tree), pytest.raises(UsageError, match="another run"), storage.only_run(tree):
        pass
    assert not (tmp_path / "new/out" / OWN_FOLDER / "lock").exists()


def test_a_lock_whose_file_was_replaced_meanwhile_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run ends and another begins between opening the file and locking it."""
    lock = tmp_path / OWN_FOLDER / "lock"
    flock = fcntl.flock
    replacements = ["unlink", "replace"]

    def late(descriptor: int, operation: int) -> None:
        if replacements:
            lock.unlink()
            if replacements.pop() == "replace":
                lock.write_text("4711")
        flock(descriptor, operation)

    monkeypatch.setattr("transforms.storage.locks.fcntl.flock", late)
    with storage.only_run(OutputTree(str(tmp_path))):
        assert lock.read_text() == str(os.getpid())
    assert replacements == []
    assert not lock.exists()


def test_an_output_in_another_store_is_held_too(tmp_path: Path) -> None:
    tree = OutputTree(f"memory:/{tmp_path}")
    wanted = rf"another run \(process {os.getpid()} on .*\) is writing here; wait for it or end it"
    with storage.only_run(tree), pytest.raises(UsageError, match=wanted), storage.only_run(tree):
        pass
    assert not tree.exists("")


def test_an_output_that_may_not_be_written_cannot_be_held(
    public_folder: Path, without_privileges: Callable[[], AbstractContextManager[None]]
) -> None:
    (public_folder / OWN_FOLDER).mkdir()
    (public_folder / OWN_FOLDER).chmod(0o555)
    tree = OutputTree(str(public_folder))
    with (
        without_privileges(),
        pytest.raises(StorageError, match="permission denied; check who owns it and its mode"),
        storage.only_run(tree),
    ):
        pass
