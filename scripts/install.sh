#!/bin/sh
# Puts dbsync2 in place: the program, its manual page, completions for bash, zsh and fish, and a service.
#
# usage: scripts/install.sh [--service sysv|systemd|openrc|none] [--prefix DIR] [--destdir DIR] [BINARY]
#        scripts/install.sh --uninstall [--prefix DIR] [--destdir DIR]
#
#   BINARY       the program, which must run on this machine; without it the one for this machine in dist, else
#                target/release/dbsync2
#   --service    which kind of service; without it, the one that this machine has
#   --prefix     /usr/local, if not given
#   --destdir    put everything below this directory, and make no user: to pack it, or to look at it
#   --uninstall  stop the service and take all away again, except settings, credentials, checkpoints and logs
#
# Asks nothing, starts nothing, prints what it did. A second run is an update; /etc/default/dbsync2 stays as it is.
# Needs a POSIX shell and the usual small tools; busybox has them all.
set -eu
# Whoever calls it may have another one, by which everybody could write to what is made here.
umask 022

here=$(cd "$(dirname "$0")" && pwd)
service='' prefix=/usr/local root='' uninstall=no binary=''

fail() {
    echo "install.sh: $*" >&2
    exit 1
}
usage() { # EXIT-CODE
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0"
    exit "$1"
}

while [ $# -gt 0 ]; do
    case $1 in
    --service | --prefix | --destdir)
        [ $# -ge 2 ] || fail "$1 needs a value (see --help)"
        case $1 in
        --service) service=$2 ;;
        --prefix) prefix=$2 ;;
        --destdir) root=$2 ;;
        esac
        shift
        ;;
    --uninstall) uninstall=yes ;;
    -h | --help) usage 0 ;;
    -*) usage 2 >&2 ;;
    *)
        [ -z "$binary" ] || fail "more than one program: $binary and $1"
        binary=$1
        ;;
    esac
    shift
done
case $prefix in
/*) prefix=${prefix%/} ;;
*) fail "--prefix $prefix: a path that begins with / is expected" ;;
esac
root=${root%/}

# ---- where everything belongs ----------------------------------------------------------------------------------

program=$prefix/bin/dbsync2
manual=$prefix/share/man/man1/dbsync2.1
bash_completion=$prefix/share/bash-completion/completions/dbsync2
zsh_completion=$prefix/share/zsh/site-functions/_dbsync2
fish_completion=$prefix/share/fish/vendor_completions.d/dbsync2.fish
unit=/etc/systemd/system/dbsync2@.service
script=/etc/init.d/dbsync2
settings=/etc/default/dbsync2
credentials=/etc/dbsync2
directories='/var/lib/dbsync2 /var/log/dbsync2'

detect() {
    if [ -d /run/systemd/system ]; then
        echo systemd
    elif [ -x /sbin/openrc-run ] || [ -x /usr/sbin/openrc-run ]; then
        echo openrc
    elif [ -d /etc/init.d ]; then
        echo sysv
    else
        echo none
    fi
}

# ---- taking away -----------------------------------------------------------------------------------------------

take_away() { # FILE
    [ -e "$root$1" ] || return 0
    rm -f "$root$1"
    echo "removed $root$1"
}

if [ "$uninstall" = yes ]; then
    if [ -z "$root" ]; then
        if [ -e "$unit" ] && [ -d /run/systemd/system ]; then
            systemctl stop 'dbsync2@*.service' || true
            find /etc/systemd/system -name 'dbsync2@?*.service' -type l -exec rm -f {} +
        fi
        if [ -e "$script" ]; then
            "$script" stop || true
            if command -v update-rc.d >/dev/null 2>&1; then update-rc.d -f dbsync2 remove >/dev/null; fi
            if command -v chkconfig >/dev/null 2>&1; then chkconfig --del dbsync2 || true; fi
            if command -v rc-update >/dev/null 2>&1; then rc-update -a delete dbsync2 >/dev/null 2>&1 || true; fi
        fi
    fi
    for file in "$program" "$manual" "$bash_completion" "$zsh_completion" "$fish_completion" "$unit" "$script"; do
        take_away "$file"
    done
    if [ -z "$root" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
    if cmp -s "$here/service/dbsync2.default" "$root$settings"; then take_away "$settings"; fi
    # Only those that hold nothing.
    for directory in $credentials $directories; do
        if rmdir "$root$directory" 2>/dev/null; then echo "removed $root$directory"; fi
    done
    for kept in $settings $credentials $directories; do
        if [ -e "$root$kept" ]; then echo "kept    $root$kept"; fi
    done
    if [ -z "$root" ] && id dbsync >/dev/null 2>&1; then echo "kept    the user dbsync (userdel dbsync)"; fi
    exit 0
fi

# ---- putting in place ------------------------------------------------------------------------------------------

[ -n "$service" ] || service=$(detect)
case $service in
sysv | systemd | openrc | none) ;;
*) fail "--service $service: sysv, systemd, openrc or none is expected" ;;
esac
# What build-static.sh has made for this machine, the best first.
built() {
    case $(uname -m) in
    x86_64) echo x86_64 ;;
    aarch64) echo aarch64 armv7 ;;
    armv7*) echo armv7 arm ;;
    arm*) echo arm ;;
    esac
}
if [ -z "$binary" ]; then
    binary=$here/../target/release/dbsync2
    for machine in $(built); do
        if [ -f "$here/../dist/dbsync2-linux-$machine" ]; then
            binary=$here/../dist/dbsync2-linux-$machine
            break
        fi
    done
fi
[ -f "$binary" ] || fail "there is no program $binary (name it as the last argument)"
case $binary in
*/*) ;;
*) binary=./$binary ;;
esac
chmod +x "$binary" 2>/dev/null || true
version=$("$binary" --version) || fail "$binary does not run on this machine: is it for another processor?"

has_user() { [ -n "$root" ] || [ "$service" = none ] || id dbsync >/dev/null 2>&1; }
has_user || command -v useradd >/dev/null 2>&1 || command -v adduser >/dev/null 2>&1 ||
    fail "cannot make the user dbsync: there is no useradd, no adduser (make it by hand, or use --service none)"

# Reads standard input. Moved into place when complete, so that a program that runs is not written over.
put() { # FILE MODE
    mkdir -p "$root${1%/*}" || fail "cannot make $root${1%/*} (run it as root, or with --prefix or --destdir)"
    rm -f "$root$1.new"
    # -C: only into a file that it makes itself.
    (set -C && cat >"$root$1.new") || fail "cannot write $root$1 (run it as root, or with --prefix or --destdir)"
    chmod "$2" "$root$1.new"
    mv -f "$root$1.new" "$root$1"
    echo "wrote   $root$1"
}
# The service files name the program where the Debian package has it.
put_service() { # SOURCE FILE MODE
    sed "s|/usr/bin/dbsync2|$program|g" "$here/service/$1" | put "$2" "$3"
}
make_user() {
    if has_user; then return 0; fi
    if command -v useradd >/dev/null 2>&1; then
        useradd --system --user-group --home-dir /var/lib/dbsync2 --no-create-home --shell /bin/false dbsync
    else
        # Busybox.
        addgroup -S dbsync
        adduser -S -D -H -h /var/lib/dbsync2 -s /bin/false -G dbsync dbsync
    fi
    echo "made    the user dbsync"
}

put "$program" 755 <"$binary"
"$binary" --man | put "$manual" 644
"$binary" --completions bash | put "$bash_completion" 644
"$binary" --completions zsh | put "$zsh_completion" 644
"$binary" --completions fish | put "$fish_completion" 644

case $service in
systemd) put_service dbsync2@.service "$unit" 644 ;;
sysv) put_service dbsync2.sysv "$script" 755 ;;
openrc) put_service dbsync2.openrc "$script" 755 ;;
esac
case $service in
sysv | openrc)
    if [ -e "$root$settings" ]; then
        echo "kept    $root$settings"
    else
        put "$settings" 644 <"$here/service/dbsync2.default"
    fi
    ;;
esac
if [ "$service" != none ]; then
    make_user
    for directory in $credentials $directories; do
        [ ! -d "$root$directory" ] || continue
        mkdir -p "$root${directory%/*}"
        if [ "$directory" = $credentials ]; then
            mkdir -m 750 "$root$directory"
            [ -n "$root" ] || chgrp dbsync "$directory"
        else
            mkdir -m 700 "$root$directory"
            [ -n "$root" ] || chown dbsync:dbsync "$directory"
        fi
        echo "made    $root$directory"
    done
fi
if [ -z "$root" ] && [ "$service" = systemd ]; then systemctl daemon-reload || true; fi

echo "$version is installed. Next:"
case $service in
systemd)
    cat <<END
  write the token to $credentials/CAMPAIGN.token, the database address to $credentials/CAMPAIGN.url (mode 600)
  systemctl enable --now dbsync2@CAMPAIGN
END
    ;;
sysv | openrc)
    cat <<END
  write the token to $credentials/token, the database address to $credentials/url (root:dbsync, mode 640)
  set DBSYNC_C in $settings
  $script start
END
    if [ "$service" = openrc ]; then
        echo "  rc-update add dbsync2"
    elif command -v update-rc.d >/dev/null 2>&1; then
        echo "  update-rc.d dbsync2 defaults"
    fi
    ;;
none) echo "  dbsync2 --help" ;;
esac
