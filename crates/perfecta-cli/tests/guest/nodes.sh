#!/bin/sh
# On a machine with two nodes (processors 0-1 and 2-3): the same tables from whatever nodes are used,
# workers on the processors of their nodes, and buffers in their nodes' memory.
set -eu
cd /disk
perfecta keygen keys
perfecta bulk-create --progress none keys out --key-size auto --numa all --jobs 4 --guard-pages
perfecta verify --progress none out --keys keys --key-size auto
for options in "--numa 0" "--numa 1" "--numa all --node-policy round-robin" "--numa all --node-policy node:1"; do
  # The options are words.
  # shellcheck disable=SC2086
  perfecta bulk-create --progress none keys other --key-size auto --jobs 4 $options
  diff -r out other
  rm -r other
done

# A run that goes on until it is stopped, to look at.
perfecta create --progress none keys/u32/uniform-65536.keys --no-output --numa all --jobs 4 \
  --fixed-attempts 0xffff_ffff --per-file-initial 4 &
run=$!
until grep -q worker-3 /proc/$run/task/*/comm && grep -q "N[01]=" /proc/$run/numa_maps; do
  kill -0 $run
done
for task in /proc/$run/task/*; do
  echo "$(cat "$task/comm") on $(sed -n 's/^Cpus_allowed_list:[^0-9]*//p' "$task/status")"
done > workers
grep -E "bind|prefer" /proc/$run/numa_maps > buffers || true
kill -TERM $run
code=0
wait $run || code=$?
sort workers
cat buffers
test $code = 143
test "$(grep -c '^worker-[0-3] on 0-1$' workers)" = 2
test "$(grep -c '^worker-[0-3] on 2-3$' workers)" = 2
# Memory of a node's pool has a policy; none of its pages may be on the other node.
grep -q ":0" buffers
grep -q ":1" buffers
if grep ":0 " buffers | grep "N1=" || grep ":1 " buffers | grep "N0="; then
  exit 1
fi
rm -r keys out
