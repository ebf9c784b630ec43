"""The launcher's web application: the lists that Nodepool 11 served, numbers, health, and a page to look at.

It reads views that the reconciler hands out and changes nothing. One thread, one event loop.
"""
