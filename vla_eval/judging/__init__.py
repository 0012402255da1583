"""From records to verdicts: the pairs of episodes, the looks, and the tests."""
