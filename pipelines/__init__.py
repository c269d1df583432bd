"""Programs: one module per job, each a short composition of transforms."""
