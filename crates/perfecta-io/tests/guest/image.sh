#!/usr/bin/env bash
# image.sh DIRECTORY IMAGE PROGRAM... -- TOOL...: makes a guest's file system, IMAGE: a shell, the
# programs, what runs them, tools for them, and what makes disks fail. The libraries that they need
# come along.
set -euo pipefail
directory=$(realpath "$1")
image=$2
shift 2

tree=$(mktemp --directory)
trap 'rm -rf "$tree"' EXIT
mkdir "$tree"/{bin,programs,tools,modules,proc,sys,dev,tmp,run,disk}
cp "$(command -v busybox)" "$tree/bin/busybox"
place=programs
for file in "$@"; do
  if [[ $file == -- ]]; then
    place=tools
  else
    cp "$file" "$tree/$place/"
  fi
done
strip --strip-debug "$tree"/{programs,tools}/* 2> /dev/null || true

cp "$(PATH=$PATH:/usr/sbin:/sbin command -v dmsetup)" "$tree/tools/"
# Scripts have none.
for library in $(ldd "$tree"/{programs,tools}/* 2> /dev/null | grep --only-matching '/[^ ]*' | grep -v ':$' | sort -u); do
  mkdir -p "$tree$(dirname "$library")"
  cp --dereference "$library" "$tree$library"
done
for module in dm-mod dm-flakey; do
  cp "$directory"/root/lib/modules/*/kernel/drivers/md/$module.ko "$tree/modules/"
done

cp "$(dirname "$0")/init" "$tree/init"
chmod +x "$tree/init" "$tree"/programs/*
(cd "$tree" && find . | cpio --create --format=newc --quiet) | gzip --fast > "$image"
