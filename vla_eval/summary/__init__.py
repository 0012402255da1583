"""What a run amounts to, as numbers and as text."""
