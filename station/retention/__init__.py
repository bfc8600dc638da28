"""What the station deletes, when, and what keeps it from that: policies, legal holds, purges with certificates."""
