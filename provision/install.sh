#!/bin/sh
# Installs patrol-lpr on a running Raspberry Pi OS or Debian (Bookworm: Python 3.11 and tflite-runtime; Trixie: 3.13 and LiteRT).
# Run as root from a checkout, or with --wheels DIR if there is no network.  Run it again to update.
set -eu
# The service's user reads what is installed here, whatever the umask of the shell.
umask 022
usage() { echo "usage: install.sh [--wheels DIR]" >&2; exit 2; }
wheels=""
while [ $# -gt 0 ]; do
  case "$1" in
    --wheels) if [ $# -lt 2 ] || [ -z "$2" ]; then usage; fi; wheels="$2"; shift 2 ;;
    *) usage ;;
  esac
done
if [ -n "$wheels" ]; then
  for wheel in "$wheels"/patrol_lpr-*.whl; do
    [ -e "$wheel" ] || { echo "install.sh: $wheels: no patrol_lpr wheel; run: pip wheel '.[litert]' -w $wheels" >&2; exit 1; }
  done
fi
[ "$(id -u)" -eq 0 ] || { echo "install.sh: run as root: sudo $0" >&2; exit 1; }
here=$(cd "$(dirname "$0")/.." && pwd)
home=/opt/patrol-lpr

if [ -z "$wheels" ]; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends python3-venv
  # The camera and GPIO bindings belong to the operating system's own libraries; elsewhere they do not exist.
  for package in python3-picamera2 python3-lgpio; do
    apt-get install -y -qq --no-install-recommends "$package" || echo "install.sh: $package is not in this archive"
  done
fi

systemd-sysusers "$here/systemd/patrol-lpr.sysusers.conf"
code=$home/code/0 # release 0 is the installer's; updates are installed next to it
# An incomplete environment, or one for another Python version, is created again.
"$code/bin/pip" --version >/dev/null 2>&1 || python3 -m venv --system-site-packages "$code"
if [ -n "$wheels" ]; then
  "$code/bin/pip" install --quiet --no-index --find-links "$wheels" --upgrade 'patrol-lpr[litert]'
else
  "$code/bin/pip" install --quiet --upgrade "${here}[litert]"
fi
"$code/bin/python" -I -m updater.releases adopt

for unit in patrol-lpr.service patrol-lpr-enrol.service patrol-lpr-poweroff.path patrol-lpr-poweroff.service \
  patrol-lpr-renew.service patrol-lpr-renew.timer patrol-lpr-update.path patrol-lpr-update.service \
  patrol-lpr-confirm.path patrol-lpr-confirm.service patrol-lpr-trial.timer patrol-lpr-trial.service \
  patrol-lpr-firewall.service patrol-lpr-console.service; do
  install -D -m 644 "$here/systemd/$unit" "/etc/systemd/system/$unit"
done
install -D -m 644 "$here/systemd/patrol-lpr.sysusers.conf" /usr/lib/sysusers.d/patrol-lpr.conf
install -D -m 644 "$here/systemd/patrol-lpr.tmpfiles.conf" /usr/lib/tmpfiles.d/patrol-lpr.conf
if [ -d /run/systemd/system ]; then systemd-tmpfiles --create /usr/lib/tmpfiles.d/patrol-lpr.conf; fi
install -D -m 644 "$here/systemd/99-patrol-gnss.rules" /etc/udev/rules.d/99-patrol-gnss.rules
install -D -m 644 "$here/systemd/patrol-lpr.nft" /usr/lib/patrol-lpr/patrol-lpr.nft
install -D -m 644 "$here/systemd/journald-patrol-lpr.conf" /etc/systemd/journald.conf.d/patrol-lpr.conf
install -D -m 644 "$here/systemd/watchdog-patrol-lpr.conf" /etc/systemd/system.conf.d/patrol-lpr.conf
install -d -o root -g patrol-lpr -m 750 /etc/patrol-lpr
# On everybody's PATH; another program of that name stays.
if [ -L /usr/local/bin/patrol-lpr ] || [ ! -e /usr/local/bin/patrol-lpr ]; then
  install -d /usr/local/bin
  ln -sfn "$home/bin/patrol-lpr" /usr/local/bin/patrol-lpr
fi
for unit in patrol-lpr.service patrol-lpr-enrol.service patrol-lpr-poweroff.path patrol-lpr-renew.timer \
  patrol-lpr-update.path patrol-lpr-confirm.path; do
  systemctl enable --quiet "$unit"
done
if [ -f /etc/patrol-lpr/config.toml ]; then
  echo "installed; systemctl restart patrol-lpr"
else
  "$home/bin/patrol-lpr" config example > /etc/patrol-lpr/config.toml.example
  echo "installed; next: keys and /etc/patrol-lpr/config.toml (see docs/install.md), then: systemctl start patrol-lpr"
fi
