"""Identifiers: drawn for what comes and goes, derived from names for what is configured.

Derived ids are the same in every run of the same configuration.
"""

from __future__ import annotations

import random
import uuid

_SPACE = uuid.UUID("6f1c6c1e-6d0e-4a53-9d0a-3f6f0b7f2c11")


def new_id(rng: random.Random) -> str:
    """Return a fresh id."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def id_of(*names: str) -> str:
    """Return the id that belongs to these names."""
    return str(uuid.uuid5(_SPACE, "/".join(names)))


def project_id(cloud: str, project: str) -> str:
    """Return the id of a project of a cloud, in Keystone's short form."""
    return id_of("project", cloud, project).replace("-", "")


def user_id(cloud: str, user: str) -> str:
    """Return the id of a user of a cloud, in Keystone's short form."""
    return id_of("user", cloud, user).replace("-", "")
