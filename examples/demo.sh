#!/bin/sh
# The whole road on the bundled sample model: inspect, score, compare, prune, finetune, export.
set -eu
prunecli=${PRUNECLI:-prunecli}
folder=${1:-demo}
rm -rf "$folder"
mkdir -p "$folder"

step() {
    printf '\n$ prunecli %s\n' "$*"
    "$prunecli" "$@"
}

step inspect
step score --criteria l1,l2,fpgm
step compare --criteria l1,l2,fpgm,bn_gamma,random --ratio 0.3,0.5
step prune --ratio 0.5 -o "$folder/small.safetensors"
step finetune "$folder/small.safetensors" --data digits --epochs 10 -o "$folder/tuned.safetensors"
step export "$folder/tuned.safetensors" --to onnx -o "$folder/tuned.onnx"
