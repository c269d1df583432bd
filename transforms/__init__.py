"""What pipelines are made of: the public names, loaded when they are first used.

Functions work on plain values and know nothing of pipelines; the names under "Beam transforms" are
PTransforms over them. Loading is lazy because Apache Beam takes a second to import.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transforms.activity_steps import ActivityFiles, MeasureActivity, UtteranceLevel, WriteLevels
    from transforms.attachments import Attachment, AttachmentType
    from transforms.finishing import PartSummary
    from transforms.ledger import ShardLedger
    from transforms.listing import AudioFile, NoiseClip, Utterance
    from transforms.lrs3_steps import MaskerFile, MeasureVideos, VideoLength, WriteAvseLists, WriteMaskers
    from transforms.metadata import ListFiles, ReadHeaders, WriteListings
    from transforms.plan import Mixture, Part, RenderOptions, Shard, Source, StoredPlan, write_plan
    from transforms.planning.aligned import AlignPlan, ProbedFile
    from transforms.planning.aligned_steps import ProbeVideos
    from transforms.planning.avse import plan_scenes
    from transforms.planning.librimix import PlannedMixture, plan_subsets
    from transforms.planning.mixture_config import MixturesConfig
    from transforms.planning.mixture_steps import ListingUrls, PlanMixtures, PlannedSubset
    from transforms.planning.plan_work import PlanRow
    from transforms.planning.steps import GainRow, MeasureGains, WritePlans
    from transforms.recipes import RECIPES, Recipe
    from transforms.rejects import Reject
    from transforms.rendering import RenderedMixture, render_item, render_mixture
    from transforms.sharding import RenderJob, ShardResult, store_plan
    from transforms.steps import FinishParts, RenderShards, VerifyShards
    from transforms.storage import OutputTree
    from transforms.video.aligned import AlignOptions
    from transforms.video.alignment import (
        Timestamps,
        first_sample_of_frame,
        frame_of_sample,
        pictures_of_samples,
        shown_pictures,
    )
    from transforms.virtual import VirtualCorpus

_MODULES = {
    # Beam transforms
    "FinishParts": "transforms.steps",
    "ListFiles": "transforms.metadata",
    "MeasureActivity": "transforms.activity_steps",
    "MeasureGains": "transforms.planning.steps",
    "MeasureVideos": "transforms.lrs3_steps",
    "PlanMixtures": "transforms.planning.mixture_steps",
    "ProbeVideos": "transforms.planning.aligned_steps",
    "ReadHeaders": "transforms.metadata",
    "RenderShards": "transforms.steps",
    "VerifyShards": "transforms.steps",
    "WriteAvseLists": "transforms.lrs3_steps",
    "WriteLevels": "transforms.activity_steps",
    "WriteListings": "transforms.metadata",
    "WriteMaskers": "transforms.lrs3_steps",
    "WritePlans": "transforms.planning.steps",
    # Their elements, and what they are told
    "ActivityFiles": "transforms.activity_steps",
    "AudioFile": "transforms.listing",
    "GainRow": "transforms.planning.steps",
    "ListingUrls": "transforms.planning.mixture_steps",
    "MaskerFile": "transforms.lrs3_steps",
    "MixturesConfig": "transforms.planning.mixture_config",
    "NoiseClip": "transforms.listing",
    "PartSummary": "transforms.finishing",
    "PlanRow": "transforms.planning.plan_work",
    "PlannedMixture": "transforms.planning.librimix",
    "PlannedSubset": "transforms.planning.mixture_steps",
    "ProbedFile": "transforms.planning.aligned",
    "Reject": "transforms.rejects",
    "Shard": "transforms.plan",
    "ShardLedger": "transforms.ledger",
    "ShardResult": "transforms.sharding",
    "Utterance": "transforms.listing",
    "UtteranceLevel": "transforms.activity_steps",
    "VideoLength": "transforms.lrs3_steps",
    # Plans and rendering
    "AlignOptions": "transforms.video.aligned",
    "AlignPlan": "transforms.planning.aligned",
    "Attachment": "transforms.attachments",
    "AttachmentType": "transforms.attachments",
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
    "Timestamps": "transforms.video.alignment",
    "first_sample_of_frame": "transforms.video.alignment",
    "frame_of_sample": "transforms.video.alignment",
    "pictures_of_samples": "transforms.video.alignment",
    "shown_pictures": "transforms.video.alignment",
    "plan_scenes": "transforms.planning.avse",
    "plan_subsets": "transforms.planning.librimix",
    "render_item": "transforms.rendering",
    "render_mixture": "transforms.rendering",
    "store_plan": "transforms.sharding",
    "write_plan": "transforms.plan",
}

__all__ = [
    "RECIPES",
    "ActivityFiles",
    "AlignOptions",
    "AlignPlan",
    "Attachment",
    "AttachmentType",
    "AudioFile",
    "FinishParts",
    "GainRow",
    "ListFiles",
    "ListingUrls",
    "MaskerFile",
    "MeasureActivity",
    "MeasureGains",
    "MeasureVideos",
    "Mixture",
    "MixturesConfig",
    "NoiseClip",
    "OutputTree",
    "Part",
    "PartSummary",
    "PlanMixtures",
    "PlanRow",
    "PlannedMixture",
    "PlannedSubset",
    "ProbeVideos",
    "ProbedFile",
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
    "Timestamps",
    "Utterance",
    "UtteranceLevel",
    "VerifyShards",
    "VideoLength",
    "VirtualCorpus",
    "WriteAvseLists",
    "WriteLevels",
    "WriteListings",
    "WriteMaskers",
    "WritePlans",
    "first_sample_of_frame",
    "frame_of_sample",
    "pictures_of_samples",
    "plan_scenes",
    "plan_subsets",
    "render_item",
    "render_mixture",
    "shown_pictures",
    "store_plan",
    "write_plan",
]


def __getattr__(name: str) -> Any:
    """Loads a public name from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module 'transforms' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
