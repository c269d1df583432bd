"""The published tree: WAV files whose bytes are those of an ordinary writer, and where they are."""

import dataclasses
import hashlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from transforms.errors import StorageError
from transforms.ledger import ItemRecord, ShardLedger
from transforms.plan import Part, RenderOptions, Shard
from transforms.recipes import LIBRIMIX, MIXTURES, WSJ0MIX, Recipe
from transforms.rendering import RenderedMixture, render_mixture
from transforms.sinks.base import Beside, PartWriter
from transforms.sinks.records import RecordsWriter
from transforms.sinks.tables import TablesWriter
from transforms.sinks.wav import WavSink
from transforms.storage import OutputTree

MakeItem = Callable[..., RenderedMixture]
FOLDERS = [
    f"Libri2Mix/{rate}/min/train-100/{stream}"
    for rate in ("wav16k", "wav8k")
    for stream in ("mix_both", "mix_clean", "noise", "s1", "s2")
]


@pytest.fixture
def sink(tree: OutputTree, options: RenderOptions) -> WavSink:
    return WavSink(tree, LIBRIMIX, options)


def write(sink: WavSink, part: Part, *items: RenderedMixture) -> None:
    with sink.open_shard(Shard(part, 0, 1)) as writer:
        for item in items:
            writer.add(item)
    assert writer.files == ()


def soundfile_bytes(pcm: Any, rate_hz: int) -> bytes:
    file = BytesIO()
    soundfile.write(file, pcm, rate_hz, format="WAV", subtype="PCM_16")
    return file.getvalue()


def test_files_are_those_that_soundfile_writes(sink: WavSink, part: Part, make_item: MakeItem) -> None:
    item = make_item("19-198-0000_26-495-0001")
    write(sink, part, item)
    for one in item.variants:
        for stream, pcm in one.pcm.items():
            path = f"Libri2Mix/{one.variant.folder}/min/train-100/{stream}/19-198-0000_26-495-0001.wav"
            assert sink.tree.read(path) == soundfile_bytes(pcm, one.variant.rate_hz)


def test_nothing_else_is_written(
    sink: WavSink, part: Part, make_item: MakeItem, contents: Callable[[OutputTree], dict[str, bytes]]
) -> None:
    write(sink, part, make_item("a"), make_item("b"))
    assert sorted(contents(sink.tree)) == sorted(
        f"{folder}/{name}.wav" for folder in FOLDERS for name in "ab"
    )


def test_samples_that_are_a_part_of_longer_ones(sink: WavSink, part: Part, make_item: MakeItem) -> None:
    """Streams of ``min`` are cut out of those of ``max`` without being copied."""
    item = make_item("a")
    narrow = item.variants[0]
    cut = {name: pcm[:100] for name, pcm in narrow.pcm.items()}
    write(sink, part, dataclasses.replace(item, variants=(dataclasses.replace(narrow, pcm=cut),)))
    data = sink.tree.read("Libri2Mix/wav8k/min/train-100/s1/a.wav")
    assert data == soundfile_bytes(narrow.pcm["s1"][:100], 8000)


def test_a_file_of_another_run_is_replaced(sink: WavSink, part: Part, make_item: MakeItem) -> None:
    write(sink, part, make_item("a", samples=900))
    write(sink, part, make_item("a", samples=30))
    assert sink.tree.size("Libri2Mix/wav8k/min/train-100/s1/a.wav") == 44 + 60


def test_what_cannot_be_written_is_named(
    local_tree: OutputTree, options: RenderOptions, part: Part, make_item: MakeItem
) -> None:
    Path(local_tree.url("Libri2Mix")).write_bytes(b"")
    with pytest.raises(StorageError, match="a file stands where a folder is needed") as caught:
        write(WavSink(local_tree, LIBRIMIX, options), part, make_item("a"))
    assert caught.value.url == local_tree.url("Libri2Mix/wav8k/min/train-100/s1/a.wav")


# --- where files are ---------------------------------------------------------------------------


def record(item: RenderedMixture, corpus: Any) -> ItemRecord:
    ledger: ShardLedger = corpus.write_shard(Shard(Part("librimix", "Libri2Mix", "train-100"), 0, 1), [item])
    return ledger.items[0]


def test_files_of_an_item_with_their_sizes(
    tree: OutputTree, part: Part, make_item: MakeItem, corpus_of: Callable[..., Any]
) -> None:
    corpus = corpus_of(WavSink, tree)
    found = dict(corpus.sink.item_files(part, record(make_item("a"), corpus)))
    assert sorted(found) == sorted(f"{folder}/a.wav" for folder in FOLDERS)
    assert all(tree.size(path) == size for path, size in found.items())


def test_planned_files_are_those_that_are_written(
    sink: WavSink, part: Part, make_item: MakeItem, contents: Callable[[OutputTree], dict[str, bytes]]
) -> None:
    write(sink, part, make_item("a"))
    assert sorted(sink.planned_files(part, "a", ("s1", "s2", "noise"))) == sorted(contents(sink.tree))


def test_no_noise_is_planned_where_no_type_holds_it(tree: OutputTree, part: Part) -> None:
    options = RenderOptions(rates_hz=(8000,), modes=("max",), types=("mix_clean",))
    planned = list(WavSink(tree, LIBRIMIX, options).planned_files(part, "a", ("s1", "s2", "noise")))
    assert planned == [f"Libri2Mix/wav8k/max/train-100/{name}/a.wav" for name in ("s1", "s2", "mix_clean")]


def test_folders_of_a_part_are_found_whatever_made_them(
    sink: WavSink, part: Part, make_item: MakeItem
) -> None:
    write(sink, part, make_item("a"))
    sink.tree.write("Libri2Mix/wav11k/max/train-100/mix_single/a.wav", b"")
    sink.tree.write("Libri2Mix/wav8k/min/train-360/s1/a.wav", b"")
    sink.tree.write("Libri2Mix/wav8k/min/metadata/mixture_train-100_mix_clean.csv", b"")
    sink.tree.write("Libri2Mix/webdataset/wav8k/min/train-100-000000.tar", b"")
    found = WavSink(sink.tree, LIBRIMIX, RenderOptions()).folders(part)
    assert sorted(found) == sorted([*FOLDERS, "Libri2Mix/wav11k/max/train-100/mix_single"])


def test_an_empty_output_has_no_folders(sink: WavSink, part: Part) -> None:
    assert sink.folders(part) == ()


def test_wav_files_are_no_shard_files(sink: WavSink, part: Part) -> None:
    assert not sink.is_shard_file(part, "Libri2Mix/wav8k/min/train-100/s1/a.wav")


@pytest.mark.parametrize(
    ("recipe", "kinds"),
    [(LIBRIMIX, [TablesWriter]), (WSJ0MIX, []), (MIXTURES, [TablesWriter, RecordsWriter])],
)
def test_tables_and_records_stand_beside_where_the_recipe_publishes_any(
    tree: OutputTree, part: Part, options: RenderOptions, recipe: Recipe, kinds: list[type[PartWriter]]
) -> None:
    beside = WavSink(tree, recipe, options).open_part(part, 1, ("s1", "s2"))
    assert isinstance(beside, Beside)
    assert list(map(type, beside.writers)) == kinds


def test_published_files_come_out_of_the_sink(small_render: Any, tree: OutputTree) -> None:
    options = RenderOptions(types=tuple(LIBRIMIX.types))
    mixture = small_render.mixtures[0]
    rendered = render_mixture(mixture, LIBRIMIX, options, small_render.reader().read)
    write(WavSink(tree, LIBRIMIX, options), small_render.part, rendered)
    paths = [path for path in small_render.hashes if path.endswith(f"/{mixture.id}.wav")]
    assert len(paths) == 24
    for path in paths:
        samples, _ = soundfile.read(BytesIO(tree.read(path)), dtype="int16")
        assert (
            hashlib.sha256(np.asarray(samples, dtype="<i2").tobytes()).hexdigest()
            == small_render.hashes[path]
        )
