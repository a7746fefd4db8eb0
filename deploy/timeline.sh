#!/bin/sh
# Trains the same model several times, waiting for synchronising or going on beside it, and leaves a
# run folder with a time line each: deploy/timeline.sh MARTLET FOLDER. `make timeline` calls it.
#
# Shard servers and coordinator are kept to the last processor: they stand for other machines, whose
# work must not take the worker's processor from it.
#
# RUN_WITH goes before each run's command, for instance `chrt -r 5` on a machine with other work.
set -eu
martlet=$1
folder=$2
last=$(($(nproc) - 1))

# The processes of the run in folder $1, but its workers.
others() {
    for process in /proc/[0-9]*; do
        if tr '\0' ' ' 2>/dev/null <"$process/cmdline" |
            grep -q -- " --identity $1/identities/[cs][a-z0-9-]*.identity.pem "; then
            echo "${process#/proc/}"
        fi
    done
}

for codec in raw topk; do
    for steps in 0 8; do
        run=$folder/$codec-$steps
        rm -rf "$run"
        ${RUN_WITH:-} "$martlet" up --config deploy/local/timeline.yaml --set "folder=$run" \
            --set "training.codec=$codec" --set "training.overlap.steps=$steps" \
            --timeline "$run/timelines" &
        up=$!
        # What runs in the background does not hear Ctrl-C.
        trap 'kill "$up" 2>/dev/null; wait "$up"; exit 130' INT TERM
        kept=0
        # All three are there a few seconds after the start.
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            sleep 1
            found=$(others "$run")
            for process in $found; do
                if taskset -apc "$last" "$process" >/dev/null 2>&1; then kept=$((kept + 1)); fi
            done
            [ "$kept" -lt 3 ] || break
            kept=0
        done
        [ "$kept" -ge 3 ] || echo "$run: servers are not kept to processor $last" >&2
        wait "$up"
        trap - INT TERM
    done
done
