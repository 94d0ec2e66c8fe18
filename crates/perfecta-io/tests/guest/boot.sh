#!/usr/bin/env bash
# boot.sh DIRECTORY IMAGE: boots DIRECTORY/kernel with IMAGE on a machine of two nodes, each with two
# processors and 1 GiB, and an empty disk. Prints the console until the guest turns the machine off;
# fails if it does not within 25 minutes: four are enough on a machine that does nothing else.
set -euo pipefail
directory=$(realpath "$1")
image=$2
root=$directory/root/usr

disk=$(mktemp)
trap 'rm -f "$disk"' EXIT
truncate --size 256M "$disk"
mkfs.ext4 -q -F "$disk"

machine=(
  -machine q35 -cpu max -accel tcg,thread=multi -smp 4,sockets=2,cores=2 -m 2G
  -object memory-backend-ram,id=near,size=1G -numa node,nodeid=0,cpus=0-1,memdev=near
  -object memory-backend-ram,id=far,size=1G -numa node,nodeid=1,cpus=2-3,memdev=far
  -numa dist,src=0,dst=1,val=21
  -drive file="$disk",if=none,id=disk,format=raw,cache=unsafe -device nvme,drive=disk,serial=disk
  -nographic -nic none -no-reboot
)
timeout 1500 "$root/bin/qemu-system-x86_64" -L "$root/share/qemu" -L "$root/share/seabios" \
  "${machine[@]}" -kernel "$directory/kernel" -initrd "$image" \
  -append "console=ttyS0 quiet panic=-1 mitigations=off" < /dev/null
