"""Power and energy that a device tells of itself.

``rapl``, ``ina3221`` and ``nvml`` read what there is, ``finding`` finds all of it, and
``meter`` adds it up over time. A sensor that is not there, or may not be read, is absent.
"""
