"""The start program of workers that get their code with the job: folders of its own, and none left."""

import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PATIENCE_S = 30.0
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(repository: Path, tmp_path: Path) -> Start:
    """Returns ``start(body)``: runs the start program with a shell script in place of Beam's."""

    def begin(body: str, **variables: str) -> "subprocess.Popen[str]":
        program = tmp_path / "beam-boot"
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        (tmp_path / "scratch").mkdir(exist_ok=True)
        told = {"BEAM_BOOT": str(program), "TMPDIR": str(tmp_path / "scratch"), "PATH": os.environ["PATH"]}
        return subprocess.Popen(
            [repository / "deploy/worker/boot.sh", "--id=1-2", "--provision_endpoint=host:1"],
            env={**told, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


def test_beams_program_gets_the_runners_words_and_folders_of_its_own(start: Start, tmp_path: Path) -> None:
    script = 'echo "$@"; echo $PIP_TARGET $PYTHONPATH; echo $RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT'
    out, err = start(script, PYTHONPATH="/more").communicate(timeout=PATIENCE_S)
    words, places, default = out.splitlines()
    scratch = str(tmp_path / "scratch")
    assert words.startswith(f"--semi_persist_dir {scratch}/")
    assert words.endswith("/staged --id=1-2 --provision_endpoint=host:1")
    target, path = places.split()
    assert target.startswith(scratch)
    assert path == f"{target}:/more"
    assert (default, err) == ("1", "")
    assert not os.listdir(scratch)


def test_the_status_is_that_of_beams_program(start: Start) -> None:
    started = start("exit 7")
    started.communicate(timeout=PATIENCE_S)
    assert started.returncode == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_ended_leaves_nothing(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    started = start(f"echo $$ > {tmp_path}/pid; mkdir $PIP_TARGET; exec sleep 60")
    deadline = time.monotonic() + PATIENCE_S
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    started.send_signal(number)
    started.communicate(timeout=PATIENCE_S)
    assert started.returncode == 143
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert not os.listdir(tmp_path / "scratch")


def test_what_is_missing_is_named(start: Start) -> None:
    _, err = start("exit 0", BEAM_BOOT="").communicate(timeout=PATIENCE_S)
    assert "BEAM_BOOT: is not set: wanted the place of the start program of Beam" in err
