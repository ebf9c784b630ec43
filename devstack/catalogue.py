"""What a cloud holds before anybody uses it: services and users, a project for the pool, flavors, networks, zones,
machines. Everything is looked for first, so this may be done again."""

import json
import os
from collections.abc import Callable
from typing import Any

import openstack
import yaml

from devstack import databases
from devstack.place import HOST, REGION, Place
from devstack.process import StackError, waited
from devstack.settings import FAKE_HOSTS, NETWORK, compute_hosts
from devstack.vm_settings import EXTERNAL_PHYSNET

PROJECT = "ci"
FLOATING = "ci-floating"
OTHER_PROJECT = "somebody-else"
FLAVORS = {"small": (512, 1), "medium": (2048, 2), "large": (8192, 8)}
"""Memory in MiB, and cores."""
SSH = "ssh"
"""The security group of the pool's project that lets SSH in."""
MTU = 1400  # bytes; leaves room for the tunnels between hosts
EXTERNAL_NETWORK = "public"
EXTERNAL_ADDRESSES = "10.98.0.0/16"
GATEWAY = "10.98.0.1/16"
"""Where virtual machines find those who use them: the address of what has the outer network in its namespace."""
MACHINES = 10
RESOURCE_CLASS = "baremetal.small"
HOSTS_PATIENCE = 120.0  # seconds
MACHINE_PATIENCE = 120.0  # seconds


def write_clouds_yaml(place: Place) -> None:
    """Write how to log in: `admin`, `admin-system` (what Ironic wants of an operator), and the projects `ci` and
    `somebody-else`. With `ci` a server's address in the private network will do; with `ci-floating` it will not, so
    servers get floating IPs."""

    def cloud(user: str, **scope: str) -> dict[str, object]:
        auth = {"auth_url": place.identity, "username": user, "password": place.password, "user_domain_id": "default"}
        return {"auth": {**auth, **scope}, "region_name": REGION, "identity_api_version": 3}

    def member(project: str) -> dict[str, object]:
        return cloud(project, project_name=project, project_domain_id="default")

    clouds = {
        "admin": member("admin"),
        "admin-system": cloud("admin", system_scope="all"),
        PROJECT: {**member(PROJECT), "private": True},
        FLOATING: member(PROJECT),
        OTHER_PROJECT: member(OTHER_PROJECT),
    }
    place.clouds_yaml.touch(mode=0o600)
    place.clouds_yaml.write_text(yaml.safe_dump({"clouds": clouds}, sort_keys=False))


def connect(place: Place, cloud: str) -> Any:
    """Return the SDK's connection to one of the clouds of the place's clouds.yaml."""
    config = openstack.config.OpenStackConfig(config_files=[str(place.clouds_yaml)])
    return openstack.connection.Connection(config=config.get_one(cloud=cloud))


def fill_identity(place: Place) -> None:
    """Enter services, their endpoints and users, and the projects. Needs Keystone only."""
    with connect(place, "admin") as cloud:
        identity = cloud.identity
        roles = {role.name: role for role in identity.roles()}
        for name in {"service", "member", "reader", "admin"} - roles.keys():
            roles[name] = identity.create_role(name=name)
        service = _ensure(identity.find_project("service"), lambda: identity.create_project(name="service"))
        for name, kind, path in (
            ("placement", "placement", ""),
            ("glance", "image", ""),
            ("nova", "compute", "/v2.1"),
            ("neutron", "network", ""),
            ("ironic", "baremetal", ""),
        ):
            _publish(identity, name, kind, place.url(name) + path)
            _user(identity, place, name, service, [roles["admin"], roles["service"]])
        for name in (PROJECT, OTHER_PROJECT):
            project = identity.find_project(name) or identity.create_project(name=name)
            _user(identity, place, name, project, [roles["member"], roles["reader"]])


def register_agents(place: Place) -> None:
    """Enter a network agent for each compute host. No agent runs: Neutron binds ports by these records alone."""
    details = {
        "bridge_mappings": {EXTERNAL_PHYSNET: "br-ex"},
        "tunnel_types": ["vxlan"],
        "tunneling_ip": HOST,
        "integration_bridge": "br-int",
        "datapath_type": "system",
        "ovs_capabilities": {"datapath_types": ["system"], "iface_types": ["system"]},
    }
    now = "utc_timestamp()"
    for host in FAKE_HOSTS:
        databases.query(
            place,
            "insert ignore into agents (id, agent_type, `binary`, topic, host, admin_state_up, created_at, started_at,"
            f" heartbeat_timestamp, configurations, `load`) values (uuid(), 'Open vSwitch agent',"
            f" 'neutron-openvswitch-agent', 'N/A', '{host}', 1, {now}, {now}, {now} + interval 10 year,"
            f" '{json.dumps(details)}', 0);",
            "neutron",
        )


def fill_network(place: Place) -> None:
    """Enter a network for servers, one outside, and a router between them; for virtual machines what lets SSH in."""
    with connect(place, "admin") as cloud:
        _networks(cloud)
    if place.vms:
        with connect(place, PROJECT) as cloud:
            _let_ssh_in(cloud.network)


def fill_compute(place: Place) -> None:
    """Enter flavors, and an availability zone for each compute host."""
    with connect(place, "admin") as cloud:
        known = {flavor.name for flavor in cloud.compute.flavors()}
        for name, (ram, cores) in FLAVORS.items():
            if name not in known:
                cloud.compute.create_flavor(name=name, ram=ram, vcpus=cores, disk=1)
        _map_hosts(place)
        zones = {zone.name: zone for zone in cloud.compute.aggregates()}
        for number, host in enumerate(compute_hosts(place), 1):
            name = f"az{number}"
            found = zones.get(name) or cloud.compute.create_aggregate(name=name, availability_zone=name)
            if host not in (found.hosts or ()):
                cloud.compute.add_host_to_aggregate(found, host)


def fill_machines(place: Place, count: int = MACHINES) -> None:
    """Enrol machines of fake hardware, and make them available. Every second one has the trait CUSTOM_FAST."""
    with connect(place, "admin-system") as cloud:
        ironic = cloud.baremetal
        known = {node.name: node for node in _machines(ironic)}
        for number in range(count):
            name = f"machine-{number}"
            if name not in known:
                known[name] = _enrol(ironic, name, number)
        fresh = [node for node in known.values() if node.provision_state in ("enroll", "manageable")]
        for state, verb in (("enroll", "manage"), ("manageable", "provide")):
            waiting = [node for node in fresh if node.provision_state == state]
            if verb == "provide":
                _switch_off(ironic, waiting)
            for node in waiting:
                ironic.set_node_provision_state(node, verb)
            goal = "manageable" if verb == "manage" else "available"
            if waiting:
                ironic.wait_for_nodes_provision_state(waiting, goal, timeout=MACHINE_PATIENCE)
                fresh = [ironic.get_node(node.id) for node in fresh]


def _machines(ironic: Any) -> list[Any]:
    return list(ironic.nodes(fields=["uuid", "name", "provision_state", "power_state"]))


def _switch_off(ironic: Any, machines: list[Any]) -> None:
    """Have the power state of machines known: allocations take no others, and fake power has none at first."""
    ids = {machine.id for machine in machines if machine.power_state is None}
    for each in ids:
        ironic.set_node_power_state(each, "power off")
    if not waited(lambda: all(m.power_state for m in _machines(ironic) if m.id in ids), MACHINE_PATIENCE):
        raise StackError(f"Ironic has not switched its machines off within {MACHINE_PATIENCE:.0f} s")


def _enrol(ironic: Any, name: str, number: int) -> Any:
    node = ironic.create_node(
        name=name,
        driver="fake-hardware",
        resource_class=RESOURCE_CLASS,
        properties={"cpus": 8, "memory_mb": 16384, "local_gb": 100, "cpu_arch": "x86_64"},
    )
    ironic.create_port(node_id=node.id, address=f"52:54:00:00:00:{number:02x}")
    if number % 2 == 0:
        ironic.add_node_trait(node, "CUSTOM_FAST")
    return node


def _networks(cloud: Any) -> None:
    network = cloud.network
    outside = _ensure(
        network.find_network(EXTERNAL_NETWORK),
        lambda: network.create_network(
            name=EXTERNAL_NETWORK,
            is_router_external=True,
            provider_network_type="flat",
            provider_physical_network=EXTERNAL_PHYSNET,
        ),
    )
    # with fake hosts these addresses exist in Neutron's tables only
    _subnet(network, outside, EXTERNAL_ADDRESSES, dhcp=False)
    inside = _ensure(
        network.find_network(NETWORK), lambda: network.create_network(name=NETWORK, is_shared=True, mtu=MTU)
    )
    subnet = _subnet(network, inside, "10.99.0.0/16", dhcp=True)
    if network.find_router("router") is None:
        router = network.create_router(name="router", external_gateway_info={"network_id": outside.id})
        network.add_interface_to_router(router, subnet_id=subnet.id)


def _let_ssh_in(network: Any) -> None:
    """Enter a security group of the pool's project."""
    if network.find_security_group(SSH) is None:
        group = network.create_security_group(name=SSH)
        rule = {"direction": "ingress", "ether_type": "IPv4", "protocol": "tcp"}
        network.create_security_group_rule(security_group_id=group.id, port_range_min=22, port_range_max=22, **rule)


def _subnet(network: Any, on: Any, cidr: str, *, dhcp: bool) -> Any:
    name = f"{on.name}-subnet"
    return _ensure(
        network.find_subnet(name),
        lambda: network.create_subnet(name=name, network_id=on.id, ip_version=4, cidr=cidr, is_dhcp_enabled=dhcp),
    )


def _map_hosts(place: Place) -> None:
    """Wait until every compute host has registered itself, and enter them all into their cell."""

    def registered() -> bool:
        ((count,),) = databases.query(place, "select count(*) from compute_nodes where deleted = 0", "nova_cell1")
        return int(count) >= len(compute_hosts(place))

    if not waited(registered, HOSTS_PATIENCE):
        raise StackError(f"not every compute host registered within {HOSTS_PATIENCE:.0f} s; see nova-compute-*.log")
    ((count,),) = databases.query(place, "select count(*) from host_mappings", "nova_api")
    if int(count) < len(compute_hosts(place)):
        config = f"--config-file={place.etc / 'nova' / 'nova.conf'}"
        argv = [place.program("nova-manage"), config, "cell_v2", "discover_hosts"]
        databases.run(place, "discover-hosts", argv, dict(os.environ))


def _publish(identity: Any, name: str, kind: str, url: str) -> None:
    service = _ensure(identity.find_service(name), lambda: identity.create_service(name=name, type=kind))
    there = {endpoint.interface: endpoint for endpoint in identity.endpoints(service_id=service.id)}
    for interface in ("public", "internal", "admin"):
        if interface not in there:
            identity.create_endpoint(service_id=service.id, interface=interface, url=url, region_id=REGION)


def _user(identity: Any, place: Place, name: str, project: Any, roles: list[Any]) -> None:
    user = _ensure(
        identity.find_user(name, domain_id="default"),
        lambda: identity.create_user(
            name=name, password=place.password, domain_id="default", default_project_id=project.id
        ),
    )
    for role in roles:
        identity.assign_project_role_to_user(project, user, role)


def _ensure(found: Any, make: Callable[[], Any]) -> Any:
    return found if found is not None else make()
