"""The durable outbox: what is appended stays until the station's receipt, or a counted and announced eviction."""
