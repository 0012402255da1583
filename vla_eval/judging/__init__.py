"""From records to verdicts: which episodes pair, at which looks, by which test."""
