"""Measuring on this machine: what a policy's latency is made of, and what a simulator's time goes into."""
