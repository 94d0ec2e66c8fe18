#!/usr/bin/env bash
# image.sh DIRECTORY PROGRAM...: makes the guest's file system, DIRECTORY/image: a shell, the
# programs (static, for there are no libraries), and what runs them.
set -euo pipefail
directory=$(realpath "$1")
shift

tree=$(mktemp --directory)
trap 'rm -rf "$tree"' EXIT
mkdir "$tree"/{bin,programs,proc,sys,dev,tmp,disk}
cp "$(command -v busybox)" "$tree/bin/busybox"
cp "$@" "$tree/programs/"
strip --strip-debug "$tree"/programs/*
cp "$(dirname "$0")/init" "$tree/init"
chmod +x "$tree/init"
(cd "$tree" && find . | cpio --create --format=newc --quiet) | gzip --fast > "$directory/image"
