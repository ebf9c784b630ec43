"""The daemon that keeps nodes ready in every provider and hands them out."""
