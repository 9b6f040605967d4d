#!/bin/sh
# Runs the command line of this bundle with the Node that lies beside it.
root=$(CDPATH= cd -- "$(dirname -- "$(readlink -f -- "$0")")/.." && pwd)
exec "$root/bin/node" "$root/lib/holdfast.mjs" "$@"
