"""What every service is configured with, as sections of INI files. Whatever is not said here is its default."""

from collections.abc import Mapping
from pathlib import Path

from devstack import vm_settings
from devstack.place import HOST, REGION, Place

Ini = Mapping[str, Mapping[str, object]]

FAKE_HOSTS = ("fake-1", "fake-2", "fake-3")
"""Each is a nova-compute of its own with an availability zone of its own. Several, since Nova's resource tracker reads
all allocations of its host for every claim: the cost of a boot grows with the servers on a host."""
QEMU_HOST = "qemu-1"
"""The only host where servers are virtual machines."""
NETWORK = "private"
"""Where the pool's servers and machines get their addresses."""
LONGEST_AGENT_DOWN_TIME = 2147483  # seconds; Neutron does not start with more


def compute_hosts(place: Place) -> tuple[str, ...]:
    """Return the names of Nova's compute hosts."""
    return (QEMU_HOST,) if place.vms else FAKE_HOSTS


def write_all(place: Place) -> None:
    """Write the files of all services into the place's `etc`."""
    for name, ini in _files(place).items():
        write(place.etc / name, ini)
    templates = place.venv / "etc"
    for source in ("nova/api-paste.ini", "neutron/api-paste.ini", "glance/glance-api-paste.ini"):
        (place.etc / source).write_bytes((templates / source).read_bytes())
    for folder in ("keystone/fernet", "keystone/credential", "glance/images", "glance/staging", "glance/tasks"):
        (place.data / folder).mkdir(parents=True, exist_ok=True)
    for folder in (
        "ironic",
        "lock",
        "tmp",
        "rabbit/mnesia",
        *(f"nova/{host}/instances" for host in compute_hosts(place)),
    ):
        (place.data / folder).mkdir(parents=True, exist_ok=True)


def write(path: Path, ini: Ini) -> None:
    """Write one file; only its owner may read it, since most hold a password."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for section, options in ini.items():
        lines += [f"[{section}]", *(f"{key} = {value}" for key, value in options.items()), ""]
    path.touch(mode=0o600)
    path.write_text("\n".join(lines))


def _files(place: Place) -> Mapping[str, Ini]:
    return {
        "keystone/keystone.conf": _keystone(place),
        "placement/placement.conf": _placement(place),
        "glance/glance-api.conf": _glance(place),
        "nova/nova.conf": _nova(place),
        **{f"nova/{host}.conf": _compute(place, host) for host in compute_hosts(place)},
        "neutron/neutron.conf": _neutron(place),
        "neutron/ml2_conf.ini": vm_settings.ml2(place) if place.vms else _ml2(),
        "ironic/ironic.conf": _ironic(place),
    }


def _keystone(place: Place) -> Ini:
    return {
        "DEFAULT": _log(place, "keystone"),
        "database": _database(place, "keystone"),
        "cache": {
            "enabled": "true",
            "backend": "dogpile.cache.memcached",
            "memcache_servers": f"{HOST}:{place.ports['memcached']}",
        },
        # the least that bcrypt allows: logins are otherwise the dearest thing in this cloud
        "identity": {"password_hash_algorithm": "bcrypt", "password_hash_rounds": 4},
        "token": {"provider": "fernet", "expiration": 14400},
        "fernet_tokens": {"key_repository": place.data / "keystone/fernet"},
        "credential": {"key_repository": place.data / "keystone/credential"},
    }


def _placement(place: Place) -> Ini:
    return {
        "DEFAULT": _log(place, "placement"),
        "api": {"auth_strategy": "keystone"},
        "placement_database": _database(place, "placement"),
        "keystone_authtoken": _accepts_tokens(place, "placement"),
        **_common(place),
    }


def _glance(place: Place) -> Ini:
    def files(name: str) -> Mapping[str, object]:
        return {"filesystem_store_datadir": place.data / "glance" / name}

    return {
        "DEFAULT": {
            **_log(place, "glance"),
            "enabled_backends": "file:file",
            "enabled_import_methods": "[glance-direct]",
            "worker_self_reference_url": place.url("glance"),
        },
        "paste_deploy": {"flavor": "keystone", "config_file": place.etc / "glance/glance-api-paste.ini"},
        "database": _database(place, "glance"),
        "keystone_authtoken": _accepts_tokens(place, "glance"),
        "glance_store": {"default_backend": "file"},
        "file": files("images"),
        "os_glance_staging_store": files("staging"),
        "os_glance_tasks_store": files("tasks"),
        **_common(place),
    }


def _nova(place: Place) -> Ini:
    return {
        "DEFAULT": {
            "my_ip": HOST,
            "state_path": place.data / "nova",
            "transport_url": place.messages,
            "max_concurrent_builds": 50,
            "reserved_host_memory_mb": 0,
            "initial_ram_allocation_ratio": 1.0,
            "update_resources_interval": 60,
            "heal_instance_info_cache_interval": 0,
        },
        "api": {"list_records_by_skipping_down_cells": "true"},
        "wsgi": {"api_paste_config": place.etc / "nova/api-paste.ini"},
        "api_database": _database(place, "nova_api"),
        "database": _database(place, "nova_cell1"),
        "keystone_authtoken": _accepts_tokens(place, "nova"),
        "service_user": {**_credentials(place, "nova"), "send_service_user_token": "true"},
        "placement": _credentials(place, "nova"),
        "neutron": _credentials(place, "nova"),
        "glance": _credentials(place, "nova"),
        "scheduler": {"workers": 1, "discover_hosts_in_cells_interval": -1},
        "conductor": {"workers": 1},
        "filter_scheduler": {"track_instance_changes": "false"},
        "vnc": {"enabled": "false"},
        **_common(place),
    }


def _compute(place: Place, host: str) -> Ini:
    # each compute host keeps its id below its state_path
    here = {"host": host, "state_path": place.data / "nova" / host}
    if place.vms:
        return vm_settings.compute(place, here)
    return {
        "DEFAULT": {
            **here,
            "compute_driver": "fake.FakeDriverWithoutFakeNodes",
            "vif_plugging_is_fatal": "false",
            "vif_plugging_timeout": 0,
        }
    }


def _neutron(place: Place) -> Ini:
    return {
        "DEFAULT": {
            **_log(place, "neutron"),
            "state_path": place.data / "neutron",
            "core_plugin": "ml2",
            "service_plugins": vm_settings.ROUTERS if place.vms else "router",
            "api_paste_config": place.etc / "neutron/api-paste.ini",
            "auth_strategy": "keystone",
            "transport_url": place.messages,
            "rpc_workers": 1,
            "rpc_state_report_workers": 0,
            "agent_down_time": LONGEST_AGENT_DOWN_TIME,
            "allow_automatic_dhcp_failover": "false",
            "allow_automatic_l3agent_failover": "false",
            "dhcp_agent_notification": "false",
        },
        "database": _database(place, "neutron"),
        "keystone_authtoken": _accepts_tokens(place, "neutron"),
        "nova": _credentials(place, "neutron"),
        "placement": _credentials(place, "neutron"),
        "quotas": {"quota_port": 2000, "quota_floatingip": 500},
        **_common(place),
    }


def _ml2() -> Ini:
    # the mechanism driver binds a port when it finds an agent's record of its host, which `catalogue` writes
    return {
        "ml2": {
            "type_drivers": "flat,vxlan",
            "tenant_network_types": "vxlan",
            "mechanism_drivers": "openvswitch",
            "extension_drivers": "port_security",
        },
        "ml2_type_flat": {"flat_networks": vm_settings.EXTERNAL_PHYSNET},
        "ml2_type_vxlan": {"vni_ranges": "1:10000"},
        "securitygroup": {"enable_security_group": "true"},
    }


def _ironic(place: Place) -> Ini:
    fake = ("boot", "deploy", "management", "power")
    fake_or_none = ("bios", "console", "firmware", "inspect", "raid", "rescue", "vendor")
    return {
        "DEFAULT": {
            **_log(place, "ironic"),
            "auth_strategy": "keystone",
            "host": "fake-conductor",
            "my_ip": HOST,
            # one process is API and conductor, so no messages have to go anywhere
            "rpc_transport": "none",
            "enabled_hardware_types": "fake-hardware",
            **{f"enabled_{kind}_interfaces": "fake" for kind in fake},
            **{f"enabled_{kind}_interfaces": f"fake,no-{kind}" for kind in fake_or_none},
            "enabled_storage_interfaces": "fake,noop",
            "enabled_network_interfaces": "noop,flat",
            "default_network_interface": "noop",
            "default_deploy_interface": "fake",
            "state_path": place.data / "ironic",
            "tempdir": place.data / "tmp",
        },
        "api": {"host_ip": HOST, "port": place.ports["ironic"], "api_workers": 1},
        "conductor": {"automated_clean": "true", "sync_power_state_interval": 60, "workers_pool_size": 100},
        # Seconds that each step takes. The vendor's is the one step of cleaning: without it that is over before anybody
        # can see it.
        "fake": {"deploy_delay": "1,2", "vendor_delay": "2,3"},
        "deploy": {"http_root": place.data / "ironic/httpboot"},
        "pxe": {"tftp_root": place.data / "ironic/tftpboot"},
        "inventory": {"data_backend": "none"},
        "database": _database(place, "ironic"),
        "keystone_authtoken": _accepts_tokens(place, "ironic"),
        "service_catalog": _credentials(place, "ironic"),
        # for machines with the network interface `flat` only: with it, Ironic plugs Neutron's ports into theirs
        "neutron": {**_credentials(place, "ironic"), "cleaning_network": NETWORK, "provisioning_network": NETWORK},
        **_common(place),
    }


def _common(place: Place) -> Ini:
    return {
        "oslo_messaging_rabbit": {"heartbeat_in_pthread": "false"},
        "oslo_concurrency": {"lock_path": place.data / "lock"},
        "oslo_messaging_notifications": {"driver": "noop"},
        "oslo_policy": {"enforce_scope": "true", "enforce_new_defaults": "true"},
    }


def _log(place: Place, service: str) -> Mapping[str, object]:
    return {"log_file": place.logs / f"{service}.log"}


def _database(place: Place, name: str) -> Mapping[str, object]:
    return {"connection": place.database(name), "max_pool_size": 10, "max_overflow": 20}


def _credentials(place: Place, user: str) -> Mapping[str, object]:
    return {
        "auth_type": "password",
        "auth_url": place.identity,
        "username": user,
        "password": place.password,
        "project_name": "service",
        "user_domain_id": "default",
        "project_domain_id": "default",
        "region_name": REGION,
    }


def _accepts_tokens(place: Place, user: str) -> Mapping[str, object]:
    return {
        **_credentials(place, user),
        "www_authenticate_uri": place.identity,
        "memcached_servers": f"{HOST}:{place.ports['memcached']}",
        "service_token_roles": "service",
        "service_token_roles_required": "true",
    }
