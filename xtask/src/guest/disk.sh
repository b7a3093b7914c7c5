#!/bin/busybox sh
# gpve-put NAME TEXT: write a file to the first disk and make it durable. gpve-get NAME: print it, or "gpve-get: none".
# gpve-put formats a disk that has no file system.
fail() {
    echo "${0##*/}: $1"
    exit 1
}
disk=
for candidate in /dev/vda /dev/sda /dev/nvme0n1; do
    [ -b "$candidate" ] && disk=$candidate && break
done
[ -n "$disk" ] || fail "no disk"
# Mounted anew for each command, so that a disk that was rolled back under the guest is read as it is.
mount_disk() {
    mkdir -p /disk
    echo 3 >/proc/sys/vm/drop_caches
    mount -t vfat -o sync "$disk" /disk 2>/dev/null || mount -t ext4 "$disk" /disk 2>/dev/null
}
case ${0##*/} in
gpve-put)
    if ! mount_disk; then
        mke2fs "$disk" >/dev/null 2>&1 && mount_disk || fail "cannot format $disk"
    fi
    printf '%s\n' "$2" >"/disk/$1" && sync || fail "cannot write"
    umount /disk
    echo "gpve-put: $1 written to $disk"
    ;;
gpve-get)
    mount_disk || fail "none"
    text=$(cat "/disk/$1" 2>/dev/null) || text=
    umount /disk
    [ -n "$text" ] || fail "none"
    echo "gpve-get: $text"
    ;;
esac
