"""One item's whole story: its plan row, its sources, what came of it, and where that is, as text."""

import bisect
import difflib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from transforms import ledger as ledgers
from transforms.demands import PlanDemands
from transforms.errors import SourceError, UsageError
from transforms.extraction import Place
from transforms.finishing import PartSummary, stored_summaries
from transforms.ledger import VariantRecord
from transforms.plan import MONO, WHOLE, Mixture, Part, Source, Variant
from transforms.record import part_job
from transforms.rejects import Reject
from transforms.rendering import RenderedVariant, render_item
from transforms.sharding import RenderJob, plan_path, samples_crc32c
from transforms.sinks.description import item_key
from transforms.verification import options_of

_NEAR = 3
_LIKENESS = 0.7
_MOST_COMPARED = 1000


@dataclass(frozen=True)
class Story:
    """What an output knows of one item.

    Attributes:
        job: how its part was made.
        part: its part.
        mixture: its plan row; None for one that the plan itself rejects.
        row: number of the mixture in the plan, from 0.
        place: where it is; None for one that was not written.
        reject: why it was not written.
    """

    job: RenderJob
    part: Part
    mixture: Mixture | None = None
    row: int = 0
    place: Place | None = None
    reject: Reject | None = None


def find_item(job: RenderJob, item_id: str) -> list[Story]:
    """Finds an item in all parts of an output.

    Args:
        job: how its last run made it.
        item_id: the id, which may be in several parts.

    Raises:
        UsageError: there is no such item; names ids that look like it.
        StorageError: a plan or ledger cannot be read.
    """
    stories: list[Story] = []
    near: list[str] = []
    for summary in stored_summaries(job.tree):
        ids = job.stored_plan(summary.part.name).read_ids()
        rejects = {reject.item: reject for reject in summary.rejects}
        if item_id in ids:
            stories.append(_planned(job, summary, item_id, row=ids.index(item_id)))
        elif item_id in rejects:
            stories.append(Story(job, summary.part, reject=rejects[item_id]))
        else:
            near += near_matches(item_id, [*ids, *rejects])
    if not stories:
        raise UsageError(f"{job.out}: has no item {item_id}; {_suggestion(item_id, near)}")
    return stories


def _suggestion(item_id: str, near: Sequence[str]) -> str:
    closest = difflib.get_close_matches(item_id, list(dict.fromkeys(near)), n=_NEAR, cutoff=0)
    return f"did you mean {' or '.join(closest)}?" if closest else "no id looks like it"


def near_matches(wanted: str, ids: Iterable[str]) -> list[str]:
    """Returns up to three ids that look most like another; few of very many are compared in full.

    A slip spares the first or the last third of a word, so only ids that share one of them are compared.

    >>> sorted(near_matches("m00O3", ["m0003", "m0013", "x"]))
    ['m0003', 'm0013']
    """
    third = -(-len(wanted) // 3)
    first, last = wanted[:third], wanted[-third:]
    candidates = (one for one in ids if one.startswith(first) or one.endswith(last) or wanted in one)
    pool = list(itertools.islice(candidates, _MOST_COMPARED))
    return difflib.get_close_matches(wanted, pool, n=_NEAR, cutoff=_LIKENESS)


def _planned(job: RenderJob, summary: PartSummary, item_id: str, *, row: int) -> Story:
    plan = job.stored_plan(summary.part.name)
    own = part_job(job, summary, plan)
    shard = plan.shards[bisect.bisect_right(plan.shard_starts(), row) - 1]
    mixture = next(one for one in plan.read_shard(shard.index) if one.id == item_id)
    ledger = ledgers.read_ledger(job.tree, shard.name)
    if ledger is None:
        raise UsageError(f"{job.out}: shard {shard.name} has no readable ledger; run the same command again")
    item = next((one for one in ledger.items if one.id == item_id), None)
    reject = next((one for one in ledger.rejects if one.item == item_id), None)
    place = None if item is None else Place(own, shard, ledger, item)
    return Story(own, summary.part, mixture, row, place, reject)


def tell(story: Story) -> str:
    """Returns an item's story as lines of text.

    A written item is rendered again, which tells the gains and starts of its sources, and whether
    they still give what was written; where they cannot be read the text says so.
    """
    lines = [_headline(story)]
    if story.reject is not None:
        lines += _reject_lines(story.reject)
    if story.mixture is not None:
        lines += ["", f"plan row {story.row + 1:,}, in {plan_path(story.part.name)}"]
        contents = {} if story.place is None else story.place.ledger.sources
        for source in story.mixture.sources:
            lines += _source_lines(source, contents)
    if story.place is not None:
        lines += _written_lines(story, story.place)
    return "\n".join(lines) + "\n"


def _headline(story: Story) -> str:
    state = "written" if story.place is not None else "rejected"
    item = story.reject.item if story.reject else story.mixture.id if story.mixture else ""
    return f"{item}: {state}; {story.job.rules.title}, part {story.part.name}"


def _reject_lines(reject: Reject) -> list[str]:
    return [
        f"  source  {reject.source}",
        f"  reason  {reject.reason} (while: {reject.stage})",
        f"  remedy  {reject.remedy}",
    ]


def _source_lines(source: Source, contents: Mapping[str, str]) -> Iterator[str]:
    yield f"{source.role}  {source.name}"
    size, _, crc = contents.get(source.name, "").partition("-")
    if crc:
        yield f"    content  {int(size):,} bytes, CRC-32C {crc}"
    if source.speaker:
        yield f"    speaker  {source.speaker}{source.sex and f' ({source.sex})'}"
    if source.text:
        yield f"    text     {source.text}"
    yield f"    level    {_level(source)}"
    yield f"    taken    {_extent(source)}"
    if source.rir:
        yield f"    room     rir:{source.rir}"


def _level(source: Source) -> str:
    match source.level_kind:
        case "gain":
            return f"gain {source.level:g}{_in_db(source.level)}"
        case "active_level":
            return (
                f"{source.level:g} dB active level, of recordings with active power {source.active_power:g}"
            )
        case "snr":
            return f"{source.level:g} dB below {source.against} ({_measure(source)})"
        case _ if source.measure == "lufs":
            return f"{source.level:g} LUFS"
        case _:
            return f"{source.level:g} dB ({source.measure})"


def _measure(source: Source) -> str:
    """Returns the name of a measure of levels as people write it."""
    return "LUFS" if source.measure == "lufs" else source.measure


def _in_db(gain: float) -> str:
    return f" ({20 * math.log10(abs(gain)):+.2f} dB)" if gain else ""


def _extent(source: Source) -> str:
    amount = "all samples" if source.length_samples == WHOLE else f"{source.length_samples:,} samples"
    if source.fit == "loop":
        amount = "as many samples as the mixture has"
    words = [f"{amount} from sample {source.offset_samples:,} on"]
    if source.channel != MONO:
        words.append(f"channel {source.channel}")
    if source.speed != 1.0:
        words.append(f"played {source.speed:g} times as fast")
    words.append(f"placed at sample {source.start_samples:,}")
    return ", ".join(words)


def _written_lines(story: Story, place: Place) -> Iterator[str]:
    again, note = _rendered_again(story, place)
    yield from ("", note)
    for record in place.item.variants:
        yield from _variant_lines(place, record, again.get(record.variant))
    for name, pieces in place.item.attachments.items():
        kind = place.job.rules.attachment_named(name)
        yield ""
        for number, piece in enumerate(pieces):
            path = place.job.rules.attachment_path(place.shard.part, kind, place.item.id, number)
            where = path if "wav" in place.job.options.formats else ""
            yield f"{name}  {piece.size_bytes:,} bytes, CRC-32C {piece.crc32c:08x}  {where}".rstrip()
    yield from ("", f"ledger  {ledgers.ledger_path(place.shard.name)}")


def _rendered_again(story: Story, place: Place) -> tuple[dict[Variant, RenderedVariant], str]:
    """Renders a written item again; returns nothing, and why, where that cannot be."""
    job, mixture = story.job, story.mixture
    assert mixture is not None
    options = options_of(job, place.item)
    missing = PlanDemands(job.rules, options.types, job.rules.roots, frozenset(job.roots)).missing_roots(
        mixture
    )
    unknown = "gains and starts are not known, since the sources cannot be read now"
    if missing:
        return {}, f"{unknown}: say where {', '.join(sorted(missing))} is, with --root NAME=URL"
    try:
        rendered = render_item(mixture, job.rules, options, job.reader())
    except SourceError as error:
        return {}, f"{unknown}: {error}"
    return {one.variant: one for one in rendered.variants}, "rendered again just now:"


def _variant_lines(place: Place, record: VariantRecord, again: RenderedVariant | None) -> Iterator[str]:
    variant = record.variant
    seconds = record.samples / variant.rate_hz
    yield from ("", f"{variant.rate_hz} Hz, {variant.mode}: {record.samples:,} samples ({seconds:.3f} s)")
    recipe, formats = place.job.rules, place.job.options.formats
    for stream, crc in record.crc32c.items():
        words = [f"  {stream:<10} CRC-32C {crc:08x}"]
        if again is not None:
            same = samples_crc32c(again.pcm[stream]) == crc
            words.append("the same" if same else "NOT THE SAME, the sources or the program have changed")
            words += _placing(again, stream)
        if "wav" in formats:
            words.append(recipe.wav_path(place.shard.part, variant, stream, place.item.id))
        yield "  ".join(words)
    roles = recipe.roles_of(record.crc32c)
    for name, snrs in record.snr_db.items():
        told = (f"{role} {snr:+.2f} dB" for role, snr in zip(recipe.types[name](roles), snrs, strict=True))
        yield f"  SNR in {name}: {', '.join(told)}"
    if record.scale is not None:
        yield f"  clip scale: {record.scale:g}{_in_db(record.scale)}, in all gains"
    for fact, value in record.facts.items():
        yield f"  {fact}: {value}"
    if "webdataset" in formats:
        yield f"  members {item_key(place.item.id)}.* of {place.holder('webdataset', record)}"
    if "tfrecord" in formats:
        yield f"  record {place.number} of {place.holder('tfrecord', record)}"


def _placing(again: RenderedVariant, stream: str) -> list[str]:
    if stream not in again.gains:
        return []
    return [
        f"gain {again.gains[stream]:g}{_in_db(again.gains[stream])}",
        f"from {again.starts_s[stream]:.3f} s",
    ]
