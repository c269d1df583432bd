"""The output formats, by name; a new one is one new module and one line here."""

from collections.abc import Mapping

from transforms.plan import Format, RenderOptions
from transforms.recipes import Recipe
from transforms.sinks.base import Sink
from transforms.sinks.tfrecord import TFRecordSink
from transforms.sinks.wav import WavSink
from transforms.sinks.webdataset import WebDatasetSink
from transforms.storage import OutputTree

SINKS: Mapping[Format, type[Sink]] = {
    "wav": WavSink,
    "webdataset": WebDatasetSink,
    "tfrecord": TFRecordSink,
}


def sinks_for(tree: OutputTree, recipe: Recipe, options: RenderOptions) -> list[Sink]:
    """Returns the sinks of a run, one per format asked for, in the order given."""
    return [SINKS[name](tree, recipe, options) for name in options.formats]
