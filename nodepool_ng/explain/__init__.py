"""Answers to "why?", made of what launchers tell about themselves and of the records; pure.

The reasons are those of the planner that decided: nothing is judged a second time here. Estimates are computed by
whoever asks, from what was told of capacity and of how long things took lately.
"""
