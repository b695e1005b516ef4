# shellcheck shell=bash
# Sourced by demo.sh: posts what happens in a campaign to a receiver, which is down for half a day of it.
# shellcheck disable=SC2034,SC2154 # demo.sh sets and reads these

start_simulator 200 --daily-share 1 --events-by modified

# A receiver that prints a line for each request; PORT is that of the one before, or 0.
start_receiver() { # PORT
    : >"$work/receiver"
    "$target/examples/receiver" listen --port "$1" --show >>"$work/receiver" &
    receiver=$!
    wait_for receiver $receiver url
}
# Shows some of what the receiver has printed since the last time; fails if it is nothing.
arrived() { # PATTERN
    local lines
    tail -n "+$((seen + 1))" "$work/receiver" | grep "^  received  $1" >"$work/arrived" || fail "nothing has arrived"
    seen=$(wc -l <"$work/receiver")
    lines=$(wc -l <"$work/arrived")
    head -n 6 "$work/arrived" | show
    [ "$lines" -le 6 ] || echo "   … and $((lines - 6)) more"
}
# Lines of the log that hold a text, without their time.
logged() { grep -h "$1" "$work"/log/*_webhook_*.log | sed 's/^[^[]*//'; }
# Waits for a line of the log.
wait_logged() {
    for _ in $(seq 300); do
        logged "$1" >/dev/null && return
        kill -0 "$program" 2>/dev/null || { show <"$work/output" && fail "webhook has ended by itself"; }
        sleep 0.1
    done
    fail "the log does not say '$1' within 30 s"
}
# Lets time pass, and waits until all of it has been read and posted.
pass() { # SECONDS
    advance "$1"
    wait_rounds webhook $(($(status rounds) + 3))
}

step "1. Post what happens from now on to a receiver that prints a line for each request"
start_receiver 0
seen=1
address=$(value receiver url)
port=${address##*:}
echo "whsec_$(head -c 24 /dev/urandom | base64)" >"$work/key"
echo "   \$ dbsync2 --a webhook --c $campaign --token-file token --url $address --webhook-secret-file key &"
"${run[@]}" --a webhook --url "$address" --webhook-secret-file "$work/key" --interval 500ms --retry-wait 500ms \
    >"$work/output" 2>&1 &
program=$!
wait_rounds webhook 1

step "2. Two hours pass in the campaign: new transactions arrive"
pass 7200
arrived new

step "3. The receiver goes down, and half a day passes"
kill "$receiver"
wait "$receiver" 2>/dev/null || true
receiver=
advance 43200
wait_logged 'takes nothing'
logged 'takes nothing' | show

step "4. It comes back: everything arrives, each contact's in their order; nothing was given up"
start_receiver "${port%/}"
seen=1
wait_logged 'takes requests again'
pass 0
arrived new
logged 'takes requests again' | show
[ "$(status undelivered)" = 0 ] || fail "something was given up"

step "5. Another day passes: what is added to earlier transactions arrives as updates"
pass 86400
arrived updated

step "6. Told to stop, it ends"
stop_program webhook
echo "   $(status delivered) requests were answered with success, $(status failed_attempts) failed"

step "That was all. What next?"
echo "   What is posted, and how to check signatures: README.md, \"Posting to a web service\""
