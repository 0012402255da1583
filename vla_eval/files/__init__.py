"""Files from unknown authors: JSON, TOML, and their text made harmless."""
