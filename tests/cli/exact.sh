#!/bin/sh
# Pages whose every letter is meant. LODE=./lode tests/cli/exact.sh --set writes them anew; look at the
# difference before you commit it.
. tests/tap.sh

page() { # NAME ARGUMENTS...: tests/cli/NAME.exact
    exact=tests/cli/$1.exact
    name=$1
    shift
    if [ -n "$set" ]; then
        "$lode" "$@" >"$exact"
    fi
    is "$name" "$("$lode" "$@" 2>&1)" "$(cat "$exact" 2>&1)"
}

set=
[ "${1:-}" != --set ] || set=1
page help help
page help_statuses help statuses
page help_environment help environment
# one page per row of the table of jobs, so that a new job cannot be forgotten
for job in $("$lode" help | sed -n '/^jobs$/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
    page "help_$job" help "$job"
    is "$job --help is help $job" "$("$lode" "$job" --help)" "$("$lode" help "$job")"
done
tap_end
