"""The policy on the unit: what is kept, for how long, where and when.  Pure: no threads, no clocks, no files."""
