"""The main job on one screen: an image is built and uploaded, a pool fills, and a CI scheduler is served.

Everything that a real installation has takes part, each in a process of its own; only the clouds are simulated.
"""
