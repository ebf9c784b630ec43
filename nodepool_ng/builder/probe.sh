#!/bin/bash
# Stands in for one hook of an element that is tried out: runs it, and tells what it changed.
# "nodepool-probe<TAB>phase<TAB>hook<TAB>+|~|-|rc<TAB>path or code", each on a line of its own.
set -eu
set -o pipefail
hook=$(basename "$0")
phase=$(basename "$(dirname "$0")")
case $phase in
    root.d | cleanup.d) tree=${TARGET_ROOT:-} ;;
    extra-data.d) tree=${TMP_HOOKS_PATH:-} ;;
    post-root.d | block-device.d | pre-finalise.d) tree=${TMP_BUILD_DIR:-}/mnt ;;
    *) tree=/ ;;
esac
as=
if [ "$(id -u)" != 0 ]; then
    as=sudo
fi

look() { # every file with what tells whether it was changed
    if [ -d "$tree" ]; then
        # shellcheck disable=SC2086
        $as find "$tree" -xdev \( -path "${tree%/}/proc" -o -path "${tree%/}/sys" -o -path "${tree%/}/dev" \
            -o -path "${tree%/}/tmp" -o -path "${tree%/}/run" \) -prune -o -printf '/%P\t%y %m %U:%G %s %T@ %l\n'
    fi
}

declare -A before=()
while IFS=$'\t' read -r path state; do
    before[$path]=$state
done < <(look)
status=0
"$(dirname "$0")/../nodepool-probed-${phase%.d}/$hook" "$@" || status=$?
while IFS=$'\t' read -r path state; do
    if [ -z "${before[$path]+there}" ]; then
        printf 'nodepool-probe\t%s\t%s\t+\t%s\n' "$phase" "$hook" "$path"
    elif [ "${before[$path]}" != "$state" ] && [ "${state:0:1}" != d ]; then
        printf 'nodepool-probe\t%s\t%s\t~\t%s\n' "$phase" "$hook" "$path"
    fi
    unset "before[\$path]"
done < <(look)
for path in "${!before[@]}"; do
    printf 'nodepool-probe\t%s\t%s\t-\t%s\n' "$phase" "$hook" "$path"
done
printf 'nodepool-probe\t%s\t%s\trc\t%s\n' "$phase" "$hook" "$status"
exit "$status"
