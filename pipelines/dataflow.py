"""What Dataflow needs before a job is submitted, and jobs that are handed over as templates."""

import importlib.util
import re
from collections.abc import Sequence

from pipelines.beam_flags import runner_of, value_of
from transforms.errors import StorageError, StoreUnavailableError, UsageError

_FOLDERS = ("--temp_location", "--staging_location")
_TEMPLATE = "--template_location"
_PROBE = "mixtape-probe"
_LIBRARY = "google.cloud.dataflow_v1beta3"
_ENDED_BADLY = re.compile(r"Dataflow pipeline failed\. State: (\w+), Error:\s*(.*)", re.DOTALL)


class HandedOver(Exception):  # noqa: N818 - nothing went wrong
    """A pipeline became a template, which another machine runs later: nobody here waits for its end."""


def hands_over(words: Sequence[str]) -> bool:
    """Tells whether a job becomes a template instead of being run."""
    return runner_of(words) == "dataflowrunner" and bool(value_of(words, _TEMPLATE))


def check_installed(words: Sequence[str]) -> None:
    """Raises UsageError where Dataflow is the runner and Google's libraries are missing: Beam would wait."""
    if runner_of(words) == "dataflowrunner" and importlib.util.find_spec(_LIBRARY) is None:
        raise UsageError(
            "--runner DataflowRunner: Google's libraries are not installed; pip install '.[gcp]'"
        )


def check_folders(words: Sequence[str]) -> None:
    """Tries whether files can be put where Dataflow's flags say, since Beam goes on trying for hours.

    Args:
        words: the flags for Beam; those of other runners are left alone.

    Raises:
        UsageError: names every folder that cannot be written to.
    """
    if runner_of(words) != "dataflowrunner":
        return
    from transforms.storage import OutputTree

    folders = {flag: value_of(words, flag) for flag in _FOLDERS}
    folders[_TEMPLATE] = value_of(words, _TEMPLATE).rpartition("/")[0]
    problems = []
    for flag, folder in folders.items():
        try:
            if folder:
                tree = OutputTree(folder)
                tree.write(_PROBE, b"")
                tree.remove(_PROBE)
                tree.remove_temporary()
        except (StorageError, StoreUnavailableError) as error:
            problems.append(f"{flag}: {folder}: cannot be written to: {error.problem}")
    if problems:
        raise UsageError(problems)


def outlook(words: Sequence[str]) -> str:
    """Says what becomes of a job that was handed over."""
    return (
        f"the job is a template now, {value_of(words, _TEMPLATE)}, and runs when that is launched; when it "
        "has ended, the same command without flags for Dataflow finds all shards standing, writes what "
        "speaks of the whole (run.json, rejects.csv, report.html), and says how it went"
    )


def in_plain_words(text: str) -> str:
    """Says what Beam's text about a Dataflow job that ended badly means; empty for any other text."""
    found = _ENDED_BADLY.search(text)
    if not found:
        return ""
    state, said = found.groups()
    lines = [line.strip() for line in said.splitlines() if line.strip() not in ("", "None")]
    reason = f": {lines[-1]}" if lines else "; its page in the console says why"
    return f"Dataflow ended the job as {state}{reason}; run the same command again to go on"
