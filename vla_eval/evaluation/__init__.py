"""Evaluation of a policy that is still being trained: quick, paired, on development states."""
