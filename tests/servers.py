"""Object stores and a web server on this machine, for tests: installed when absent, started, ended.

Import the fixtures that a folder's tests need into its ``conftest.py``. Programs run as subprocesses with
``store.variables`` in their environment find the store without further options; for tests that use it in
their own process there is ``visit``.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import fsspec
import pytest

BUCKET = "mixtape"
HOST = "127.0.0.1"
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mixtape" / "bin"
_START_S = 30.0
_STOP_S = 10.0
_PACKAGES = {
    "fake-gcs-server": "github.com/fsouza/fake-gcs-server@v1.56.1",
    "versitygw": "github.com/versity/versitygw/cmd/versitygw@v1.8.0",
}
_WEB_SERVER = """
import sys
from aiohttp import web
app = web.Application()
app.router.add_static("/", sys.argv[1], show_index=True)
web.run_app(app, host=sys.argv[2], port=int(sys.argv[3]), print=None, handle_signals=True)
"""


def program(name: str) -> str:
    """Returns the path of a server's program, installed into a cache outside the tree if need be.

    Skips the test where it is not there and cannot be installed.
    """
    path = _CACHE / name
    if path.exists():
        return str(path)
    go = shutil.which("go")
    if go is None:
        pytest.skip(f"not run: {name} is not in {_CACHE}, and there is no Go to install it with")
    _CACHE.mkdir(parents=True, exist_ok=True)
    with open(_CACHE / f".{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _install(go, name)
    return str(path)


def _install(go: str, name: str) -> None:
    """Builds a program beside its place and moves it there, so that a broken build leaves nothing."""
    building = _CACHE / f".building-{name}"
    command = [go, "install", _PACKAGES[name]]
    environment = {**os.environ, "GOBIN": str(building)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"not run: Go could not install {name}: {last}")
    os.replace(building / name, _CACHE / name)
    shutil.rmtree(building)


def free_port() -> int:
    """Returns a port of this machine on which nothing listens at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Server:
    """A process that listens on a port; ``stop`` and ``start`` again keep port and data.

    Args:
        command: the program and its arguments.
        port: where it listens.
    """

    def __init__(self, command: Sequence[str], port: int) -> None:
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port

    def start(self) -> None:
        """Starts the process and waits until it listens."""
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        end = time.monotonic() + _START_S
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"does not listen on port {self.port}: {' '.join(self._command)}")
            time.sleep(0.02)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=1):
            return True
        return False

    def stop(self) -> None:
        """Ends the process, at once and with all that it started."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(_STOP_S)
        self._process = None


@dataclass(frozen=True)
class Store:
    """A store that is there while its fixture lives.

    Attributes:
        url: an empty bucket, or the web server's root.
        variables: environment variables with which a program finds the store.
        server: its process.
        folder: where the server keeps its files.
    """

    url: str
    variables: Mapping[str, str]
    server: Server
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a program that uses the store."""
        return {**os.environ, **self.variables}


@contextlib.contextmanager
def visit(store: Store) -> Iterator[Store]:
    """Lets this very process use a store: sets the environment and forgets file systems made before."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in store.variables.items():
            patch.setenv(name, value)
        patch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
        _forget_file_systems()
        yield store
        _forget_file_systems()


def _forget_file_systems() -> None:
    from transforms import storage

    storage.forget_file_systems()
    for name in ("gs", "s3", "http"):
        fsspec.get_filesystem_class(name).clear_instance_cache()


def gs_variables(port: int) -> dict[str, str]:
    """Returns with which variables gcsfs talks to an emulator on a port."""
    return {
        "STORAGE_EMULATOR_HOST": f"http://{HOST}:{port}",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        "FSSPEC_GS_TOKEN": "anon",
    }


def s3_variables(port: int) -> dict[str, str]:
    """Returns with which variables s3fs talks to a server on a port."""
    return {
        "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "testtest",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextlib.contextmanager
def gs_server(folder: Path, *, seen_at: int | None = None) -> Iterator[Store]:
    """Runs fake-gcs-server over a folder, with one bucket in it.

    Args:
        folder: where objects are kept.
        seen_at: port of a proxy through which clients come; None if they come directly.
    """
    port = free_port()
    outside = port if seen_at is None else seen_at
    (folder / BUCKET).mkdir(parents=True)
    command = [
        *(program("fake-gcs-server"), "-scheme", "http", "-host", HOST, "-port", str(port)),
        *("-backend", "filesystem", "-filesystem-root", str(folder)),
        *("-external-url", f"http://{HOST}:{outside}", "-public-host", f"{HOST}:{outside}"),
        *("-log-level", "error"),
    ]
    with _running(command, port) as server:
        yield Store(f"gs://{BUCKET}", gs_variables(outside), server, folder)


@contextlib.contextmanager
def s3_server(folder: Path, *, seen_at: int | None = None) -> Iterator[Store]:
    """Runs versitygw over a folder, with one bucket in it; arguments as of ``gs_server``."""
    port = free_port()
    (folder / BUCKET).mkdir(parents=True)
    command = [
        *(program("versitygw"), "--quiet", "--access", "test", "--secret", "testtest"),
        *("--port", f"{HOST}:{port}", "posix", str(folder)),
    ]
    with _running(command, port) as server:
        yield Store(f"s3://{BUCKET}", s3_variables(port if seen_at is None else seen_at), server, folder)


@contextlib.contextmanager
def http_server(folder: Path) -> Iterator[Store]:
    """Serves a folder by HTTP, with ranges and ETags."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", _WEB_SERVER, str(folder), HOST, str(port)]
    with _running(command, port) as server:
        yield Store(f"http://{HOST}:{port}", {}, server, folder)


@contextlib.contextmanager
def _running(command: Sequence[str], port: int) -> Iterator[Server]:
    server = Server(command, port)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def gs_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A Google Cloud Storage emulator for the whole session."""
    with gs_server(tmp_path_factory.mktemp("gs") / "data") as store:
        yield store


@pytest.fixture(scope="session")
def s3_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """An S3 server for the whole session."""
    with s3_server(tmp_path_factory.mktemp("s3") / "data") as store:
        yield store


@pytest.fixture(scope="session")
def http_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A web server for the whole session; what is put into its folder can be read."""
    with http_server(tmp_path_factory.mktemp("http") / "data") as store:
        yield store
