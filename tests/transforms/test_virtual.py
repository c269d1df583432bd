"""The virtual corpus: what was written, without writing; by number, by slices, by many processes."""

import io
import json
import pickle
import random
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from tests import trees
from tests.conftest import REPOSITORY
from transforms.audio import SourceReader
from transforms.errors import SourceError, UsageError
from transforms.plan import WHOLE, Mixture, Source
from transforms.storage import OutputTree
from transforms.virtual import DecodedSources, VirtualCorpus, VirtualItem

RECIPES = list(trees.KINDS)
VARIANTS = [(8000, "min"), (8000, "max"), (16000, "min"), (16000, "max")]


def render(folder: Path, recipe: str, *, mixtures: int = 5, without: int | None = None) -> Path:
    """Makes a corpus with the command line, in all formats, and returns its output.

    Args:
        folder: an empty folder.
        recipe: its recipe.
        mixtures: how many are planned.
        without: an utterance that is missing, so that one or two mixtures are rejected.
    """
    corpus = trees.make_corpus(folder / "corpus", mixtures=mixtures, recipe=recipe)
    if without is not None:
        corpus.utterance(without).unlink()
    flags = ["--shard-size", "2", "--max-rejects", "2"]
    assert trees.run(corpus, folder / "out", *flags) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns ``made(recipe)``: an output of five mixtures in three shards, made once."""
    outputs: dict[str, Path] = {}

    def make(recipe: str) -> Path:
        if recipe not in outputs:
            outputs[recipe] = render(tmp_path_factory.mktemp(recipe), recipe)
        return outputs[recipe]

    return make


def opened(out: Path, recipe: str = "librimix", **changes: Any) -> VirtualCorpus:
    choices: dict[str, Any] = {"rate_hz": 8000, "mode": "min"} | changes
    return VirtualCorpus.of_output(str(out), trees.KINDS[recipe].part.name, **choices)


def written_wavs(out: Path, item: VirtualItem) -> dict[str, Any]:
    """Reads the WAV files of an item, by stream."""
    facts = item["facts"]
    paths = out.rglob(f"wav{facts['rate_hz'] // 1000}k/{facts['mode']}/*/*/{facts['id']}.wav")
    return {path.parent.name: soundfile.read(path, dtype="int16")[0] for path in paths}


def same_streams(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(("rate_hz", "mode"), VARIANTS)
def test_items_are_what_was_written(
    made: Callable[[str], Path], recipe: str, rate_hz: int, mode: str
) -> None:
    corpus = opened(made(recipe), recipe, rate_hz=rate_hz, mode=mode)
    assert len(corpus) == 5
    places = [*range(5), *random.Random(1).choices(range(5), k=5)]
    for place in places:
        item = corpus[place]
        assert item["attachments"] == {}
        assert all(pcm.dtype == np.int16 for pcm in item["pcm"].values())
        assert same_streams(item["pcm"], written_wavs(made(recipe), item))


@pytest.mark.parametrize("recipe", RECIPES)
def test_facts_are_those_of_the_archives(made: Callable[[str], Path], recipe: str) -> None:
    told = []
    for path in sorted(made(recipe).rglob("webdataset/wav16k/max/*.tar")):
        with tarfile.open(path) as archive:
            members = [one for one in archive.getmembers() if one.name.endswith(".json")]
            told += [json.load(archive.extractfile(one) or io.BytesIO()) for one in members]
    corpus = opened(made(recipe), recipe, rate_hz=16000, mode="max")
    assert [json.loads(json.dumps(item["facts"])) for item in corpus] == told


def test_scenes_with_pictures(tmp_path: Path) -> None:
    corpus = trees.make_corpus(tmp_path / "corpus", recipe="avse", mixtures=2)
    assert trees.run(corpus, tmp_path / "out") == 0
    virtual = VirtualCorpus.of_output(str(tmp_path / "out"), corpus.part.name, rate_hz=16000, mode="max")
    for item in [*virtual, *virtual]:
        name = item["facts"]["id"]
        (video,) = item["attachments"]["video"]
        assert video == (tmp_path / f"out/train/scenes/{name}_silent.mp4").read_bytes()
        for stream, pcm in item["pcm"].items():
            path = tmp_path / f"out/train/scenes/{name}_{stream}.wav"
            assert np.array_equal(soundfile.read(path, dtype="int16")[0], pcm)


def test_a_rate_that_was_not_written(made: Callable[[str], Path]) -> None:
    item = opened(made("librimix"), rate_hz=4000, mode="max")[0]
    assert item["facts"]["rate_hz"] == 4000
    wav = written_wavs(made("librimix"), opened(made("librimix"), mode="max")[0])
    assert len(item["pcm"]["s1"]) == -(-len(wav["s1"]) // 2)


def test_a_plan_of_which_nothing_is_written(made: Callable[[str], Path], tmp_path: Path) -> None:
    corpus = trees.make_corpus(tmp_path, recipe="mixtures")
    types = ("mix_clean", "mix_both", "mix_single")
    planned = VirtualCorpus.of_plan(str(corpus.plan), corpus.roots, rate_hz=16000, mode="max", types=types)
    stored = opened(made("mixtures"), "mixtures", rate_hz=16000, mode="max")
    for one, other in zip(planned, stored, strict=True):
        assert one["facts"] == other["facts"]
        assert same_streams(one["pcm"], other["pcm"])


def test_rejected_items_are_left_out(tmp_path: Path) -> None:
    corpus = opened(render(tmp_path, "librimix", without=2))
    assert len(corpus) == 3
    assert [item["facts"]["id"] for item in corpus] == ["m0000", "m0003", "m0004"]
    assert corpus[-1]["facts"]["id"] == "m0004"
    assert corpus[1:][0]["facts"]["id"] == "m0003"


def test_numbers_and_slices(made: Callable[[str], Path]) -> None:
    corpus = opened(made("librimix"))
    assert repr(corpus) == "<VirtualCorpus Libri2Mix-train-100 at 8000 Hz, min: 5 items>"
    assert corpus[np.int64(3)]["facts"]["id"] == corpus[-2]["facts"]["id"] == "m0003"
    odd = corpus[1::2]
    assert [item["facts"]["id"] for item in odd] == ["m0001", "m0003"]
    assert (len(odd), len(corpus), len(corpus[5:])) == (2, 5, 0)
    with pytest.raises(IndexError):
        corpus[5]
    with pytest.raises(TypeError):
        corpus["m0001"]  # type: ignore[call-overload]


def test_slices_share_what_is_kept(made: Callable[[str], Path]) -> None:
    corpus = opened(made("librimix"))
    shares = [corpus[start::2] for start in range(2)]
    assert sorted(item["facts"]["id"] for share in shares for item in share) == [f"m000{k}" for k in range(5)]
    assert len({id(one._own()) for one in (corpus, *shares)}) == 1


@pytest.mark.parametrize(
    ("recipe", "method"),
    [*((recipe, "fork") for recipe in RECIPES), ("mixtures", "spawn"), ("librimix", "inherited")],
)
def test_several_processes_render_the_same(made: Callable[[str], Path], recipe: str, method: str) -> None:
    """Children get the corpus with each task, or by the fork itself, with all that it keeps."""
    command = [
        sys.executable,
        "-m",
        "tests.loaders",
        str(made(recipe)),
        trees.KINDS[recipe].part.name,
        method,
    ]
    subprocess.run(command, check=True, cwd=REPOSITORY, timeout=300)


def test_threads_share_a_corpus(made: Callable[[str], Path]) -> None:
    corpus = opened(made("librimix"), cache_bytes=6000)
    before = [item["pcm"] for item in corpus]
    wrong: list[int] = []

    def look(seed: int) -> None:
        places = random.Random(seed).choices(range(5), k=20)
        wrong.extend(place for place in places if not same_streams(corpus[place]["pcm"], before[place]))

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_pickled_corpus_takes_no_samples_along(made: Callable[[str], Path]) -> None:
    corpus = opened(made("librimix"))
    small = len(pickle.dumps(corpus))
    before = [item["pcm"] for item in corpus]
    assert len(pickle.dumps(corpus)) == small < 2000
    copy = pickle.loads(pickle.dumps(corpus))
    assert all(same_streams(item["pcm"], pcm) for item, pcm in zip(copy, before, strict=True))


def test_samples_belong_to_whoever_asked(made: Callable[[str], Path]) -> None:
    """Training code changes arrays in place; what is kept must not change with them."""
    corpus = opened(made("wsj0mix"), "wsj0mix")
    first = corpus[0]["pcm"]
    before = {name: pcm.copy() for name, pcm in first.items()}
    for pcm in first.values():
        np.negative(pcm, out=pcm)
    assert same_streams(corpus[0]["pcm"], before)


# Sources that are kept.


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> SourceReader:
    """A reader of five files of 100, 200, ..., 500 samples."""
    folder = tmp_path_factory.mktemp("sources")
    for number in range(1, 6):
        trees.write_noise(folder / f"{number}.wav", 100 * number, seed=number)
    return SourceReader({"r": str(folder)}, 16000)


def source(number: int, **fields: Any) -> Source:
    return Source("s1", "r", f"{number}.wav", **fields)


ASKED = st.tuples(st.integers(1, 5), st.sampled_from([0, 50]), st.sampled_from([WHOLE, 30, 80]))


@given(limit_bytes=st.integers(0, 4000), asked=st.lists(ASKED, max_size=30))
def test_kept_or_not_the_samples_are_the_same(
    reader: SourceReader, limit_bytes: int, asked: list[tuple[int, int, int]]
) -> None:
    kept = DecodedSources(limit_bytes)
    order: list[tuple[int, int, int]] = []
    sizes: dict[tuple[int, int, int], int] = {}
    for one in asked:
        number, offset, limit = one
        row = source(number, offset_samples=offset)
        samples = kept.read(reader, row, limit)
        np.testing.assert_array_equal(samples, reader.read(row, limit))
        sizes[one] = samples.nbytes
        if samples.nbytes <= limit_bytes:
            order = [*(other for other in order if other != one), one]
        while sum(sizes[other] for other in order) > limit_bytes:
            order.pop(0)
        held = [(int(key[0][2]), key[2], key[-1]) for key in kept.kept]
        assert held == order
        assert kept.kept_bytes == sum(sizes[other] for other in order) <= limit_bytes


def test_what_is_kept_cannot_be_changed(reader: SourceReader) -> None:
    samples = DecodedSources(4000).read(reader, source(1))
    with pytest.raises(ValueError, match="read-only"):
        samples[0] = 1.0


def test_what_is_kept_is_not_read_again(tmp_path: Path) -> None:
    trees.write_noise(tmp_path / "1.wav", 100, seed=1)
    plain, kept = SourceReader({"r": str(tmp_path)}, 16000), DecodedSources(400)
    first = kept.read(plain, source(1))
    (tmp_path / "1.wav").unlink()
    assert kept.read(plain, source(1, level=0.5, speaker="x")) is first
    with pytest.raises(SourceError, match="no such file"):
        kept.read(plain, source(1, channel=0))


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_renderer_leaves_samples_that_are_kept_alone(made: Callable[[str], Path], recipe: str) -> None:
    corpus = opened(made(recipe), recipe)
    first = [item["pcm"] for item in corpus]
    assert corpus._own().decoded.kept_bytes > 0
    assert all(same_streams(item["pcm"], pcm) for item, pcm in zip(corpus, first, strict=True))


# What is refused.


def test_a_part_that_is_not_there(made: Callable[[str], Path]) -> None:
    wanted = r"holds no finished part 'dev'; those that are there: Libri2Mix-train-100"
    with pytest.raises(UsageError, match=wanted):
        VirtualCorpus.of_output(str(made("librimix")), "dev", rate_hz=8000, mode="min")


def test_an_output_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no finished corpus"):
        opened(tmp_path)


def test_all_bad_options_are_named_at_once(tmp_path: Path) -> None:
    corpus = trees.make_corpus(tmp_path, recipe="mixtures")
    with pytest.raises(UsageError) as caught:
        VirtualCorpus.of_plan(
            str(corpus.plan),
            corpus.roots,
            rate_hz=8,
            mode="mean",  # type: ignore[arg-type]
            types=["mix", "mix_both"],
        )
    assert caught.value.problems == (
        "rate 8 Hz: wanted 1000 to 768000",
        "mode 'mean': wanted min or max",
        "types mix mix_both: wanted some of mix_clean mix_both mix_single",
    )


@pytest.mark.parametrize("types", [(), ("mix_clean",)])
def test_roots_that_are_needed(tmp_path: Path, types: tuple[str, ...]) -> None:
    corpus = trees.make_corpus(tmp_path, recipe="mixtures")
    choices: dict[str, Any] = {"rate_hz": 16000, "mode": "max", "types": types or ("mix_both",)}
    roots = {"speech": corpus.roots["speech"]}
    with pytest.raises(UsageError) as caught:
        VirtualCorpus.of_plan(str(corpus.plan), roots, **choices)
    needed = ["rir"] if types else ["noise", "rir"]
    assert caught.value.problems == tuple(
        f"{corpus.plan}: has sources below {name!r}; say where that is" for name in needed
    )


def test_a_corpus_that_has_moved(tmp_path: Path) -> None:
    out = render(tmp_path, "librimix")
    old, new = tmp_path / "corpus" / "wham", tmp_path / "elsewhere"
    old.rename(new)
    with pytest.raises(UsageError, match=f"the corpus wham is not in {old}; say where it is"):
        opened(out)
    assert len(opened(out, moved_roots={"wham": str(new)})[4]["pcm"]) == 6


def test_a_source_that_is_gone(tmp_path: Path) -> None:
    out = render(tmp_path, "librimix")
    corpus = opened(out)
    (tmp_path / "corpus/LibriSpeech/train-clean-100/105/1/105-1-0000.flac").unlink()
    assert corpus[3]["facts"]["id"] == "m0003"
    with pytest.raises(SourceError, match="no such file or folder"):
        corpus[4]


def test_a_plan_that_leads_out_of_its_roots(tmp_path: Path) -> None:
    corpus = trees.make_corpus(tmp_path, recipe="mixtures")
    bad = Mixture("bad", (Source("s1", "speech", "../secret.wav"),))
    changed = corpus.with_mixtures([*corpus.mixtures, bad])
    virtual = VirtualCorpus.of_plan(
        str(changed.plan), corpus.roots, rate_hz=16000, mode="max", types=["mix_clean"]
    )
    assert virtual[0]["facts"]["id"] == "train-0000000"
    with pytest.raises(UsageError, match=r"bad: path '\.\./secret\.wav' of s1 must be relative"):
        virtual[5]


def test_a_plan_with_settings_that_cannot_be(tmp_path: Path) -> None:
    corpus = trees.make_corpus(tmp_path, recipe="mixtures")
    text = corpus.plan.read_bytes().replace(b'"clip": "scale"', b'"clip": "sc0le"')
    corpus.plan.write_bytes(text)
    with pytest.raises(UsageError, match="wanted rate_hz of 1000 to 768000 and clip of scale or reject"):
        VirtualCorpus.of_plan(str(corpus.plan), corpus.roots, rate_hz=8000, mode="max", types=["mix_clean"])


def test_an_empty_plan_is_an_empty_corpus(tmp_path: Path) -> None:
    corpus = trees.make_corpus(tmp_path, recipe="mixtures").with_mixtures([])
    virtual = VirtualCorpus.of_plan(
        str(corpus.plan), corpus.roots, rate_hz=8000, mode="max", types=["mix_clean"]
    )
    assert (len(virtual), list(virtual)) == (0, [])
    assert OutputTree(str(corpus.plan.parent)).names("") == [corpus.plan.name]
