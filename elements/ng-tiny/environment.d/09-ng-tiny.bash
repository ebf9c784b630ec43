# Before 10-base-defaults of diskimage-builder's own "base" element, which comes
# along unless somebody says "-n": this root has no package manager to update.
export DIB_AVOID_PACKAGES_UPDATE=1
export DIB_SKIP_BASE_PACKAGE_INSTALL=1
export DISTRO_NAME=ng-tiny
# busybox init reads /etc/inittab; of the names dib-init-system knows this is the true one
export DIB_INIT_SYSTEM=sysv
export NG_TINY_KERNEL=${NG_TINY_KERNEL:-linux-image-cloud-amd64 linux-image-virtual linux-image-amd64}
