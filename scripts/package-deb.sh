#!/usr/bin/env bash
# Makes a Debian package of a program that is built already.
#
# usage: scripts/package-deb.sh [--texts-from PROGRAM] [BINARY ARCH OUTDIR]
#
#   BINARY        the static program for ARCH: amd64, arm64 or armhf
#   --texts-from  a dbsync2 of the same version that runs on this machine and prints the manual page, completions and
#                 licenses; needed if BINARY is for another processor
#
# Without BINARY: a package of each program for Linux that build-static.sh has put into dist/, beside it. armhf is made of
# dbsync2-linux-arm (ARMv6), so that it runs on Raspberry Pi OS as well, or of dbsync2-linux-armv7 if there is no other.
#
# Prints the path of each package: OUTDIR/dbsync2_VERSION_ARCH.deb. Made twice it is the same, byte by byte: all times
# are SOURCE_DATE_EPOCH, or that of the last commit. Needs dpkg-deb, nothing else of Debian's tools.
set -euo pipefail

fail() {
    echo "package-deb.sh: $*" >&2
    exit 1
}

texts=
while [[ ${1-} == -* ]]; do
    case $1 in
    --texts-from)
        texts=${2-}
        [ -x "$texts" ] || fail "--texts-from: there is no program '$texts'"
        shift 2
        ;;
    -h | --help)
        sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
        exit 0
        ;;
    *) fail "unknown flag $1 (see --help)" ;;
    esac
done
repository=$(cd "$(dirname "$0")/.." && pwd)

# ---- all that is built -----------------------------------------------------------------------------------------

if [ $# = 0 ]; then
    dist=$repository/dist
    shopt -s nullglob
    programs=("$dist"/dbsync2-linux-* "$repository/target/release/dbsync2")
    for program in "${programs[@]}"; do
        [ -z "$texts" ] || break
        if [ -x "$program" ] && "$program" --version >/dev/null 2>&1; then texts=$program; fi
    done
    [ -n "$texts" ] || fail "no program in dist or target/release runs on this machine (name one by --texts-from)"
    made=
    for pair in amd64:x86_64 arm64:aarch64 armhf:arm armhf:armv7; do
        architecture=${pair%:*} program=$dist/dbsync2-linux-${pair#*:}
        if [ ! -f "$program" ] || [ "$made" = "$architecture" ]; then continue; fi
        "$0" --texts-from "$texts" "$program" "$architecture" "$dist"
        made=$architecture
    done
    [ -n "$made" ] || fail "there is no program for Linux in $dist (run scripts/build-static.sh)"
    exit 0
fi

[ $# = 3 ] || fail "three arguments are expected: BINARY ARCH OUTDIR (see --help)"
binary=$1 architecture=$2 outdir=$3
[ -f "$binary" ] || fail "there is no program $binary"
texts=${texts:-$binary}

# ---- is it what it is said to be? ------------------------------------------------------------------------------

case $architecture in
amd64) machine=62 ;;
arm64) machine=183 ;;
armhf) machine=40 ;;
*) fail "'$architecture' is none of amd64, arm64 and armhf" ;;
esac
# The field of an ELF header that names the processor.
found=$(od -An -j 18 -N 2 -t u2 --endian=little "$binary" | tr -d ' ')
[ "$found" = "$machine" ] || fail "$binary is not for $architecture (its ELF machine is ${found:-missing}, not $machine)"
if grep -qa '/ld-' < <(head -c 4096 "$binary"); then
    echo "package-deb.sh: $binary is not static; the package runs only where its libraries are" >&2
fi

version=$("$texts" --version) || fail "$texts does not run on this machine: name one that does by --texts-from"
version=${version#dbsync2 }
grep -qx "version = \"$version\"" "$repository/Cargo.toml" || fail "$texts is version $version, Cargo.toml says another"

if [ -z "${SOURCE_DATE_EPOCH-}" ]; then
    SOURCE_DATE_EPOCH=$(git -C "$repository" log -1 --format=%ct) ||
        fail "no last commit here: set SOURCE_DATE_EPOCH"
fi
export SOURCE_DATE_EPOCH

# ---- the tree --------------------------------------------------------------------------------------------------

work=$(mktemp -d "${TMPDIR:-/tmp}/dbsync2-package.XXXXXX")
trap 'rm -rf "$work"' EXIT
tree=$work/tree
umask 022

put() { # FILE [MODE]; reads standard input
    mkdir -p "$tree${1%/*}"
    cat >"$tree$1"
    chmod "${2:-644}" "$tree$1"
}

put /usr/bin/dbsync2 755 <"$binary"
"$texts" --man | gzip -9n | put /usr/share/man/man1/dbsync2.1.gz
"$texts" --completions bash | put /usr/share/bash-completion/completions/dbsync2
"$texts" --completions zsh | put /usr/share/zsh/vendor-completions/_dbsync2
"$texts" --completions fish | put /usr/share/fish/vendor_completions.d/dbsync2.fish
gzip -9n <"$repository/README.md" | put /usr/share/doc/dbsync2/README.md.gz
gzip -9n <"$repository/CHANGELOG.md" | put /usr/share/doc/dbsync2/CHANGELOG.md.gz
"$texts" --licenses | put /usr/share/doc/dbsync2/copyright
put /usr/share/doc/dbsync2/examples/dbsync2.cron <"$repository/scripts/service/dbsync2.cron"
put /usr/share/doc/dbsync2/examples/nohup.sh <"$repository/scripts/service/nohup.sh"
put /usr/share/doc/dbsync2/examples/webhook.conf <"$repository/scripts/service/webhook.conf"
put /lib/systemd/system/dbsync2@.service <"$repository/scripts/service/dbsync2@.service"
put /etc/init.d/dbsync2 755 <"$repository/scripts/service/dbsync2.sysv"
put /etc/default/dbsync2 <"$repository/scripts/service/dbsync2.default"

# ---- what dpkg wants to know -----------------------------------------------------------------------------------

size=$(du -k --apparent-size -s "$tree" | cut -f 1)
put /DEBIAN/control <<END
Package: dbsync2
Version: $version
Architecture: $architecture
Maintainer: dbsync2 <dbsync2@localhost>
Installed-Size: $size
Depends: passwd
Section: database
Priority: optional
Description: copies a Dialfire campaign into an SQL database
 dbsync2 copies the contacts of a Dialfire campaign, with their transactions,
 connections and recordings, into PostgreSQL, MySQL/MariaDB, Microsoft SQL
 Server or SQLite, and keeps the copy up to date; or it posts every transaction
 to a web service. It is one program without a runtime beside it.
END
put /DEBIAN/conffiles <<END
/etc/default/dbsync2
/etc/init.d/dbsync2
END
put /DEBIAN/postinst 755 <<'END'
#!/bin/sh
set -e
umask 022
[ "$1" = configure ] || exit 0
id dbsync >/dev/null 2>&1 ||
    useradd --system --user-group --home-dir /var/lib/dbsync2 --no-create-home --shell /usr/sbin/nologin dbsync
for directory in /var/lib/dbsync2 /var/log/dbsync2; do
    [ ! -d "$directory" ] || continue
    mkdir -m 700 "$directory"
    chown dbsync:dbsync "$directory"
done
if [ ! -d /etc/dbsync2 ]; then
    mkdir -m 750 /etc/dbsync2
    chgrp dbsync /etc/dbsync2
fi
# Nothing is started that did not run before: it needs a campaign first.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
    [ -z "$2" ] || systemctl try-restart 'dbsync2@*.service' || true
fi
if [ -n "$2" ] && [ -x /etc/init.d/dbsync2 ]; then
    if command -v invoke-rc.d >/dev/null 2>&1; then
        invoke-rc.d dbsync2 try-restart || true
    else
        /etc/init.d/dbsync2 try-restart || true
    fi
fi
END
put /DEBIAN/prerm 755 <<'END'
#!/bin/sh
set -e
umask 022
[ "$1" = remove ] || exit 0
if [ -d /run/systemd/system ]; then
    systemctl stop 'dbsync2@*.service' || true
    find /etc/systemd/system -name 'dbsync2@?*.service' -type l -delete || true
fi
if [ -x /etc/init.d/dbsync2 ]; then
    if command -v invoke-rc.d >/dev/null 2>&1; then
        invoke-rc.d dbsync2 stop || true
    else
        /etc/init.d/dbsync2 stop || true
    fi
fi
END
# A SQLite database in there is not the package's to throw away, not even at a purge.
put /DEBIAN/postrm 755 <<'END'
#!/bin/sh
set -e
umask 022
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
[ "$1" = purge ] || exit 0
if command -v update-rc.d >/dev/null 2>&1; then
    update-rc.d -f dbsync2 remove >/dev/null || true
fi
rm -rf /var/log/dbsync2 /etc/dbsync2
cd /
for file in /var/lib/dbsync2/* /var/lib/dbsync2/.*.new; do
    case $file in
    *.json | *.json.old | *.jsonl | *.jsonl.old | *.new) rm -f "$file" ;;
    *.ledger | *.lock | *.lost) rm -f "$file" ;;
    esac
done
rmdir /var/lib/dbsync2 2>/dev/null || true
if [ ! -d /var/lib/dbsync2 ] && id dbsync >/dev/null 2>&1; then
    userdel dbsync || true
fi
END
(cd "$tree" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) |
    put /DEBIAN/md5sums

mkdir -p "$outdir"
package=$outdir/dbsync2_${version}_$architecture.deb
# xz is what the dpkg of every Debian since 2011 reads.
dpkg-deb --root-owner-group -Zxz --build "$tree" "$package" >/dev/null
echo "$package"
