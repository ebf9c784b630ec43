"""The clouds.yaml that leads an openstacksdk to the simulated clouds.

For a cloud `acme` with the regions `north` and `south` and the projects `ci` and `other` it has the entries `acme`
(all regions, the first project), `acme.north`, `acme.south` (one region) and `acme.north.other`, ... (another project).
"""

from __future__ import annotations

import yaml

from nodepool_ng.sim.config import CloudSettings, SimSettings


def clouds_yaml(settings: SimSettings, base_url: str) -> str:
    """Return the file's text."""
    entries: dict[str, object] = {}
    for name, cloud in settings.clouds.items():
        first, *others = cloud.projects
        regions = list(cloud.regions)
        # The SDK reads the first of the regions when a caller names none.
        entries[name] = {**_entry(name, cloud, first, base_url), "regions": regions}
        for region in regions:
            entries[f"{name}.{region}"] = {**_entry(name, cloud, first, base_url), "region_name": region}
            for other in others:
                entries[f"{name}.{region}.{other}"] = {**_entry(name, cloud, other, base_url), "region_name": region}
    return yaml.safe_dump({"clouds": entries}, sort_keys=False)


def _entry(name: str, cloud: CloudSettings, project: str, base_url: str) -> dict[str, object]:
    return {
        "auth_type": "password",
        "auth": {
            "auth_url": f"{base_url}/{name}/identity/v3",
            "username": cloud.user,
            "password": cloud.password,
            "project_name": project,
            "user_domain_id": "default",
            "project_domain_id": "default",
        },
        "identity_api_version": "3",
    }
