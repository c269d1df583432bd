"""How many requests a run makes: it is these that a store is slow at, and that it is paid for."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from pipelines import cli
from tests import trees
from tests.faults import Proxy, Seen, watched
from tests.servers import Store, visit
from tests.stores.conftest import upload
from transforms import plan_reading, report, storage
from transforms.plan import Mixture, Part, Source, StoredPlan, write_plan

MIXTURES, SHARDS, VARIANTS, STREAMS = 20, 2, 4, len(trees.LIBRIMIX.streams)
SOURCES = 3 * MIXTURES
TABLES = 6 * VARIANTS
PER_RUN, PER_SHARD = 110, 25


@dataclass(frozen=True)
class Counted:
    """A corpus in a store, and the proxy that counts requests."""

    url: str
    corpus: trees.Corpus
    proxy: Proxy

    def run(self, form: str) -> list[Seen]:
        """Renders the corpus in one format, and returns the requests that this took."""
        flags = self.corpus.flags(Path("OUT"))
        place = flags.index("--formats")
        words = [
            *flags[: place + 1],
            form,
            "--shard-size",
            str(MIXTURES // SHARDS),
            "--workers",
            "1",
            "--quiet",
        ]
        start = len(self.proxy.seen)
        assert cli.main([self._placed(word, form) for word in words]) == 0
        return self.proxy.seen[start:]

    def _placed(self, word: str, form: str) -> str:
        return (
            f"{self.url}/{form}" if word == "OUT" else word.replace(str(self.corpus.folder), f"{self.url}/in")
        )


@pytest.fixture(scope="module", params=["gs", "s3"])
def counted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counted]:
    folder = tmp_path_factory.mktemp(request.param)
    corpus = trees.make_corpus(folder / "corpus", mixtures=MIXTURES)
    store: Store
    with (
        watched(request.param, folder / "data") as (store, proxy),
        visit(store),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(report, "make_report", lambda job, summaries: f"{len(summaries)} parts")
        upload(corpus.folder, f"{store.url}/in")
        yield Counted(store.url, corpus, proxy)


def is_listing(seen: Seen) -> bool:
    return "prefix=" in seen.query


def sources_in(requests: list[Seen]) -> list[str]:
    """Paths of the requests for sources."""
    return [seen.path for seen in requests if "/in/" in seen.path and seen.path.endswith((".flac", ".wav"))]


def test_archives_cost_one_request_per_source_and_little_else(counted: Counted) -> None:
    requests = counted.run("webdataset")
    read = sources_in(requests)
    assert len(read) == SOURCES
    assert all(seen.method == "GET" for seen in requests if seen.path in read)
    puts = [seen for seen in requests if seen.method in ("PUT", "POST") and ".tar" in seen.path + seen.query]
    assert len([seen for seen in puts if "PUT" in seen.method]) in (0, SHARDS * VARIANTS)
    assert len(requests) <= SOURCES + PER_RUN + SHARDS * PER_SHARD


def test_wav_trees_cost_one_request_per_file_more(counted: Counted) -> None:
    requests = counted.run("wav")
    files = MIXTURES * VARIANTS * STREAMS
    assert len(sources_in(requests)) == SOURCES
    assert len(requests) <= files + SOURCES + 3 * TABLES + PER_RUN + SHARDS * PER_SHARD


@pytest.mark.parametrize("form", trees.ALL_FORMATS)
def test_a_run_with_nothing_to_do_lists_folders(counted: Counted, form: str) -> None:
    """Each folder of sources and of the output is listed once; no file is asked for."""
    counted.run(form)
    requests = counted.run(form)
    assert sources_in(requests) == []
    source_folders, output_folders = MIXTURES + 2, VARIANTS * (STREAMS + 2)
    listings = [seen for seen in requests if is_listing(seen)]
    assert len(listings) <= source_folders + 2 * output_folders + 30
    assert len(requests) - len(listings) <= PER_RUN + SHARDS * PER_SHARD


def test_a_tar_archive_is_walked_once_per_machine(counted: Counted, tmp_path: Path) -> None:
    """In pieces of 4 MiB, whatever the number of its members; the next process has the table at hand."""
    with tarfile.open(tmp_path / "corpus.tar", "w") as made:
        made.add(counted.corpus.folder, "corpus")
        for number in range(3):
            (tmp_path / "padding").write_bytes(bytes(1 << 21))
            made.add(tmp_path / "padding", f"corpus/padding-{number}")
    upload(tmp_path, f"{counted.url}/archives")
    root = f"tar://corpus::{counted.url}/archives/corpus.tar"
    walk, again = (_requests_of_find(counted, root) for _ in range(2))
    assert len(walk) == 1 + 2, "the stamp, and two pieces"
    assert len(again) == 1, "the stamp"
    upload(tmp_path, f"{counted.url}/archives")
    found = {entry.path for entry in storage.find(root)}
    assert found == {f"padding-{n}" for n in range(3)} | set(trees.files(counted.corpus.folder))


PLANNED = 100
PLAN_PART = Part("librimix", "Libri2Mix", "train-360")


@pytest.fixture
def plan_url(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> str:
    """A plan in the store of 15 MB: no shard fits into a small piece of it, and most share a row group."""
    monkeypatch.setattr(plan_reading, "SINGLE_SHARDS", 20)
    random = Random(0)
    mixtures = (
        Mixture(f"m{number}", (Source("s1", "speech", "a.flac", text=random.randbytes(1500).hex()),))
        for number in range(PLANNED * 100)
    )
    write_plan(storage.OutputTree(counted.url), "plan.parquet", PLAN_PART, mixtures, shard_size=100)
    return f"{counted.url}/plan.parquet"


def test_a_plan_is_read_in_large_pieces_by_any_number_of_threads(counted: Counted, plan_url: str) -> None:
    """One request per shard asks whether the plan is the same still; all others are for its 4 MiB pieces."""
    pieces = len(storage.read_bytes(plan_url)) // (1 << 22) + 1
    start = len(counted.proxy.seen)
    plan = StoredPlan.open(plan_url)
    read = list(storage.in_parallel(plan_url, plan.read_shard, range(PLANNED)))
    assert [one.id for shard in read for one in shard] == [f"m{number}" for number in range(PLANNED * 100)]
    assert len(counted.proxy.seen) - start <= 1 + PLANNED + pieces + 3


def _requests_of_find(counted: Counted, root: str) -> list[Seen]:
    """Finds the members of an archive as a process does that was just started."""
    storage.forget_file_systems()
    start = len(counted.proxy.seen)
    assert len(storage.find(root)) > MIXTURES
    return counted.proxy.seen[start:]
