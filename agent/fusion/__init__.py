"""Many predictions of one plate text -> one, from the probabilities of its characters."""
