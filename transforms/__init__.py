"""What pipelines are made of: the public names, loaded when they are first used.

Functions work on plain values and know nothing of pipelines; the names under "Beam transforms" are
PTransforms over them. Loading is lazy because Apache Beam takes a second to import.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transforms.finishing import PartSummary
    from transforms.ledger import ShardLedger
    from transforms.listing import NoiseClip, Utterance
    from transforms.metadata import ListFiles, ReadHeaders, WriteListings
    from transforms.plan import Mixture, Part, RenderOptions, Shard, Source, StoredPlan, write_plan
    from transforms.planning.librimix import PlannedMixture, plan_subsets
    from transforms.planning.steps import GainRow, MeasureGains, PlanRow, WritePlans
    from transforms.recipes import RECIPES, Recipe
    from transforms.rejects import Reject
    from transforms.rendering import RenderedMixture, render_mixture
    from transforms.sharding import RenderJob, ShardResult, store_plan
    from transforms.steps import FinishParts, RenderShards, VerifyShards
    from transforms.storage import OutputTree
    from transforms.virtual import VirtualCorpus

_MODULES = {
    # Beam transforms
    "FinishParts": "transforms.steps",
    "ListFiles": "transforms.metadata",
    "MeasureGains": "transforms.planning.steps",
    "ReadHeaders": "transforms.metadata",
    "RenderShards": "transforms.steps",
    "VerifyShards": "transforms.steps",
    "WriteListings": "transforms.metadata",
    "WritePlans": "transforms.planning.steps",
    # Their elements
    "GainRow": "transforms.planning.steps",
    "NoiseClip": "transforms.listing",
    "PartSummary": "transforms.finishing",
    "PlanRow": "transforms.planning.steps",
    "PlannedMixture": "transforms.planning.librimix",
    "Reject": "transforms.rejects",
    "Shard": "transforms.plan",
    "ShardLedger": "transforms.ledger",
    "ShardResult": "transforms.sharding",
    "Utterance": "transforms.listing",
    # Plans and rendering
    "Mixture": "transforms.plan",
    "OutputTree": "transforms.storage",
    "Part": "transforms.plan",
    "RECIPES": "transforms.recipes",
    "Recipe": "transforms.recipes",
    "RenderJob": "transforms.sharding",
    "RenderOptions": "transforms.plan",
    "RenderedMixture": "transforms.rendering",
    "Source": "transforms.plan",
    "StoredPlan": "transforms.plan",
    "VirtualCorpus": "transforms.virtual",
    "plan_subsets": "transforms.planning.librimix",
    "render_mixture": "transforms.rendering",
    "store_plan": "transforms.sharding",
    "write_plan": "transforms.plan",
}

__all__ = [
    "RECIPES",
    "FinishParts",
    "GainRow",
    "ListFiles",
    "MeasureGains",
    "Mixture",
    "NoiseClip",
    "OutputTree",
    "Part",
    "PartSummary",
    "PlanRow",
    "PlannedMixture",
    "ReadHeaders",
    "Recipe",
    "Reject",
    "RenderJob",
    "RenderOptions",
    "RenderShards",
    "RenderedMixture",
    "Shard",
    "ShardLedger",
    "ShardResult",
    "Source",
    "StoredPlan",
    "Utterance",
    "VerifyShards",
    "VirtualCorpus",
    "WriteListings",
    "WritePlans",
    "plan_subsets",
    "render_mixture",
    "store_plan",
    "write_plan",
]


def __getattr__(name: str) -> Any:
    """Loads a public name from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module 'transforms' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
