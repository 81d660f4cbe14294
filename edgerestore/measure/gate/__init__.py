"""Candidate against baseline: what is counted on the bundles, and latency in one paired run.

``sequential`` decides, ``pairs`` measures, ``latency`` runs both until it is sure; ``facts``
compares what needs no clock; ``accepted`` reads what may differ and why; ``verdict`` brings it
together and ``output`` writes it for people and machines.
"""
