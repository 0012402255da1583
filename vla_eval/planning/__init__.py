"""Planning: needed episodes of a claim, the power of repeats, and the outlook of a protocol."""
