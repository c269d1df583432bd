"""Flags for Beam, as words of a command line: which runner they name, and which of them do nothing there."""

import re
from collections.abc import Sequence

LOCAL_RUNNERS = ("directrunner", "fnapirunner", "switchingdirectrunner")
_JOB_SERVERS = {"flinkrunner": "deploy/flink.md", "sparkrunner": "deploy/spark.md"}
_RUNNERS_OWN = {"--flink_": "FlinkRunner", "--spark_": "SparkRunner", "--prism_": "PrismRunner"}
_CODE = ("--setup_file", "--requirements_file", "--extra_package", "--extra_packages")
_SPREAD = {
    "flinkrunner": "--parallelism says how many tasks run at once",
    "sparkrunner": "the cores of the cluster and spark.default.parallelism say how many tasks run at once",
    "prismrunner": "Prism runs one worker process",
    "dataflowrunner": "--num_workers and --max_num_workers say how many machines there are",
}
_EMBEDDED = re.compile(r"\[.+\]|local(\[.+\])?")


def value_of(words: Sequence[str], *flags: str) -> str:
    """Returns the value of a flag, the last one if it is given several times; empty without one.

    >>> value_of(["--runner", "FlinkRunner", "--parallelism=4"], "--parallelism")
    '4'
    """
    found = ""
    for word, following in zip(words, [*words[1:], ""], strict=False):
        flag, equals, value = word.partition("=")
        if flag in flags:
            found = value if equals else following
    return found


def without(words: Sequence[str], flag: str) -> list[str]:
    """Returns the words without a flag and its value.

    >>> without(["--runner", "DirectRunner", "--streaming"], "--runner")
    ['--streaming']
    """
    kept = []
    before = ""
    for word in words:
        if flag not in (before, word) and not word.startswith(f"{flag}="):
            kept.append(word)
        before = word
    return kept


def is_given(words: Sequence[str], *beginnings: str) -> bool:
    """Tells whether any flag among the words begins so."""
    return any(word.startswith(beginnings) for word in words)


def runner_of(words: Sequence[str]) -> str:
    """Returns the runner that is named, in small letters and in full; empty if none is.

    >>> runner_of(["--runner=Flink"])
    'flinkrunner'
    """
    name = value_of(words, "--runner").lower()
    return name if not name or name.endswith("runner") else f"{name}runner"


def is_local(words: Sequence[str]) -> bool:
    """Tells whether the job runs in processes of this machine, which we start."""
    return runner_of(words) in ("", *LOCAL_RUNNERS)


def cluster_address(words: Sequence[str]) -> str:
    """Returns ``HOST:PORT`` of the job server, Flink or Spark master that is named; else nothing."""
    flag = {"flinkrunner": "--flink_master", "sparkrunner": "--spark_master_url"}.get(runner_of(words), "")
    address = value_of(words, "--job_endpoint") or (flag and value_of(words, flag)) or ""
    if not address or address == "embed" or _EMBEDDED.fullmatch(address):
        return ""
    return re.sub(r"^\w+://", "", address).rstrip("/")


def flink_page(words: Sequence[str]) -> str:
    """Returns the root of a Flink cluster's REST interface and web page, empty where none is named."""
    master = value_of(words, "--flink_master")
    runs_flink = runner_of(words) in ("flinkrunner", "portablerunner")
    if not (master and runs_flink) or _EMBEDDED.fullmatch(master):
        return ""
    return master.rstrip("/") if "://" in master else f"http://{master}"


def remarks(words: Sequence[str], *, workers_given: bool) -> list[str]:
    """Says which flags do nothing on the runner that is named, what instead does it, and where to look.

    Args:
        words: the flags for Beam.
        workers_given: whether ``--workers`` is on the command line too.
    """
    runner = runner_of(words)
    said = [
        f"{flag}* does nothing without --runner {owner}"
        for flag, owner in _RUNNERS_OWN.items()
        if is_given(words, flag) and runner != owner.lower() and runner != "portablerunner"
    ]
    return said + (
        _local_remarks(words) if is_local(words) else _remote_remarks(words, runner, workers_given)
    )


def _local_remarks(words: Sequence[str]) -> list[str]:
    said = []
    if is_given(words, *_CODE):
        said.append("--setup_file and its like do nothing in a local run: workers use what is installed here")
    if is_given(words, "--parallelism"):
        said.append("--parallelism does nothing in a local run; --workers says how many processes there are")
    if is_given(words, "--environment_"):
        said.append("--environment_* does nothing in a local run: workers are processes of this machine")
    if is_given(words, "--job_endpoint"):
        said.append("--job_endpoint does nothing without --runner PortableRunner")
    return said


def _remote_remarks(words: Sequence[str], runner: str, workers_given: bool) -> list[str]:
    said = []
    environment = value_of(words, "--environment_type").upper()
    own_workers = environment == "LOOPBACK" or (runner == "prismrunner" and not environment)
    if workers_given:
        instead = _SPREAD.get(runner, "its own settings say how many tasks run at once")
        said.append(f"--workers does nothing with {value_of(words, '--runner')}: {instead}")
    if is_given(words, "--direct_"):
        said.append(f"--direct_* does nothing with {value_of(words, '--runner')}")
    if is_given(words, "--parallelism") and runner in ("sparkrunner", "prismrunner", "dataflowrunner"):
        said.append(f"--parallelism does nothing with {value_of(words, '--runner')}: {_SPREAD[runner]}")
    if runner == "flinkrunner" and not is_given(words, "--parallelism"):
        said.append(
            "without --parallelism Flink runs as many tasks at once as its configuration says: often 1"
        )
    if runner == "flinkrunner" and is_given(words, "--number_of_execution_retries"):
        said.append(
            "--number_of_execution_retries does nothing on Flink: set restart-strategy in the cluster"
        )
    if own_workers and is_given(words, *_CODE):
        said.append("--setup_file and its like do nothing here: the work is done by this very process")
    if _wants_containers(words, runner, environment):
        said.append(
            "without --environment_type each worker is a container of Beam's own image, which lacks Mixtape; "
            f"see {_JOB_SERVERS.get(runner, 'deploy/README.md')}"
        )
    return said + _where_to_look(words)


def _wants_containers(words: Sequence[str], runner: str, environment: str) -> bool:
    """Tells whether workers would be started as containers of an image that does not hold this package."""
    if environment or is_given(words, "--sdk_container_image", *_CODE):
        return False
    return runner == "portablerunner" or (runner in _JOB_SERVERS and bool(cluster_address(words)))


def _where_to_look(words: Sequence[str]) -> list[str]:
    page = flink_page(words)
    return [f"to watch the job: {page}"] if page else []
