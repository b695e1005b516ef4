#!/usr/bin/env bash
# Throwaway PostgreSQL and MariaDB servers for tests and benchmarks, standbys and poolers of the former.
#
# Each server keeps everything in one directory and listens on 127.0.0.1 at the port it is given, so it never
# meets a server of the distribution. Its data stay in the directory when it is stopped: starting it again
# goes on with them. Run by root, the servers run as the users of their packages; run by another user, as that user.
#
# The server's user is `dbsync`, all-powerful, with the password `p@ss:w/rd?#%`: every character that has
# a meaning in a URL. The database is `dbsync_test`.
#
# DBSYNC_TEST_FAST=1           don't wait for the disk at commit (quicker; survives `kill`, not a power cut)
# DBSYNC_SERVERS_LARGE=1       memory and log as for large tables, for benchmarks
# DBSYNC_TEST_GALERA=PORT[,…]  start MariaDB as a node of a Galera cluster, which talks with the others at the first of
#                              these ports; the further ones are those of nodes that run (the first node has none)
# DBSYNC_TEST_OPTIONS='…'      start with further options of the server's command line, split at blanks, such as
#                              '--log-bin --max-binlog-cache-size=64K' (MariaDB) or '-c temp_file_limit=64kB' (PostgreSQL)
# DBSYNC_TEST_CERTIFICATE=name start with DIR/name.pem and DIR/name.key instead of DIR/server.pem and .key
set -euo pipefail
umask 022

readonly user=dbsync
readonly password='p@ss:w/rd?#%'
readonly database=dbsync_test
# Seconds that a server may take to start or stop.
readonly patience=60

usage() {
    cat <<'END'
usage: servers.sh install
       servers.sh certificates DIR
       servers.sh start  postgres|mariadb DIR PORT
       servers.sh start  standby|pgbouncer DIR PORT SERVER-PORT
       servers.sh stop   SERVER DIR [fast|kill]
       servers.sh halt   SERVER DIR
       servers.sh resume SERVER DIR
       servers.sh status SERVER DIR
       servers.sh url    SERVER DIR PORT
       servers.sh promote standby DIR
       servers.sh free-port
       servers.sh faketime

SERVER is postgres, mariadb, standby (a PostgreSQL that follows another one) or pgbouncer (in transaction mode, before a
PostgreSQL server).

install       installs what is missing of PostgreSQL, PgBouncer, MariaDB, Galera, FreeTDS, OpenSSL, PHP, Node, Python,
              libfaketime and a C compiler (Debian, Ubuntu)
certificates  makes ca.pem, server.pem (localhost, 127.0.0.1, ::1), wrong-host.pem (same authority, another
              host), their .key files and other-ca.pem (an authority that signed nothing) in DIR
start         starts a server that keeps its data in DIR/SERVER; returns when it answers. A standby copies the PostgreSQL
              server at SERVER-PORT first, a pgbouncer connects its clients with it. DBSYNC_TEST_OPTIONS in the
              environment holds further options of the server's command line, split at blanks
stop          fast: orderly (default); kill: at once, by SIGKILL
halt          lets it stand still, with its connections open and silent, until resume or stop kill
resume        lets it go on
status        prints whether it runs; exit code 0 if so, otherwise 3
url           prints the address of its test database
promote       makes a standby a server of its own, which can be written to
free-port     prints a port of 127.0.0.1 that nobody uses
faketime      prints the path of libfaketime, which a program is started with to have a clock of its own
END
}

fail() {
    printf 'servers.sh: %s\n' "$*" >&2
    exit 1
}

# shellcheck source=scripts/apt.sh
. "$(dirname "${BASH_SOURCE[0]}")/apt.sh"

# ---- install -------------------------------------------------------------------------------------------------

postgres_tools() {
    # Debian keeps them out of PATH, one directory per version.
    local newest
    newest=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
    [ -n "$newest" ] || newest=$(command -v initdb) || return 1
    dirname "$newest"
}

missing_packages() {
    postgres_tools >/dev/null || echo postgresql
    find_program pgbouncer >/dev/null || echo pgbouncer
    { find_program tsql && find_program freebcp; } >/dev/null || echo freetds-bin
    { find_program mariadbd && find_program mariadb-install-db && find_program mariadb; } >/dev/null ||
        echo mariadb-server
    [ -n "$(galera)" ] || echo galera-4
    # By which a node of Galera copies the data of another one.
    command -v rsync >/dev/null || echo rsync
    command -v openssl >/dev/null || echo openssl
    # The snippets of the README are run, and clients and libraries that are not ours.
    command -v php >/dev/null || echo php-cli
    command -v node >/dev/null || echo nodejs
    { command -v python3 && python3 -c 'import venv, ensurepip'; } >/dev/null 2>&1 || printf '%s\n' python3 python3-venv
    command -v cc >/dev/null || printf '%s\n' gcc libc6-dev
    # Gives single programs a clock that is wrong.
    faketime >/dev/null || echo libfaketime
    command -v prlimit >/dev/null || echo util-linux
}

galera() { find /usr/lib* -name libgalera_smm.so 2>/dev/null | head -n 1; }

faketime() {
    local library
    library=$(find /usr/lib /usr/local/lib -name libfaketime.so.1 2>/dev/null | head -n 1)
    [ -n "$library" ] && echo "$library"
}

install() { install_packages missing_packages; }

# ---- certificates --------------------------------------------------------------------------------------------

authority() { # FILE NAME
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -days 3650 \
        -subj "/CN=$2" -addext 'keyUsage=critical,keyCertSign,cRLSign' -keyout "$1.key" -out "$1.pem"
}

certificate() { # FILE SUBJECT-ALTERNATIVE-NAMES
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=dbsync2 test server" \
        -keyout "$1.key" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -set_serial "0x$(openssl rand -hex 8)" -sha256 \
        -days 3650 -out "$1.pem" -extfile <(
            printf '%s\n' "subjectAltName=$2" basicConstraints=critical,CA:FALSE \
                keyUsage=critical,digitalSignature extendedKeyUsage=serverAuth
        )
}

certificates() { # DIR
    mkdir -p "$1"
    cd "$1"
    [ ! -e wrong-host.key ] || return 0
    # Made aside and moved when complete, the file looked for above last: an interrupted run is repeated.
    local new=.certificates.$$ log
    mkdir "$new"
    cd "$new"
    if ! log=$({
        authority ca 'dbsync2 test authority' &&
            authority other-ca 'dbsync2 other test authority' &&
            certificate server DNS:localhost,IP:127.0.0.1,IP:::1 &&
            certificate wrong-host DNS:elsewhere.example
    } 2>&1); then
        fail "cannot make certificates in $1: $log"
    fi
    mv ca.pem other-ca.pem server.pem server.key wrong-host.pem ..
    mv wrong-host.key ..
    cd ..
    rm -r "$new"
}

# ---- servers -------------------------------------------------------------------------------------------------

# Sets the variables that the functions below share: what, home, data, log, pid_file, socket.
choose() { # SERVER DIR
    case ${1-} in
    postgres | mariadb | standby | pgbouncer) what=$1 ;;
    *) fail "unknown server '${1-}' (it is postgres, mariadb, standby or pgbouncer)" ;;
    esac
    [ -n "${2-}" ] || fail "the directory is missing (see servers.sh --help)"
    directory=$(realpath -m "$2")
    home=$directory/$what
    data=$home/data
    # It has no data, and is known by its settings.
    [ "$what" != pgbouncer ] || data=$home/pgbouncer.ini
    log=$home/log
    pid_file=$home/pid
}

check_port() {
    [[ ${1-} =~ ^[0-9]{1,5}$ ]] || fail "'${1-}' is no port"
}

account() {
    if [ "$what" = mariadb ]; then echo mysql; else echo postgres; fi
}

# Goes on as a command of the server's user; to be called in a subshell.
as_account() {
    cd "$home"
    set -- env HOME="$home" TMPDIR="$home" "$@"
    if [ "$(id -u)" = 0 ]; then
        set -- setpriv --reuid="$(account)" --regid="$(account)" --init-groups "$@"
    fi
    exec "$@"
}

# Whether the process in the pid file is this server: pids are given again, and a zombie has no command line.
running() {
    pid=$(cat "$pid_file" 2>/dev/null) && [ -n "$pid" ] &&
        tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF -e "$data" -e "--datadir=$data"
}

show_log() {
    printf -- '---- last lines of %s\n' "$log" >&2
    tail -n 40 "$log" >&2 || true
}

prepare_home() {
    mkdir -p "$home"
    local name=${DBSYNC_TEST_CERTIFICATE:-server}
    [ -r "$directory/$name.key" ] || fail "there is no $directory/$name.key"
    cp "$directory/$name.pem" "$home/tls.pem"
    cp "$directory/$name.key" "$home/tls.key"
    chmod 600 "$home/tls.key"
    : >>"$log"
    if [ "$(id -u)" = 0 ]; then
        chmod go+x "$directory"
        chown -R "$(account):" "$home"
        (as_account test -w "$home") ||
            fail "user $(account) cannot reach $home (make the directories above it passable: chmod go+x)"
    fi
}

initialise_postgres() {
    local new=$home/new
    rm -rf "$new"
    printf '%s\n' "$password" >"$home/password"
    # --single runs one statement without a server, so an interrupted start never leaves a half-made one.
    (as_account "$tools/initdb" -D "$new" -U "$user" --pwfile="$home/password" -A scram-sha-256 \
        --encoding=UTF8 --locale=C.UTF-8 --no-sync) &&
        printf 'CREATE DATABASE %s\n' "$database" | (as_account "$tools/postgres" --single -D "$new" postgres) &&
        mv "$new" "$data"
}

# With all that it needs to follow the server that is copied.
initialise_standby() { # PORT SERVER-PORT
    local new=$home/new
    rm -rf "$new"
    (as_account env "PGPASSWORD=$password" "$tools/pg_basebackup" -D "$new" -R -X stream -c fast --no-sync \
        -d "host=127.0.0.1 port=$2 user=$user password='$password'") &&
        mv "$new" "$data"
}

initialise_pgbouncer() { # PORT SERVER-PORT
    printf '"%s" "%s"\n' "$user" "$password" >"$home/users"
    cat >"$data" <<END
[databases]
* = host=127.0.0.1 port=$2
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $1
unix_socket_dir = .
auth_type = scram-sha-256
auth_file = $home/users
admin_users = $user
pool_mode = transaction
default_pool_size = 3
END
}

initialise_mariadb() {
    local new=$home/new
    rm -rf "$new"
    mariadb_accounts >"$home/accounts.sql"
    (as_account "$(find_program mariadb-install-db)" --no-defaults --datadir="$new" --skip-test-db \
        --auth-root-authentication-method=socket --auth-root-socket-user="$(id -un)" --skip-name-resolve \
        --extra-file="$home/accounts.sql") &&
        mv "$new" "$data"
}

mariadb_accounts() {
    printf "DELETE FROM mysql.global_priv WHERE User = '';\nFLUSH PRIVILEGES;\n"
    local host
    for host in localhost 127.0.0.1; do
        printf "CREATE USER IF NOT EXISTS '%s'@'%s' IDENTIFIED BY '%s';\n" "$user" "$host" "$password"
        printf "GRANT ALL ON *.* TO '%s'@'%s' WITH GRANT OPTION;\n" "$user" "$host"
    done
    printf 'CREATE DATABASE IF NOT EXISTS %s CHARACTER SET utf8mb4;\n' "$database"
}

# The paths of sockets are relative to the data directory: a whole path has a limit of 107 bytes.
postgres_command() { # PORT
    command=("$tools/postgres" -D "$data" -p "$1" -c listen_addresses=127.0.0.1
        -c unix_socket_directories=.. -c max_connections=300
        -c ssl=on -c "ssl_cert_file=$home/tls.pem" -c "ssl_key_file=$home/tls.key")
    [ "${DBSYNC_TEST_FAST-}" != 1 ] || command+=(-c fsync=off -c full_page_writes=off)
    [ "${DBSYNC_SERVERS_LARGE-}" != 1 ] || command+=(-c shared_buffers=1GB -c max_wal_size=4GB)
}

standby_command() { # PORT
    postgres_command "$1"
}

pgbouncer_command() { # PORT
    command=("$(find_program pgbouncer)" "$data")
}

mariadb_command() { # PORT
    command=("$(find_program mariadbd)" --no-defaults "--datadir=$data" "--port=$1" --bind-address=127.0.0.1
        --socket=../socket "--pid-file=$home/mariadbd.pid" "--tmpdir=$home" --skip-name-resolve
        --character-set-server=utf8mb4 --max-connections=300
        "--ssl-cert=$home/tls.pem" "--ssl-key=$home/tls.key")
    [ "${DBSYNC_TEST_FAST-}" != 1 ] ||
        command+=(--innodb-flush-log-at-trx-commit=2 --innodb-flush-method=nosync --innodb-doublewrite=OFF)
    [ "${DBSYNC_SERVERS_LARGE-}" != 1 ] || command+=(--innodb-buffer-pool-size=1G --innodb-log-file-size=1G)
    [ -z "${DBSYNC_TEST_GALERA-}" ] || galera_command
}

# A node that joins copies the data of another one. They notice within seconds when one is gone.
galera_command() {
    local -a ports
    local port peers='' library
    IFS=, read -ra ports <<<"$DBSYNC_TEST_GALERA"
    for port in "${ports[@]:1}"; do peers+=",127.0.0.1:$port"; done
    library=$(galera)
    [ -n "$library" ] || fail "Galera is missing (run servers.sh install)"
    command+=(--wsrep-on=ON "--wsrep-provider=$library" --wsrep-cluster-name=dbsync_test
        "--wsrep-cluster-address=gcomm://${peers#,}" "--wsrep-node-name=node_${ports[0]}"
        "--wsrep-node-address=127.0.0.1:${ports[0]}" --wsrep-sst-method=rsync
        "--wsrep-sst-receive-address=127.0.0.1:$(free_port)" --binlog-format=ROW --innodb-autoinc-lock-mode=2
        "--wsrep-provider-options=$(printf '%s;' gcache.size=32M base_host=127.0.0.1 "base_port=${ports[0]}" \
            "gmcast.listen_addr=tcp://127.0.0.1:${ports[0]}" "ist.recv_addr=127.0.0.1:$(free_port)" pc.recovery=false \
            evs.suspect_timeout=PT3S evs.inactive_timeout=PT6S)"
        --innodb-log-file-size=8M)
    [ -n "$peers" ] || command+=(--wsrep-new-cluster)
}

postgres_answers() { # PORT
    PGPASSWORD=$password PGCONNECT_TIMEOUT=5 "$tools/psql" -X -q -h 127.0.0.1 -p "$1" -U "$user" -d "$database" \
        -c 'SELECT 1'
}

standby_answers() { # PORT
    postgres_answers "$1"
}

pgbouncer_answers() { # PORT
    postgres_answers "$1"
}

mariadb_answers() { # PORT
    MYSQL_PWD=$password mariadb --no-defaults --skip-ssl --connect-timeout=5 -h 127.0.0.1 -P "$1" -u "$user" \
        "$database" -e 'SELECT COUNT(*) FROM mysql.global_priv'
}

start() { # SERVER DIR PORT [SERVER-PORT]
    choose "${1-}" "${2-}"
    local port=${3-} server_port=${4-} tools='' give_up
    local -a command options
    check_port "$port"
    case $what in
    standby | pgbouncer) check_port "$server_port" ;;
    esac
    ! running || fail "$what in $home runs already, as process $pid"
    if [ "$what" = mariadb ]; then
        find_program mariadbd >/dev/null || fail "MariaDB is missing (run servers.sh install)"
    else
        tools=$(postgres_tools) || fail "PostgreSQL is missing (run servers.sh install)"
    fi
    [ "$what" != pgbouncer ] || find_program pgbouncer >/dev/null || fail "PgBouncer is missing (run servers.sh install)"
    (certificates "$directory")
    prepare_home
    if [ ! -e "$data" ] && ! "initialise_$what" "$port" "$server_port" >>"$log" 2>&1 </dev/null; then
        show_log
        fail "cannot initialise $what in $home"
    fi
    "${what}_command" "$port"
    read -ra options <<<"${DBSYNC_TEST_OPTIONS-}"
    command+=("${options[@]}")
    # A session of its own, so that Ctrl-C in the terminal does not reach it before its clients.
    (as_account setsid "${command[@]}") </dev/null >>"$log" 2>&1 &
    pid=$!
    echo "$pid" >"$pid_file"
    give_up=$((SECONDS + patience))
    until "${what}_answers" "$port" >/dev/null 2>&1; do
        if ! kill -0 "$pid" 2>/dev/null; then
            show_log
            fail "$what in $home ended instead of starting"
        fi
        if [ "$SECONDS" -ge "$give_up" ]; then
            show_log
            kill -KILL "$pid"
            fail "$what in $home does not answer at port $port after $patience s"
        fi
        sleep 0.1
    done
    # Somebody else's server might have answered.
    running || {
        show_log
        fail "$what in $home does not run, though port $port answers"
    }
}

children() { # PID
    grep -l "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status 2>/dev/null | cut -d / -f 3 || true
}

# Whether a process has let go of its files and ports; as a zombie it may well stay until its parent looks.
ended() { # PID
    local status
    status=$(cat "/proc/$1/status" 2>/dev/null) || return 0
    grep -q '^State:[[:space:]]*Z' <<<"$status" && grep -q '^Threads:[[:space:]]*1$' <<<"$status"
}

stop() { # SERVER DIR [fast|kill]
    choose "${1-}" "${2-}"
    local how=${3:-fast} give_up
    local -a victims
    running || return 0
    case $how in
    # To PostgreSQL SIGTERM means: wait until the last client has gone; to PgBouncer SIGINT does.
    fast) case $what in postgres | standby) kill -INT "$pid" ;; *) kill -TERM "$pid" ;; esac ;;
    kill)
        # Halted first, so that it starts no more children while they are counted.
        kill -STOP "$pid"
        mapfile -t victims < <(children "$pid")
        kill -KILL "$pid" "${victims[@]}" 2>/dev/null || true
        ;;
    *) fail "unknown way to stop '$how' (it is fast or kill)" ;;
    esac
    give_up=$((SECONDS + patience))
    for pid in "$pid" "${victims[@]}"; do
        until ended "$pid"; do
            [ "$SECONDS" -lt "$give_up" ] || {
                show_log
                fail "$what in $home, process $pid, does not end within $patience s"
            }
            sleep 0.05
        done
    done
    # These name a process that may stay a zombie for long; PostgreSQL would take it for alive.
    rm -f "$data/postmaster.pid" "$home"/.s.PGSQL.*
    rm "$pid_file"
}

halt() { # SERVER DIR
    signal_all "${1-}" "${2-}" STOP
}

resume() { # SERVER DIR
    signal_all "${1-}" "${2-}" CONT
}

signal_all() { # SERVER DIR SIGNAL
    local -a processes
    choose "$1" "$2"
    running || fail "$what in $home does not run"
    # The first one first: it starts no more children then. Some of them may end meanwhile.
    kill "-$3" "$pid"
    mapfile -t processes < <(children "$pid")
    kill "-$3" "${processes[@]}" 2>/dev/null || true
}

promote() { # standby DIR
    local tools
    choose "${1-}" "${2-}"
    running || fail "$what in $home does not run"
    tools=$(postgres_tools)
    (as_account "$tools/pg_ctl" promote -w -t "$patience" -D "$data") >>"$log" 2>&1 </dev/null || {
        show_log
        fail "cannot promote $what in $home"
    }
}

status() { # SERVER DIR
    choose "${1-}" "${2-}"
    if running; then
        echo "$what in $home runs as process $pid"
    else
        echo "$what in $home is stopped"
        return 3
    fi
}

url() { # SERVER DIR PORT
    choose "${1-}" "${2-}"
    check_port "${3-}"
    local scheme=postgres
    [ "$what" != mariadb ] || scheme=mysql
    # The password above, percent-encoded.
    echo "$scheme://$user:p%40ss%3Aw%2Frd%3F%23%25@127.0.0.1:$3/$database"
}

free_port() {
    # Below 32768, where Linux takes ports for outgoing connections: there a client could get the port of
    # a stopped server, or be connected with itself.
    local port
    while true; do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        if ! grep -qih "^ *[0-9]*: [0-9A-F]*:$(printf '%04X' "$port") " /proc/net/tcp /proc/net/tcp6 2>/dev/null; then
            echo "$port"
            return
        fi
    done
}

case ${1-} in
install | certificates | start | stop | halt | resume | promote | status | url) "$@" ;;
free-port) free_port ;;
faketime) faketime ;;
-h | --help) usage ;;
*)
    usage >&2
    exit 2
    ;;
esac
