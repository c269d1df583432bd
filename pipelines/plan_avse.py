"""The job behind ``mixtape plan avse``: scene lists as the published builder makes them."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.checks import Checker
from pipelines.output import check_writable
from pipelines.runner import counted
from transforms import storage
from transforms.corpora.avse import Scene, scenes_json, scenes_path
from transforms.corpora.avse_lists import read_lists
from transforms.errors import StorageError, UsageError
from transforms.planning.avse import plan_scenes
from transforms.planning.avse_config import AvseConfig, read_config
from transforms.storage import OutputTree


@dataclass(frozen=True)
class AvsePlanOptions:
    """What scenes to plan, from what, and where to.

    Attributes:
        metadata: URL of the folder with the three lists.
        out: URL of the folder that the scene lists are written to.
        config: what to draw from.
        subsets: datasets to plan; all of the configuration if empty.
        force: plan again what is there already.
        dry_run: write nothing.
    """

    metadata: str
    out: str
    config: AvseConfig
    subsets: tuple[str, ...] = ()
    force: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class AvsePlanSummary:
    """What a run made.

    Attributes:
        scenes: how many were planned, by dataset.
        kept: datasets whose lists were there already.
    """

    scenes: Mapping[str, int]
    kept: tuple[str, ...]


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs ``mixtape plan avse``. Raises MixtapeError; returns the exit status."""
    checker = Checker(arguments)
    running = checker.running(passed_on)
    metadata, out = checker.folder("metadata"), checker.needed("out")
    config, ignored = AvseConfig(), ()  # type: tuple[AvseConfig, tuple[str, ...]]
    if arguments.config:
        config, ignored = checker.attempt(lambda: read_config(arguments.config), (config, ignored))
    subsets = tuple(arguments.subsets or ())
    known = tuple(dataset.name for dataset in config.datasets)
    for name in subsets:
        if name not in known:
            checker.problems.append(f"--subsets {name}: wanted some of {' '.join(known)}")
    checker.raise_problems()
    if ignored:
        running.say(f"--config: these have no meaning here: {', '.join(ignored)}")
    options = AvsePlanOptions(metadata, out, config, subsets, arguments.force, arguments.dry_run)
    summary = write_scenes(options)
    done = "would be planned" if options.dry_run else "planned"
    for name, count in summary.scenes.items():
        running.say(f"{counted(count, 'scene')} {done} in {storage.join(out, scenes_path(name))}")
    for name in summary.kept:
        running.say(f"{storage.join(out, scenes_path(name))} is there and stays (--force makes it anew)")
    return 0


def write_scenes(options: AvsePlanOptions) -> AvsePlanSummary:
    """Plans scenes and writes them as ``scenes.<dataset>.json``.

    A dataset whose list is there already is left as it is, and draws no random numbers: so the
    published builder does, and a dev list made beside a train list differs from one made with it.

    Raises:
        UsageError: the lists cannot serve, or the output cannot be written to.
        StorageError: a list cannot be written.
    """
    tree = OutputTree(options.out)
    names = [dataset.name for dataset in options.config.datasets]
    wanted = [name for name in names if not options.subsets or name in options.subsets]
    try:
        kept = tuple(name for name in wanted if not options.force and tree.exists(scenes_path(name)))
    except StorageError as error:
        raise UsageError(f"--out {error}") from error
    missing = [name for name in wanted if name not in kept]
    scenes = plan_scenes(read_lists(options.metadata), options.config, datasets=missing) if missing else {}
    if not options.dry_run:
        _write(tree, scenes)
    return AvsePlanSummary({name: len(of) for name, of in scenes.items()}, kept)


def _write(tree: OutputTree, scenes: Mapping[str, list[Scene]]) -> None:
    """Writes the lists, the last of the random stream first: what a killed run leaves out stays the same."""
    check_writable(tree)
    with storage.only_run(tree):
        for name, of in reversed(list(scenes.items())):
            tree.write_if_changed(scenes_path(name), scenes_json(of))
