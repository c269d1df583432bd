"""Terms of what a corpus is made from, and of what it is then: the strictest of all, with the reasons.

This tells what the publishers state; it is no legal advice.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Licences = Mapping[str, Sequence[str]]
NO_LICENCES: Licences = {}
UNKNOWN = "unknown"
OTHER = "other"
_CREATIVE_COMMONS = re.compile(r"CC[ -]BY((?:-(?:NC|SA|ND))*)[ -](\d\.\d)", re.IGNORECASE)
_PUBLIC_DOMAIN = re.compile(r"CC0(?:[ -](\d\.\d))?|public domain", re.IGNORECASE)
_CONDITIONS = ("NC", "ND", "SA")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a licence asks for.

    Attributes:
        name: the licence as it was stated, in its common spelling; ``unknown`` if it is not.
        conditions: of a Creative Commons licence those beside attribution: ``NC`` (no commercial
            use), ``ND`` (no derivatives), ``SA`` (share alike).
        version: of a Creative Commons licence.
        is_common: whether it is a Creative Commons licence or the public domain.
        url: where it can be read, or empty.
    """

    name: str
    conditions: tuple[str, ...] = ()
    version: str = ""
    is_common: bool = False
    url: str = ""

    @property
    def is_known(self) -> bool:
        """Whether it is known what may be done."""
        return self.name != UNKNOWN


@dataclass(frozen=True, slots=True)
class SourceCorpus:
    """A corpus that mixtures are made from.

    Attributes:
        root: the name that plans know it by.
        title: what people call it.
        terms: its licence.
        url: its home, or empty.
        citation: how its makers wish to be cited, or empty.
        language: what is spoken in it, as a two-letter code, or empty.
    """

    root: str
    title: str
    terms: Terms
    url: str = ""
    citation: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Composed:
    """The terms of what is made from several corpora.

    Attributes:
        name: the strictest licence by its common name; ``other`` where no single one says it, and
            ``unknown`` where a part is not known.
        identifier: its identifier in data set cards, for instance ``cc-by-nc-4.0``.
        url: where it can be read, or empty.
        reasons: sentences that name the parts that decide.
    """

    name: str
    identifier: str
    url: str
    reasons: tuple[str, ...]


_LDC = "LDC User Agreement"
_LDC_URL = "https://www.ldc.upenn.edu/data-management/using/licensing"
_CORPORA: Mapping[str, tuple[str, ...]] = {
    "librispeech": (
        "LibriSpeech",
        "https://www.openslr.org/12",
        "V. Panayotov, G. Chen, D. Povey and S. Khudanpur, “LibriSpeech: an ASR corpus based on public "
        "domain audio books”, ICASSP 2015",
        "en",
    ),
    "wham": (
        "WHAM! noises",
        "http://wham.whisper.ai",
        "G. Wichern et al., “WHAM!: Extending speech separation to noisy environments”, Interspeech 2019",
        "",
    ),
    "wsj0": (
        "WSJ0 (LDC93S6A)",
        "https://catalog.ldc.upenn.edu/LDC93S6A",
        "J. Garofolo et al., “CSR-I (WSJ0) Complete LDC93S6A”, Linguistic Data Consortium, 1993",
        "en",
    ),
    "lrs3": (
        "LRS3-TED",
        "https://www.robots.ox.ac.uk/~vgg/data/lip_reading/lrs3.html",
        "T. Afouras, J. S. Chung and A. Zisserman, “LRS3-TED: a large-scale dataset for visual speech "
        "recognition”, arXiv:1809.00496, 2018",
        "en",
    ),
}


def terms_of(text: str) -> Terms:
    """Reads the name of a licence.

    >>> terms_of("cc-by-nc-4.0").name, terms_of("cc-by-nc-4.0").conditions
    ('CC BY-NC 4.0', ('NC',))
    """
    stated = " ".join(text.split())
    if found := _CREATIVE_COMMONS.fullmatch(stated):
        asked = found[1].upper().split("-")
        conditions = tuple(one for one in _CONDITIONS if one in asked)
        return _creative_commons(conditions, found[2])
    if found := _PUBLIC_DOMAIN.fullmatch(stated):
        return Terms("CC0 1.0", is_common=True, url="https://creativecommons.org/publicdomain/zero/1.0/")
    if stated.lower() in ("", UNKNOWN):
        return Terms(UNKNOWN)
    return Terms(stated, url=_LDC_URL if stated == _LDC else "")


def _creative_commons(conditions: Sequence[str], version: str) -> Terms:
    code = "-".join(("BY", *conditions))
    url = f"https://creativecommons.org/licenses/{code.lower()}/{version}/"
    return Terms(f"CC {code} {version}", tuple(conditions), version, True, url)


def source_corpora(roots: Sequence[str], licences: Licences) -> list[SourceCorpus]:
    """Returns what is known of corpora; one with several licences comes once under each of them.

    Args:
        roots: names that plans know them by.
        licences: of their sources, by these names; of others they are unknown.
    """
    return [
        one for root in roots for one in _source_corpora(root, map(terms_of, licences.get(root, (UNKNOWN,))))
    ]


def _source_corpora(root: str, asked: Iterable[Terms]) -> list[SourceCorpus]:
    """Returns the parts of a corpus by their terms, different spellings of which are the same."""
    title, *facts = _CORPORA.get(root, (root,))
    parts = list(dict.fromkeys(asked))
    titles = [title] if len(parts) == 1 else [f"{title} ({terms.name})" for terms in parts]
    return [SourceCorpus(root, name, terms, *facts) for name, terms in zip(titles, parts, strict=True)]


def compose(corpora: Sequence[SourceCorpus]) -> Composed:
    """Returns the terms of what is made from all of some corpora: the strictest.

    Creative Commons licences compose by their conditions; one that is not of theirs, or several that
    ask for what cannot be had together, leave no single licence.
    """
    reasons = tuple(_reasons(corpora))
    if not corpora or not all(corpus.terms.is_known for corpus in corpora):
        return Composed(UNKNOWN, UNKNOWN, "", reasons)
    if len({corpus.terms.name for corpus in corpora}) > 1 and not _composable(corpora):
        return Composed(OTHER, OTHER, "", reasons)
    asking = [corpus.terms for corpus in corpora if corpus.terms.version] or [corpora[0].terms]
    if not asking[0].is_common:
        return Composed(asking[0].name, OTHER, asking[0].url, reasons)
    if not asking[0].version:
        return Composed(asking[0].name, "cc0-1.0", asking[0].url, reasons)
    conditions = [one for one in _CONDITIONS if any(one in terms.conditions for terms in asking)]
    strictest = _creative_commons(conditions, max(terms.version for terms in asking))
    return Composed(strictest.name, strictest.name.replace(" ", "-").lower(), strictest.url, reasons)


def _composable(corpora: Sequence[SourceCorpus]) -> bool:
    """Tells whether one Creative Commons licence can say all: share-alike allows no other terms."""
    if not all(corpus.terms.is_common for corpus in corpora):
        return False
    sharing = {corpus.terms.name for corpus in corpora if "SA" in corpus.terms.conditions}
    forbidding = any("ND" in corpus.terms.conditions for corpus in corpora)
    asked = {one for corpus in corpora for one in corpus.terms.conditions}
    alike = len(sharing) < 2 and all(asked <= {*terms_of(name).conditions} for name in sharing)
    return alike and not forbidding


def _reasons(corpora: Sequence[SourceCorpus]) -> list[str]:
    """Says of each condition which parts ask for it."""
    said = {
        "no commercial use": [one for one in corpora if "NC" in one.terms.conditions],
        "share alike: whatever is made from it must be passed on under the same licence": [
            one for one in corpora if "SA" in one.terms.conditions
        ],
        "no derivatives may be passed on, and mixtures are derivatives": [
            one for one in corpora if "ND" in one.terms.conditions
        ],
        "members of the LDC only, and not to be passed on": [
            one for one in corpora if one.terms.name == _LDC
        ],
        "terms of its own, to be read before anything is passed on": [
            one
            for one in corpora
            if one.terms.is_known and not one.terms.is_common and one.terms.name != _LDC
        ],
        "licence unknown: find out before anything is passed on": [
            one for one in corpora if not one.terms.is_known
        ],
    }
    return [f"{', '.join(one.title for one in asking)}: {what}" for what, asking in said.items() if asking]
