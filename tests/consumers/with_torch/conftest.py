"""Readers that need PyTorch: ``make test-consumers`` installs them into an environment of their own."""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["test_*.py"]
