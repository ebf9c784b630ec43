"""Machines of a real Ironic: bringing them back to where a test wants them, and looking at them."""

import time
from typing import Any

from tests.support.real_cloud import RealCloud

PATIENCE = 180.0  # seconds
STABLE = frozenset({"available", "active", "manageable", "enroll", "deploy failed", "clean failed", "error"})


class RealMachines:
    """The machines that devstack has enrolled, as an administrator of the whole system sees them."""

    def __init__(self, cloud: RealCloud) -> None:
        self.cloud = cloud
        self.ironic = cloud.connect("admin-system").baremetal

    def all(self) -> dict[str, dict[str, Any]]:
        """Return the machines by name, in Ironic's words."""
        answer = self.ironic.get("/nodes/detail", microversion="1.78").json()
        return {node["name"]: node for node in answer["nodes"]}

    def allocations(self) -> list[dict[str, Any]]:
        answer = self.ironic.get("/allocations", microversion="1.78").json()
        return list(answer["allocations"])

    def vifs(self, machine: str) -> list[str]:
        """Return the ids of Neutron's ports that are plugged into a machine."""
        answer = self.ironic.get(f"/nodes/{machine}/vifs", microversion="1.78").json()
        return [vif["id"] for vif in answer["vifs"]]

    def addresses(self, machine: str) -> set[str]:
        """Return the hardware addresses of a machine's own ports."""
        answer = self.ironic.get(f"/nodes/{machine}/ports", microversion="1.78").json()
        return {port["address"] for port in answer["ports"]}

    def count(self, state: str) -> int:
        """Return how many machines are in a state."""
        return sum(node["provision_state"] == state for node in self.all().values())

    def idle(self) -> bool:
        """Tell whether all machines are available, with nothing of ours left on them."""
        return not self.allocations() and all(
            node["provision_state"] == "available" and not node["maintenance"] and "nodepool_ng" not in node["extra"]
            for node in self.all().values()
        )

    def clean(self) -> None:
        """Have all machines available and nobody's."""
        deadline = time.monotonic() + PATIENCE
        while True:
            nodes = self.all()
            for node in nodes.values():
                if node["provision_state"] in STABLE:
                    self._nearer(node)
            for allocation in self.allocations():
                node_uuid = allocation["node_uuid"]
                if allocation["state"] != "allocating" and self._free(nodes, node_uuid):
                    self.ironic.delete_allocation(allocation["uuid"], ignore_missing=True)
            if self.idle():
                return
            if time.monotonic() > deadline:
                states = {name: node["provision_state"] for name, node in self.all().items()}
                raise TimeoutError(f"not all machines are available again: {states}")
            time.sleep(0.5)

    def _free(self, nodes: dict[str, dict[str, Any]], uuid: str | None) -> bool:
        return all(node["uuid"] != uuid or node["provision_state"] == "available" for node in nodes.values())

    def _nearer(self, node: dict[str, Any]) -> None:
        """Ask for one step towards `available`."""
        ident = node["uuid"]
        if node["maintenance"]:
            self.ironic.unset_node_maintenance(ident)
        if "nodepool_ng" in node["extra"]:
            patch = [{"op": "remove", "path": "/extra/nodepool_ng"}]
            self.ironic.patch(f"/nodes/{ident}", json=patch, microversion="1.78")
        verbs = {"active": "deleted", "deploy failed": "deleted", "error": "deleted", "enroll": "manage"}
        verbs |= {"clean failed": "manage", "manageable": "provide"}
        if node["provision_state"] in verbs:
            self.ironic.set_node_provision_state(ident, verbs[node["provision_state"]])
