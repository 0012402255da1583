"""The engine: spawned workers with one environment each, policy hosts, and their supervisor."""
