"""Dataflow without the cloud: graph, template, and a whole submission to a service on this machine."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines import dataflow
from tests import trees
from tests.conftest import TinyCorpora
from tests.deploy.dataflow_service import dataflow_service, run_staged, staged_pipeline
from tests.pipelines.conftest import Mixtape, mixtape
from transforms.errors import StorageError

__all__ = ["mixtape"]

pytest.importorskip("google.cloud.storage", reason="needs pip install 'apache-beam[gcp]'")
pytestmark = [pytest.mark.gcp, pytest.mark.usefixtures("short_report")]

IMAGE = "europe-docker.pkg.dev/my-project/mixtape/worker:0.1.0"


@pytest.fixture(autouse=True)
def short_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.report.make_report", lambda job, summaries: "")


@pytest.fixture
def corpus(tmp_path: Path) -> trees.Corpus:
    return trees.make_corpus(tmp_path / "corpus")


def dataflow_flags(folder: Path, endpoint: str = "http://localhost:1") -> list[str]:
    for name in ("temp", "staging"):
        (folder / name).mkdir(exist_ok=True)
    return [
        *("--runner", "DataflowRunner", "--project", "my-project", "--region", "us-central1"),
        *("--temp_location", f"{folder}/temp", "--staging_location", f"{folder}/staging"),
        *("--no_auth", "True", "--dataflow_endpoint", endpoint, "--sdk_container_image", IMAGE),
        *("--num_workers", "4", "--max_num_workers", "8", "--job_name", "mixtape-nightly"),
    ]


def render(mixtape: Mixtape, corpus: trees.Corpus, out: Path, *flags: str) -> Any:
    return mixtape(*corpus.flags(out), *corpus.small_flags(), *flags, workers=None)


# As a template.


def test_a_template_is_handed_over_and_nobody_waits(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    template = tmp_path / "staging" / "template.json"
    flags = [*dataflow_flags(tmp_path), "--template_location", str(template)]
    outcome = render(mixtape, corpus, tmp_path / "out", *flags)
    assert outcome.status == 0
    assert f"the job is a template now, {template}, and runs when that is launched" in outcome.out
    assert sorted(path.name for path in template.parent.iterdir()) == [
        "pipeline.pb",
        "submission_environment_dependencies.txt",
        "template.json",
    ]
    (line,) = map(json.loads, (tmp_path / "out" / trees.HISTORY).read_text().splitlines())
    assert (line["outcome"], line["status"]) == ("handed over", 0)
    assert not list((tmp_path / "out").glob("_mixtape/ledger/*"))


def test_the_graph_of_a_template(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    template = tmp_path / "staging" / "template.json"
    render(mixtape, corpus, tmp_path / "out", *dataflow_flags(tmp_path), "--template_location", str(template))
    pipeline = staged_pipeline(template.with_name("pipeline.pb"))
    names = {transform.unique_name for transform in pipeline.components.transforms.values()}
    assert {"Runs", "Shards", "Render", "Finish"} <= names
    (environment,) = pipeline.components.environments.values()
    assert IMAGE.encode() in environment.payload
    job = json.loads(template.read_text())
    assert job["name"] == "mixtape-nightly"
    (pool,) = job["environment"]["workerPools"]
    assert pool["workerHarnessContainerImage"] == IMAGE
    assert [package["name"] for package in pool["packages"]] == ["submission_environment_dependencies.txt"]
    assert template.stat().st_size + (template.with_name("pipeline.pb")).stat().st_size < 200_000


def test_an_unchanged_output_needs_no_template(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    render(mixtape, corpus, tmp_path / "out")
    template = tmp_path / "staging" / "template.json"
    flags = [*dataflow_flags(tmp_path), "--template_location", str(template)]
    outcome = render(mixtape, corpus, tmp_path / "out", *flags)
    assert outcome.status == 0
    assert "nothing to do: all of it stands and is unchanged" in outcome.out
    assert not template.exists()


def test_a_build_is_no_template(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    outcome = mixtape(
        *("build", "librimix", "--librispeech", corpus.roots["librispeech"], "--out", tmp_path / "out"),
        *("--wham", corpus.roots["wham"], "--template_location", tmp_path / "t", *dataflow_flags(tmp_path)),
    )
    assert outcome.status == 2
    assert any("build runs several pipelines" in problem for problem in outcome.err.splitlines())


@pytest.mark.parametrize("flag", ["--temp_location", "--staging_location", "--template_location"])
def test_folders_that_cannot_be_written_are_named_at_once(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, flag: str
) -> None:
    (tmp_path / "file").write_text("x")
    flags = [*dataflow_flags(tmp_path), flag, f"{tmp_path}/file/x"]
    outcome = render(mixtape, corpus, tmp_path / "out", *flags)
    assert outcome.status == 2
    assert f"mixtape: {flag}: {tmp_path}/file" in outcome.err
    assert "cannot be written to: a file stands where a folder is needed" in outcome.err
    assert not (tmp_path / "out").exists()


# Submitted to a service.


def test_a_job_is_submitted_and_run_to_its_end(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    with dataflow_service() as service:
        outcome = render(mixtape, corpus, tmp_path / "out", *dataflow_flags(tmp_path, service.url))
    assert outcome.status == 0, (outcome, service.problem)
    assert "planned 5 = written 5 + rejected 0" in outcome.out
    render(mixtape, corpus, tmp_path / "here")
    assert trees.contents(tmp_path / "out") == trees.contents(tmp_path / "here")
    assert service.requests[0] == "POST /v1b3/projects/my-project/locations/us-central1/jobs"
    (job,) = service.created
    _check_job(job, tmp_path)


def _check_job(job: dict[str, Any], folder: Path) -> None:
    """Compares the request that creates a job with the command line."""
    assert (job["name"], job["type"]) == ("mixtape-nightly", 1)
    environment = job["environment"]
    assert environment["tempStoragePrefix"] == f"{folder}/temp"
    assert "use_portable_job_submission" in environment["experiments"]
    (pool,) = environment["workerPools"]
    assert pool["numWorkers"] == 4
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 8
    assert pool["workerHarnessContainerImage"] == IMAGE
    assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == [IMAGE]
    options = environment["sdkPipelineOptions"]["options"]
    assert options["pipelineUrl"] == f"{folder}/staging/pipeline.pb"
    assert options["region"] == "us-central1"


@pytest.mark.parametrize("state", ["JOB_STATE_FAILED", "JOB_STATE_CANCELLED"])
def test_a_job_that_fails_there_ends_with_one_line_here(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, state: str
) -> None:
    with dataflow_service(outcome=state) as service:
        outcome = render(mixtape, corpus, tmp_path / "out", *dataflow_flags(tmp_path, service.url))
    assert outcome.status == 1
    (problem,) = [line for line in outcome.err.splitlines() if line.startswith("mixtape: ")]
    assert problem == (
        f"mixtape: Dataflow ended the job as {state.removeprefix('JOB_STATE_')}; its page in the console "
        "says why; run the same command again to go on"
    )
    (line,) = map(json.loads, (tmp_path / "out" / trees.HISTORY).read_text().splitlines())
    assert line["outcome"] == "broken off"


def test_a_failure_in_a_shard_is_told_in_our_words(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageError("gs://b/x", "no space left")

    monkeypatch.setattr("transforms.steps.process_shard", fail)
    with dataflow_service() as service:
        outcome = render(mixtape, corpus, tmp_path / "out", *dataflow_flags(tmp_path, service.url))
    assert outcome.status == 1
    assert outcome.err.splitlines()[-1] == "mixtape: gs://b/x: no space left"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Something else", ""),
        ("x: Dataflow pipeline failed. State: FAILED, Error:\nNone", "as FAILED; its page in the console"),
        (
            "Dataflow pipeline failed. State: FAILED, Error:\nTrace\n  quota exceeded\n",
            ": quota exceeded; run",
        ),
    ],
)
def test_what_beam_says_of_a_job_that_ended_badly(text: str, words: str) -> None:
    assert words in dataflow.in_plain_words(text)
    assert bool(words) == bool(dataflow.in_plain_words(text))


def test_listings_are_made_there_too(mixtape: Mixtape, tmp_path: Path) -> None:
    for number in range(3):
        trees.write_noise(tmp_path / f"any/{number}.wav", 800, seed=number)
    with dataflow_service() as service:
        words = ("metadata", "audio", "--corpus", tmp_path / "any", "--out", tmp_path / "out")
        outcome = mixtape(*words, *dataflow_flags(tmp_path, service.url), workers=None)
    assert outcome.status == 0, (outcome, service.problem)
    assert len((tmp_path / "out" / "audio.csv").read_text().splitlines()) == 4


@pytest.fixture
def plan_words(mixtape: Mixtape, tiny_corpora: TinyCorpora, tmp_path: Path) -> list[str | Path]:
    """The command line that plans LibriMix with gains, but for the output."""
    for kind, corpus in (("librispeech", tiny_corpora.librispeech), ("wham", tiny_corpora.wham)):
        listings = ("--corpus", corpus, "--out", tmp_path / kind)
        assert mixtape("metadata", kind, *listings, workers=1).status == 0
    return [
        *("plan", "librimix", "--librispeech-metadata", tmp_path / "librispeech"),
        *("--wham-metadata", tmp_path / "wham", "--librispeech", tiny_corpora.librispeech),
        *("--wham", tiny_corpora.wham, "--subsets", "train-clean-100", "--round-to", "1"),
    ]


def test_gains_are_measured_there_too(mixtape: Mixtape, plan_words: list[str | Path], tmp_path: Path) -> None:
    with dataflow_service() as service:
        flags = dataflow_flags(tmp_path, service.url)
        outcome = mixtape(*plan_words, "--out", tmp_path / "there", *flags, workers=None)
    assert outcome.status == 0, (outcome, service.problem)
    assert mixtape(*plan_words, "--out", tmp_path / "here", workers=1).status == 0
    assert trees.contents(tmp_path / "there") == trees.contents(tmp_path / "here")
    assert not list((tmp_path / "there/_mixtape").glob("planning/*"))


def test_a_template_of_a_plan_leaves_its_workers_what_they_need(
    mixtape: Mixtape, plan_words: list[str | Path], tmp_path: Path
) -> None:
    template = tmp_path / "staging" / "template.json"
    flags = [*dataflow_flags(tmp_path), "--template_location", str(template)]
    assert mixtape(*plan_words, "--out", tmp_path / "there", *flags, workers=None).status == 0
    run_staged(template.with_name("pipeline.pb"))
    assert mixtape(*plan_words, "--out", tmp_path / "here", workers=1).status == 0
    plan = "Libri2Mix/libri2mix_train-clean-100.csv"
    assert (tmp_path / "there" / plan).read_bytes() == (tmp_path / "here" / plan).read_bytes()
    again = mixtape(*plan_words, "--out", tmp_path / "there", workers=1)
    assert "nothing to do: all plans stand" in again.out
    assert not list((tmp_path / "there/_mixtape").glob("planning/*"))
    with pytest.raises(Exception, match=r"rows-000000\.json.*make the template again that the job came from"):
        run_staged(template.with_name("pipeline.pb"))
