"""Runs what was decided: the inbox, effects in flight, and the threads that call clouds.

Used by both daemons and by the simulation. It joins the store and the drivers, and decides nothing.
"""
