#!/bin/busybox sh
# First program of the demo and test guest. It says "gpve-guest up ..." on the serial console once the guest is ready, and then gives
# a shell there. Commands for tests: gpve-info, gpve-put NAME TEXT, gpve-get NAME.
export PATH=/bin:/sbin HOME=/root TERM=linux
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /run /tmp
mount -t devpts pts /dev/pts
hostname gpve-guest
modprobe -a @MODULES@ 2>/dev/null

ip link set lo up
# Answered on user networking and by a DHCP server; silently given up elsewhere.
[ -d /sys/class/net/eth0 ] && ip link set eth0 up && udhcpc -q -n -b -S -i eth0 -s /sbin/gpve-dhcp >/dev/null 2>&1 &

# The ACPI power button. An event has 24 bytes: from byte 16 on type 1 (key), code 116 (power), value 1 (down).
power_button() {
    while event=$(dd if="$1" bs=24 count=1 2>/dev/null | xxd -p | tr -d '\n') && [ -n "$event" ]; do
        case $event in *0100740001000000) /sbin/poweroff ;; esac
    done
}
for input in /sys/class/input/event*; do
    [ "$(cat "$input/device/name" 2>/dev/null)" = "Power Button" ] && power_button "/dev/input/${input##*/}" &
done

for port in /sys/class/virtio-ports/*; do
    if [ "$(cat "$port/name" 2>/dev/null)" = org.qemu.guest_agent.0 ]; then
        # The agent ends when its peer on the host does; it must be there for the next one.
        while :; do qemu-ga -m virtio-serial -p "/dev/${port##*/}" -t /run >/dev/null 2>&1; sleep 1; done &
    fi
done

# A screen, where there is one.
if [ -c /dev/tty1 ]; then
    while :; do setsid -c sh -l </dev/tty1 >/dev/tty1 2>&1; done &
fi

# What busybox's poweroff, reboot and halt ask of the first process.
trap 'exec /sbin/poweroff' USR2
trap 'exec /sbin/reboot' TERM
trap 'exec /sbin/halt' USR1

console=/dev/ttyS0
[ -c "$console" ] || console=/dev/console
echo "gpve-guest up $(gpve-info)" >"$console"
while :; do
    # In the background, because a trap waits for a foreground program to end.
    setsid -c sh -l <"$console" >"$console" 2>&1 &
    wait $!
done
