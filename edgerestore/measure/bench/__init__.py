"""What a bundle costs: load time, latency, throughput, memory and energy, with their conditions.

``bundles`` measures bundles, ``further`` what goes beyond one inference at a time, ``harness``
anything that speaks the protocol of ``worker``; ``results`` is the file that all write,
``statistics`` says what may be concluded, ``comparable`` what may be compared. ``machine`` is
the fingerprint's source, ``sensors`` that of power. ``profile`` says where a bundle's time
goes, ``roofline`` how much of the machine, whose ``peaks`` it measures, it gets.
"""
