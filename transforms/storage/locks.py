"""One run per output: a file lock on a local disk, and a lease that is renewed in a store.

In a store the lock is an object that is created only if it is not there. Who holds it writes it anew every
half minute. One that was not renewed for two minutes is of a run that died, and the next run takes it over;
both times are the store's own, so no two clocks are compared. A run that was killed on this very machine
is known to be gone at once.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from transforms.errors import MixtapeError, StorageError, UsageError
from transforms.storage import clients
from transforms.storage.failures import attempt, explained
from transforms.storage.output_tree import TEMPORARY_FOLDER, OutputTree
from transforms.storage.plain import stamp_of_file
from transforms.storage.reading import read_bytes
from transforms.storage.urls import OWN_FOLDER, FileStamp, local_path

LEASE_S = 120.0
RENEWAL_S = 30.0
_LOCK = f"{OWN_FOLDER}/lock"


@contextlib.contextmanager
def only_run(tree: OutputTree) -> Iterator[Callable[[], bool]]:
    """Holds an output for one run and removes what killed runs left unfinished.

    Yields what tells whether the output is still held: a run that lost it must not write to it any more.

    Raises:
        UsageError: another run is writing to the same output.
        StorageError: the output cannot be held, or was taken over because this run was cut off from the
            store for longer than two minutes.
    """
    hold = _local_lock if local_path(tree.root) is not None else _store_lock
    with hold(tree) as is_held:
        tree.remove_temporary()
        yield is_held
        tree.remove_temporary()


def _refusal(tree: OutputTree, holder: str, way_out: str) -> UsageError:
    return UsageError(f"{tree.root}: another run ({holder}) is writing here; {way_out}")


@contextlib.contextmanager
def _local_lock(tree: OutputTree) -> Iterator[Callable[[], bool]]:
    path = tree.url(_LOCK).removeprefix("file://")
    with explained(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = _lock(tree, path)
    try:
        with explained(path):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        yield lambda: True
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)
            os.rmdir(os.path.dirname(path))
        os.close(descriptor)


def _lock(tree: OutputTree, path: str) -> int:
    """Opens and locks a file that is still the one of that name once the lock is ours."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode() or "unknown"
            os.close(descriptor)
            raise _refusal(tree, f"process {holder}", "wait for it or end it") from error
        os.close(descriptor)


@contextlib.contextmanager
def _store_lock(tree: OutputTree) -> Iterator[Callable[[], bool]]:
    lease = _Lease(tree)
    lease.take()
    renewing = threading.Thread(target=lease.keep, daemon=True, name="mixtape-lease")
    renewing.start()
    try:
        yield lambda: not lease.is_lost
    except KeyboardInterrupt:
        lease.check()
        raise
    finally:
        lease.ended.set()
        renewing.join()
        with contextlib.suppress(MixtapeError):
            lease.release()
    lease.check()


@dataclass(frozen=True)
class _Holder:
    """Who holds a lock: a process, the machine's name, what tells this machine from others, a number."""

    process: int
    host: str
    machine: str
    token: str

    @classmethod
    def here(cls) -> "_Holder":
        return cls(os.getpid(), platform.node(), _machine(), secrets.token_hex(8))

    @classmethod
    def read(cls, url: str) -> "_Holder | None":
        """Reads a lock; None where there is none, or one that cannot be understood."""
        try:
            return cls(**json.loads(read_bytes(url)))
        except (StorageError, ValueError, TypeError):
            return None

    def to_json(self) -> bytes:
        return json.dumps(self.__dict__).encode()

    @property
    def is_gone(self) -> bool:
        """Whether it was a process of this machine that is there no more."""
        if not self.machine or self.machine != _machine():
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def _machine() -> str:
    """Returns what only processes have in common that see each other's numbers; else nothing."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()}-{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


class _Lease:
    """The lock of an output in a store, from the side of one run.

    Attributes:
        ended: set when the run needs the lock no more.
        is_lost: whether another run has it now.
    """

    def __init__(self, tree: OutputTree) -> None:
        self._tree = tree
        self._url = tree.url(_LOCK)
        self._own = _Holder.here()
        self.is_lost = False
        self.ended = threading.Event()

    def take(self) -> None:
        """Makes the lock ours. Raises UsageError while another run holds it."""
        while not self._created(self._url):
            seen = stamp_of_file(self._url)
            holder = _Holder.read(self._url)
            left_s = LEASE_S - self._age_s(self._url)
            if seen is None:
                continue
            if left_s > 0 and not (holder and holder.is_gone):
                name = f"process {holder.process} on {holder.host}" if holder else "unknown"
                way_out = f"wait for it or end it; if it was killed, its hold ends in {left_s:.0f} s"
                raise _refusal(self._tree, name, way_out)
            self._take_over(seen)
            return

    def _created(self, url: str) -> bool:
        """Creates an object that is not there; tells by reading it again whether it is ours."""

        def create() -> None:
            with contextlib.suppress(FileExistsError):
                clients.put_bytes(url, self._own.to_json(), create=True)

        attempt(url, create)
        return _Holder.read(url) == self._own

    def _age_s(self, url: str) -> float:
        """Returns for how long an object was not renewed, by the clock of its store."""
        probe = f"{TEMPORARY_FOLDER}/clock-{self._own.token}"
        self._tree.write(probe, b"")
        try:
            now, then = _modified(self._tree.url(probe)), _modified(url)
        finally:
            self._tree.remove(probe)
        return (now - then).total_seconds() if now and then else 0.0

    def _take_over(self, seen: FileStamp) -> None:
        """Replaces a lock that nobody renews, unless another run does so at this moment.

        The right to replace that very state of the lock is itself an object that only one can create.
        """
        state = hashlib.sha256(repr(seen).encode()).hexdigest()[:16]
        right = f"{TEMPORARY_FOLDER}/takeover-{state}"
        if not self._created(self._tree.url(right)):
            if self._age_s(self._tree.url(right)) > LEASE_S:
                self._tree.remove(right)
            raise _refusal(self._tree, "just starting", "wait for it or end it")
        try:
            if stamp_of_file(self._url) != seen:
                raise _refusal(self._tree, "just starting", "wait for it or end it")
            self._tree.write(_LOCK, self._own.to_json())
        finally:
            self._tree.remove(right)

    def keep(self) -> None:
        """Renews the lock until the run has ended; interrupts the run when the lock is lost."""
        renewed = time.monotonic()
        while not self.ended.wait(RENEWAL_S):
            try:
                self.is_lost = _Holder.read(self._url) != self._own
                if not self.is_lost:
                    self._tree.write(_LOCK, self._own.to_json())
                    renewed = time.monotonic()
            except MixtapeError:
                self.is_lost = time.monotonic() - renewed > LEASE_S
            if self.is_lost:
                signal.pthread_kill(cast(int, threading.main_thread().ident), signal.SIGINT)
                return

    def check(self) -> None:
        """Raises StorageError if the lock was lost."""
        if self.is_lost:
            problem = "another run took it over, as nothing was heard of this one; run the same command again"
            raise StorageError(self._tree.root, problem)

    def release(self) -> None:
        """Removes the lock if it is ours."""
        if _Holder.read(self._url) == self._own:
            self._tree.remove(_LOCK)


def _modified(url: str) -> datetime | None:
    """Returns when a store last took an object, by its clock; None where there is no such object."""

    def ask() -> datetime | None:
        system, inner = clients.resolve(url)
        with contextlib.suppress(FileNotFoundError):
            return cast(datetime, system.modified(inner))
        return None

    return attempt(url, ask)
