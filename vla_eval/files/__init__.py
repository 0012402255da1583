"""Files that anybody may have written: JSON, TOML, and their text made harmless."""
