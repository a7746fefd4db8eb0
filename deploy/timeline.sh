#!/bin/sh
# Trains the same model several times, waiting for synchronising or going on beside it, and leaves a
# run folder with a time line each: deploy/timeline.sh MARTLET FOLDER. `make timeline` calls it.
#
# RUN_WITH goes before each run's command, for instance `chrt -r 5` on a machine with other work.
set -eu
martlet=$1
folder=$2
for codec in raw topk; do
    for steps in 0 8; do
        run=$folder/$codec-$steps
        rm -rf "$run"
        ${RUN_WITH:-} "$martlet" up --config deploy/local/timeline.yaml --set "folder=$run" \
            --set "training.codec=$codec" --set "training.overlap.steps=$steps" \
            --timeline "$run/timelines"
    done
done
