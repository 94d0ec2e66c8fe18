#!/usr/bin/env bash
# set-up.sh DIRECTORY: puts an emulator and a kernel there, from the packages of Debian.
#
# Both are unpacked and not installed: to install the emulator would remove other versions of its
# tools. Only the libraries that it is linked with, and the tools that make images, are installed;
# --no-remove stops before any package would have to go for them.
set -euo pipefail
directory=$(realpath --canonicalize-missing "$1")

mkdir -p "$directory"
# Several tests may come at once.
exec 9> "$directory/lock"
flock 9
if [[ -e $directory/is-complete-with-dmsetup ]]; then
  exit 0
fi

export DEBIAN_FRONTEND=noninteractive
apt=(apt-get --quiet --quiet -o DPkg::Lock::Timeout=120 -o APT::Sandbox::User=root)
libraries=(
  libaio1 libbpf1 libcapstone4 libfdt1 libfuse3-3 libglib2.0-0 libgnutls30 libibverbs1
  libjpeg62-turbo libnuma1 libpixman-1-0 libpmem1 libpng16-16 librdmacm1 libsasl2-2 libslirp0
  liburing2 libvdeplug2
)
tools=(binutils busybox-static cpio dmsetup e2fsprogs gzip)

"${apt[@]}" update
"${apt[@]}" install --yes --no-remove --no-install-recommends "${libraries[@]}" "${tools[@]}" >&2

# The package of this name only depends on the one with the present version.
kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: *//p' | head -n 1)
mkdir -p "$directory/packages" "$directory/root"
cd "$directory/packages"
"${apt[@]}" download qemu-system-x86 qemu-system-common qemu-system-data seabios ipxe-qemu "$kernel"
for package in ./*.deb; do
  dpkg-deb --extract "$package" "$directory/root"
done
cp "$directory"/root/boot/vmlinuz-* "$directory/kernel"
"$directory/root/usr/bin/qemu-system-x86_64" --version >&2
touch "$directory/is-complete-with-dmsetup"
