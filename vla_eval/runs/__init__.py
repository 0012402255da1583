"""A run on disk: its folder, its header, its locks and its records."""
