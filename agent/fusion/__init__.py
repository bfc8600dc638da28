"""Fuses several predictions of one plate into one text, by the probabilities of the characters."""
