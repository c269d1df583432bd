"""Licences: how they are read, and what remains of several together."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.licences import Composed, SourceCorpus, Terms, compose, source_corpora, terms_of
from transforms.recipes import RECIPES


@pytest.mark.parametrize(
    ("text", "name", "conditions"),
    [
        ("CC BY 4.0", "CC BY 4.0", ()),
        ("cc-by-nc-4.0", "CC BY-NC 4.0", ("NC",)),
        (" CC  BY-NC-SA 3.0 ", "CC BY-NC-SA 3.0", ("NC", "SA")),
        ("CC BY-SA-NC 4.0", "CC BY-NC-SA 4.0", ("NC", "SA")),
        ("CC BY-NC-ND 4.0", "CC BY-NC-ND 4.0", ("NC", "ND")),
        ("CC0 1.0", "CC0 1.0", ()),
        ("Public Domain", "CC0 1.0", ()),
    ],
)
def test_creative_commons(text: str, name: str, conditions: tuple[str, ...]) -> None:
    terms = terms_of(text)
    assert (terms.name, terms.conditions, terms.is_common, terms.is_known) == (name, conditions, True, True)
    code = name.removeprefix("CC ").split(" ")[0].lower()
    assert f"/{code}/" in terms.url or terms.url.endswith("/zero/1.0/")


@pytest.mark.parametrize("text", ["", "unknown", "Unknown", "  "])
def test_what_is_not_known_stays_so(text: str) -> None:
    assert terms_of(text) == Terms("unknown")
    assert not terms_of(text).is_known


@pytest.mark.parametrize(
    "text", ["MIT", "CC BY", "CC BY-XX 4.0", "CC BY-NC 4.0 or later", "LDC User Agreement"]
)
def test_other_licences_are_taken_as_they_are_stated(text: str) -> None:
    terms = terms_of(text)
    assert (terms.name, terms.is_common, terms.is_known) == (text, False, True)


def composed(*texts: str) -> Composed:
    corpora = [SourceCorpus(f"r{number}", f"C{number}", terms_of(text)) for number, text in enumerate(texts)]
    return compose(corpora)


@pytest.mark.parametrize(
    ("texts", "name", "identifier", "reasons"),
    [
        (["CC BY 4.0"], "CC BY 4.0", "cc-by-4.0", ()),
        (["CC BY 4.0", "CC BY-NC 4.0"], "CC BY-NC 4.0", "cc-by-nc-4.0", ("C1: no commercial use",)),
        (["CC0 1.0", "CC BY 3.0"], "CC BY 3.0", "cc-by-3.0", ()),
        (["CC0 1.0", "public domain"], "CC0 1.0", "cc0-1.0", ()),
        (["LDC User Agreement"] * 2, "LDC User Agreement", "other", ("C0, C1: members of the LDC only",)),
        (["CC BY 4.0", "LDC User Agreement"], "other", "other", ("C1: members of the LDC only",)),
        (["CC BY-SA 4.0", "CC BY 4.0"], "CC BY-SA 4.0", "cc-by-sa-4.0", ("C0: share alike",)),
        (["CC BY-SA 4.0", "CC BY-NC 4.0"], "other", "other", ("C1: no commercial use", "C0: share alike")),
        (["CC BY-SA 4.0", "CC BY-SA 3.0"], "other", "other", ("C0, C1: share alike",)),
        (
            ["CC BY-NC-SA 4.0", "CC BY-NC 4.0"],
            "CC BY-NC-SA 4.0",
            "cc-by-nc-sa-4.0",
            ("C0, C1: no comm", "C0: sh"),
        ),
        (["CC BY-ND 4.0", "CC BY 4.0"], "other", "other", ("C0: no derivatives may be passed on",)),
        (["MIT", "CC BY 4.0"], "other", "other", ("C0: terms of its own",)),
        (["unknown", "CC BY-NC 4.0"], "unknown", "unknown", ("C1: no commercial use", "C0: licence unknown")),
        ([], "unknown", "unknown", ()),
    ],
)
def test_the_strictest_remains(
    texts: list[str], name: str, identifier: str, reasons: tuple[str, ...]
) -> None:
    found = composed(*texts)
    assert (found.name, found.identifier) == (name, identifier)
    assert len(found.reasons) == len(reasons)
    for said, wanted in zip(found.reasons, reasons, strict=True):
        assert said.startswith(wanted)


TEXTS = ["CC BY 4.0", "CC BY-NC 4.0", "CC BY-SA 4.0", "CC BY-NC-SA 4.0", "CC0 1.0", "MIT", "unknown"]


@given(texts=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=4), seed=st.randoms())
def test_the_order_of_parts_does_not_matter(texts: list[str], seed: random.Random) -> None:
    shuffled = list(texts)
    seed.shuffle(shuffled)
    assert composed(*texts).name == composed(*shuffled).name


@pytest.mark.parametrize("pair", itertools.combinations(TEXTS, 2), ids=" + ".join)
def test_no_condition_gets_lost(pair: tuple[str, str]) -> None:
    found = composed(*pair)
    if found.name not in ("other", "unknown"):
        kept = terms_of(found.name).conditions
        assert all(one in kept for text in pair for one in terms_of(text).conditions)


def test_known_corpora() -> None:
    licences = {root: [text] for recipe in RECIPES.values() for root, text in recipe.licences.items()}
    speech, noise, wsj0 = source_corpora(["librispeech", "wham", "wsj0"], licences)
    assert (speech.title, speech.terms.name, speech.language) == ("LibriSpeech", "CC BY 4.0", "en")
    assert (noise.title, noise.terms.name, noise.language) == ("WHAM! noises", "CC BY-NC 4.0", "")
    assert wsj0.terms.name == "LDC User Agreement"
    assert all(corpus.citation and corpus.url for corpus in (speech, noise, wsj0))
    assert compose([speech, noise]).identifier == "cc-by-nc-4.0"
    assert compose([wsj0]).identifier == "other"


def test_a_corpus_of_several_licences_comes_once_under_each() -> None:
    texts = ["CC BY 4.0", "cc-by-4.0", "CC BY-NC 3.0", ""]
    found = source_corpora(["speech"], {"speech": texts})
    assert [corpus.title for corpus in found] == [
        "speech (CC BY 4.0)",
        "speech (CC BY-NC 3.0)",
        "speech (unknown)",
    ]
    assert {corpus.root for corpus in found} == {"speech"}
    assert compose(found).name == "unknown"
    assert compose(found[:2]).identifier == "cc-by-nc-4.0"
    (one,) = source_corpora(["speech"], {"speech": texts[:2]})
    assert (one.title, one.terms.name) == ("speech", "CC BY 4.0")


def test_what_a_person_states_counts_and_all_else_is_unknown() -> None:
    stated, other = source_corpora(["speech", "noise"], {"speech": ["CC BY 4.0"]})
    assert (stated.terms.name, other.terms.name) == ("CC BY 4.0", "unknown")
    assert (other.title, other.url, other.citation) == ("noise", "", "")
    (freed,) = source_corpora(["wham"], {"wham": ["CC0 1.0"]})
    assert freed.terms.name == "CC0 1.0"
