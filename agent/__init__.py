"""What a patrol unit does, readable off the file listing.

::

    hw.Camera --Frame--> capture --> recognise --Sighting--> track --Track--> geotag
    hw.Gnss --NmeaLine--------------------------------------------------------> geotag
    geotag --Read--> buffer --bytes--> sync --> hw.Link

``records`` holds the nouns, ``pipeline`` is the sentence, ``runtime`` the plumbing (threads, clocks, retries,
configuration, command line).  Stages are plain objects: no thread, no sleep, no clock of their own.
Frames may be dropped (and are counted), reads may not.
"""
