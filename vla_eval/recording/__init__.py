"""Demonstrations and replays: episodes run again with an observation at every step."""
