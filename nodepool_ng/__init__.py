"""nodepool_ng keeps a warm pool of single-use machines for CI systems."""

__version__: str


def __getattr__(name: str) -> str:
    """Find out the version when it is asked for: importing what can do that takes as long as a short command."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("nodepool_ng")
    except PackageNotFoundError:  # run from a source tree that nobody installed
        found = "0"
    globals()[name] = found
    return found
