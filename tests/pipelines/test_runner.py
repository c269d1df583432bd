"""Running a pipeline on this machine: flags, counters, errors in our own words, progress."""

import os
import re
import sys
import threading
from collections.abc import Callable
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.metrics import Metrics

from pipelines.runner import (
    Running,
    _quiet_workers,
    beam_flags,
    check_flags,
    counted,
    duration,
    run_pipeline,
)
from transforms.errors import MixtapeError, SourceError, StorageError, UsageError


@pytest.mark.parametrize(
    ("workers", "mode"), [(1, "in_memory"), (2, "multi_processing"), (16, "multi_processing")]
)
def test_a_local_run_names_its_runner_and_its_workers(workers: int, mode: str) -> None:
    assert beam_flags(Running(workers)) == [
        "--runner=FnApiRunner",
        f"--direct_running_mode={mode}",
        f"--direct_num_workers={workers}",
    ]


def test_flags_of_the_local_runner_can_be_chosen() -> None:
    flags = beam_flags(Running(2, ("--direct_running_mode=multi_threading", "--experiments=x")))
    assert flags == [
        "--direct_running_mode=multi_threading",
        "--experiments=x",
        "--runner=FnApiRunner",
        "--direct_num_workers=2",
    ]


@pytest.mark.parametrize(
    "words", [("--runner=DirectRunner",), ("--runner", "direct"), ("--runner", "FnApiRunner")], ids=str
)
def test_the_local_runner_by_its_other_names_is_the_local_runner(words: tuple[str, ...]) -> None:
    running = Running(2, (*words, "--experiments=x"))
    assert running.is_local
    assert beam_flags(running) == ["--experiments=x", *beam_flags(Running(2))]


@pytest.mark.parametrize("words", [("--runner=FlinkRunner",), ("--runner", "FlinkRunner")], ids=str)
def test_another_runner_gets_the_flags_unchanged(words: tuple[str, ...]) -> None:
    running = Running(4, (*words, "--flink_master=host:8081"))
    assert not running.is_local
    assert beam_flags(running) == [*words, "--flink_master=host:8081"]


def test_flags_that_are_no_runner_leave_a_run_local() -> None:
    assert Running(1, ("--runner_v2", "--region=west")).is_local


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Running().say("heard")
    Running(quiet=True).say("unheard")
    assert capsys.readouterr().out == "heard\n"


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--runner=NoRunner",), "Unexpected pipeline runner: NoRunner"),
        (("--direct_num_workers", "two"), "argument --direct_num_workers: invalid int value: 'two'"),
        (("--direct_running_mode=fast",), "argument --direct_running_mode: invalid choice: 'fast'"),
    ],
)
def test_flags_that_beam_refuses(
    flags: tuple[str, ...], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for check in (check_flags, lambda running: run_pipeline(lambda _: None, running)):
        with pytest.raises(UsageError) as raised:
            check(Running(1, flags))
        assert str(raised.value).startswith(
            f"Beam refuses the flags passed on to it ({' '.join(flags)}): {problem}"
        )
    assert capsys.readouterr().err == ""


def test_flags_that_beam_takes() -> None:
    check_flags(Running(1, ("--runner=FlinkRunner", "--flink_master=[local]", "--unheard_of=1")))
    check_flags(Running(1))


def test_a_cluster_that_does_not_answer_is_found_out_before_any_work() -> None:
    with pytest.raises(UsageError, match=r"nothing answers at localhost:1 .*is the cluster up"):
        check_flags(Running(1, ("--runner=FlinkRunner", "--flink_master=localhost:1")))


def test_counters_are_summed_over_the_steps_that_count(beam_mode: list[str]) -> None:
    def build(pipeline: Any) -> None:
        def count(number: int) -> int:
            Metrics.counter("test", "numbers").inc()
            Metrics.counter("test", "total").inc(number)
            return number

        first = pipeline | beam.Create([1, 2, 3]) | "Once" >> beam.Map(count)
        _ = first | "Twice" >> beam.Map(count)

    found = run_pipeline(build, Running(2, tuple(beam_mode)))
    assert (found["numbers"], found["total"]) == (6, 12)
    assert found.get("other", 0) == 0


def failing(fail: Callable[[int], Any]) -> Callable[[Any], None]:
    """Returns what builds a pipeline whose workers meet an error, after all of them have begun.

    Beam's local runner can wait for ever for a worker that begins after another has failed.
    """

    def build(pipeline: Any) -> None:
        _ = pipeline | beam.Create([1]) | "Spread" >> beam.Reshuffle() | "Meet" >> beam.Map(fail)

    return build


def storage_error(_: int) -> None:
    from transforms.errors import StorageError

    raise StorageError("/data/x.wav", "no space left on the device; free some")


def source_error(_: int) -> None:
    from transforms.errors import SourceError

    raise SourceError("wham:tr/a.wav", "read", "is silent", "replace it")


def wrapped_error(_: int) -> None:
    from transforms.errors import MixtapeError

    try:
        storage_error(1)
    except MixtapeError as error:
        raise MixtapeError(f"shard a-000001, item b: cannot write {error}") from error


def unknown_error(_: int) -> None:
    raise KeyError("no such thing")


@pytest.mark.parametrize(
    ("fail", "sentence"),
    [
        (storage_error, str(StorageError("/data/x.wav", "no space left on the device; free some"))),
        (source_error, str(SourceError("wham:tr/a.wav", "read", "is silent", "replace it"))),
        (
            wrapped_error,
            "shard a-000001, item b: cannot write /data/x.wav: no space left on the device; free some",
        ),
    ],
)
def test_errors_of_workers_come_out_as_our_own_sentence(
    beam_mode: list[str], fail: Callable[[int], Any], sentence: str
) -> None:
    with pytest.raises(MixtapeError) as raised:
        run_pipeline(failing(fail), Running(2, tuple(beam_mode)))
    assert str(raised.value) == sentence


def test_unknown_errors_come_out_shortened(beam_mode: list[str]) -> None:
    with pytest.raises(MixtapeError) as raised:
        run_pipeline(failing(unknown_error), Running(2, tuple(beam_mode)))
    assert re.fullmatch(
        "the run broke off: KeyError: ['\"]no such thing['\"] \\(--verbose shows everything\\)",
        str(raised.value),
    )


JAVA_TRACE = """Pipeline job-1 failed in state FAILED: java.io.IOException: too few network buffers
	at org.apache.flink.runtime.io.network.NettyShuffleEnvironment.<init>(NettyShuffleEnvironment.java:12)
	at java.base/java.lang.Thread.run(Thread.java:840)
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (JAVA_TRACE, "java.io.IOException: too few network buffers"),
        (
            f"{JAVA_TRACE}Caused by: java.lang.Error: no heap\n\tat a.B$C.run(B.java)\n\t... 7 more\n",
            "Caused by: java.lang.Error: no heap",
        ),
        ("Pipeline job-1 failed in state FAILED: no room at the inn", "no room at the inn"),
    ],
)
def test_what_a_java_program_says_is_told_without_its_trace(text: str, reason: str) -> None:
    def fail(_: int) -> None:
        raise RuntimeError(text)

    with pytest.raises(MixtapeError, match=f": {re.escape(reason)} .--verbose shows everything"):
        run_pipeline(failing(fail), Running(1))


def test_verbose_shows_everything() -> None:
    with pytest.raises(Exception, match="no such thing") as raised:
        run_pipeline(failing(unknown_error), Running(verbose=True))
    assert not isinstance(raised.value, MixtapeError)


def test_an_interrupt_inside_a_worker_is_an_interrupt() -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_pipeline(failing(interrupt), Running(1))


def test_what_workers_say_stays_away_from_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    def chatter(number: int) -> int:
        import os

        os.write(2, b"from a worker\n")
        return number

    before = (sys.stderr, threading.excepthook, len(os.listdir("/proc/self/fd")))
    run_pipeline(failing(chatter), Running(1))
    assert (sys.stderr, threading.excepthook, len(os.listdir("/proc/self/fd"))) == before
    print("ours", file=sys.stderr)
    assert capfd.readouterr().err == "ours\n"


def test_verbose_lets_workers_speak(capfd: pytest.CaptureFixture[str]) -> None:
    def chatter(number: int) -> int:
        import os

        os.write(2, b"from a worker\n")
        return number

    run_pipeline(failing(chatter), Running(1, verbose=True))
    assert "from a worker\n" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 0 min"),
        (18720, "5 h 12 min"),
        (360000, "100 h 0 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [
        (0, ("shard",), "0 shards"),
        (1, ("shard",), "1 shard"),
        (12345, ("shard",), "12,345 shards"),
        (1, ("copy", "copies"), "1 copy"),
        (2, ("copy", "copies"), "2 copies"),
    ],
)
def test_counts_with_their_nouns(count: int, words: tuple[str, ...], text: str) -> None:
    assert counted(count, *words) == text


def test_threads_that_end_after_an_interrupt_leave_no_trace(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def die() -> None:
        raise RuntimeError("worker subprocess exited")

    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    with pytest.raises(KeyboardInterrupt), _quiet_workers():
        raise KeyboardInterrupt
    late = threading.Thread(target=die)
    late.start()
    late.join()
    assert capfd.readouterr().err == ""


def test_dataflow_without_googles_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    running = Running(passed_on=("--runner=DataflowRunner", "--temp_location=gs://bucket/tmp"))
    monkeypatch.setitem(sys.modules, "google.cloud.dataflow_v1beta3", None)
    with pytest.raises(UsageError, match=r"Google's libraries are not installed; pip install '\.\[gcp\]'"):
        check_flags(running)
