# The words of the command line tests: ". tests/tap.sh", then any of these, then tap_end last.
#   ok NAME COMMAND...      the command succeeds
#   fails N NAME COMMAND... its exit status is N
#   prints TEXT NAME COMMAND...   it succeeds and prints exactly TEXT on standard output
#   says TEXT NAME COMMAND...     its output (both streams, whatever its status) holds TEXT
#   skip NAME REASON
# $tap_dir is an empty folder that goes away at the end; $LODE the program under test.
# shellcheck shell=sh
tap_n=0
tap_dir=$(mktemp -d)
trap 'rm -rf "$tap_dir"' EXIT
: "${LODE:=$PWD/lode}"

tap_line() { # RESULT NAME: the detail, if any, is in $tap_dir/.out
    tap_n=$((tap_n + 1))
    echo "$1 $tap_n - $2"
    [ "$1" = ok ] || sed 's/^/# /' "$tap_dir/.out"
}

ok() {
    fails 0 "$@"
}

fails() {
    tap_want=$1 tap_name=$2
    shift 2
    tap_status=0
    "$@" >"$tap_dir/.out" 2>&1 || tap_status=$?
    if [ "$tap_status" -eq "$tap_want" ]; then
        tap_line ok "$tap_name"
    else
        echo "exit status $tap_status, not $tap_want" >>"$tap_dir/.out"
        tap_line "not ok" "$tap_name"
    fi
}

prints() {
    tap_want=$1 tap_name=$2
    shift 2
    tap_status=0
    tap_got=$("$@" 2>"$tap_dir/.err") || tap_status=$?
    if [ "$tap_status" -eq 0 ] && [ "$tap_got" = "$tap_want" ]; then
        tap_line ok "$tap_name"
    else
        printf 'exit status %s\nprinted: %s\nwanted: %s\n' "$tap_status" "$tap_got" "$tap_want" |
            cat - "$tap_dir/.err" >"$tap_dir/.out"
        tap_line "not ok" "$tap_name"
    fi
}

says() {
    tap_want=$1 tap_name=$2
    shift 2
    "$@" >"$tap_dir/.out" 2>&1 || true
    if grep -qF -- "$tap_want" "$tap_dir/.out"; then
        tap_line ok "$tap_name"
    else
        echo "does not say: $tap_want" >>"$tap_dir/.out"
        tap_line "not ok" "$tap_name"
    fi
}

skip() {
    tap_n=$((tap_n + 1))
    echo "ok $tap_n - $1 # SKIP $2"
}

tap_end() {
    echo "1..$tap_n"
}
