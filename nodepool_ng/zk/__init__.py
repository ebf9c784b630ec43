"""ZooKeeper: the tree and its records as every peer knows them, and the verbs to read and change it.

`paths` and `codec` are the wire; `store` is the seam, with `client` (a real ZooKeeper) and `memory` (the
simulation's) behind it; `locks` and `mirror` are built on the seam and run on both. kazoo is known to `client` and
`wire` only.
"""
