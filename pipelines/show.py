"""``mixtape show``: one item's whole story, and its files out of whatever format holds them."""

import argparse

from pipelines.checks import Checker
from pipelines.runner import counted
from transforms import storage
from transforms.extraction import files_of
from transforms.record import recorded_job
from transforms.storage import OutputTree, only_run
from transforms.story import Story, find_item, tell


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs the command. Raises MixtapeError; returns 0."""
    del passed_on
    checker = Checker(arguments)
    moved_roots = checker.roots(arguments.root)
    if (folder := arguments.play_files) and storage.exists(folder) and not storage.is_folder(folder):
        checker.problems.append(f"--play-files {folder}: is a file; name a folder")
    checker.raise_problems()
    stories = find_item(recorded_job(arguments.out, moved_roots), arguments.item)
    print("\n".join(map(tell, stories)), end="")
    if arguments.play_files:
        tree = OutputTree(arguments.play_files)
        with only_run(tree):
            written = sum(write_files(tree, story) for story in stories)
        print(f"\n{counted(written, 'file')} written below {tree.root}")
    return 0


def write_files(tree: OutputTree, story: Story) -> int:
    """Writes the files of an item as ``<part>/<id>/<rate>-<mode>/<name>``; returns how many.

    Raises:
        StorageError: they cannot be read from the output, or not be written.
    """
    if story.place is None:
        return 0
    written = 0
    for record in story.place.item.variants:
        folder = f"{story.part.name}/{story.place.item.id}/{record.variant.rate_hz}-{record.variant.mode}"
        for name, data in files_of(story.place, record).items():
            tree.write(f"{folder}/{name}", data)
            written += 1
    return written
