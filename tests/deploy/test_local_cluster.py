"""A cluster's processes: waited for, explained, and ended with all that they started."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy import local_cluster
from deploy.local_cluster import Cluster, parse

PATIENCE_S = 30.0


def is_there(pid: int) -> bool:
    """Tells whether a process is there and not just waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while is_there(pid):
        assert time.monotonic() < deadline, f"{pid} is still there"
        time.sleep(0.02)


def written_pid(path: Path) -> int:
    deadline = time.monotonic() + PATIENCE_S
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(path.read_text())


def test_ending_ends_what_processes_started_too(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.start("stubborn", ["sh", "-c", f"sleep 90 & echo $! > {tmp_path}/pid; wait"], {})
    started = written_pid(tmp_path / "pid")
    cluster.end()
    wait_until_gone(started)
    assert cluster.processes["stubborn"].returncode is not None


def test_logs_and_variables(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.start("talker", ["sh", "-c", "echo $WORD; echo trouble >&2"], {"WORD": "hello"})
    cluster.processes["talker"].wait(PATIENCE_S)
    assert (tmp_path / "talker.log").read_text() == "hello\ntrouble\n"


def test_a_process_that_ends_too_soon_is_named(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.start("master", ["true"], {})
    with pytest.raises(RuntimeError, match=f"did not come up: master ended; see the logs in {tmp_path}"):
        cluster.wait_for(lambda: False)


def test_a_cluster_that_takes_too_long_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_cluster, "START_S", 0.3)
    cluster = Cluster(tmp_path)
    cluster.start("master", ["sleep", "60"], {})
    with pytest.raises(RuntimeError, match="it was not ready after 0 s"):
        cluster.wait_for(lambda: False)
    cluster.end()


def test_processes_do_not_outlive_a_program_that_is_killed(repository: Path, tmp_path: Path) -> None:
    script = f"""
import time
from pathlib import Path
from deploy.local_cluster import Cluster
cluster = Cluster(Path({str(tmp_path)!r}))
cluster.start("sleeper", ["sleep", "90"], {{}})
Path({str(tmp_path / "pid")!r}).write_text(str(cluster.processes["sleeper"].pid))
time.sleep(90)
"""
    program = subprocess.Popen([sys.executable, "-c", script], cwd=repository)
    started = written_pid(tmp_path / "pid")
    assert is_there(started)
    os.kill(program.pid, signal.SIGKILL)
    program.wait(PATIENCE_S)
    wait_until_gone(started)


@pytest.mark.parametrize(("kind", "port", "rpc_port"), [("flink", 8081, 6123), ("spark", 8080, 7077)])
def test_ports_are_the_usual_ones(kind: str, port: int, rpc_port: int) -> None:
    arguments = parse([kind, "--home", "there"])
    assert (arguments.port, arguments.rpc_port, arguments.workers, arguments.slots) == (port, rpc_port, 2, 2)
    assert arguments.folder is None


def test_a_distribution_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["flink"])
    assert "the following arguments are required: --home" in capsys.readouterr().err
