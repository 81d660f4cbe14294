"""Which precision a network should be deployed in on one target, decided by measuring them all.

``candidates`` builds them, ``mixed`` says which modules a mixed one leaves in float,
``accuracy`` and ``choice`` say what may be concluded, ``words`` says why.
"""

from edgerestore.decision.decision import decide
from edgerestore.decision.result import Decision

__all__ = ["Decision", "decide"]
