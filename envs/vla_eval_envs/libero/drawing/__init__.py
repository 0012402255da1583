"""Drawing LIBERO faster than MuJoCo does, to the same pixel."""
