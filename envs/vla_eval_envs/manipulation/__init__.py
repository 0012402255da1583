"""Shared by the simulated SO-101 and LeKiwi: the life cycle of an episode, cameras, disturbances.

Importing this package loads no simulator.
"""
