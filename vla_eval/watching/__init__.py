"""Evaluation of the checkpoints of a training that goes on in another process."""
