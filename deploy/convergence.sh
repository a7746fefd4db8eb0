#!/bin/sh
# Makes the runs that docs/convergence.md compares, as far as they are missing, and the page
# FOLDER.md: deploy/convergence.sh MARTLET FOLDER TEXT... `make convergence` calls it. A run is a
# file in FOLDER, so it goes on where it was stopped; each takes two to six minutes of one processor.
#
# SEEDS is the number of runs of each kind, JOBS how many are made at a time.
set -eu
martlet=$1
folder=$2
shift 2

# All of $methods with each of $codecs.
compare() {
    "$martlet" bench convergence --corpus "$@" --into "$folder" --page "$folder.md" \
        --conditions straggler --methods "$methods" --codecs "$codecs" --seeds "${SEEDS:-3}" \
        ${JOBS:+--jobs "$JOBS"}
}

# First what most is asked of, as not everybody waits for the rest.
methods=dp,edit,a-edit,async codecs=raw compare "$@"
methods=edit,a-edit,async codecs=int4 compare "$@"
methods=async-plain,corrupted,corrupted-guarded codecs=raw compare "$@"
methods=a-edit codecs=topk,topk/256 compare "$@"
methods=a-edit codecs=fp4,int8,bf16 compare "$@"
methods=edit,async codecs=topk/256 compare "$@"
