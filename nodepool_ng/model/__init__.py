"""What nodepool_ng talks about: plain, immutable values.

Nothing here does I/O, reads a clock or imports another package of ours. Everything else in the product imports
from here.
"""
