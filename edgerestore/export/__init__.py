"""From a network in its deployable form to graphs, and what those graphs cost."""
