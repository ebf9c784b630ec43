"""A whole installation under a virtual clock: launchers, a ZooKeeper in memory, and modelled clouds.

The daemons' own reconcilers, planner and effects run here; only the store, the clouds and the clock are others. There
are no threads, nothing waits for real, and the same seed gives the same history to the last record.
"""
