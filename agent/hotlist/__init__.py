"""Hot lists on the unit: opened into memory, matched with reads, replaced by newer packages."""
