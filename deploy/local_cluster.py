"""Brings up a real Flink or Spark cluster on this machine, to try things on; Ctrl-C ends all of it.

    python deploy/local_cluster.py flink --home FLINK
    python deploy/local_cluster.py spark --home SPARK

It needs Java and nothing else. The cluster ends with the process that started this program, too.
"""

import argparse
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HOST = "localhost"
START_S = 240.0
END_S = 8.0
_POLL_S = 0.2
_PR_SET_PDEATHSIG = 1
_OPENED = (
    *("java.lang", "java.lang.invoke", "java.lang.reflect", "java.net", "java.io", "java.nio", "java.text"),
    *("java.time", "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "sun.nio.ch"),
    *("java.util.concurrent.locks", "sun.security.action", "sun.util.calendar"),
)
ADD_OPENS = tuple(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED)

_FLINK_CONFIG = """\
jobmanager:
  bind-host: {host}
  rpc: {{address: {host}, port: {rpc_port}}}
  memory: {{process: {{size: 1g}}}}
taskmanager:
  bind-host: {host}
  host: {host}
  numberOfTaskSlots: {slots}
  memory: {{process: {{size: 1536m}}}}
rest: {{address: {host}, bind-address: {host}, port: {port}}}
restart-strategy: {{type: fixed-delay, fixed-delay: {{attempts: 3, delay: 1s}}}}
heartbeat: {{interval: 2000, timeout: 10000}}
io: {{tmp: {{dirs: {folder}/tmp}}}}
"""
_LOG_CONFIG = """\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %-5p %c - %m%n
"""
_RESULT = "BASH_JAVA_UTILS_EXEC_RESULT:"


@dataclass
class Cluster:
    """Processes that make up a cluster, each with a log file in one folder.

    Attributes:
        folder: logs and temporary files; must exist.
        processes: what was started, by name; the master first.
    """

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, command: Sequence[str], variables: Mapping[str, str]) -> None:
        """Starts a process in a group of its own, which is killed if this program is."""
        with open(self.folder / f"{name}.log", "wb") as log:
            self.processes[name] = subprocess.Popen(
                command,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509  (this program has one thread)
            )

    def wait_for(self, ready: Callable[[], bool]) -> None:
        """Waits until the cluster is ready. Raises RuntimeError where it does not come up."""
        deadline = time.monotonic() + START_S
        while not ready():
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                what = f"{', '.join(ended)} ended" if ended else f"it was not ready after {START_S:.0f} s"
                raise RuntimeError(f"the cluster did not come up: {what}; see the logs in {self.folder}")
            time.sleep(_POLL_S)

    def end(self) -> None:
        """Ends every process with all that it started."""
        for number, patience_s in ((signal.SIGTERM, END_S), (signal.SIGKILL, END_S)):
            for process in self.processes.values():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            deadline = time.monotonic() + patience_s
            for process in self.processes.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def start_flink(cluster: Cluster, arguments: argparse.Namespace) -> None:
    """Starts a JobManager and TaskManagers from a Flink distribution, with a restart strategy."""
    home, folder = Path(arguments.home), cluster.folder
    (folder / "tmp").mkdir()
    config = _FLINK_CONFIG.format(**vars(arguments) | {"host": HOST, "folder": folder})
    (folder / "config.yaml").write_text(config)
    (folder / "log4j.properties").write_text(_LOG_CONFIG)
    libraries = ":".join(map(str, sorted((home / "lib").glob("*.jar"))))
    variables = {"FLINK_LIB_DIR": str(home / "lib"), "FLINK_PLUGINS_DIR": str(home / "plugins")}
    variables["FLINK_CONF_DIR"] = str(folder)
    logging = f"-Dlog4j.configurationFile=file:{folder}/log4j.properties"
    entries = {
        "JM": "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
        "TM": "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
    }
    names = {"jobmanager": "JM"} | {f"taskmanager-{n}": "TM" for n in range(1, arguments.workers + 1)}
    sizes = {kind: _flink_sizes(home, libraries, folder, kind) for kind in entries}
    for name, kind in names.items():
        jvm, dynamic = sizes[kind]
        command = ["java", *jvm, *ADD_OPENS, logging, "-cp", libraries, entries[kind]]
        cluster.start(name, [*command, "--configDir", str(folder), *dynamic], variables)
    cluster.wait_for(lambda: f'"taskmanagers":{arguments.workers},' in _page(arguments.port, "/overview"))


def _flink_sizes(home: Path, libraries: str, folder: Path, kind: str) -> tuple[list[str], list[str]]:
    """Returns the JVM options and the settings that Flink works out for a kind of process."""
    tools = f"{home}/bin/bash-java-utils.jar:{libraries}"
    tool = "org.apache.flink.runtime.util.bash.BashJavaUtils"
    command = ["java", "-cp", tools, tool, f"GET_{kind}_RESOURCE_PARAMS", "--configDir", str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = [line.removeprefix(_RESULT).split() for line in said.splitlines() if line.startswith(_RESULT)]
    return found[0], found[1]


def start_spark(cluster: Cluster, arguments: argparse.Namespace) -> None:
    """Starts a Spark master and workers from a Spark distribution."""
    spark_class = str(Path(arguments.home) / "bin/spark-class")
    tidy = "-Dspark.worker.cleanup.enabled=true -Dspark.worker.cleanup.interval=60"
    variables = {
        "SPARK_HOME": str(arguments.home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_NO_DAEMONIZE": "1",
        "SPARK_WORKER_OPTS": f"{tidy} -Dspark.worker.cleanup.appDataTtl=60",
    }
    master = ["--host", HOST, "--port", str(arguments.rpc_port), "--webui-port", str(arguments.port)]
    cluster.start("master", [spark_class, "org.apache.spark.deploy.master.Master", *master], variables)
    cluster.wait_for(lambda: "ALIVE" in _page(arguments.port, "/json/"))
    for number in range(1, arguments.workers + 1):
        work = cluster.folder / f"work-{number}"
        size = [
            "--cores",
            str(arguments.slots),
            "--memory",
            "2g",
            "--webui-port",
            "0",
            "--work-dir",
            str(work),
        ]
        command = [spark_class, "org.apache.spark.deploy.worker.Worker", "--host", HOST, *size]
        cluster.start(f"worker-{number}", [*command, f"spark://{HOST}:{arguments.rpc_port}"], variables)
    alive = f'"aliveworkers" : {arguments.workers},'
    cluster.wait_for(lambda: alive in _page(arguments.port, "/json/"))


def _page(port: int, path: str) -> str:
    """Returns what a cluster's own page says; nothing while it does not answer."""
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=5) as page,
    ):
        return str(page.read().decode())
    return ""


_KINDS = {"flink": (start_flink, 8081, 6123), "spark": (start_spark, 8080, 7077)}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind, (_, port, rpc_port) in _KINDS.items():
        one = kinds.add_parser(kind, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        one.add_argument(
            "--home", required=True, help="the unpacked distribution (deploy/fetch.py prints it)"
        )
        one.add_argument("--workers", type=int, default=2, help="worker machines to play")
        one.add_argument("--slots", type=int, default=2, help="tasks that each of them runs at once")
        one.add_argument("--port", type=int, default=port, help="port of the web page and REST interface")
        one.add_argument("--rpc-port", type=int, default=rpc_port, help="port of the master")
        one.add_argument("--folder", help="where logs stay (default: a temporary folder, removed at the end)")
    return parser.parse_args(argv)


@contextlib.contextmanager
def _folder(given: str | None) -> Iterator[Path]:
    folder = Path(given) if given else Path(tempfile.mkdtemp(prefix="mixtape-cluster-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder.absolute()
    finally:
        if not given:
            shutil.rmtree(folder, ignore_errors=True)


def _until_ended(cluster: Cluster) -> None:
    """Waits for the end of the master, of the process that started this one, or for an interrupt."""
    parent = os.getppid()
    master = next(iter(cluster.processes.values()))
    while master.poll() is None and os.getppid() == parent:
        time.sleep(_POLL_S)


def main(argv: Sequence[str]) -> int:
    """Runs a cluster until it is ended; returns the exit status."""
    arguments = parse(argv)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    with _folder(arguments.folder) as folder:
        cluster = Cluster(folder)
        try:
            _KINDS[arguments.kind][0](cluster, arguments)
            print(f"{arguments.kind} is up: http://{HOST}:{arguments.port}, logs in {folder}", flush=True)
            _until_ended(cluster)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            cluster.end()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
