"""One module for each page: its routes for people, and the same for programs."""
