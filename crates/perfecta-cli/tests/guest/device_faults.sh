#!/bin/sh
# A disk that fails while tables are written to it, and one that cannot be read: what is told, what
# is left, and what a run makes of it once the disk is well again.
set -eu
umount /disk
perfecta keygen /tmp/keys --keys 3000
perfecta keygen /tmp/few --keys 3000 --key-size 32 --shape uniform
perfecta bulk-create /tmp/keys /tmp/undisturbed --progress none --key-size auto
perfecta bulk-create /tmp/keys /tmp/packed --progress none --key-size auto --layout packed
sectors=$(blockdev --getsz /dev/nvme0n1)
well="0 $sectors flakey /dev/nvme0n1 0 1000 0"
dm="dmsetup --noudevrules --noudevsync"

fail() { echo "device_faults: $*"; exit 1; }

# No write reaches the device from now on.
break_writes() { become "0 $sectors flakey /dev/nvme0n1 0 0 1000 1 error_writes"; }
# Nothing can be read or written.
break_all() { become "0 $sectors flakey /dev/nvme0n1 0 0 1000"; }
become() {
  # Without flushing: it would wait for a journal that cannot be written.
  $dm suspend --nolockfs --noflush disk
  $dm load disk --table "$1"
  $dm resume disk
}
attach() {
  $dm create disk --table "$well"
  # Nobody else makes the name.
  $dm mknodes disk
  mount -t ext4 -o "$1" /dev/mapper/disk /disk
}
# Back to a disk that is well, as after a repair and a reboot.
heal() {
  become "$well"
  umount /disk
  $dm remove disk
  attach rw
}
detach() {
  rm -rf /disk/*
  umount /disk
  $dm remove disk
}

# Runs, and keeps what it tells. The exit code is $code.
run() {
  code=0
  perfecta "$@" > /tmp/told 2> /tmp/complaints || code=$?
  echo "exit $code of perfecta $*"
  cat /tmp/complaints
}
# Expects an exit code, and words of what was complained of.
expect() {
  echo "$code" | grep -qE "^($1)$" || fail "exit $code, not $1"
  shift
  for words in "$@"; do
    grep -qE "$words" /tmp/complaints || fail "nothing of: $words"
  done
}
# Whatever is published is whole.
expect_whole() {
  if find /disk/out -name manifest.json | grep -v .perfecta-stage | grep -q .; then
    run verify /disk/out
    expect 0
  fi
}
# A later run completes it, and leaves no stage.
expect_completed() {
  run bulk-create /tmp/keys /disk/out --key-size auto $1
  expect 0
  run verify /disk/out --keys /tmp/keys --key-size auto
  expect 0
  test -z "$(find /disk/out -name '.perfecta-stage*')" || fail "a stage is left"
}

# What the kernel tells once the journal of the file system is given up, too.
device_error='(Input/output error \(os error 5\)|Read-only file system \(os error 30\))'

for layout in dirs packed; do
  # Some tables are there and whole before the disk fails.
  attach rw
  mkdir /disk/out
  if [ $layout = dirs ]; then
    run bulk-create /tmp/few /disk/out --durable
    expect 0
  fi
  break_writes
  run bulk-create /tmp/keys /disk/out --key-size auto --durable --layout $layout
  expect '3|8' "/disk/out.*$device_error" 'help: '
  if [ $layout = packed ]; then
    test ! -e /disk/out/tables.packed || fail "a pack is published"
  fi
  expect_whole
  heal
  expect_whole
  expect_completed "--durable --layout $layout"
  if [ $layout = dirs ]; then
    diff -r /tmp/undisturbed /disk/out || fail "other bytes"
  else
    diff -r /tmp/packed/tables.packed /disk/out/tables.packed || fail "other bytes"
  fi
  detach

  # Without --durable, where every write goes to the device at once.
  attach sync,rw
  mkdir /disk/out
  break_writes
  run bulk-create /tmp/keys /disk/out --key-size auto --layout $layout
  expect '3|8' "/disk/out.*$device_error" 'help: '
  expect_whole
  heal
  expect_whole
  expect_completed "--layout $layout"
  detach

  # Without it, and with writes that wait in memory, a run does not hear of what is lost later; but
  # verification and the next run do.
  attach rw
  mkdir /disk/out
  sync
  break_writes
  run bulk-create /tmp/keys /disk/out --key-size auto --layout $layout
  expect '0|3|8'
  heal
  expect_completed "--layout $layout"
  detach
done

# Key files on a disk that cannot be read.
attach rw
cp -r /tmp/keys /disk/keys
umount /disk
mount -t ext4 /dev/mapper/disk /disk
find /disk/keys -type f > /dev/null
break_all
run bulk-create /disk/keys /tmp/unread --key-size auto
expect '3|8' "/disk/keys.*Input/output error \(os error 5\)" 'help: '
if [ $code = 3 ]; then
  test -z "$(find /tmp/unread -name '.perfecta-stage*')" || fail "a stage is left"
fi
heal
run bulk-create /disk/keys /tmp/unread --key-size auto
expect 0
diff -r /tmp/undisturbed /tmp/unread || fail "other bytes"
detach
