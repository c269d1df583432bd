"""Schedules: every manifest is valid, and starts a command that our own parser accepts."""

import configparser
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.flex_template import command_line, metadata, parameters
from tests.deploy.conftest import DEPLOY, commands_in, load_json, parsed
from tests.trees import REPOSITORY

SCHEDULE = DEPLOY / "schedule"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mixtape"
OPERATOR = "flink-kubernetes-operator-api"
OPERATOR_VERSION = "1.10.0"
CORE = ("build", "librimix", "--librispeech", "/corpora/LibriSpeech", "--wham", "/corpora/wham_noise")


def manifests() -> Iterator[Any]:
    for path in sorted((SCHEDULE / "kubernetes").glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield pytest.param(document, id=path.name)


def cronjob(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((SCHEDULE / "kubernetes" / name).read_text())
    return found


def container(job: dict[str, Any]) -> dict[str, Any]:
    (found,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def systemd_command() -> list[str]:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(SCHEDULE / "systemd" / "mixtape-nightly.service")
    line = unit["Service"]["ExecStart"].replace("\\\n", " ").replace("%%", "%")
    return ["mixtape", *shlex.split(line)[1:]]


# The commands.


@pytest.mark.parametrize("name", ["cronjob.yaml", "flink-cronjob.yaml"])
def test_the_commands_of_cron_jobs(name: str) -> None:
    one = container(cronjob(name))
    job, passed_on = parsed([*one["command"], *one["args"]])
    assert job == "pipelines.build"
    assert tuple(one["args"][: len(CORE)]) == CORE
    assert bool(passed_on) == (name == "flink-cronjob.yaml")


def test_the_command_of_the_service() -> None:
    job, passed_on = parsed(systemd_command())
    assert (job, passed_on) == ("pipelines.build", [])


def test_all_schedules_of_one_machine_run_the_same_command() -> None:
    here = container(cronjob("cronjob.yaml"))
    assert [*here["command"], *here["args"]] == systemd_command()
    there = container(cronjob("flink-cronjob.yaml"))
    assert there["args"][: len(here["args"])] == here["args"]


def test_flink_and_its_cron_job_fit_together() -> None:
    cluster = cronjob("flink-cluster.yaml")
    words = container(cronjob("flink-cronjob.yaml"))["args"]
    flags = dict(itertools.pairwise(words))
    assert flags["--flink_master"] == f"{cluster['metadata']['name']}-rest:8081"
    assert cluster["spec"]["image"] == f"flink:{flags['--flink_version']}"
    assert cluster["spec"]["flinkVersion"] == "v" + flags["--flink_version"].replace(".", "_")
    manager = cluster["spec"]["taskManager"]
    slots = int(cluster["spec"]["flinkConfiguration"]["taskmanager.numberOfTaskSlots"])
    assert int(flags["--parallelism"]) == manager["replicas"] * slots
    pool = manager["podTemplate"]["spec"]["containers"][1]
    assert flags["--environment_config"] == f"localhost:{pool['ports'][0]['containerPort']}"
    assert pool["image"] == container(cronjob("flink-cronjob.yaml"))["image"]


@pytest.mark.parametrize("page", [SCHEDULE / "README.md", DEPLOY / "dataflow.md"], ids=lambda page: page.name)
def test_the_commands_on_the_pages(page: Path) -> None:
    found = commands_in(page)
    assert found
    for words in found:
        parsed(words)


def test_the_request_of_the_cloud_scheduler() -> None:
    body = load_json(SCHEDULE / "gcp" / "launch.json")
    launch: Any = body["launchParameter"]
    described = {one["name"]: one for one in metadata(launch["parameters"]["job"])["parameters"]}
    for name, value in launch["parameters"].items():
        assert re.fullmatch(described[name]["regexes"][0], value), name
    needed = {name for name, one in described.items() if not one["isOptional"]}
    assert needed <= launch["parameters"].keys()
    words = [f"--{name}={value}" for name, value in launch["parameters"].items()]
    assert parsed(["mixtape", *command_line(words)]) == ("pipelines.render", [])


def test_the_request_of_the_cloud_scheduler_is_one_of_dataflow() -> None:
    dataflow = pytest.importorskip("google.cloud.dataflow_v1beta3", reason="needs apache-beam[gcp]")
    body = (SCHEDULE / "gcp" / "launch.json").read_text()
    request = dataflow.LaunchFlexTemplateRequest.from_json(body, ignore_unknown_fields=False)
    assert request.launch_parameter.environment.max_workers == 16


# The manifests.


def _strictly(value: Any, kind: str, place: str) -> None:
    """Compares a manifest with Kubernetes' own description of its kind: names, types, what is needed."""
    client = pytest.importorskip("kubernetes.client")
    if listed := re.fullmatch(r"[Ll]ist\[(.+)\]", kind):
        assert isinstance(value, list), place
        for index, one in enumerate(value):
            _strictly(one, listed[1], f"{place}[{index}]")
    elif mapped := re.fullmatch(r"[Dd]ict[(\[]str, (.+)[)\]]", kind):
        for name, one in value.items():
            _strictly(one, mapped[1], f"{place}.{name}")
    elif kind in ("str", "datetime", "object"):
        assert isinstance(value, str | int) if kind == "object" else isinstance(value, str), place
    elif kind in ("int", "bool", "float"):
        assert type(value).__name__ == kind, place
    else:
        _fields(value, getattr(client, kind), place)


def _fields(value: dict[str, Any], model: Any, place: str) -> None:
    names = {json_name: name for name, json_name in model.attribute_map.items()}
    assert value.keys() <= names.keys(), f"{place}: {sorted(value.keys() - names.keys())} unknown"
    for json_name, one in value.items():
        _strictly(one, model.openapi_types[names[json_name]], f"{place}.{json_name}")
    model(**{names[json_name]: one for json_name, one in value.items()})


@pytest.mark.parametrize("manifest", manifests())
def test_manifests_follow_the_description_of_their_kind(manifest: dict[str, Any]) -> None:
    if manifest["kind"] == "FlinkDeployment":
        pod = dict(manifest["spec"]["taskManager"]["podTemplate"])
        # The operator fills in the image of the container that it owns.
        _strictly(pod, "V1Pod", "podTemplate")
    else:
        _strictly(manifest, f"V1{manifest['kind']}", manifest["kind"])


@pytest.mark.parametrize("change", [{"scheduel": "x"}, {"schedule": 2}, {"suspend": "no"}], ids=str)
def test_the_comparison_finds_mistakes(change: dict[str, Any]) -> None:
    manifest = cronjob("cronjob.yaml")
    manifest["spec"].update(change)
    with pytest.raises(AssertionError, match=r"CronJob\.spec"):
        _strictly(manifest, "V1CronJob", "CronJob")


@pytest.mark.schedules
def test_the_flink_cluster_follows_the_operators_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    versions = yaml.safe_load(_operator_definition())["spec"]["versions"]
    (schema,) = [one["schema"]["openAPIV3Schema"] for one in versions if one["name"] == "v1beta1"]
    checker = jsonschema.Draft202012Validator(_closed(schema["properties"]["spec"]))
    spec = cronjob("flink-cluster.yaml")["spec"]
    checker.validate(spec)
    assert not checker.is_valid(spec | {"flinkversion": "v1_19"})
    assert not checker.is_valid(spec | {"flinkVersion": "1.19"})


def _operator_definition() -> str:
    """Returns what the Flink operator tells Kubernetes of its deployments, fetched with Maven."""
    path = Path.home() / f".m2/repository/org/apache/flink/{OPERATOR}/{OPERATOR_VERSION}"
    jar = path / f"{OPERATOR}-{OPERATOR_VERSION}.jar"
    if not jar.exists():
        if not shutil.which("mvn"):
            pytest.skip(f"needs mvn, to fetch {OPERATOR} {OPERATOR_VERSION}")
        artifact = f"-Dartifact=org.apache.flink:{OPERATOR}:{OPERATOR_VERSION}"
        subprocess.run(["mvn", "-q", "-B", "dependency:get", artifact, "-Dtransitive=false"], check=True)
    with zipfile.ZipFile(jar) as archive:
        return archive.read("META-INF/fabric8/flinkdeployments.flink.apache.org-v1.yml").decode()


def _closed(schema: Any) -> Any:
    """Returns a schema that refuses fields it does not know, as ``kubectl apply`` does."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _closed(one) for name, one in schema.items()}
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_units_are_good(tmp_path: Path) -> None:
    """With the program's path put in the place of one that this machine may not have."""
    for path in (SCHEDULE / "systemd").iterdir():
        text = path.read_text().replace("/opt/mixtape/venv/bin/mixtape", shutil.which("true") or "/bin/true")
        (tmp_path / path.name).write_text(text)
    units = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# Airflow, which has a Python of its own.


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Airflow's own loader finds in our folder of DAGs."""
    return check_airflow(SCHEDULE / "airflow", tmp_path_factory.mktemp("airflow"))


def check_airflow(folder: Path, home: Path) -> dict[str, Any]:
    """Loads a folder of DAGs with Airflow's own loader."""
    python = CACHE / "airflow" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"needs Airflow in {python.parents[1]}: make test-schedules")
    environment = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PATH": os.environ["PATH"],
    }
    command = [str(python), str(SCHEDULE / "check_airflow.py"), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=home)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.schedules
def test_airflow_loads_the_dag(airflow: dict[str, Any]) -> None:
    assert airflow["errors"] == {}
    assert airflow["dags"].keys() == {"mixtape_nightly"}
    dag = airflow["dags"]["mixtape_nightly"]
    assert (dag["catchup"], dag["max_active_runs"]) == (False, 1), "runs must not overlap"
    assert dag["never_rendered"] == []


@pytest.mark.schedules
def test_a_template_that_airflow_would_not_fill_in_is_found(tmp_path: Path) -> None:
    text = (SCHEDULE / "airflow/mixtape_nightly.py").read_text()
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/changed.py").write_text(
        text.replace('HOME = "/opt/mixtape"', 'HOME = "{{ var.value.x }}"')
    )
    dag = check_airflow(tmp_path / "dags", tmp_path)["dags"]["mixtape_nightly"]
    assert dag["never_rendered"] == ["build_librimix.py_interpreter"]


@pytest.mark.schedules
def test_what_airflows_operator_starts_is_the_nightly_command(airflow: dict[str, Any]) -> None:
    words = airflow["dags"]["mixtape_nightly"]["tasks"]["build_librimix"]
    assert words[1].endswith("/deploy/dataflow/launch.py")
    assert (REPOSITORY / "deploy/dataflow/launch.py").exists()
    line = ["mixtape", *command_line(words[2:])]
    assert parsed(line)[0] == "pipelines.build"
    given = {action.dest for action in parameters("build librimix")}
    assert {word.removeprefix("--").partition("=")[0] for word in words[3:]} <= given
    assert sorted(line) == sorted(systemd_command())
