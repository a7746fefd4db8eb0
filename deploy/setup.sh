#!/bin/sh
# Sees to it that this machine can build Martlet (`setup.sh build`) and test it (`setup.sh test`), and
# has text to learn from (`setup.sh text`).
# Says nothing when there is nothing to do. What it may install itself, it installs; otherwise it
# stops with one line that says what to install.
set -eu
cd -- "$(dirname -- "$0")/.."

stop() {
    echo "martlet setup: $1" >&2
    exit 69
}

purpose=${1:-build}
case $purpose in
build) wanted="git libstdc++-12-dev libzstd-dev zlib1g-dev" ;;
test) wanted="git libstdc++-12-dev libzstd-dev zlib1g-dev curl openssl python3-venv" ;;
text) wanted="perl-doc python3-doc" ;;
*) stop "say build, test or text, not $purpose" ;;
esac

# Swift comes first: without it nothing else helps.
command -v swift > /dev/null ||
    stop "install Swift 6.3 or newer from https://www.swift.org/install/linux and put it on PATH"
version=$(swift --version 2> /dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
major=${version%%.*}
minor=${version#*.}
if [ "${major:-0}" -lt 6 ] || { [ "$major" -eq 6 ] && [ "$minor" -lt 3 ]; }; then
    stop "Swift ${version:-of unknown version} found; install 6.3 or newer from https://www.swift.org/install/linux"
fi

# Debian packages. Elsewhere they have other names: the build itself will say what is missing.
if command -v dpkg-query > /dev/null; then
    missing=
    for package in $wanted; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null || true)
        if [ "$state" != installed ]; then missing="$missing $package"; fi
    done
    if [ -n "$missing" ]; then
        advice="install the missing packages as root: apt-get install$missing"
        if [ "$(id -u)" -eq 0 ]; then
            root=
        elif command -v sudo > /dev/null && sudo -n true 2> /dev/null; then
            root="sudo -n"
        else
            stop "$advice"
        fi
        echo "martlet setup: installing$missing"
        log=$(mktemp)
        if ! { $root apt-get update && $root env DEBIAN_FRONTEND=noninteractive apt-get install \
            --yes --no-install-recommends $missing; } > "$log" 2>&1; then
            stop "$advice (tried and failed: $(grep '^E:' "$log" | tail -n 1); log: $log)"
        fi
        rm -f "$log"
    fi
fi

# Python packages: only outside peers in tests, never part of Martlet.
if [ "$purpose" = test ] && [ -f Tests/requirements.txt ] &&
    ! cmp -s Tests/requirements.txt .venv/requirements.txt; then
    echo "martlet setup: making .venv from Tests/requirements.txt"
    rm -rf .venv
    log=$(mktemp)
    if ! { python3 -m venv .venv && .venv/bin/python -m pip install --quiet \
        --disable-pip-version-check --requirement Tests/requirements.txt; } > "$log" 2>&1; then
        stop "could not make .venv: $(tail -n 1 "$log"); log: $log"
    fi
    rm -f "$log"
    cp Tests/requirements.txt .venv/requirements.txt
fi
