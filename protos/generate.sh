#!/bin/sh
# Generates Sources/Wire/Generated from protos/martlet. With --check, compares instead of writing.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
generated="$root/Sources/Wire/Generated"

stop() {
    echo "protos/generate.sh: $1" >&2
    exit 1
}

case "${1:-}" in
"") check=no ;;
--check) check=yes ;;
*) stop "unknown argument '$1'; usage: protos/generate.sh [--check]" ;;
esac

command -v protoc >/dev/null ||
    stop "protoc is missing; install it with: apt-get install protobuf-compiler"

# The plugin comes from the swift-protobuf that the package links, so that both always agree.
plugin=${PROTOC_GEN_SWIFT:-$root/.build/debug/protoc-gen-swift}
if [ ! -x "$plugin" ]; then
    (cd "$root" && swift build --product protoc-gen-swift)
    plugin="$root/.build/debug/protoc-gen-swift"
fi

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
protoc --proto_path="$root/protos" --plugin=protoc-gen-swift="$plugin" --swift_out="$out" \
    --swift_opt=Visibility=Package --swift_opt=UseAccessLevelOnImports=true \
    --swift_opt=FileNaming=DropPath "$root"/protos/martlet/*.proto

# Strict memory safety wants the generator's one unchecked access (to a constant that copy-on-write
# guards) marked; the generator does not do that yet.
for file in "$out"/*.pb.swift; do
    sed 's/_storage = _StorageClass.defaultInstance/_storage = unsafe _StorageClass.defaultInstance/' \
        "$file" >"$out/marked"
    mv "$out/marked" "$file"
done

if [ $check = yes ]; then
    diff -r "$generated" "$out" ||
        stop "Sources/Wire/Generated is not what the protos say; run: make protos"
else
    mkdir -p "$generated"
    rm -f "$generated"/*.pb.swift
    cp "$out"/*.pb.swift "$generated"
fi
