"""SO-101's scripted experts."""
