"""Video files: exact times, decoding that survives damage, and segments with the frames they show."""
