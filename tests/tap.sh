# tests/tap.sh: what the command line tests in tests/cli share. They begin with ". tests/tap.sh", run
# from the root of the tree, print TAP, and end with tap_end. $lode is the program, $work a folder of
# their own that is removed at the end.
# shellcheck shell=sh disable=SC2034
set -u
lode=${LODE:-$PWD/lode}
work=$(mktemp -d "${TMPDIR:-/tmp}/lode-cli-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP INT TERM
tap_count=0
tap_failed=0

tap_result() { # "ok" or "not ok", NAME
    tap_count=$((tap_count + 1))
    echo "$1 $tap_count - $2"
    [ "$1" = ok ] || tap_failed=$((tap_failed + 1))
}

# ok NAME COMMAND...: passes if the command succeeds; what it printed is shown if not.
ok() {
    tap_name=$1
    shift
    if "$@" >"$work/ok.log" 2>&1; then
        tap_result ok "$tap_name"
    else
        tap_result "not ok" "$tap_name"
        sed 's/^/#   /' "$work/ok.log" | head -20
    fi
}

# is NAME GOT WANT: passes if the two are the same text.
is() {
    if [ "$2" = "$3" ]; then
        tap_result ok "$1"
    else
        tap_result "not ok" "$1"
        echo "$2" | sed 's/^/#   got    /' | head -20
        echo "$3" | sed 's/^/#   wanted /' | head -20
    fi
}

skip() { # NAME REASON
    tap_count=$((tap_count + 1))
    echo "ok $tap_count - $1 # SKIP $2"
}

tap_end() {
    echo "1..$tap_count"
    exit $((tap_failed > 0))
}

# run COMMAND...: standard output into $work/out, standard error into $work/err, status into $status.
run() {
    status=0
    "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
}

# says NAME STATUS PATTERN: the last run ended with this status, wrote nothing to standard output,
# and standard error matches the basic regular expression.
says() {
    if [ "$status" -eq "$2" ] && [ ! -s "$work/out" ] && grep -q -e "$3" "$work/err"; then
        tap_result ok "$1"
    else
        tap_result "not ok" "$1"
        echo "#   status $status, wanted $2; standard error lacks or has: $3"
        sed 's/^/#   err /' "$work/err" | head -10
        sed 's/^/#   out /' "$work/out" | head -10
    fi
}

# need_model: tiny.en is in the cache, or is fetched now; else every test named in "$@" is skipped.
need_model() {
    "$lode" pull tiny.en >/dev/null 2>&1 </dev/null && return 0
    for tap_name in "$@"; do skip "$tap_name" "tiny.en is not in the cache and cannot be fetched"; done
    return 1
}
