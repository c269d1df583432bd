"""Recipes: what is read, summed and written, and where files go."""

import pytest

from transforms.errors import UsageError
from transforms.plan import Part, Variant
from transforms.recipes import (
    LIBRIMIX,
    MIXTURES,
    RECIPES,
    all_roles,
    first_and_noise,
    published_table_path,
    published_wav_path,
    recipe_named,
    speech_roles,
)

ROLES = ("s1", "s2", "s3", "noise")
PART = Part("librimix", "Libri3Mix", "train-360")


def test_rules_for_sums() -> None:
    assert speech_roles(ROLES) == ("s1", "s2", "s3")
    assert all_roles(list(ROLES)) == ROLES
    assert first_and_noise(ROLES) == ("s1", "noise")


@pytest.mark.parametrize(
    ("mix_type", "summed"),
    [("mix_clean", ("s1", "s2", "s3")), ("mix_both", ROLES), ("mix_single", ("s1", "noise"))],
)
def test_librimix_sums(mix_type: str, summed: tuple[str, ...]) -> None:
    assert LIBRIMIX.types[mix_type](ROLES) == summed


@pytest.mark.parametrize(
    ("types", "needed"),
    [
        ((), ("s1", "s2", "s3")),
        (("mix_clean",), ("s1", "s2", "s3")),
        (("mix_both",), ROLES),
        (("mix_single",), ROLES),
        (("mix_clean", "mix_both"), ROLES),
    ],
)
def test_noise_is_needed_only_by_types_that_sum_it(types: tuple[str, ...], needed: tuple[str, ...]) -> None:
    assert LIBRIMIX.needed_roles(ROLES, types) == needed
    assert LIBRIMIX.streams(ROLES, types) == needed + types


def test_placed_recipes_may_write_dry_references() -> None:
    dry = ("s1_dry", "s2_dry", "s3_dry", "noise_dry")
    assert MIXTURES.streams(ROLES, ("mix_both",)) == (*ROLES, *dry, "mix_both")
    assert MIXTURES.streams(ROLES, ("mix_clean",)) == (*ROLES[:3], *dry[:3], "mix_clean")
    assert MIXTURES.roles_of(MIXTURES.streams(ROLES, ("mix_both",))) == list(ROLES)


def test_a_plan_decides_about_rate_and_clipping() -> None:
    changed = MIXTURES.with_settings({"rate_hz": 8000, "clip": "reject"})
    assert (changed.rules.source_rate_hz, changed.rules.peak) == (8000, "reject")
    assert (changed.rules.scaling, changed.rules.quantiser) == ("placed", "round")
    assert MIXTURES.with_settings({}) is MIXTURES


def test_published_places() -> None:
    variant = Variant(8000, "min")
    wav = "Libri3Mix/wav8k/min/train-360/mix_both/a_b.wav"
    assert published_wav_path(PART, variant, "mix_both", "a_b") == wav
    assert LIBRIMIX.wav_path(PART, variant, "mix_both", "a_b") == wav
    table = "Libri3Mix/wav16k/max/metadata/metrics_train-360_mix_clean.csv"
    assert published_table_path(PART, Variant(16000, "max"), "metrics", "mix_clean") == table
    assert LIBRIMIX.table_path(PART, Variant(16000, "max"), "metrics", "mix_clean") == table


def test_recipes_are_found_by_their_names() -> None:
    assert recipe_named("librimix") is LIBRIMIX
    assert all(recipe.name == name for name, recipe in RECIPES.items())


def test_unknown_recipes_are_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="recipe 'libremix' is not known; known: librimix"):
        recipe_named("libremix")
