"""The patrol unit's software; the packages follow the flow of data.

::

    hw.Camera --Frame--> capture --> recognise --Sighting--> track --Track--> geotag
    hw.Gnss --NmeaLine--------------------------------------------------------> geotag
    geotag --Read--> buffer --bytes--> sync --> hw.Link

``records`` holds the data types, ``pipeline`` connects the stages, ``runtime`` has threads, clocks, retries and
configuration.  Stages are plain objects: no thread, no sleep, no clock of their own.
Frames may be dropped, and are counted; reads may not be dropped.
"""
