"""Exports: what other tools want beside a corpus, made from its ledger and plan without rendering."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from transforms.exports import asteroid, espnet, huggingface, lhotse, speechbrain
from transforms.exports.base import View, mixtures_problem
from transforms.storage import OutputTree


def _no_problem(view: View) -> str | None:
    """Every view has the form that is wanted."""
    del view
    return None


@dataclass(frozen=True)
class Export:
    """A tool that lists are made for.

    Attributes:
        title: what people call it.
        write: writes the lists of one view and returns which; raises StorageError.
        problem: says why a view cannot be listed, or returns None.
        in_place: whether the lists must stand beside the audio.
    """

    title: str
    write: Callable[[View, OutputTree], list[str]]
    problem: Callable[[View], str | None] = mixtures_problem
    in_place: bool = False


EXPORTS: Mapping[str, Export] = {
    "lhotse": Export("Lhotse", lhotse.write_cuts),
    "espnet": Export("ESPnet", espnet.write_folders, problem=espnet.problem),
    "asteroid": Export("Asteroid", asteroid.write_views),
    "speechbrain": Export("SpeechBrain", speechbrain.write_lists),
    "hf": Export("Hugging Face datasets", huggingface.write_metadata, problem=_no_problem, in_place=True),
}
