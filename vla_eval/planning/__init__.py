"""Planning: how many episodes a claim needs, what repeats are worth, what a protocol will run."""
