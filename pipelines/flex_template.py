"""Dataflow Flex Templates of our commands: their description, made from our parser, and their launcher.

``python -m pipelines.flex_template render librimix`` prints the description of a template
(``metadata.json``), and with ``--image IMAGE`` the whole specification that is put into a bucket. In a
template each flag is one parameter: of the same name, with ``_`` for ``-``, and words apart by blanks.
"""

import argparse
import json
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from pipelines.arguments import build_parser
from transforms.version import VERSION

JOB = "job"
_NOT_IN_TEMPLATES = ("help", "workers", "dry_run", "resume", "quiet")
_NO_PIPELINE_OR_SEVERAL = ("demo", "build", "pack")
_NEEDED = "(needed)"
_WORDS = {
    "N": r"\d+",
    "N|P%": r"\d+(\.\d+)?%?",
    "HZ": r"\d+[kK]?",
    "NAME=URL": r"[^\s=]+=\S+",
    "MODE": "min|max",
    "FORMAT": "wav|webdataset|tfrecord",
}
_ANY_WORD, _ANY_TEXT, _TRUTH = r"\S+", r".*\S.*", "true|false"


def job_parser(job: str) -> argparse.ArgumentParser:
    """Returns the parser of a command such as ``render librimix``. Raises KeyError if there is none."""
    parser = build_parser(VERSION)
    for word in job.split(" "):
        parser = _subparsers(parser)[word]
    return parser


def commands() -> list[str]:
    """Names all commands that write a folder, such as ``build librimix``."""
    found = []
    for command, parser in _subparsers(build_parser(VERSION)).items():
        found += [f"{command} {kind}" for kind in _subparsers(parser)] or [command]
    return [command for command in found if any(action.dest == "out" for action in parameters(command))]


def jobs() -> list[str]:
    """Names those of them that run one pipeline, which is what a template holds."""
    return [job for job in commands() if job.split(" ")[0] not in _NO_PIPELINE_OR_SEVERAL]


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def parameters(job: str) -> list[argparse.Action]:
    """Returns the flags of a command that are parameters of its template."""
    actions = job_parser(job)._actions
    return [action for action in actions if action.option_strings and action.dest not in _NOT_IN_TEMPLATES]


def regex(action: argparse.Action) -> str:
    """Returns the expression that the text of a parameter must fit as a whole."""
    if action.nargs == 0:
        word = _TRUTH
    elif action.choices:
        word = "|".join(re.escape(str(choice)) for choice in action.choices)
    elif action.nargs is None and action.metavar not in _WORDS:
        word = _ANY_TEXT
    else:
        word = _WORDS.get(str(action.metavar), _ANY_WORD)
    return f"^({word})( ({word}))*$" if action.nargs == "+" else f"^({word})$"


def metadata(job: str) -> dict[str, Any]:
    """Describes the template of a command, as Dataflow wants it described."""
    parser = job_parser(job)
    fixed = {
        "name": JOB,
        "label": "command",
        "helpText": f"The command that this template runs; always: {job}",
        "isOptional": False,
        "regexes": [f"^{job}$"],
    }
    return {
        "name": f"Mixtape: {job}",
        "description": (parser.description or "").replace("%%", "%"),
        "parameters": [fixed, *(_parameter(parser, action) for action in parameters(job))],
    }


def _parameter(parser: argparse.ArgumentParser, action: argparse.Action) -> dict[str, Any]:
    text = parser._get_formatter()._expand_help(action)
    more = " Several words are put apart by blanks." if action.nargs == "+" else ""
    return {
        "name": action.dest,
        "label": action.option_strings[0],
        "helpText": f"{text[0].upper()}{text[1:]}.{more}",
        "isOptional": _NEEDED not in text,
        "regexes": [regex(action)],
    }


def specification(job: str, image: str) -> dict[str, Any]:
    """Returns what a bucket holds of a template: its image, its language, its description."""
    return {"image": image, "sdkInfo": {"language": "PYTHON"}, "metadata": metadata(job)}


def command_line(words: Sequence[str]) -> list[str]:
    """Turns words of the form ``--name=value``, as launchers of others make them, into a command line.

    >>> command_line(["--job=render mixtures", "--out=gs://b/o", "--max_rejects=1%", "--region=r"])
    ['render', 'mixtures', '--out', 'gs://b/o', '--max-rejects', '1%', '--region=r']

    Args:
        words: parameters of a template; those that are no flags of the command go to Beam unchanged.

    Raises:
        SystemExit: no command is named, or one that does not exist.
    """
    values = dict(word.removeprefix("--").partition("=")[::2] for word in words)
    job = values.get(JOB, "")
    if job not in commands():
        raise SystemExit(f"mixtape: --{JOB}={job}: wanted one of {', '.join(commands())}")
    known = {action.dest: action for action in parameters(job)}
    line = job.split(" ")
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if name in known and equals:
            line += _flag_words(known[name], value)
        elif name != JOB:
            line.append(word)
    return line


def _flag_words(action: argparse.Action, value: str) -> Iterator[str]:
    if action.nargs == 0:
        if value == "true":
            yield action.option_strings[0]
        return
    yield action.option_strings[0]
    yield from value.split() if action.nargs == "+" else [value]


def launch(words: Sequence[str]) -> int:
    """Runs the command that parameters describe; returns its exit status."""
    from pipelines import cli

    line = command_line(words)
    print(f"mixtape {shlex.join(line)}", file=sys.stderr)
    return cli.main(line)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the description of a template, or with ``--image`` its whole specification."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.flex_template", description=main.__doc__)
    parser.add_argument("command", metavar="JOB", nargs="+", help="for instance: render librimix")
    parser.add_argument("--image", help="the image that launches it")
    arguments = parser.parse_args(argv)
    job = " ".join(arguments.command)
    if job not in jobs():
        parser.error(f"{job!r}: wanted one of {', '.join(jobs())}")
    found = specification(job, arguments.image) if arguments.image else metadata(job)
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
