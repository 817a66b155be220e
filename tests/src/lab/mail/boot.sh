#!/bin/sh
# The first process of the mail host, in its own network, mount, PID and host name namespaces: $1 is the Debian root
# folder (read only to us), $2 an empty folder to mount on, $3 the log's form. When it is killed, the kernel kills every
# daemon with it.
set -eu
lower=$1 top=$2 log=$3
hostname mail.example.com
# The interfaces in /sys are those of the network namespace that mounts it.
mount -t sysfs sysfs /sys
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs "$top"
mkdir "$top/upper" "$top/work" "$top/root" "$top/gate"
mount -t overlay -o "lowerdir=$lower,upperdir=$top/upper,workdir=$top/work" overlay "$top/root"
mount -t proc proc "$top/root/proc"
in_root() { chroot "$top/root" "$@"; }

in_root mkdir -p /run/dovecot
case $log in
postlog) in_root postconf maillog_file=/var/log/mail.log ;;
traditional)
    sed -i '1i module(load="builtin:omfile" template="RSYSLOG_TraditionalFileFormat")' "$top/root/etc/rsyslog.conf"
    in_root rsyslogd ;;
rfc3339) in_root rsyslogd ;;
esac
in_root dovecot
in_root postfix start
: >"$top/booted"
# Stay, and reap what the daemons leave behind.
while :; do sleep 3600 & wait; done
