"""The data set card: what a corpus holds, from what, under which terms, and how it is read.

Its form is Markdown under a YAML head, as the Hugging Face Hub reads it. It follows from inputs and
options alone, and says nothing of when and where a run was.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from transforms.corpora.avse import INTERFERER
from transforms.finishing import PartSummary
from transforms.licences import OTHER, Composed, SourceCorpus, compose
from transforms.plan import DRY_SUFFIX, Variant, is_noise
from transforms.recipes import Recipe
from transforms.version import VERSION

MARK = (
    "<!-- Written by Mixtape, and again whenever the corpus changes. Without this line it is left alone. -->"
)
_SIZES = (
    "n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "n>1B"
)  # fmt: skip
_SHARD_NUMBER = "??????"
_ALL_SPLITS = "all"
_TASKS = ["audio-to-audio"]
_TAGS = ["speech-separation", "speech-enhancement", "audio", "mixtape"]
_READERS = {
    "wav": "WAV files in the published tree of the recipe",
    "webdataset": "WebDataset archives, with indices for wids and DALI",
    "tfrecord": "TFRecords, which TensorFlow Datasets loads with `builder_from_directory`",
}


@dataclass(frozen=True)
class DescribedPart:
    """A finished part, and what a description needs to know of how it was made.

    Attributes:
        summary: what the output holds of it.
        recipe: its recipe.
        streams: all that was written of its mixtures.
    """

    summary: PartSummary
    recipe: Recipe
    streams: tuple[str, ...]


@dataclass(frozen=True)
class Description:
    """What data set descriptions are made of.

    Attributes:
        parts: all finished parts, by name.
        corpora: what they were made from.
    """

    parts: tuple[DescribedPart, ...]
    corpora: tuple[SourceCorpus, ...]

    @property
    def names(self) -> list[str]:
        """The corpora that the parts belong to."""
        return list(dict.fromkeys(part.summary.part.corpus for part in self.parts))

    @property
    def title(self) -> str:
        """The names in one line."""
        return " and ".join(self.names)

    @property
    def terms(self) -> Composed:
        """The terms of the whole."""
        return compose(self.corpora)

    @property
    def items(self) -> int:
        """Mixtures in all parts."""
        return sum(part.summary.written for part in self.parts)

    @property
    def sentence(self) -> str:
        """One sentence that says what it is."""
        titles = ", ".join(dict.fromkeys(part.recipe.title for part in self.parts))
        sources = ", ".join(corpus.title for corpus in self.corpora)
        return f"{self.items:,} {self.noun} by the recipe {titles}, made from {sources}."

    @property
    def noun(self) -> str:
        """What items are called: mixtures, unless some are none."""
        return "mixtures" if all(part.recipe.types for part in self.parts) else "items"


def split_name(subset: str) -> str:
    """Returns a subset as a split that ``datasets`` accepts: letters, digits and ``_``, and not ``all``.

    >>> split_name("train-100"), split_name("all")
    ('train_100', 'all_')
    """
    name = re.sub(r"\W", "_", subset)
    return f"{name}_" if name == _ALL_SPLITS else name


def variant_name(variant: Variant) -> str:
    """Returns the name of a rate and length mode: ``wav8k_min``."""
    return f"{variant.folder}_{variant.mode}"


def size_category(items: int) -> str:
    """Returns the Hub's name for a number of items.

    >>> size_category(999), size_category(1000), size_category(2_000_000_000)
    ('n<1K', '1K<n<10K', 'n>1B')
    """
    return _SIZES[min(max(len(str(items)) - 3, 0), len(_SIZES) - 1)]


def card(description: Description) -> str:
    """Returns the card of an output that holds at least one part."""
    import yaml

    head = yaml.safe_dump(head_of(description), sort_keys=False, allow_unicode=True, width=100)
    sections = [
        f"---\n{head}---\n\n{MARK}",
        f"# {description.title}\n\n{description.sentence}",
        "## What it holds\n\n" + _table(_content_columns(description), _contents(description)),
        "## Streams\n\n" + "\n".join(_streams(description)),
        "## Sources and licences\n\n" + _sources(description),
        "## Reading it\n\n" + "\n".join(_formats(description)),
        f"## How it was made\n\nBy Mixtape {VERSION}. `_mixtape/run.json` holds the command and all options, "
        "`_mixtape/plan/` what was mixed with what, and `_mixtape/report.html` shows it.",
    ]
    return "\n\n".join(sections) + "\n"


def head_of(description: Description) -> dict[str, Any]:
    """Returns the card's head: names, terms, size, and which archives are which split."""
    terms = description.terms
    head: dict[str, Any] = {"pretty_name": description.title, "license": terms.identifier}
    if terms.identifier == OTHER:
        head["license_name"] = re.sub(r"[^a-z0-9.]+", "-", terms.name.lower())
        head["license_link"] = terms.url or "README.md"
    if languages := sorted({corpus.language for corpus in description.corpora} - {""}):
        head["language"] = languages
    head |= {
        "task_categories": _TASKS,
        "size_categories": [size_category(description.items)],
        "tags": _TAGS,
    }
    configurations = _configurations(description)
    return head | ({"configs": configurations} if configurations else {})


def _configurations(description: Description) -> list[dict[str, Any]]:
    """Returns, for every corpus, rate and mode in archives, which of them are which split."""
    files: dict[str, list[dict[str, str]]] = {}
    for part in description.parts:
        summary = part.summary
        if "webdataset" not in summary.options.formats or not summary.written:
            continue
        for variant in summary.options.variants:
            name = variant_name(variant)
            if len(description.names) > 1:
                name = f"{summary.part.corpus}_{name}".lower()
            folder = f"{summary.part.corpus}/webdataset/{variant.folder}/{variant.mode}"
            split = {
                "split": split_name(summary.part.subset),
                "path": f"{folder}/{summary.part.subset}-{_SHARD_NUMBER}.tar",
            }
            files.setdefault(name, []).append(split)
    return [{"config_name": name, "data_files": splits} for name, splits in files.items()]


def _content_columns(description: Description) -> tuple[str, ...]:
    return "corpus", "subset", description.noun, "speakers", "hours (rate and length mode)"


def _contents(description: Description) -> Iterator[tuple[str, ...]]:
    for part in description.parts:
        summary = part.summary
        hours = ", ".join(
            f"{seconds / 3600:.2f} ({key.replace('/', ' Hz ')})"
            for key, seconds in summary.statistics.seconds.items()
        )
        speakers = f"{len(summary.statistics.speakers):,}"
        yield summary.part.corpus, summary.part.subset, f"{summary.written:,}", speakers, hours


def _table(columns: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


def _streams(description: Description) -> Iterator[str]:
    """Yields a line on each stream of any part: what it is; talkers, then noises, mixtures last."""
    recipes = {name: part.recipe for part in description.parts for name in part.streams}
    names = sorted(recipes, key=lambda name: (name in recipes[name].types, is_noise(name)))
    roles = [name for name in names if name not in recipes[name].types]
    for name in names:
        yield f"- `{name}`: {_stream(name, roles, recipes[name])}"
    kinds = {kind.name: kind for part in description.parts for kind in part.recipe.attachments}
    for kind in kinds.values():
        yield f"- `{kind.name}`: {kind.extension} files that go with each item"


def _stream(name: str, roles: Sequence[str], recipe: Recipe) -> str:
    if name in recipe.types:
        sources = [role for role in roles if not role.endswith(DRY_SUFFIX)]
        return f"the sum of {', '.join(f'`{role}`' for role in recipe.types[name](sources))}"
    if name.endswith(DRY_SUFFIX):
        return f"the direct sound alone of `{name.removesuffix(DRY_SUFFIX)}`, where it is in a room"
    if not recipe.types:
        return "the sound of each item"
    if name == INTERFERER:
        return "a talker or a noise, as in the mixture"
    return f"{'a noise' if is_noise(name) else 'a talker'}, as in the mixture"


def _sources(description: Description) -> str:
    rows = ((corpus.title, corpus.terms.name, corpus.url, corpus.citation) for corpus in description.corpora)
    terms = description.terms
    name = f"[{terms.name}]({terms.url})" if terms.url else terms.name
    reasons = "".join(f"\n- {reason}" for reason in terms.reasons)
    told = "What the publishers state, composed; read the licences themselves before you pass anything on."
    table = _table(("source", "licence", "home", "cite"), rows)
    return f"{table}\n\n**Terms of the whole: {name}.**{reasons and chr(10) + reasons}\n\n{told}"


def _formats(description: Description) -> Iterator[str]:
    """Yields a line on each format: what it is, and where."""
    formats = dict.fromkeys(form for part in description.parts for form in part.summary.options.formats)
    for form in formats:
        parts = (part for part in description.parts if form in part.summary.options.formats)
        folders = ", ".join(dict.fromkeys(f"`{_folder(part, form)}/`" for part in parts))
        yield f"- {_READERS[form]}: {folders}"


def _folder(part: DescribedPart, form: str) -> str:
    """Returns the folder of a part in a format: of WAV files, the topmost one that is theirs alone."""
    summary = part.summary
    if form != "wav":
        return f"{summary.part.corpus}/{form}"
    return part.recipe.wav_path(summary.part, summary.options.variants[0], "*", "*").split("/")[0]
