"""Who is on duty: sign-on, shifts with their hours, coverage by zone, incidents.

Pure state machines: time, files, hashes and random bytes come from ports.  Threads and commands are in
:mod:`agent.runtime.shifts`.
"""
