"""Measurements on this machine: the parts of a policy's latency and of a simulator's time."""
