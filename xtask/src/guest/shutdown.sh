#!/bin/busybox sh
# What the guest agent and people call to end the guest: make the disks durable, then leave at once; there is no service to stop.
sync
umount /disk 2>/dev/null
action=${0##*/}
for option in "$@"; do
    case $option in
    -r) action=reboot ;;
    -H) action=halt ;;
    -P | -h) action=poweroff ;;
    esac
done
case $action in
reboot) exec busybox reboot -f ;;
halt) exec busybox halt -f ;;
*) exec busybox poweroff -f ;;
esac
