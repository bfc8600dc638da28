"""Policy packs: what a unit may keep, for how long, where and when; signed data with a version."""
