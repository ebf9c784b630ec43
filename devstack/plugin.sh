#!/bin/bash
# The nodepool_ng plugin of DevStack. In local.conf:
#
#     enable_plugin nodepool_ng <where this repository is>
#
# stack.sh reads this file and calls it with what it is about to do; see "Plugins" in DevStack's documentation.

_NG_XTRACE=$(set +o | grep xtrace)
set +o xtrace

function is_nodepool_ng_enabled {
    is_service_enabled nodepool-launcher || is_service_enabled nodepool-builder
}

function install_nodepool_ng {
    install_package zookeeperd qemu-utils sudo
    python3 -m venv "$NODEPOOL_VENV"
    "$NODEPOOL_VENV/bin/pip" install --upgrade "$NODEPOOL_DIR"
}

function configure_nodepool_ng {
    sudo install -d -o "$STACK_USER" "$NODEPOOL_CONF_DIR" "$NODEPOOL_STATE_DIR"
    local zk_host=${NODEPOOL_ZK%:*} zk_port=${NODEPOOL_ZK##*:}
    cat > "$NODEPOOL_CONF" <<YAML
zookeeper-servers:
  - host: $zk_host
    port: $zk_port
images-dir: $NODEPOOL_STATE_DIR/images
build-log-dir: $NODEPOOL_STATE_DIR/build-logs
labels:
  - name: devstack
    min-ready: $NODEPOOL_MIN_READY
providers:
  - name: devstack
    cloud: $NODEPOOL_CLOUD
    region-name: $REGION_NAME
    cloud-images:
      - name: $NODEPOOL_IMAGE
        username: $NODEPOOL_IMAGE_USER
    pools:
      - name: main
        max-servers: $NODEPOOL_MAX_SERVERS
        labels:
          - name: devstack
            cloud-image: $NODEPOOL_IMAGE
            flavor-name: $NODEPOOL_FLAVOR
YAML
}

function start_nodepool_ng {
    local service
    for service in nodepool-launcher nodepool-builder; do
        if is_service_enabled "$service"; then
            run_process "$service" "$NODEPOOL_VENV/bin/$service -f -c $NODEPOOL_CONF"
        fi
    done
}

function stop_nodepool_ng {
    local service
    for service in nodepool-launcher nodepool-builder; do
        stop_process "$service"
    done
}

function cleanup_nodepool_ng {
    sudo rm -rf "$NODEPOOL_CONF_DIR" "$NODEPOOL_STATE_DIR" "$NODEPOOL_VENV"
}

if is_nodepool_ng_enabled; then
    case "$1 ${2:-}" in
        "stack install")
            echo_summary "Installing nodepool_ng"
            install_nodepool_ng
            ;;
        "stack post-config")
            echo_summary "Configuring nodepool_ng"
            configure_nodepool_ng
            ;;
        "stack extra")
            # flavors, images and networks are there by now
            echo_summary "Starting nodepool_ng"
            start_nodepool_ng
            ;;
        "unstack "*) stop_nodepool_ng ;;
        "clean "*) cleanup_nodepool_ng ;;
    esac
fi

$_NG_XTRACE
