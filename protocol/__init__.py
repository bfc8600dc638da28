"""The protocol between unit and station: messages, records, topics, seals.  Imports nothing else of the project."""
