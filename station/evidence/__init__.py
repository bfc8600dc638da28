"""Evidence packages: one read or hit with all that proves it, in one page that verifies itself without a network."""
