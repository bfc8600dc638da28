"""What unit and station agree on: messages, records, topics, seals.  Imports nothing else of the project."""
