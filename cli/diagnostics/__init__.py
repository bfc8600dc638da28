"""What works on this unit: ``doctor`` checks by itself, ``selftest`` measures, and asks a person, too."""
