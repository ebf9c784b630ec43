"""nodepool_ng keeps a warm pool of single-use machines for CI systems."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("nodepool_ng")
except PackageNotFoundError:  # run from a source tree that nobody installed
    __version__ = "0"
