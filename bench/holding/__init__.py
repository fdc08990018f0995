"""``make bench-holding``: what checks cost that wait, whom they delay, and what a worker holds meanwhile.

``__main__``        the command line
``figures``         each figure: what is measured, of which sides
``system.py``       what its systems have in common: many Mini Programs, a worker's clients and descriptors
``scale.py``        how much is run
"""
