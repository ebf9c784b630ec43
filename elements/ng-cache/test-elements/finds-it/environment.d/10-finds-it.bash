# A repository and a file of this machine, made anew for each build.
if [ -n "${TMP_BUILD_DIR:-}" ] && [ -d "$TMP_BUILD_DIR" ] && [ ! -d "$TMP_BUILD_DIR/finds-it" ]; then
    mkdir -p "$TMP_BUILD_DIR/finds-it"
    git -C "$TMP_BUILD_DIR/finds-it" init --quiet -b main
    git -C "$TMP_BUILD_DIR/finds-it" -c user.name=t -c user.email=t@example.org commit --quiet --allow-empty -m one
    echo cached > "$TMP_BUILD_DIR/finds-it.txt"
fi
if [ -n "${TMP_BUILD_DIR:-}" ] && [ -f "$TMP_BUILD_DIR/finds-it.txt" ]; then
    export NG_CACHE_REPOS="example/finds-it file://$TMP_BUILD_DIR/finds-it main"
    NG_CACHE_FILES="finds-it.txt $(sha256sum < "$TMP_BUILD_DIR/finds-it.txt" | cut -c1-64) file://$TMP_BUILD_DIR/finds-it.txt"
    export NG_CACHE_FILES
fi
