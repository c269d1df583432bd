#!/bin/sh
# Starts a worker with Beam's own start program, which installs what --setup_file and the like send along.
# Give its place as process_command, with these in the environment of whatever starts it:
#   BEAM_BOOT    Beam's start program (python deploy/fetch.py boot)
#   PATH         first the bin folder of a virtual environment with Mixtape's dependencies and wheel
# Every worker has a folder of its own to install into, so that workers on one machine do not disturb each other.
set -eu
: "${BEAM_BOOT:?is not set: wanted the place of the start program of Beam (python deploy/fetch.py boot)}"
own=$(mktemp -d)
export PIP_TARGET="$own/packages" PYTHONPATH="$own/packages${PYTHONPATH:+:$PYTHONPATH}"
export RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
"$BEAM_BOOT" --semi_persist_dir "$own/staged" "$@" &
boot=$!
trap 'kill "$boot" 2>/dev/null || true; wait "$boot" || true; rm -rf "$own"' EXIT
trap 'exit 143' TERM INT
wait "$boot"
