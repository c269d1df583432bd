"""The curves of the plot: time per mixture by stage, and how time grows with workers and with size."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.comparing import run_command
from benchmarks.corpora import Corpora, Sizes
from benchmarks.rendering import render_command
from benchmarks.results import Curve
from transforms.audio import SourceReader
from transforms.plan import Part, RenderOptions, Shard
from transforms.recipes import LIBRIMIX
from transforms.rendering import render_item
from transforms.sharding import item_record
from transforms.sinks import sinks_for
from transforms.storage import OutputTree

PART = Part("librimix", "Libri2Mix", "dev")


def curves(folder: Path, sizes: Sizes) -> list[Curve]:
    """Measures all curves on generated corpora below a folder."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="benchmark-curves-") as name:
        corpora = Corpora(Path(name), sizes, sizes.seconds)
        return [stages(corpora, sizes), with_workers(corpora, sizes), with_size(corpora, sizes)]


def stages(corpora: Corpora, sizes: Sizes) -> Curve:
    """Times the stages of a mixture one after the other in this process, in milliseconds each."""
    mixtures = corpora.mixtures(sizes.few)
    options = RenderOptions(formats=("wav", "webdataset", "tfrecord"))
    roots = {name: str(root) for name, root in corpora.roots.items()}
    reader = SourceReader(roots, LIBRIMIX.rules.source_rate_hz)
    spent: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        spent[stage] = spent.get(stage, 0.0) + time.perf_counter() - started

    rendered = []
    for mixture in mixtures:
        with timed("decode, mix, quantise"):
            rendered.append(render_item(mixture, LIBRIMIX, options, reader))
        with timed("ledger"):
            item_record(rendered[-1], LIBRIMIX)
    tree = OutputTree(str(corpora.folder / "stages"))
    for sink in sinks_for(tree, LIBRIMIX, options):
        with timed(f"write {sink.name}"), sink.open_shard(Shard(PART, 0, 1)) as writer:
            for item in rendered:
                writer.add(item)
    points = tuple((stage, 1000 * seconds / len(mixtures)) for stage, seconds in spent.items())
    return Curve("One mixture, 24 files", "stages", points, "", "ms")


def _mixtures_per_s(corpora: Corpora, *, count: int, workers: int) -> float:
    """Renders so many mixtures and returns the speed, start-up included."""
    out = corpora.folder / f"out-{count}-{workers}"
    cost = run_command(render_command(corpora, corpora.plan(count), out, workers=workers))
    shutil.rmtree(out)
    return count / cost.wall_s


def with_workers(corpora: Corpora, sizes: Sizes) -> Curve:
    """Measures the speed of a render with 1 worker to as many as there are cores."""
    cores = len(os.sched_getaffinity(0))
    chosen = sorted({1, 2, cores, *(2**power for power in range(cores.bit_length()))})
    points = tuple(
        (float(workers), _mixtures_per_s(corpora, count=sizes.rendered // 2, workers=workers))
        for workers in chosen
    )
    return Curve("Workers", "mixtures per second", points, "workers", "mixtures/s")


def with_size(corpora: Corpora, sizes: Sizes) -> Curve:
    """Measures how long a render takes by its number of mixtures, in seconds."""
    counts = [sizes.few, sizes.rendered // 4, sizes.rendered // 2, sizes.rendered]
    points = tuple(
        (float(count), count / _mixtures_per_s(corpora, count=count, workers=sizes.workers))
        for count in counts
    )
    return Curve("Size", f"{sizes.workers} workers", points, "mixtures", "s")
