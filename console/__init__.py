"""The page for the terminal in the vehicle: a process of its own that reads the agent's feed and sends it commands."""
