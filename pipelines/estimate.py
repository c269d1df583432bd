"""``--dry-run`` of rendering: how much there would be, and how long it would take."""

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.output import size
from pipelines.plan_inputs import PlanInput
from pipelines.runner import counted, duration
from transforms.audio import WAV_HEADER_BYTES
from transforms.errors import SourceError
from transforms.plan import Mixture
from transforms.rendering import RenderedMixture, render_item
from transforms.sharding import RenderJob

_PROBES = 12
_CONTAINER_BYTES = {"wav": WAV_HEADER_BYTES, "webdataset": 512 + 256 + WAV_HEADER_BYTES, "tfrecord": 40}


@dataclass(frozen=True)
class Probe:
    """What a few mixtures of a plan, rendered into nothing, tell about all of them.

    Attributes:
        rendered: mixtures that could be rendered.
        tried: mixtures that were tried.
        seconds: time that rendering took, on one core.
        playing_s: playing time of the rendered mixtures, in the longest variant.
        stream_bytes: samples of all their streams and variants.
        streams: number of their streams.
        attached_bytes: size of the files that are attached to them.
    """

    rendered: int
    tried: int
    seconds: float
    playing_s: float
    stream_bytes: int
    streams: int
    attached_bytes: int


def _spread(plans: Sequence[PlanInput], total: int) -> list[Mixture]:
    """Picks a few mixtures, evenly spread over all plans."""
    mixtures = itertools.chain.from_iterable(plan.read() for plan in plans)
    return list(itertools.islice(mixtures, 0, None, max(1, total // _PROBES)))[:_PROBES]


def probe(job: RenderJob, chosen: Sequence[Mixture]) -> Probe:
    """Renders a few mixtures without writing anything."""
    reader = job.reader()
    done: list[RenderedMixture] = []
    started = time.perf_counter()
    for mixture in chosen:
        try:
            done.append(render_item(mixture, job.rules, job.options, reader))
        except SourceError:
            continue
    seconds = time.perf_counter() - started
    variants = [variant for mixture in done for variant in mixture.variants]
    return Probe(
        rendered=len(done),
        tried=len(chosen),
        seconds=seconds,
        playing_s=sum(max(v.samples / v.variant.rate_hz for v in mixture.variants) for mixture in done),
        stream_bytes=sum(2 * variant.samples * len(variant.pcm) for variant in variants),
        streams=sum(len(variant.pcm) for variant in variants),
        attached_bytes=sum(
            len(piece) for mixture in done for attached in mixture.attachments for piece in attached.pieces
        ),
    )


def print_estimate(job: RenderJob, plans: Sequence[PlanInput], *, workers: int) -> None:
    """Prints counts, hours, bytes per format and time for the plans, from a small probe."""
    for plan in plans:
        shards = -(-plan.count // job.options.shard_size)
        print(f"{plan.part.name}: {counted(plan.count, 'mixture')} in {counted(shards, 'shard')}")
    total = sum(plan.count for plan in plans)
    found = probe(job, _spread(plans, total))
    if found.rendered:
        _print_extent(job, found, total / found.rendered, workers=workers)
    elif total:
        print(f"none of {counted(found.tried, 'mixture')} tried can be rendered: no estimate")
    print("dry run: nothing was written")


def _print_extent(job: RenderJob, found: Probe, scale: float, *, workers: int) -> None:
    """Prints what a probe says of all mixtures, which are ``scale`` times as many."""
    print(f"about {duration(found.playing_s * scale)} of mixtures")
    for form in job.options.formats:
        total = found.stream_bytes + found.streams * _CONTAINER_BYTES[form] + found.attached_bytes
        print(f"  {form}: about {size(total * scale)}")
    seconds = found.seconds * scale / workers
    print(f"about {duration(seconds)} to render with {counted(workers, 'worker')}, without writing")
    failed = f"; {found.tried - found.rendered} of {found.tried} tried cannot be rendered"
    print(
        f"estimated from {counted(found.rendered, 'mixture')}{failed if found.rendered < found.tried else ''}"
    )
