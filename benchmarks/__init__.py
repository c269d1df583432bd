"""Measurements of Mixtape against other ways to do the same, on corpora that are generated for it."""
