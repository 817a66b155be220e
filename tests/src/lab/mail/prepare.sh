#!/bin/sh
# Runs once, inside the new root folder, after its packages are installed.
set -eu
umask 022
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
    -subj /CN=mail.example.com -addext subjectAltName=DNS:mail.example.com \
    -keyout /etc/postfix/key.pem -out /etc/postfix/cert.pem
# No name server: nobody is to wait for one.
echo '127.0.0.1 localhost mail.example.com' >/etc/hosts
sed -i 's/^hosts:.*/hosts: files/' /etc/nsswitch.conf
rm -f /etc/resolv.conf
chmod 1777 /var/mail
chmod 600 /etc/postfix/key.pem
chmod 640 /etc/dovecot/users
chown root:dovecot /etc/dovecot/users
rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/* /var/log/* /etc/rsyslog.d/*
postfix check
doveconf >/dev/null
