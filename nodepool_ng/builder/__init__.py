"""Builds images with diskimage-builder and uploads them into clouds."""
