"""A Merkle log in the shapes of RFC 9162 with signed checkpoints: pure, for station, units and verify."""
