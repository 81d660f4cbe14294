"""What a bundle costs: load time, latency, throughput and memory, with their conditions.

``bundles`` measures bundles, ``harness`` measures anything that speaks the protocol of
``worker``, ``results`` is the file that both write, ``statistics`` says what may be concluded.
``profile`` says where a bundle's time goes, ``roofline`` how much of the machine it gets.
"""
