#!/bin/busybox sh
# What this guest sees of itself, on one line.
uptime=$(cut -d ' ' -f 1 /proc/uptime)
memory=$(awk '/^MemTotal/ { print $2 }' /proc/meminfo)
disks=$(for disk in /sys/block/*; do
    name=${disk##*/}
    case $name in loop* | ram* | zram* | dm-* | sr*) continue ;; esac
    echo "$name:$(($(cat "$disk/size") * 512))"
done | paste -s -d , -)
links=$(for link in /sys/class/net/*; do
    name=${link##*/}
    [ "$name" = lo ] || echo "$name:$(cat "$link/address")"
done | paste -s -d , -)
echo "uptime=$uptime version=$(cat /etc/gpve-guest) cpus=$(nproc) memory_kib=$memory disks=${disks:--} links=${links:--} boot=$(cat /proc/sys/kernel/random/boot_id)"
