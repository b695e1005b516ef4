#!/usr/bin/env bash
# Proves that the static binaries in dist/ need nothing of the system that they run on.
#
# usage: scripts/prove-static.sh [--dist DIR] [TARGET...]
#
# TARGET: x86_64, aarch64, armv7, arm, windows; without one, each that scripts/build-static.sh has put there. Other
# processors run in QEMU, Windows in Wine; what is missing is installed as by scripts/servers.sh.
#
# Of each Linux binary: it is static, stripped, and names no directory of this machine. In a directory tree with nothing
# but itself, /etc/resolv.conf and /etc/hosts it finds the API and the databases by name, over TLS and without, and its
# tables equal the truth (tests/by_name.rs); a panic is caught (tests/panics_caught.rs). Of the one for x86_64 as well: a
# name from a name server, a read-only tree without HOME and log directory, 64 MB of memory, the system calls of Linux 3.2
# alone, memory when idle. Of that for Windows: the same tests, and where log and state are.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."

fail() {
    echo "prove-static.sh: $*" >&2
    exit 1
}
say() { printf '\n== %s\n' "$*"; }
right() { printf '   ok: %s\n' "$*"; }

# shellcheck source=scripts/apt.sh
. scripts/apt.sh

dist=dist
targets=()
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
        exit 0
        ;;
    --dist)
        [ $# -gt 1 ] || fail "--dist needs a directory"
        dist=$2
        shift
        ;;
    x86_64 | aarch64 | armv7 | arm | windows) targets+=("$1") ;;
    *)
        echo "prove-static.sh: '$1' is none of --dist, x86_64, aarch64, armv7, arm, windows (see --help)" >&2
        exit 2
        ;;
    esac
    shift
done

binary() { # TARGET
    if [ "$1" = windows ]; then echo "$dist/dbsync2-windows-x86_64.exe"; else echo "$dist/dbsync2-linux-$1"; fi
}
if [ ${#targets[@]} = 0 ]; then
    for target in x86_64 aarch64 armv7 arm windows; do
        [ ! -e "$(binary "$target")" ] || targets+=("$target")
    done
    [ ${#targets[@]} -gt 0 ] || fail "nothing in $dist (run scripts/build-static.sh)"
fi

missing_tools() {
    command -v readelf >/dev/null || echo binutils
    case " ${targets[*]} " in *' aarch64 '*) command -v qemu-aarch64-static >/dev/null || echo qemu-user-static ;; esac
    case " ${targets[*]} " in *' windows '*) command -v wine >/dev/null || printf '%s\n' wine wine64 ;; esac
}
install_packages missing_tools

[ -x "${HOME-}/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH"
work=${CARGO_TARGET_DIR:-$PWD/target}/static
mkdir -p "$work"
directory=$(mktemp -d "${TMPDIR:-/tmp}/dbsync2-static.XXXXXX")
directory=$(realpath "$directory")
# The servers of a root user run as other users, who have to get through.
chmod 755 "$directory"

started=()
# shellcheck disable=SC2317,SC2329 # it is called, by the trap
clean_up() {
    trap '' INT TERM HUP
    local pid
    for pid in "${started[@]}"; do { kill "$pid" && wait "$pid"; } 2>/dev/null || true; done
    [ ! -d "$directory/wine" ] || WINEPREFIX=$directory/wine wineserver -k -w || true
    rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# QEMU for 32-bit ARM that runs on 64-bit PCs unmaps too much when a program gives memory back (seen in 7.2 and 10.0:
# target_mremap), and the program crashes. The same QEMU as built for 32-bit PCs does not.
fetch_qemu_arm() {
    qemu_arm=$work/qemu-i386/usr/bin/qemu-arm-static
    [ ! -x "$qemu_arm" ] || return 0
    say "Fetching QEMU for 32-bit ARM, in its build for i386"
    local place=$work/qemu-i386/apt options
    rm -rf "$work/qemu-i386"
    mkdir -p "$place/lists/partial" "$place/cache/archives/partial"
    options=(-q -o APT::Architecture=i386 -o APT::Architectures=i386 -o "Dir::State::lists=$place/lists"
        -o "Dir::Cache=$place/cache" -o "APT::Sandbox::User=$(id -un)")
    (
        cd "$place"
        # A list that fails may not be the one with the package.
        { apt-get "${options[@]}" update || true; } >log 2>&1
        apt-get "${options[@]}" download qemu-user-static >>log 2>&1 &&
            dpkg-deb -x qemu-user-static_*.deb ..
    ) || fail "cannot fetch qemu-user-static:i386 (see $place/log)"
    rm -rf "$place"
}

# ---- the file -----------------------------------------------------------------------------------------------

machine() { # TARGET
    case $1 in
    x86_64) echo 'Advanced Micro Devices X86-64' ;;
    aarch64) echo AArch64 ;;
    arm*) echo ARM ;;
    esac
}

prove_file() { # TARGET
    local file
    file=$(binary "$1")
    readelf -hW "$file" >"$directory/header"
    grep -q "Machine: *$(machine "$1")\$" "$directory/header" || fail "$file is for another processor"
    readelf -lW "$file" >"$directory/segments"
    ! grep -q INTERP "$directory/segments" || fail "$file wants a program that loads it"
    ! readelf -dW "$file" | grep NEEDED || fail "$file wants a library"
    ! readelf -SW "$file" | grep -E '\.symtab|\.debug' || fail "$file is not stripped"
    ! grep -aqF -e "$PWD/" -e "${CARGO_HOME:-$HOME/.cargo}/" "$file" || fail "$file names directories of this machine"
    right "$file is static and stripped, $(stat -c %s "$file") bytes"
}

# ---- a tree with nothing in it ------------------------------------------------------------------------------

# Sets $root, the tree with the binary, and $enter, the words that start it there.
make_root() { # TARGET
    root=$directory/$1
    # Tests and binary name the same files: in the tree, its own place leads to its top.
    mkdir -p "$root/etc" "$root$directory" "$root/data"
    ln -s / "$root$root"
    chmod 755 "$root"
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
    printf 'nameserver %s\n' "$name_server" >"$root/etc/resolv.conf"
    install -m 755 "$(binary "$1")" "$root/dbsync2"
    enter=()
    [ "$(id -u)" = 0 ] || enter=(unshare --user --map-root-user)
    enter+=("$(PATH="$PATH:/usr/sbin" command -v chroot)" "$root")
    case $1 in
    aarch64) qemu=$(command -v qemu-aarch64-static) ;;
    arm*) qemu=$qemu_arm ;;
    *) qemu= ;;
    esac
    if [ -n "$qemu" ]; then
        install -m 755 "$qemu" "$root/qemu"
        enter+=(/qemu)
        # A processor that knows nothing newer than ARMv6, and one that knows nothing newer than ARMv7.
        case $1 in
        arm) enter+=(-cpu arm1176) ;;
        armv7) enter+=(-cpu cortex-a7) ;;
        esac
    fi
    enter+=(/dbsync2)
}

# Runs tests with the program that the words start; temporary files are in the directory.
pass_tests() { # DIRECTORY WORDS...
    TMPDIR=$1 DBSYNC_TEST_PROGRAM="${*:2}" scripts/test.sh --test behaviour -- by_name:: panics_caught:: \
        >"$directory/output" 2>&1 || {
        cat "$directory/output" >&2
        fail "${*: -1} does not pass the tests"
    }
    sed -nE 's/^test \w+::(.*) \.\.\. ok$/   ok: \1/p' "$directory/output"
}

prove_by_name() { # TARGET
    "${enter[@]}" --version >"$directory/output" || fail "$(binary "$1") does not start"
    right "$(cat "$directory/output") starts in an empty tree"
    pass_tests "$root" "${enter[@]}"
}

# ---- small and old machines ---------------------------------------------------------------------------------

name_server=127.53.53.53
# Answers every question for an address with 127.0.0.1.
name_server_program='
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
while True:
    asked, client = server.recvfrom(512)
    end = 12
    while asked[end]:
        end += asked[end] + 1
    end += 5
    found = asked[end - 4:end - 2] == b"\0\1"
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if found else b""
    head = asked[:2] + b"\x81\x80\0\1\0" + bytes([found]) + b"\0\0\0\0"
    server.sendto(head + asked[12:end] + answer, client)
'
# Starts a program for which the system calls that came after Linux 3.2 do not exist (x86_64: those from 312).
linux_3_2='
import ctypes, os, struct, sys
rules = [(0x20, 0, 0, 0), (0x35, 0, 1, 312), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rules), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
    sys.exit("prctl: " + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])
'

# The rows of each table in a SQLite file.
rows() { # FILE
    python3 -c '
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
tables = ["contacts", "transactions", "connections", "recordings", "inbound_calls"]
print(*(database.execute(f"SELECT count(*) FROM dfire_{table}").fetchone()[0] for table in tables))' "$1"
}

start_simulator() {
    cargo build --quiet --locked --example simulator
    local give_up=$((SECONDS + 30))
    "${CARGO_TARGET_DIR:-target}/debug/examples/simulator" --contacts 500 >"$directory/simulator" &
    started+=($!)
    until grep -q '^token=' "$directory/simulator"; do
        [ "$SECONDS" -lt "$give_up" ] || fail "the simulator does not start"
        sleep 0.1
    done
    simulator() { sed -n "s/^$1=//p" "$directory/simulator"; }
    api=$(simulator url)
    campaign=$(simulator campaign)
    token=$(simulator token)
}

# Copies the campaign into a SQLite file of the tree; the words before the tree prepare what the program inherits.
copy() { # NAME API-URL WORDS...
    local name=$1 address=$2
    shift 2
    mkdir "$root/data/$name"
    env -i PATH="$PATH" DBSYNC_CT="$token" "$@" "${enter[@]}" --a=db_init "--c=$campaign" "--api-url=$address" \
        "--url=sqlite:/data/$name/copy.db" "--state-dir=/data/$name" >"$directory/$name.output" 2>&1 ||
        { cat "$directory/$name.output" >&2 && fail "$name: db_init ended with an error"; }
    [ -z "${expected-}" ] || [ "$(rows "$root/data/$name/copy.db")" = "$expected" ] ||
        fail "$name: $(rows "$root/data/$name/copy.db") rows in place of $expected"
}

prove_small_and_old() {
    start_simulator
    local elevated=()
    [ "$(id -u)" = 0 ] || elevated=(sudo)
    "${elevated[@]}" python3 -c "$name_server_program" "$name_server" &
    started+=($!)
    expected=
    copy by_name_server "${api/127.0.0.1/api.dialfire.example}"
    expected=$(rows "$root/data/by_name_server/copy.db")
    # Some of the 500 were deleted again.
    [ "${expected%% *}" -gt 450 ] || fail "$expected rows where nearly 500 contacts were to come first"
    right "the API found by a name server; rows: $expected"
    copy memory "$api" sh -c 'ulimit -v 65536 && exec "$@"' sh
    right '64 MB of memory (ulimit -v 65536)'
    # Random numbers came from this file alone.
    mkdir "$root/dev"
    as_root mknod -m 666 "$root/dev/urandom" c 1 9
    copy linux_3_2 "$api" python3 -c "$linux_3_2"
    as_root rm -r "$root/dev"
    right 'only the system calls of Linux 3.2'
    # shellcheck disable=SC2016 # the inner shell's variables
    local read_only='mount --bind "$1" "$1" && mount --bind "$1/data" "$1/data" && mount -o remount,bind,ro "$1" &&
        shift && exec "$@"' alone=(unshare --mount)
    [ "$(id -u)" = 0 ] || alone=(unshare --user --map-root-user --mount)
    copy read_only "$api" "${alone[@]}" sh -c "$read_only" sh "$root"
    grep -q 'cannot write a log file' "$directory/read_only.output" || fail 'a log was written into a read-only tree'
    right 'a read-only tree, without HOME and a log directory'
    code=0
    env -i PATH="$PATH" DBSYNC_CT="$token" "${alone[@]}" sh -c "$read_only" sh "$root" "${enter[@]}" --a=db_init \
        "--c=$campaign" "--api-url=$api" --url=sqlite:/data/none.db >"$directory/output" 2>&1 || code=$?
    if [ "$code" != 1 ] || ! grep -q -e --state-dir "$directory/output"; then
        fail "no state directory: code $code: $(cat "$directory/output")"
    fi
    right 'where no state can be kept it does not start, and says why'

    env -i DBSYNC_CT="$token" "${enter[@]}" --a=db_sync "--c=$campaign" "--api-url=$api" --interval=1s \
        --url=sqlite:/data/memory/copy.db --state-dir=/data/memory --status-file=/data/status >/dev/null 2>&1 &
    local pid=$! give_up=$((SECONDS + 60)) resident
    started+=("$pid")
    until grep -qE '"rounds": ([5-9]|[1-9][0-9])' "$root/data/status" 2>/dev/null; do
        [ "$SECONDS" -lt "$give_up" ] || fail 'db_sync makes no rounds'
        sleep 0.2
    done
    resident=$(sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$pid/status")
    [ "$resident" -le 8192 ] || fail "db_sync holds $resident KiB while nothing happens"
    right "db_sync holds $resident KiB while nothing happens"
    kill "$pid"
    wait "$pid" || fail "db_sync ended with $?"
    python3 - "$root/dbsync2" <<'PYTHON'
import subprocess, sys, time
def once():
    begin = time.perf_counter()
    subprocess.run([sys.argv[1], "--help"], stdout=subprocess.DEVNULL, check=True)
    return 1000 * (time.perf_counter() - begin)
print(f"   --help takes {sorted(once() for _ in range(31))[15]:.1f} ms (median of 31, with the start of a process)")
PYTHON
}

# ---- Windows ------------------------------------------------------------------------------------------------

# Rust's programs get random numbers from a library that Windows has since version 10, and Wine 8 has not.
random_numbers='
__declspec(dllimport) unsigned char SystemFunction036(void *, unsigned);
__declspec(dllexport) int ProcessPrng(void *data, unsigned long long length) { return SystemFunction036(data, length); }
int _DllMainCRTStartup(void *library, unsigned reason, void *reserved) { return 1; }
'
# Wine's own directory, with the library if it has none.
make_wine() {
    local system=$directory/wine/drive_c/windows/system32 python=$work/venv/bin/python
    env -i "PATH=$PATH" "WINEPREFIX=$directory/wine" WINEDEBUG=-all wineboot --init >"$directory/output" 2>&1 ||
        fail "wineboot: $(cat "$directory/output")"
    [ ! -e "$system/bcryptprimitives.dll" ] || return 0
    [ -x "$python" ] || fail "no compiler for Windows (scripts/build-static.sh windows fetches it)"
    echo "$random_numbers" >"$directory/random.c"
    "$python" -m ziglang cc -target x86_64-windows-gnu -shared -nostdlib -o "$system/bcryptprimitives.dll" \
        "$directory/random.c" -ladvapi32
}

prove_windows() {
    [ -n "${api-}" ] || start_simulator
    make_wine
    # Tests name files as Linux does: for Windows such a path begins at the top of the present drive, Wine's Z:.
    local file wine
    file=$(realpath "$(binary windows)")
    wine=(/usr/bin/env "PATH=$PATH" "WINEPREFIX=$directory/wine" WINEDEBUG=-all wine "$file")
    env -i "${wine[@]}" --help >"$directory/output" 2>/dev/null || fail 'the program for Windows does not start'
    grep -q -e '--state-dir' "$directory/output" || fail 'the program for Windows shows no help'
    right "$file: --help; $(stat -c %s "$file") bytes"
    local arguments=("--c=$campaign" "--api-url=$api" '--url=sqlite:C:\copy.db') mode copied own
    for mode in check db_init; do
        env -i DBSYNC_CT="$token" "${wine[@]}" "--a=$mode" "${arguments[@]}" >"$directory/output" 2>&1 ||
            fail "$mode: $(cat "$directory/output")"
    done
    copied=$(rows "$directory/wine/drive_c/copy.db")
    # Some of the 500 were deleted again.
    [ "${copied%% *}" -gt 450 ] || fail "$copied rows where nearly 500 contacts were to come first"
    own=$(find "$directory/wine/drive_c/users" -path '*/AppData/Local/dbsync' | head -n 1)
    ls "$own"/*.json "$own"/logs/*.log >"$directory/output" || fail 'no state and log in %LOCALAPPDATA%\dbsync'
    right "check, db_init into SQLite; rows: $copied; state and log in %LOCALAPPDATA%\\dbsync"
    pass_tests "$directory" "${wine[@]}"
}

for target in "${targets[@]}"; do
    [ -e "$(binary "$target")" ] || fail "$(binary "$target") is missing (run scripts/build-static.sh)"
    say "$target"
    if [ "$target" = windows ]; then
        prove_windows
        continue
    fi
    case $target in arm*) fetch_qemu_arm ;; esac
    prove_file "$target"
    make_root "$target"
    prove_by_name "$target"
    [ "$target" != x86_64 ] || prove_small_and_old
done
say "Proved: ${targets[*]}"
