"""Draws LIBERO faster than MuJoCo does, with the same pixels."""
