"""The summary of a run, as numbers and as text."""
