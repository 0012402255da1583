"""Protocols on the point suite; data only."""
