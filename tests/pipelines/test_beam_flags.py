"""What the words of a command line say of the runner, and what is said of those that do nothing."""

import pytest

from pipelines import cli
from pipelines.beam_flags import (
    cluster_address,
    flink_page,
    is_given,
    is_local,
    remarks,
    runner_of,
    value_of,
    without,
)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ((), ""),
        (("--a",), ""),
        (("--a", "1"), "1"),
        (("--a=1",), "1"),
        (("--a=",), ""),
        (("--a=1", "--a", "2"), "2"),
        (("--ab=1", "--b", "--a"), ""),
        (("--a=x=y",), "x=y"),
    ],
    ids=str,
)
def test_values(words: tuple[str, ...], value: str) -> None:
    assert value_of(words, "--a") == value


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (("--a", "1", "--b", "2"), ["--b", "2"]),
        (("--b", "2", "--a=1"), ["--b", "2"]),
        (("--a=1", "--b", "--a", "1"), ["--b"]),
        (("--ab", "1"), ["--ab", "1"]),
        ((), []),
    ],
    ids=str,
)
def test_words_without_a_flag(words: tuple[str, ...], kept: list[str]) -> None:
    assert without(words, "--a") == kept


def test_flags_are_given_by_their_beginnings() -> None:
    assert is_given(["x", "--direct_num_workers=2"], "--flink_", "--direct_")
    assert not is_given(["x", "--directly"], "--flink_", "--direct_")


@pytest.mark.parametrize(
    ("words", "name", "local"),
    [
        ((), "", True),
        (("--runner", "FlinkRunner"), "flinkrunner", False),
        (("--runner=spark",), "sparkrunner", False),
        (("--runner=DirectRunner",), "directrunner", True),
        (("--runner", "FnApiRunner"), "fnapirunner", True),
        (("--runner", "my.own.Runner"), "my.own.runner", False),
        (("--runner_v2",), "", True),
    ],
    ids=str,
)
def test_runners(words: tuple[str, ...], name: str, local: bool) -> None:
    assert (runner_of(words), is_local(words)) == (name, local)


@pytest.mark.parametrize(
    ("words", "address", "page"),
    [
        (("--runner=FlinkRunner", "--flink_master=host:8081"), "host:8081", "http://host:8081"),
        (("--runner=FlinkRunner", "--flink_master", "https://host:81/"), "host:81", "https://host:81"),
        (("--runner=FlinkRunner", "--flink_master=[local]"), "", ""),
        (("--runner=FlinkRunner", "--flink_master=[auto]"), "", ""),
        (("--runner=FlinkRunner",), "", ""),
        (("--runner=SparkRunner", "--spark_master_url=spark://host:7077"), "host:7077", ""),
        (("--runner=SparkRunner", "--spark_master_url=local[2]"), "", ""),
        (("--runner=SparkRunner", "--spark_master_url=local"), "", ""),
        (("--runner=PortableRunner", "--job_endpoint=host:8099"), "host:8099", ""),
        (("--runner=PortableRunner", "--job_endpoint=embed"), "", ""),
        (
            ("--runner=PortableRunner", "--job_endpoint=here:1", "--flink_master=there:2"),
            "here:1",
            "http://there:2",
        ),
        (("--runner=PrismRunner",), "", ""),
    ],
    ids=str,
)
def test_where_a_cluster_is(words: tuple[str, ...], address: str, page: str) -> None:
    assert (cluster_address(words), flink_page(words)) == (address, page)


FLINK = ("--runner=FlinkRunner", "--flink_master=host:8081", "--environment_type=PROCESS", "--parallelism=4")
SPARK = ("--runner=SparkRunner", "--spark_master_url=spark://host:7077", "--environment_type=PROCESS")
WATCH = "to watch the job: http://host:8081"


@pytest.mark.parametrize("words", [(), ("--experiments=x",), SPARK, ("--runner=PrismRunner",)], ids=str)
def test_nothing_is_said_where_all_has_its_effect(words: tuple[str, ...]) -> None:
    assert remarks(words, workers_given=not words) == []


def test_where_to_look_is_said() -> None:
    assert remarks(FLINK, workers_given=False) == [WATCH]


@pytest.mark.parametrize(
    ("words", "remark"),
    [
        (("--setup_file=./setup.py",), "--setup_file and its like do nothing in a local run"),
        (("--requirements_file", "r"), "--setup_file and its like do nothing in a local run"),
        (("--parallelism=3",), "--parallelism does nothing in a local run; --workers says"),
        (("--environment_type=PROCESS",), "--environment_* does nothing in a local run"),
        (("--job_endpoint=host:1",), "--job_endpoint does nothing without --runner PortableRunner"),
        (("--flink_master=host:1",), "--flink_* does nothing without --runner FlinkRunner"),
        (("--spark_master_url=local",), "--spark_* does nothing without --runner SparkRunner"),
        (("--prism_location=x",), "--prism_* does nothing without --runner PrismRunner"),
        ((*SPARK, "--flink_master=host:1"), "--flink_* does nothing without --runner FlinkRunner"),
        (
            (*SPARK, "--parallelism=3"),
            "--parallelism does nothing with SparkRunner: the cores of the cluster",
        ),
        ((*SPARK, "--direct_num_workers=3"), "--direct_* does nothing with SparkRunner"),
        (
            ("--runner", "PrismRunner", "--parallelism", "3"),
            "--parallelism does nothing with PrismRunner: Prism runs one worker process",
        ),
        (
            ("--runner=PrismRunner", "--setup_file=s"),
            "--setup_file and its like do nothing here: the work is done by this very process",
        ),
        (
            ("--runner=FlinkRunner", "--parallelism=2", "--environment_type=LOOPBACK", "--setup_file=s"),
            "--setup_file and its like do nothing here: the work is done by this very process",
        ),
        (FLINK[:-1], "without --parallelism Flink runs as many tasks at once as its configuration says"),
        ((*FLINK, "--number_of_execution_retries=2"), "--number_of_execution_retries does nothing on Flink"),
        (
            (*FLINK[:2], "--parallelism=4"),
            "without --environment_type each worker is a container of Beam's own",
        ),
        (SPARK[:2], "which lacks Mixtape; see deploy/spark.md"),
        (
            ("--runner=PortableRunner", "--job_endpoint=host:1"),
            "which lacks Mixtape; see deploy/README.md",
        ),
    ],
    ids=str,
)
def test_what_does_nothing_is_said(words: tuple[str, ...], remark: str) -> None:
    (found, *rest) = [line for line in remarks(words, workers_given=False) if line != WATCH]
    assert remark in found
    assert not rest


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        (FLINK, "--parallelism says how many tasks run at once"),
        (SPARK, "the cores of the cluster and spark.default.parallelism say"),
        (("--runner=PrismRunner",), "Prism runs one worker process"),
        (("--runner=DataflowRunner",), "--num_workers and --max_num_workers say"),
        (("--runner=my.own.Runner",), "its own settings say"),
    ],
    ids=str,
)
def test_workers_are_of_local_runs(words: tuple[str, ...], instead: str) -> None:
    name = words[0].partition("=")[2]
    said = remarks(words, workers_given=True)
    assert said[0].startswith(f"--workers does nothing with {name}: {instead}")
    assert remarks(words, workers_given=False) == said[1:]


@pytest.mark.parametrize(
    "words",
    [
        ("--runner=PortableRunner", "--job_endpoint=host:1", "--sdk_container_image=mine"),
        ("--runner=FlinkRunner", "--flink_master=[local]", "--parallelism=2"),
        ("--runner=SparkRunner",),
        ("--runner=DataflowRunner",),
    ],
    ids=str,
)
def test_containers_are_no_surprise_where_they_are_chosen_or_not_used(words: tuple[str, ...]) -> None:
    assert not any("container" in line for line in remarks(words, workers_given=False))


@pytest.mark.parametrize(("flag", "said"), [("--workers=2", True), ("--workers", True), ("--verbose", False)])
def test_remarks_reach_the_terminal(flag: str, said: bool, capsys: pytest.CaptureFixture[str]) -> None:
    value = ["2"] if flag == "--workers" else []
    cli.parse(["verify", "out", flag, *value, "--runner=PrismRunner"])
    note = "note: --workers does nothing with PrismRunner: Prism runs one worker process"
    assert (note in capsys.readouterr().err.splitlines()) == said


def test_quiet_commands_remark_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    cli.parse(["verify", "out", "--quiet", "--workers=2", "--runner=PrismRunner"])
    assert capsys.readouterr().err == ""
