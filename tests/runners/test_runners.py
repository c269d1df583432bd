"""The same bytes on every runner, whatever happens meanwhile; one test for all of them after the other."""

import json
import os
import signal
import urllib.request
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.conftest import TinyCorpora
from tests.runners.conftest import Bench, Ended, Runner
from tests.runners.recorded import Entry, unfinished
from tests.servers import Store, visit
from tests.trees import UNEQUAL, Corpus, files
from transforms import storage

PAUSE_S = 1.0
# A person's or a machine's wish to end a job, each tried with a cluster and without one.
INTERRUPTS = {
    "prism": signal.SIGINT,
    "flink-embedded": signal.SIGTERM,
    "flink-cluster": signal.SIGINT,
    "spark-embedded": signal.SIGINT,
    "spark-cluster": signal.SIGTERM,
}
SHARDS = 16
BUILD = [
    *("build", "librimix", "--subsets", "train-clean-100", "--round-to", "1", "--rates", "8000"),
    *("--modes", "min", "--shard-size", "1", "--table-paths", "relative"),
    *("--formats", "wav", "webdataset", "tfrecord"),
]


def build_words(librispeech: str | Path, wham: str | Path, out: str | Path) -> list[str]:
    """The command line that builds 3 mixtures, one per shard: four jobs, one after the other."""
    return [*BUILD, "--librispeech", str(librispeech), "--wham", str(wham), "--out", str(out)]


def same_everywhere(names: Iterable[str]) -> list[str]:
    """Returns the names of files that must not depend on time and place."""
    stamps = ("/_mixtape/listed/", "/_mixtape/planned/")
    return [
        name for name in names if not (name.startswith(UNEQUAL) or any(folder in name for folder in stamps))
    ]


def content(out: Path) -> dict[str, bytes]:
    """Reads every file of an output that must be the same wherever it was made."""
    return {name: (out / name).read_bytes() for name in same_everywhere(files(out))}


def render_words(corpus: Corpus, out: Path) -> list[str]:
    """The command line that renders a wsj0-mix list, one mixture per shard."""
    return [*corpus.flags(out), "--shard-size", "1"]


@pytest.fixture(scope="session")
def built(
    tiny_corpora: TinyCorpora, workshop: object, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """What the local runner builds."""
    out = tmp_path_factory.mktemp("local") / "out"
    bench = Bench(workshop)  # type: ignore[arg-type]
    ended = bench.run(*build_words(tiny_corpora.librispeech, tiny_corpora.wham, out), "--workers", "2")
    assert ended.status == 0, ended.err
    return content(out)


@pytest.fixture(scope="session")
def rendered(wsj0mix: Corpus, workshop: object, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the local runner renders."""
    out = tmp_path_factory.mktemp("local") / "out"
    bench = Bench(workshop)  # type: ignore[arg-type]
    ended = bench.run(*render_words(wsj0mix, out), "--workers", "2")
    assert ended.status == 0, ended.err
    return content(out)


def test_librimix_on_disk(
    runner: Runner, bench: Bench, tiny_corpora: TinyCorpora, built: dict[str, bytes], tmp_path: Path
) -> None:
    words = build_words(tiny_corpora.librispeech, tiny_corpora.wham, tmp_path / "out")
    ended = bench.run(*words, *runner.flags)
    assert ended.status == 0, ended.err
    for counted in ("found 24 = written 24 + rejected 0", "3 shards made in"):
        assert counted in ended.out, f"a counter did not arrive: {ended.out}"
    assert content(tmp_path / "out") == built
    bench.measure(runner.name, "LibriMix, disk", ended)


def upload(folder: Path, url: str) -> None:
    """Copies a local folder into a store."""
    tree = storage.OutputTree(url)
    for entry in storage.find(str(folder)):
        tree.write(entry.path, (folder / entry.path).read_bytes())


@pytest.mark.parametrize("store", ["gs", "s3"], indirect=True)
def test_librimix_in_a_store(
    runner: Runner, bench: Bench, tiny_corpora: TinyCorpora, built: dict[str, bytes], store: Store
) -> None:
    """Of most runners with one store only, unless ``--every-store`` asks for all."""
    root = f"{store.url}/{runner.name}"
    with visit(store):
        upload(tiny_corpora.librispeech, f"{root}/LibriSpeech")
        upload(tiny_corpora.wham, f"{root}/wham")
        words = build_words(f"{root}/LibriSpeech", f"{root}/wham", f"{root}/out")
        ended = bench.run(*words, *runner.flags, variables=store.variables)
        assert ended.status == 0, ended.err
        paths = same_everywhere(entry.path for entry in storage.find(f"{root}/out"))
        found = {path: storage.read_bytes(f"{root}/out/{path}") for path in paths}
    assert found == built
    bench.measure(runner.name, f"LibriMix, {store.url.partition('://')[0]}://", ended)


def test_shards_spread(
    runner: Runner, bench: Bench, wsj0mix: Corpus, rendered: dict[str, bytes], tmp_path: Path
) -> None:
    ended = bench.run(*render_words(wsj0mix, tmp_path / "out"), *runner.flags, pause_s=PAUSE_S)
    assert ended.status == 0, ended.err
    assert content(tmp_path / "out") == rendered
    measured = bench.measure(runner.name, "wsj0-mix, 1 s per shard", ended)
    made = [entry for entry in bench.entries if entry.ended]
    assert len(made) == SHARDS, "each shard was made once"
    assert measured.at_once >= runner.at_once
    assert measured.processes >= runner.processes
    shares = [sum(entry.pid == pid for entry in made) for pid in {entry.pid for entry in made}]
    assert max(shares) <= 2 * SHARDS / runner.processes, f"shards per process: {shares}"


def test_an_error_names_item_and_shard(runner: Runner, bench: Bench, wsj0mix: Corpus, tmp_path: Path) -> None:
    item = wsj0mix.mixtures[5].id
    (tmp_path / f"out/2speakers/wav8k/min/tr/s1/{item}.wav/in-the-way").mkdir(parents=True)
    ended = bench.run(*render_words(wsj0mix, tmp_path / "out"), *runner.flags)
    assert ended.status == 1
    (problem,) = ended.problems
    shard = f"{wsj0mix.part.name}-000005"
    assert problem.startswith(f"mixtape: shard {shard}, item {item}: cannot write {tmp_path}"), ended.err
    assert "Traceback" not in ended.err + ended.out


def in_the_middle(entries: list[Entry]) -> bool:
    """Tells whether some shards are made and others in the making."""
    return sum(entry.ended for entry in entries) >= 4 and bool(unfinished(entries))


@pytest.mark.parametrize("runner", ["prism", "flink-cluster", "spark-cluster"], indirect=True)
def test_a_killed_worker(
    runner: Runner, bench: Bench, wsj0mix: Corpus, rendered: dict[str, bytes], tmp_path: Path
) -> None:
    words = [*render_words(wsj0mix, tmp_path / "out"), *runner.flags, *runner.worker_flags]
    started = bench.start(*words, pause_s=PAUSE_S)
    entries = bench.wait_for(started, in_the_middle)
    os.kill(unfinished(entries)[-1].pid, signal.SIGKILL)
    ended = started.end()
    if not runner.retries:
        assert_broken_by_the_worker(ended)
        ended = bench.run(*words)
    assert ended.status == 0, ended.err
    assert content(tmp_path / "out") == rendered
    assert not (tmp_path / "out/_mixtape/tmp").exists()


def assert_broken_by_the_worker(ended: Ended) -> None:
    assert ended.status == 1, ended.err
    (problem,) = ended.problems
    assert problem.startswith("mixtape: the run broke off: a worker process ended suddenly"), ended.err


def test_an_interrupt_ends_the_job_everywhere(
    runner: Runner, bench: Bench, wsj0mix: Corpus, rendered: dict[str, bytes], tmp_path: Path
) -> None:
    words = [*render_words(wsj0mix, tmp_path / "out"), *runner.flags]
    started = bench.start(*words, pause_s=PAUSE_S)
    bench.wait_for(started, in_the_middle)
    os.kill(started.process.pid, INTERRUPTS[runner.name])
    ended = started.end()
    assert ended.status == 130
    assert ended.problems[-1] == "mixtape: interrupted; the same command goes on from here"
    assert "Traceback" not in ended.err
    with pytest.raises(ProcessLookupError):
        os.killpg(started.process.pid, 0)
    assert not jobs_running(runner)
    made = sum(entry.ended for entry in bench.entries)
    again = bench.run(*words)
    assert again.status == 0, again.err
    assert content(tmp_path / "out") == rendered
    assert made < SHARDS


def jobs_running(runner: Runner) -> list[str]:
    """Names the jobs that a cluster is at work on."""
    if not runner.page:
        return []
    path, jobs = ("/jobs/overview", "jobs") if runner.name == "flink-cluster" else ("/json/", "activeapps")
    with urllib.request.urlopen(runner.page + path) as answer:
        found = json.loads(answer.read())[jobs]
    return [job["name"] for job in found if job["state"] in ("RUNNING", "RESTARTING", "CREATED")]
