"""From what is written to `Settings`: defaults filled in, parents merged, the secure file put over the main one."""

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from nodepool_ng.config import inherit, providers, schema
from nodepool_ng.config.address import chroot
from nodepool_ng.config.reading import Reading, ReadProvider, Skipped
from nodepool_ng.model import settings
from nodepool_ng.model.ids import ImageName, LabelName, PoolName, ProviderName, TenantName
from nodepool_ng.model.quota import CORES, INSTANCES, RAM, VOLUME_GB, VOLUMES, Resources

SSH_PORT = 22
PORTS: Mapping[str, int] = MappingProxyType({"winrm": 5986})
"""Where connection types listen that are not SSH's."""

LIMITS: Mapping[str, str] = MappingProxyType(
    {
        "max_servers": INSTANCES,
        "max_cores": CORES,
        "max_ram": RAM,
        "max_volumes": VOLUMES,
        "max_volume_gb": VOLUME_GB,
    }
)


def build(reading: Reading) -> tuple[settings.Settings, tuple[Skipped, ...]]:
    """Return the settings, and the providers whose driver is not there."""
    main, secure = reading.main, reading.secure
    known: dict[ProviderName, settings.Provider] = {}
    for provider in reading.providers:
        known[ProviderName(provider.model.name)] = BUILT[provider.driver](provider)
    return (
        settings.Settings(
            zookeeper=_zookeeper(main, secure),
            web=settings.WebSettings(port=main.webapp.port, listen_address=main.webapp.listen_address),
            builder_web=_builder_web(main),
            history=settings.HistorySettings(
                path=main.history.path, days=main.history.days or 1, megabytes=main.history.megabytes or 1
            ),
            elements_dir=main.elements_dir,
            images_dir=main.images_dir,
            build_log_dir=main.build_log_dir,
            build_log_retention=main.build_log_retention or 1,
            max_hold_age=max(0, main.max_hold_age),
            labels={LabelName(label.name): _label(label) for label in main.labels},
            diskimages=_images(main, secure),
            providers=known,
            tenant_limits={TenantName(limits.tenant_name): _tenant(limits) for limits in main.tenant_resource_limits},
        ),
        reading.skipped,
    )


def with_formats(configured: settings.Settings, lookup: Callable[[settings.Provider], str]) -> settings.Settings:
    """Return the settings with the image format that each provider's cloud takes.

    `lookup` knows clouds.yaml, which this package does not read; it is asked for providers that have images.
    """
    known = {
        name: replace(provider, images=_formatted(provider, lookup(provider))) if provider.images else provider
        for name, provider in configured.providers.items()
    }
    return replace(configured, providers=known)


def _formatted(provider: settings.Provider, form: str) -> Mapping[ImageName, settings.ProviderImage]:
    return {name: replace(image, format=form) for name, image in provider.images.items()}


def _zookeeper(main: schema.Main, secure: schema.Secure) -> settings.ZooKeeperSettings | None:
    servers = secure.zookeeper_servers or main.zookeeper_servers
    if not servers:
        return None
    tls = secure.zookeeper_tls or main.zookeeper_tls or schema.ZooKeeperTls()
    return settings.ZooKeeperSettings(
        hosts=tuple(f"{_bracketed(server.host)}:{server.port}" for server in servers),
        chroot=next(filter(None, (chroot(server.chroot) for server in servers)), ""),
        tls_cert=tls.cert,
        tls_key=tls.key,
        tls_ca=tls.ca,
        auth=_auth(secure.zookeeper_auth or main.zookeeper_auth),
        session_timeout=main.zookeeper_timeout,
    )


def _auth(written: schema.ZooKeeperAuth | None) -> settings.ZooKeeperAuth | None:
    if written is None:
        return None
    return settings.ZooKeeperAuth(
        user=written.user,
        password=written.password,
        scheme=settings.AuthScheme(written.scheme),
        protect=settings.Protect(written.protect),
    )


def _builder_web(main: schema.Main) -> settings.WebSettings | None:
    web = main.builder_webapp
    return None if web is None else settings.WebSettings(port=web.port, listen_address=web.listen_address)


def _bracketed(host: str) -> str:
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return host
    return f"[{host}]" if version == 6 else host


def _label(label: schema.Label) -> settings.Label:
    written = label.min_ready
    timetable = () if isinstance(written, int) else written
    return settings.Label(
        name=LabelName(label.name),
        min_ready=max(0, written) if isinstance(written, int) else 0,
        timetable=tuple(settings.Shift(cron=entry.cron, min_ready=entry.min_ready) for entry in timetable),
        max_ready_age=label.max_ready_age,
    )


def _images(main: schema.Main, secure: schema.Secure) -> Mapping[ImageName, settings.DiskImage]:
    images = {image.name: image for image in main.diskimages}
    secret: dict[str, dict[str, str]] = {}
    for image in secure.diskimages:
        secret.setdefault(image.name, {}).update(image.env_vars)
    return {
        ImageName(name): inherit.merged(name, images, secret.get(name, {}))
        for name, image in images.items()
        if not image.abstract
    }


def _tenant(limits: schema.TenantLimits) -> Resources:
    return _limits(limits, limits.__pydantic_extra__)


def _limits(written: object, named: Mapping[str, int | None] | None = None) -> Resources:
    amounts = {resource: getattr(written, key, None) for key, resource in LIMITS.items()} | dict(named or {})
    return Resources({resource: amount for resource, amount in amounts.items() if amount is not None})


def _openstack(provider: ReadProvider) -> settings.Provider:
    written = provider.model
    assert isinstance(written, providers.OpenStackProvider)
    return replace(
        _at_a_cloud(provider, written),
        clean_floating_ips=written.clean_floating_ips,
        port_cleanup_interval=written.port_cleanup_interval,
        cloud_images={image.name: _cloud_image(image) for image in written.cloud_images},
        pools={PoolName(pool.name): _openstack_pool(written, pool) for pool in written.pools},
    )


def _at_a_cloud(
    provider: ReadProvider, written: providers.OpenStackProvider | providers.IronicProvider
) -> settings.Provider:
    return settings.Provider(
        name=ProviderName(written.name),
        driver=provider.driver,
        cloud=written.cloud,
        region_name=written.region_name,
        boot_timeout=written.boot_timeout,
        launch_timeout=written.launch_timeout,
        launch_retries=max(1, written.launch_retries),
        max_concurrency=written.max_concurrency,
        rate=1 / written.rate if written.rate else None,
        image_upload_timeout=written.image_upload_timeout,
        image_name_format=written.image_name_format,
        post_upload_hook=written.post_upload_hook,
        images={ImageName(image.name): _provider_image(image) for image in written.diskimages},
    )


def _provider_image(image: providers.ProviderImage) -> settings.ProviderImage:
    return settings.ProviderImage(
        name=ImageName(image.name),
        pause=image.pause,
        config_drive=image.config_drive,
        meta=image.meta,
        connection_type=image.connection_type,
        connection_port=image.connection_port or PORTS.get(image.connection_type, SSH_PORT),
    )


def _cloud_image(image: providers.CloudImage) -> settings.CloudImage:
    return settings.CloudImage(
        name=image.name,
        image_id=image.image_id,
        image_name=image.image_name,
        config_drive=image.config_drive,
        username=image.username,
        python_path=image.python_path,
        shell_type=image.shell_type,
        connection_type=image.connection_type,
        connection_port=image.connection_port or PORTS.get(image.connection_type, SSH_PORT),
    )


def _openstack_pool(provider: providers.OpenStackProvider, pool: providers.OpenStackPool) -> settings.Pool:
    return settings.Pool(
        name=PoolName(pool.name),
        provider=ProviderName(provider.name),
        labels={LabelName(label.name): _pool_label(pool, label) for label in pool.labels if _has_image(label)},
        priority=_priority(pool, provider),
        limits=_limits(pool),
        ignore_provider_quota=pool.ignore_provider_quota,
        availability_zones=tuple(pool.availability_zones),
        security_groups=tuple(pool.security_groups),
        auto_floating_ip=pool.auto_floating_ip,
        node_attributes=pool.node_attributes,
    )


def _priority(pool: providers.Pool, provider: providers.Provider) -> int:
    priorities: Iterable[int | None] = (pool.priority, provider.priority, settings.DEFAULT_PRIORITY)
    return next(priority for priority in priorities if priority is not None)


def _has_image(label: providers.PoolLabel | providers.MachineLabel) -> bool:
    return label.diskimage is not None or label.cloud_image is not None


def _pool_label(pool: providers.OpenStackPool, label: providers.PoolLabel) -> settings.PoolLabel:
    checked = pool.host_key_checking if label.host_key_checking is None else label.host_key_checking
    return settings.PoolLabel(
        name=LabelName(label.name),
        diskimage=None if label.diskimage is None else ImageName(label.diskimage),
        cloud_image=label.cloud_image if label.diskimage is None else None,
        min_ram=label.min_ram or 0,
        flavor_name=label.flavor_name,
        key_name=label.key_name,
        console_log=label.console_log,
        boot_from_volume=label.boot_from_volume,
        volume_size=label.volume_size,
        instance_properties=label.instance_properties,
        dynamic_instance_properties=label.dynamic_instance_properties,
        userdata=label.userdata,
        networks=tuple(pool.networks if label.networks is None else label.networks),
        host_key_checking=checked,
    )


def _ironic(provider: ReadProvider) -> settings.Provider:
    written = provider.model
    assert isinstance(written, providers.IronicProvider)
    return replace(
        _at_a_cloud(provider, written),
        port_cleanup_interval=written.cleanup_interval,
        machine_retries=written.machine_retries,
        list_interval=written.list_interval,
        cloud_images={image.name: _machine_image(image) for image in written.cloud_images},
        pools={PoolName(pool.name): _machine_pool(written, pool) for pool in written.pools},
    )


def _machine_image(image: providers.BareMetalImage) -> settings.CloudImage:
    source = None
    if image.image_url is not None:
        source = settings.ImageSource(
            url=image.image_url,
            checksum=image.checksum or "",
            algorithm=image.checksum_algorithm,
            disk_format=image.disk_format,
        )
    return replace(_cloud_image(image), source=source, kernel=image.kernel, ramdisk=image.ramdisk)


def _machine_pool(provider: providers.IronicProvider, pool: providers.MachinePool) -> settings.Pool:
    return settings.Pool(
        name=PoolName(pool.name),
        provider=ProviderName(provider.name),
        labels={LabelName(label.name): _machine_label(pool, label) for label in pool.labels if _has_image(label)},
        priority=_priority(pool, provider),
        limits=_limits(pool),
        node_attributes=pool.node_attributes,
    )


def _machine_label(pool: providers.MachinePool, label: providers.MachineLabel) -> settings.PoolLabel:
    checked = pool.host_key_checking if label.host_key_checking is None else label.host_key_checking
    return settings.PoolLabel(
        name=LabelName(label.name),
        diskimage=None if label.diskimage is None else ImageName(label.diskimage),
        cloud_image=label.cloud_image if label.diskimage is None else None,
        console_log=label.console_log,
        instance_properties=label.instance_properties,
        dynamic_instance_properties=label.dynamic_instance_properties,
        userdata=label.userdata,
        networks=tuple(pool.networks if label.networks is None else label.networks),
        host_key_checking=checked,
        machine=settings.Machine(
            resource_class=label.resource_class or pool.resource_class or "",
            traits=frozenset((*pool.traits, *label.traits)),
            owner=pool.owner,
            lessee=pool.lessee,
            capabilities={name: str(value) for name, value in label.capabilities.items()},
            root_device=label.root_device,
            root_gb=label.root_gb,
            public_keys=(*pool.public_keys, *label.public_keys),
            network_data=label.network_data,
            address=pool.address,
        ),
    )


def _static(provider: ReadProvider) -> settings.Provider:
    written = provider.model
    assert isinstance(written, providers.StaticProvider)
    return settings.Provider(
        name=ProviderName(written.name),
        driver=provider.driver,
        max_concurrency=written.max_concurrency,
        pools={PoolName(pool.name): _static_pool(written, pool) for pool in written.pools},
    )


def _static_pool(provider: providers.StaticProvider, pool: providers.StaticPool) -> settings.Pool:
    hosts = tuple(_host(node) for node in pool.nodes)
    names = dict.fromkeys(label for host in hosts for label in host.labels)
    return settings.Pool(
        name=PoolName(pool.name),
        provider=ProviderName(provider.name),
        labels={name: settings.PoolLabel(name=name) for name in names},
        priority=_priority(pool, provider),
        limits=_limits(pool),
        node_attributes=pool.node_attributes,
        hosts=hosts,
    )


def _host(node: providers.StaticNode) -> settings.StaticHost:
    return settings.StaticHost(
        name=node.name,
        labels=tuple(map(LabelName, node.labels)),
        username=node.username,
        connection_port=node.connection_port or node.ssh_port or SSH_PORT,
        connection_type=node.connection_type,
        host_keys=tuple(node.host_key),
        host_key_checking=node.host_key_checking,
        timeout=node.timeout,
        shell_type=node.shell_type,
        python_path=node.python_path,
        slots=node.max_parallel_jobs,
    )


def _metastatic(provider: ReadProvider) -> settings.Provider:
    written = provider.model
    assert isinstance(written, providers.MetastaticProvider)
    return settings.Provider(
        name=ProviderName(written.name),
        driver=provider.driver,
        boot_timeout=written.boot_timeout,
        launch_timeout=written.launch_timeout,
        launch_retries=max(1, written.launch_retries),
        max_concurrency=written.max_concurrency,
        pools={PoolName(pool.name): _metastatic_pool(written, pool) for pool in written.pools},
    )


def _metastatic_pool(provider: providers.MetastaticProvider, pool: providers.MetastaticPool) -> settings.Pool:
    return settings.Pool(
        name=PoolName(pool.name),
        provider=ProviderName(provider.name),
        labels={LabelName(label.name): _slice(pool, label) for label in pool.labels},
        priority=_priority(pool, provider),
        limits=_limits(pool),
        node_attributes=pool.node_attributes,
    )


def _slice(pool: providers.MetastaticPool, label: providers.MetastaticLabel) -> settings.PoolLabel:
    return settings.PoolLabel(
        name=LabelName(label.name),
        host_key_checking=pool.host_key_checking if label.host_key_checking is None else label.host_key_checking,
        backing=settings.Backing(
            label=LabelName(label.backing_label),
            slots=max(1, label.max_parallel_jobs),
            grace_time=label.grace_time,
            min_retention_time=label.min_retention_time,
            max_age=label.max_age,
        ),
    )


BUILT: Mapping[str, Callable[[ReadProvider], settings.Provider]] = MappingProxyType(
    {
        providers.OPENSTACK: _openstack,
        providers.STATIC: _static,
        providers.METASTATIC: _metastatic,
        providers.IRONIC: _ironic,
    }
)
"""How a provider of each driver becomes settings."""
