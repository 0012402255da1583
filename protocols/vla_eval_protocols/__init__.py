"""The shipped protocols (``*.toml``) and the lock of their hashes (``released.lock.json``)."""
