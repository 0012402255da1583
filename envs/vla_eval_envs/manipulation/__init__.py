"""What the simulated SO-101 and LeKiwi share: the life cycle of an episode, cameras, disturbances.

Importing this package loads no simulator.
"""
