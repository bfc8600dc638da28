"""``patrol-lpr``: every command."""
