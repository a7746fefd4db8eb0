#!/bin/sh
# Fuzzes what parses files of others: Tests/Fuzz/run.sh [SECONDS] [TARGET...]
#
# Each target is one file beside this one, built by the compiler alone from the sources of the
# modules it needs, with libFuzzer and the address sanitizer of the Swift toolchain. It begins with
# its committed corpus, and goes on with what earlier runs found in .build/fuzz. A crash, a hang, or
# memory beyond the limits below ends the run with an error and leaves the input in .build/fuzz.
set -eu
# A crash is libFuzzer's to report.
export SWIFT_BACKTRACE=enable=no
cd -- "$(dirname -- "$0")/../.."

seconds=${1:-60}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- safetensors json configuration tokenizer codec
input_bytes_max=65536
input_seconds_max=10
memory_mb_max=2048
allocation_mb_max=512

build=.build/fuzz
mkdir -p "$build"
settings="-O -wmo -parse-as-library -swift-version 6 -package-name martlet -I $build
    -use-ld=lld -sanitize=fuzzer,address -Xcc -ISources/CKernels/include
    -enable-upcoming-feature ExistentialAny -enable-upcoming-feature InternalImportsByDefault
    -enable-upcoming-feature MemberImportVisibility
    -enable-upcoming-feature NonisolatedNonsendingByDefault"

echo "building the modules with sanitizers"
printf 'module CKernels { umbrella "%s" export * }\n' "$PWD/Sources/CKernels/include" \
    > "$build/module.modulemap"
kernels=
for source in Sources/CKernels/cpu/*.c; do
    object=$build/$(basename "$source").o
    clang -c -O2 -g -fno-math-errno -fsanitize=address,fuzzer-no-link -ISources/CKernels/include \
        "$source" -o "$object"
    kernels="$kernels $object"
done
for module in Tensors MoE Storage; do
    # shellcheck disable=SC2046,SC2086
    swiftc $settings -module-name "$module" -emit-module \
        -emit-module-path "$build/$module.swiftmodule" \
        -emit-object -o "$build/$module.o" $(find "Sources/$module" -name '*.swift' | sort)
done

# What reads payloads, without the package whose buffers bring them.
codec="-I Sources/CZstd -lzstd"
for name in CodecError Sink SegmentTable DensePayload TopKPayload IntegerModel RangeCoder Zstandard; do
    codec="$codec Sources/Codec/$name.swift"
done

for target in "$@"; do
    more=
    [ "$target" != codec ] || more=$codec
    # shellcheck disable=SC2086
    swiftc $settings -module-name "fuzz_$target" Tests/Fuzz/Entry.swift "Tests/Fuzz/$target.swift" \
        $more "$build/Tensors.o" "$build/MoE.o" "$build/Storage.o" $kernels -lm -o "$build/$target"
    mkdir -p "$build/corpus-$target"
    echo "fuzzing $target for $seconds seconds"
    if ! "$build/$target" "$build/corpus-$target" "Tests/Fuzz/corpus/$target" \
        -max_total_time="$seconds" -timeout="$input_seconds_max" -max_len="$input_bytes_max" \
        -rss_limit_mb="$memory_mb_max" -malloc_limit_mb="$allocation_mb_max" \
        -artifact_prefix="$build/$target-" -print_final_stats=1 > "$build/$target.log" 2>&1; then
        tail -n 40 "$build/$target.log" >&2
        echo "fuzzing $target failed: see $build/$target.log" >&2
        exit 1
    fi
    grep -E '^(Done|stat::number_of_executed|stat::peak_rss)' "$build/$target.log"
    grep -oE 'cov: [0-9]+ ft: [0-9]+ corp: [^ ]+' "$build/$target.log" | tail -n 1
done
