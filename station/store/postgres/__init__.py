"""The store on PostgreSQL: partitions by day, rows by COPY, several ingest workers at once.

It differs from the SQLite file in three points.  ``evidence`` has a row for every record ever stored, without its salt:
its key is the gate that lets a record in once.  ``records``, with payload and salt, and the search tables are
partitioned by the day of receipt, so that a day that has expired is detached instead of deleted row by row.  Ranges of
received numbers are only inserted, and joined now and then, so that workers do not wait for each other.

Locks are taken in one order, each kind sorted by key, so that workers cannot deadlock: rows of ``evidence``, boots,
ranges, pictures, units.
"""
