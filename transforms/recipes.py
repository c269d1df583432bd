"""The registry of recipes: what a published corpus is called, holds, and where its files go."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from transforms.attachments import Attachment, AttachmentType, FactKind, Facts, FeatureKind
from transforms.errors import UsageError
from transforms.plan import DRY_SUFFIX, LevelKind, Mixture, Part, RenderOptions, Settings, Variant, is_noise
from transforms.video.aligned import FACTS, ROOT, AlignOptions
from transforms.video.aligned import HIGHEST_RATE_HZ as HIGHEST_RATE_HZ
from transforms.video.aligned import LOWEST_RATE_HZ as LOWEST_RATE_HZ

if TYPE_CHECKING:
    from transforms.audio import SourceReader

RoleRule = Callable[[Sequence[str]], tuple[str, ...]]
Attach = Callable[[Mixture, "SourceReader", RenderOptions], tuple[Sequence[Attachment], Facts]]
Quantiser = Literal["floor", "round", "truncate"]
PeakRule = Literal["none", "joint", "scale", "reject", "full_scale"]
Scaling = Literal["before_resampling", "after_padding", "placed", "weighted"]


CLIP_POLICIES: tuple[PeakRule, ...] = ("scale", "reject")
_LEVEL_KINDS: Mapping[Scaling, tuple[LevelKind, ...]] = {
    "before_resampling": ("gain",),
    "after_padding": ("active_level",),
    "weighted": ("gain", "snr"),
}


@dataclass(frozen=True)
class RenderRules:
    """The named rules by which a recipe turns sources into samples.

    Attributes:
        source_rate_hz: the rate that mixing begins at; the only rate its sources may have, unless
            they are ``placed``, which resamples them to it.
        scaling: where levels are applied; ``before_resampling`` keeps all arithmetic in float32,
            ``after_padding`` goes on in float64 once the signals are resampled, ``placed`` measures
            levels and puts each source in its room and at its place, in float64, ``weighted`` fades
            interferers and sets them by speech-weighted level (see ``transforms.weighting``).
        peak: what is done about peaks after mixing; ``none`` leaves them to the quantiser's clip,
            ``joint`` scales mixture and sources of each length mode together, ``scale`` does so where
            they would clip, ``reject`` refuses a mixture that would clip, and ``full_scale`` brings
            the highest peak of mixture and sources to full scale, up or down.
        quantiser: how samples become 16-bit integers, see ``transforms.audio``.
    """

    source_rate_hz: int
    scaling: Scaling
    peak: PeakRule
    quantiser: Quantiser


def speech_roles(roles: Sequence[str]) -> tuple[str, ...]:
    """Returns all roles but the noise, in order."""
    return tuple(role for role in roles if not is_noise(role))


def all_roles(roles: Sequence[str]) -> tuple[str, ...]:
    """Returns all roles, in order."""
    return tuple(roles)


def first_and_noise(roles: Sequence[str]) -> tuple[str, ...]:
    """Returns the first talker's role and the noise."""
    return (*speech_roles(roles)[:1], *filter(is_noise, roles))


def published_wav_path(part: Part, variant: Variant, stream: str, mixture_id: str) -> str:
    """Returns the place of a WAV file in the tree that LibriMix and its relatives publish."""
    return f"{part.corpus}/{variant.folder}/{variant.mode}/{part.subset}/{stream}/{mixture_id}.wav"


def published_table_path(part: Part, variant: Variant, kind: str, mix_type: str) -> str:
    """Returns the place of a ``mixture`` or ``metrics`` table in LibriMix's published tree."""
    folder = f"{part.corpus}/{variant.folder}/{variant.mode}/metadata"
    return f"{folder}/{kind}_{part.subset}_{mix_type}.csv"


def published_record_path(part: Part, variant: Variant, kind: str) -> str:
    """Returns the place of the records of a part's items beside its tables; ``kind`` is the suffix.

    >>> published_record_path(Part("mixtures", "mixtures", "dev"), Variant(16000, "max"), "rttm")
    'mixtures/wav16k/max/metadata/items_dev.rttm'
    """
    return f"{part.corpus}/{variant.folder}/{variant.mode}/metadata/items_{part.subset}.{kind}"


def own_attachment_path(part: Part, kind: AttachmentType, mixture_id: str, number: int) -> str:
    """Returns ``<corpus>/<name>/<subset>/<id>.<extension>``, or one folder per id for a sequence."""
    folder = f"{part.corpus}/{kind.name}/{part.subset}/{mixture_id}"
    return f"{folder}/{number:04d}.{kind.extension}" if kind.numbered else f"{folder}.{kind.extension}"


def scene_wav_path(part: Part, variant: Variant, stream: str, mixture_id: str) -> str:
    """Returns the place of a WAV file in the AVSE challenge's tree, which has one rate and length mode."""
    del variant
    return f"{part.subset}/scenes/{mixture_id}_{stream}.wav"


def scene_video_path(part: Part, kind: AttachmentType, mixture_id: str, number: int) -> str:
    """Returns the place of a target's silent video in the tree of the AVSE challenge."""
    del number
    return f"{part.subset}/scenes/{mixture_id}_silent.{kind.extension}"


def _silent_video(
    mixture: Mixture, reader: "SourceReader", options: RenderOptions
) -> tuple[Sequence[Attachment], Facts]:
    from transforms.video.scenes import silent_video

    del options
    return silent_video(mixture, reader)


def frames_path(part: Part, kind: AttachmentType, mixture_id: str, number: int) -> str:
    """Returns the place of a segment's frames: a folder for each, whatever their form."""
    name = f"{number:04d}" if kind.numbered else kind.name
    return f"{part.corpus}/{kind.name}/{part.subset}/{mixture_id}/{name}.{kind.extension}"


def _frames(
    mixture: Mixture, reader: "SourceReader", options: RenderOptions
) -> tuple[Sequence[Attachment], Facts]:
    from transforms.video.clips import attach_frames

    return attach_frames(mixture, reader, options)


def _clip_reader(roots: Mapping[str, str], settings: Settings) -> "SourceReader":
    from transforms.video.clips import ClipReader

    align = AlignOptions.of(settings)
    return ClipReader(roots, align.rate_hz, align=align)


@dataclass(frozen=True)
class Recipe:
    """A way of making a corpus that the command line, the sinks and the report know by name.

    Attributes:
        name: the name on the command line.
        title: what people call it.
        rules: how it is rendered.
        types: of each mixture type, the roles it sums, given all roles of a mixture.
        default_rates_hz: output rates when none are named.
        roots: names of the corpus roots its plans refer to.
        wav_path: place of a WAV file of the published tree in an output.
        table_path: place of a table of the published tree, given its kind and mixture type; None if
            the recipe publishes no tables.
        record_path: place of the records of all items in the published tree, given their kind (JSON
            lines, RTTM, STM; see ``transforms.sinks.records``); None if the recipe publishes none.
        licences: licence of each root, as its publisher states it.
        attachments: the kinds of files that go with every mixture.
        facts: what else is known of every mixture, and of what kind each fact is; no fact has the
            name of a stream, of an attachment or of what is told of every mixture (``id``, ``roles``, ...).
        attach: makes attachments and facts of a mixture, reading its sources through the reader, so
            that the ledger knows them; raises SourceError for a source that cannot serve. Facts that
            come from rendering itself are the renderer's to give.
        attachment_path: place of an attachment, of a numbered one its file ``number``, in the
            published tree. Different mixtures have different places.
        item_folders: patterns of the folders in which the published tree holds files of a part's
            items and of no other part, ``*`` standing for any name in one level.
        settings: what a plan has decided about attachments and facts.
        together: whether the mixtures of one file share a shard, so that it is read once.
        open_reader: makes the reader of its sources, given roots and settings; None for sound files.
    """

    name: str
    title: str
    rules: RenderRules
    types: Mapping[str, RoleRule]
    default_rates_hz: tuple[int, ...]
    roots: tuple[str, ...]
    wav_path: Callable[[Part, Variant, str, str], str] = published_wav_path
    table_path: Callable[[Part, Variant, str, str], str] | None = published_table_path
    record_path: Callable[[Part, Variant, str], str] | None = None
    licences: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[AttachmentType, ...] = ()
    facts: Mapping[str, FactKind] = field(default_factory=dict)
    attach: Attach | None = None
    attachment_path: Callable[[Part, AttachmentType, str, int], str] = own_attachment_path
    item_folders: tuple[str, ...] = ("{corpus}/wav*/*/{subset}/*",)
    settings: Settings = field(default_factory=dict)
    together: bool = False
    open_reader: Callable[[Mapping[str, str], Settings], "SourceReader"] | None = None

    @property
    def features(self) -> dict[str, FeatureKind]:
        """What goes with every mixture besides samples, and of what kind it is: facts, then files."""
        files: dict[str, FeatureKind] = {
            one.name: "files" if one.numbered else "file" for one in self.attachments
        }
        return {**self.facts, **files}

    def attachment_named(self, name: str) -> AttachmentType:
        """Returns a kind of attachment. Raises KeyError for one that the recipe does not have."""
        return {one.name: one for one in self.attachments}[name]

    def with_settings(self, settings: Settings) -> "Recipe":
        """Returns the recipe with what a plan decides about rendering: ``rate_hz`` and ``clip``."""
        if not settings:
            return self
        rules = dataclasses.replace(
            self.rules, source_rate_hz=int(settings["rate_hz"]), peak=cast(PeakRule, settings["clip"])
        )
        return dataclasses.replace(self, rules=rules)

    def settings_problem(self, settings: Settings) -> str | None:
        """Says why a plan cannot decide so about rendering, or returns None where it can."""
        if not settings:
            return None
        if self.rules.scaling != "placed":
            return f"settings {dict(settings)} are none that {self.title} has"
        rate_hz, clip = settings.get("rate_hz"), settings.get("clip")
        whole = isinstance(rate_hz, int) and LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ
        if whole and clip in CLIP_POLICIES and len(settings) == len(("rate_hz", "clip")):
            return None
        return (
            f"settings {dict(settings)}: wanted rate_hz of {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} "
            f"and clip of {' or '.join(CLIP_POLICIES)}"
        )

    def rule_problems(self, mixture: Mixture) -> Iterator[str]:
        """Says what of a mixture is not for this recipe: roles named like other streams, levels, places."""
        roles = [source.role for source in mixture.sources]
        for role in roles:
            if role in self.types or role.endswith(DRY_SUFFIX):
                yield f"role {role!r} is the name of another stream"
        if not speech_roles(roles):
            yield "holds no speech"
        if self.rules.scaling == "placed":
            return
        kinds = _LEVEL_KINDS[self.rules.scaling]
        for source in mixture.sources:
            if source.level_kind not in kinds:
                wanted = " or ".join(kinds)
                yield f"level kind {source.level_kind!r} of {source.role}: {self.title} has {wanted} only"
            if source.start_samples or source.speed != 1.0 or source.rir:
                yield f"start, speed or room of {source.role}: {self.title} has none of these"

    def streams(self, roles: Sequence[str], types: Sequence[str]) -> tuple[str, ...]:
        """Returns what may be written of a mixture: needed sources, dry references, mixtures asked for.

        Dry references are there only of sources in rooms, which ``placed`` recipes may have.
        """
        needed = self.needed_roles(roles, types)
        dry = tuple(role + DRY_SUFFIX for role in needed) if self.rules.scaling == "placed" else ()
        return needed + dry + tuple(types)

    def roles_of(self, streams: Iterable[str]) -> list[str]:
        """Returns the roles among the streams of an item: no mixtures, and no dry references."""
        return [name for name in streams if name not in self.types and not name.endswith(DRY_SUFFIX)]

    def needed_roles(self, roles: Sequence[str], types: Sequence[str]) -> tuple[str, ...]:
        """Returns the roles that must be read: all speech, and noise only if a type sums it."""
        summed = {role for name in types for role in self.types[name](roles)}
        return tuple(role for role in roles if not is_noise(role) or role in summed)


LIBRIMIX = Recipe(
    name="librimix",
    title="LibriMix",
    rules=RenderRules(source_rate_hz=16000, scaling="before_resampling", peak="none", quantiser="floor"),
    types={"mix_clean": speech_roles, "mix_both": all_roles, "mix_single": first_and_noise},
    default_rates_hz=(8000, 16000),
    roots=("librispeech", "wham"),
    licences={"librispeech": "CC BY 4.0", "wham": "CC BY-NC 4.0"},
)

WSJ0MIX = Recipe(
    name="wsj0mix",
    title="wsj0-mix",
    rules=RenderRules(source_rate_hz=16000, scaling="after_padding", peak="joint", quantiser="round"),
    types={"mix": all_roles},
    default_rates_hz=(8000,),
    roots=("wsj0",),
    table_path=None,
    licences={"wsj0": "LDC User Agreement"},
)

MIXTURES = Recipe(
    name="mixtures",
    title="Mixtures of any speech and any noise",
    rules=RenderRules(source_rate_hz=16000, scaling="placed", peak="scale", quantiser="round"),
    types={"mix_clean": speech_roles, "mix_both": all_roles, "mix_single": first_and_noise},
    default_rates_hz=(16000,),
    roots=("speech", "noise", "rir"),
    record_path=published_record_path,
)

AVSE = Recipe(
    name="avse",
    title="AVSE scenes",
    rules=RenderRules(source_rate_hz=16000, scaling="weighted", peak="full_scale", quantiser="truncate"),
    types={"mixed": all_roles},
    default_rates_hz=(16000,),
    roots=("lrs3", "noise_maskers", "speech_maskers", "target_wavs"),
    wav_path=scene_wav_path,
    table_path=None,
    licences=dict.fromkeys(("lrs3", "noise_maskers", "speech_maskers", "target_wavs"), "unknown"),
    attachments=(AttachmentType("video", "mp4"),),
    facts={
        "level_ratio": "float",
        "norm": "float",
        "silent_target": "flag",
        "frame_count": "int",
        "frame_rate": "text",
        "frame_times_s": "floats",
    },
    attach=_silent_video,
    attachment_path=scene_video_path,
    item_folders=("{subset}/scenes",),
)


class AlignedRecipe(Recipe):
    """Segments of video files, each with its frames; its plans decide how files are aligned."""

    def with_settings(self, settings: Settings) -> Recipe:
        """Returns the recipe with the rate and the kind of frames of a plan. Raises UsageError."""
        if not settings:
            return self
        align = AlignOptions.of(settings)
        rules = dataclasses.replace(self.rules, source_rate_hz=align.rate_hz)
        return dataclasses.replace(self, rules=rules, attachments=(align.attachment,), settings=settings)

    def settings_problem(self, settings: Settings) -> str | None:
        """Says why a plan cannot decide so about aligning, or returns None where it can."""
        try:
            AlignOptions.of(settings)
        except UsageError as error:
            return str(error)
        return None


ALIGNED = AlignedRecipe(
    name="aligned",
    title="Aligned video",
    rules=RenderRules(source_rate_hz=16000, scaling="before_resampling", peak="none", quantiser="round"),
    types={},
    default_rates_hz=(16000,),
    roots=(ROOT,),
    table_path=None,
    attachments=(AlignOptions().attachment,),
    facts=FACTS,
    attach=_frames,
    together=True,
    open_reader=_clip_reader,
    attachment_path=frames_path,
    item_folders=("{corpus}/wav*/*/{subset}/*", "{corpus}/frames/{subset}/*"),
)

RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe for recipe in (LIBRIMIX, WSJ0MIX, MIXTURES, AVSE, ALIGNED)
}


def recipe_named(name: str) -> Recipe:
    """Returns a recipe. Raises UsageError for a name that no recipe has."""
    try:
        return RECIPES[name]
    except KeyError:
        raise UsageError(f"recipe {name!r} is not known; known: {', '.join(RECIPES)}") from None
