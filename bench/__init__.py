"""Benches: programs that print ratios against the bare libraries, measured in one run."""
