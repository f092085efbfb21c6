#!/usr/bin/env bash
# Brings what building, testing and the demo need, each pinned: Go modules,
# real AO modules, npm packages. Does nothing that is done already.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
	echo "setup: $*" >&2
	exit 1
}

# Commands, and the Debian packages that have them.
packages=(gcc:gcc make:make node:nodejs npm:npm tar:tar git:git clang++-19:clang-19 wasm-ld-19:lld-19)
missing=()
for p in "${packages[@]}"; do
	command -v "${p%%:*}" >/dev/null || missing+=("${p##*:}")
done
if ((${#missing[@]} > 0)); then
	if ! command -v apt-get >/dev/null || [[ $(id -u) != 0 ]]; then
		fail "install ${missing[*]} first (on Debian: apt-get install ${missing[*]})"
	fi
	echo "setup: apt-get install ${missing[*]}"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" libc6-dev
fi
command -v go >/dev/null || fail "install Go 1.26 or later first"
node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)' || fail "Node $(node --version) is too old; 20 is the first that will do"

go mod download
go mod download -modfile=test/tools.mod

node test/modules/fetch.mjs

# npm ci removes and installs everything, so it is run only for another lock.
for dir in test/oracle vm/wasm/rewrite/testdata/oracle; do
	installed=$dir/node_modules/.lock
	if ! cmp -s "$dir/package-lock.json" "$installed"; then
		echo "setup: npm ci in $dir"
		(cd "$dir" && npm ci --no-audit --no-fund --loglevel=error)
		cp "$dir/package-lock.json" "$installed"
	fi
done
echo "setup: done"
