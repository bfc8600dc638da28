"""What runs inside a Debian trixie."""
