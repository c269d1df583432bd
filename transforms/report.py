"""The report: one HTML file that lets a person see and hear whether an output is right.

It is made of the parts' summaries, whatever their size, and of ten items per part that are rendered
again from the stored plan. What it tells of the last run it has from ``run.json`` beside it.
"""

import base64
import importlib.resources
import io
import itertools
import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from transforms import report_charts as charts
from transforms import report_streams as streams
from transforms.audio import Pcm, SourceReader
from transforms.errors import MixtapeError, SourceError
from transforms.finishing import PartSummary
from transforms.licences import UNKNOWN
from transforms.plan import NOISE, Mixture, RenderOptions, Source, StoredPlan, Variant
from transforms.publishing import source_licences
from transforms.recipes import Recipe
from transforms.record import part_job, read_run
from transforms.rejects import Reject
from transforms.rendering import RenderedMixture, render_item
from transforms.report_speakers import Grid, speaker_table
from transforms.report_strips import strip_uri
from transforms.sharding import RenderJob
from transforms.statistics import Histogram
from transforms.version import VERSION

ITEMS_PER_PART = 10
LONGEST_EXCERPT_S = 10.0
SHORTEST_EXCERPT_S = 3.0
_AUDIO_BYTES = 9_000_000
_TRIES_PER_ITEM = 5
_EXAMPLES = 3
_MOST_KINDS = 20

_TEMPLATE = "report.html.j2"
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_FAMILIES = {
    "length_s": ("Length", "Length of the mixtures written."),
    "talkers": ("Talkers", "How many talkers a mixture has."),
    "overlap_percent": (
        "Overlap",
        "Of the time in which anybody talks, how much two or more do. Where starts and ends are not "
        "recorded, of two talkers only.",
    ),
    "gain_db": ("Planned gain", "Gain of each source, as planned."),
    "level_lufs": ("Planned loudness", "Loudness of each source, as planned."),
    "level_rms_db": ("Planned level", "Root mean square of each source, as planned; 0 dB is full scale."),
    "level_active_db": ("Planned active level", "Active speech level of each source, as planned."),
    "snr_planned_db": ("Planned SNR", "By how much what the plan names shall exceed each source."),
    "snr_deviation_db": (
        "SNR: measured minus planned",
        "What the planned SNR of a source is when it is measured; 0 is as planned.",
    ),
    "gain_applied_db": (
        "Applied gain",
        "From the recording to what is written: the level, and what keeps the mixture below full scale.",
    ),
    "scale_db": (
        "Clip scale",
        "What the rule on peaks put on all streams of a mixture alike; at 0 dB it changed nothing.",
    ),
    "av_offset_ms": ("Offset of sound", "By how much the sound of each file begins after its pictures."),
    "source_fps": ("Pictures per second", "Rate of each file's pictures; of a variable one the mean."),
    "snr_db": ("SNR", "Each source against the rest of its mixture, as measured in every length mode."),
    "uses": ("Use of utterances", "In how many mixtures each utterance is."),
    "mixtures": ("Use of speakers", "In how many mixtures each speaker is."),
    "utterances": ("Utterances of speakers", "How many different utterances are used of each speaker."),
}
_SPEAKER_TABLES = (
    "Speakers and their utterances",
    "Each number counts speakers: those with so many utterances in use, each in so many mixtures on average.",
)


@dataclass(frozen=True, slots=True)
class RejectGroup:
    """Rejected items that share stage, way out, and reason up to the numbers in it.

    Attributes:
        stage: the step that failed.
        reason: the reason; numbers that differ between items are replaced by ``…``.
        remedy: what to do about it.
        count: items.
        examples: the first of them.
    """

    stage: str
    reason: str
    remedy: str
    count: int
    examples: tuple[Reject, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart and what stands above it."""

    caption: str
    svg: str


@dataclass(frozen=True, slots=True)
class Family:
    """The panels of one quantity, all on the same axis."""

    title: str
    explanation: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Stream:
    """One signal to look at and listen to.

    Attributes:
        name: name of the stream.
        description: what it is made of.
        svg: waveform and spectrogram.
        audio: the samples, as the ``data:`` URI of a FLAC file.
    """

    name: str
    description: str
    svg: str
    audio: str


@dataclass(frozen=True, slots=True)
class ListeningItem:
    """A mixture with all its streams, the mixture first.

    Attributes:
        id: id of the mixture.
        variant: rate and length mode that it is shown at.
        excerpt_s: seconds that are shown, from the beginning.
        length_s: length of the mixture.
        streams: what is shown.
        strip: frames of the same time, as the ``data:`` URI of an image; empty without pictures.
    """

    id: str
    variant: Variant
    excerpt_s: float
    length_s: float
    streams: tuple[Stream, ...]
    strip: str = ""


@dataclass(frozen=True, slots=True)
class Listening:
    """The items shown of one part; ``note`` says why there are none."""

    part: str
    items: tuple[ListeningItem, ...]
    note: str = ""


def make_report(job: RenderJob, summaries: Sequence[PartSummary]) -> str:
    """Makes the report of an output.

    Args:
        job: the last run into the output.
        summaries: all parts that the output holds.

    Returns:
        An HTML document that needs no other file. Where sources cannot be read any more, a sentence
        stands in place of the items to listen to.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = importlib.resources.files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    record = read_run(job.tree)
    job = replace(job, roots={**record.get("roots", {}), **job.roots})
    groups = group_rejects([reject for summary in summaries for reject in summary.rejects])
    return environment.from_string(source).render(
        version=VERSION,
        recipe=job.rules,
        sources=_sources(job, summaries),
        options=job.options,
        summaries=summaries,
        variants=_keys(summary.statistics.seconds for summary in summaries),
        formats=_keys(summary.statistics.bytes_of for summary in summaries),
        speakers=len({name for summary in summaries for name in summary.statistics.speakers}),
        groups=groups[:_MOST_KINDS],
        more_groups=len(groups[_MOST_KINDS:]),
        families=[*distributions(summaries), *speaker_tables(summaries)],
        listening=[listen(job, summary, part_count=len(summaries)) for summary in summaries],
        range_db=streams.RANGE_DB,
        finished=record.get("finished", ""),
        command=shlex.join(record.get("command", ())),
        configuration=_configuration(job, record),
    )


def _sources(job: RenderJob, summaries: Sequence[PartSummary]) -> list[str]:
    """Returns the names of the corpora, each with its licences as the card has them."""
    published = {root: [text] for root, text in job.rules.licences.items()}
    known = {**published, **source_licences(job.tree, summaries)}
    told = {
        root: [f"licence {one}" if one == UNKNOWN else one for one in known.get(root, [UNKNOWN])]
        for root in job.roots
    }
    return [f"{root} ({' and '.join(texts)})" for root, texts in told.items()]


def _configuration(job: RenderJob, record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns the options in effect, roots and versions, as names and values."""
    options = {**asdict(job.options), **job.settings}
    rows = [(name, _words(value)) for name, value in options.items()]
    rows += [(f"root {name}", str(url)) for name, url in record.get("roots", {}).items()]
    return rows + [(f"version of {name}", str(one)) for name, one in record.get("versions", {}).items()]


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _keys(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def group_rejects(rejects: Sequence[Reject]) -> list[RejectGroup]:
    """Groups rejects that a person would call the same, the most frequent first."""
    members: dict[tuple[str, str, str], list[Reject]] = {}
    for reject in rejects:
        kind = _NUMBER.sub("…", reject.reason)
        members.setdefault((reject.stage, kind, reject.remedy), []).append(reject)
    groups = [
        RejectGroup(
            stage,
            kind if len({reject.reason for reject in group}) > 1 else group[0].reason,
            remedy,
            len(group),
            tuple(group[:_EXAMPLES]),
        )
        for (stage, kind, remedy), group in members.items()
    ]
    return sorted(groups, key=lambda group: -group.count)


def distributions(summaries: Sequence[PartSummary]) -> list[Family]:
    """Draws every quantity that was counted: a panel per role or mode, a row per part."""
    histograms = (summary.statistics.histograms for summary in summaries)
    names = _keys({name: one for name, one in group.items() if one.counts} for group in histograms)
    return [
        _family(key, _in_order(name for name in names if name.startswith(f"{key} ")), summaries)
        for key in _FAMILIES
        if any(name.startswith(f"{key} ") for name in names)
    ]


def speaker_tables(summaries: Sequence[PartSummary]) -> list[Family]:
    """Draws speakers against the use of their utterances: a panel per part, all with the same cells."""
    known = {one.part.name: one.statistics.speaker_use for one in summaries if one.statistics.speaker_use}
    if not known:
        return []
    title, explanation = _SPEAKER_TABLES
    grid = Grid.of([use for uses in known.values() for use in uses])
    panels = []
    for part, uses in known.items():
        svg, beyond = speaker_table(f"{title}, {part}", uses, grid=grid)
        panels.append(Panel(f"{part}, {beyond:,} beyond" if beyond else part, _markup(svg)))
    return [Family(title, explanation, tuple(panels))]


def _in_order(names: Iterable[str]) -> list[str]:
    """Brings what was counted of one quantity together by mixture type, the noise last."""
    split = [name.rpartition(" ") for name in names]
    types = list(dict.fromkeys(first for first, _, _ in split))
    split.sort(key=lambda parts: (types.index(parts[0]), parts[2] == NOISE))
    return ["".join(parts) for parts in split]


def _family(key: str, names: Sequence[str], summaries: Sequence[PartSummary]) -> Family:
    title, explanation = _FAMILIES[key]
    rows = {name: _rows(name, summaries) for name in names}
    limits = charts.common_limits([row.histogram for group in rows.values() for row in group])
    panels = []
    for name, group in rows.items():
        caption = _caption(*name.split(" "))
        panels.append(
            Panel(caption, _markup(charts.histogram_panel(f"{title}, {caption}", group, limits=limits)))
        )
    return Family(title, explanation, tuple(panels))


def _rows(name: str, summaries: Sequence[PartSummary]) -> list[charts.HistogramRow]:
    found: list[tuple[str, Histogram | None]] = [
        (summary.part.name, summary.statistics.histograms.get(name)) for summary in summaries
    ]
    return [charts.HistogramRow(part, one) for part, one in found if one is not None and one.counts]


def _caption(key: str, *names: str) -> str:
    if key == "length_s":
        return f"{names[0]} mode"
    if key == "scale_db":
        rate_hz, mode = names[0].split("/")
        return f"{int(rate_hz) / 1000:g} kHz {mode}"
    return " in ".join(reversed(names))


def listen(job: RenderJob, summary: PartSummary, *, part_count: int) -> Listening:
    """Renders some items of a part again, spread evenly over its plan.

    Args:
        job: the last run into the output.
        summary: the part.
        part_count: parts in the report; the more there are, the shorter the excerpts.

    Returns:
        Up to ten items; a note instead where none could be made.
    """
    name = summary.part.name
    if not summary.written:
        return Listening(name, (), "No item of this part was written.")
    try:
        plan = job.stored_plan(name)
        renderer = _Renderer.of(part_job(job, summary, plan))
        items = _items(renderer, plan, summary, part_count=part_count)
    except MixtapeError as error:
        return Listening(
            name, (), f"There is nothing to listen to, since the plan or a source cannot be read: {error}"
        )
    return Listening(name, tuple(items))


@dataclass(frozen=True)
class _Renderer:
    """Renders one mixture of each item at the lowest rate, in the first length mode."""

    recipe: Recipe
    options: RenderOptions
    reader: SourceReader

    @classmethod
    def of(cls, job: RenderJob) -> "_Renderer":
        recipe = job.rules
        options = replace(
            job.options,
            rates_hz=(min(job.options.rates_hz),),
            modes=job.options.modes[:1],
            types=tuple(
                sorted(job.options.types, key=lambda name: -len(recipe.types[name](("s1", "s2", NOISE))))[:1]
            ),
        )
        return cls(recipe, options, job.reader())

    def render(self, mixture: Mixture) -> RenderedMixture:
        """Renders a mixture. Raises SourceError."""
        needed = self.recipe.needed_roles([source.role for source in mixture.sources], self.options.types)
        for source in mixture.sources:
            if source.role in needed and source.root not in self.reader.roots:
                reason = f"the last run was not given the root {source.root!r}"
                raise SourceError(source.name, "read", reason, "name it in the next run")
        return render_item(mixture, self.recipe, self.options, self.reader)


def _items(
    renderer: _Renderer, plan: StoredPlan, summary: PartSummary, *, part_count: int
) -> list[ListeningItem]:
    """Makes the items of a part. Raises SourceError when not one of them can be rendered."""
    budget_bytes = _AUDIO_BYTES // (ITEMS_PER_PART * part_count)
    rejected = {reject.item for reject in summary.rejects}
    chosen: dict[str, ListeningItem] = {}
    failure: SourceError | None = None
    for number in range(ITEMS_PER_PART):
        place = (2 * number + 1) / (2 * ITEMS_PER_PART)
        candidates = (m for m in _from(plan, place) if m.id not in rejected and m.id not in chosen)
        for mixture in itertools.islice(candidates, _TRIES_PER_ITEM):
            try:
                rendered = renderer.render(mixture)
            except SourceError as error:
                failure = error
                continue
            chosen[mixture.id] = _listening_item(summary.part.name, rendered, budget_bytes=budget_bytes)
            break
    if failure is not None and not chosen:
        raise failure
    return list(chosen.values())


def _from(plan: StoredPlan, place: float) -> Iterator[Mixture]:
    """Yields the mixtures of one shard, beginning at a place in the plan (0..1) and wrapping round."""
    shard, inside = divmod(place * plan.shard_count, 1)
    mixtures = plan.read_shard(int(shard))
    first = int(inside * len(mixtures))
    yield from mixtures[first:] + mixtures[:first]


def _listening_item(part: str, item: RenderedMixture, *, budget_bytes: int) -> ListeningItem:
    mixture, rendered = item.mixture, item.variants[0]
    variant = rendered.variant
    order = sorted(rendered.pcm, key=lambda name: name not in rendered.snr_db)
    affordable_s = budget_bytes / len(order) / (2 * variant.rate_hz)
    excerpt_s = min(LONGEST_EXCERPT_S, max(SHORTEST_EXCERPT_S, math.floor(2 * affordable_s) / 2))
    pcm = {name: rendered.pcm[name][: round(excerpt_s * variant.rate_hz)] for name in order}
    scale = streams.Scale.of(pcm.values(), variant.rate_hz)
    descriptions = {
        source.role: _describe(source, rendered.gains[source.role])
        for source in mixture.sources
        if source.role in rendered.gains
    }
    shown = []
    for name, samples in pcm.items():
        title = f"Waveform and spectrogram of {name} of {mixture.id} in {part}"
        svg = _markup(streams.stream_chart(title, samples, variant.rate_hz, scale=scale))
        audio = _flac_uri(samples, variant.rate_hz)
        shown.append(Stream(name, descriptions.get(name, "the mixture"), svg, audio))
    length_s = rendered.samples / variant.rate_hz
    shown_s = min(excerpt_s, length_s)
    strip = strip_uri(item.attachments, shown_s / length_s) if item.attachments else ""
    return ListeningItem(mixture.id, variant, shown_s, length_s, tuple(shown), strip)


def _describe(source: Source, gain: float) -> str:
    talker = f"speaker {source.speaker}, " if source.speaker else ""
    text = f"{20 * math.log10(abs(gain)):+.1f} dB" if gain else "0"
    return f"{talker}gain {text.replace('-', '−')}, {source.name}"


def _flac_uri(pcm: Pcm, rate_hz: int) -> str:
    """Returns samples as an audio file that browsers play, without loss and half the size of a WAV."""
    import soundfile

    written = io.BytesIO()
    soundfile.write(written, pcm, rate_hz, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(written.getvalue()).decode()


def _markup(svg: str) -> str:
    """Marks a chart as HTML that the template must not escape."""
    import markupsafe

    return markupsafe.Markup(svg)
