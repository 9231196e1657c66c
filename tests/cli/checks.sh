#!/bin/sh
# Each check script passes a clean toy tree and catches every fault planted in it.
. tests/tap.sh
tools=$PWD/tools
tree=$work/tree

plant() { # FILE: its content is standard input
    mkdir -p "$tree/$(dirname "$1")"
    cat >"$tree/$1"
}

clean() { # the toy tree without faults
    rm -rf "$tree"
    mkdir -p "$tree/tests"
    for file in layers.txt words.txt names.txt; do
        mkdir -p "$tree/tools"
        cp "$tools/$file" "$tree/tools/"
    done
    cp "$tools"/check-names "$tree/tools/"
    plant include/lode.h <<'END'
#include "base/a.h"
int lode_x(void);
END
    plant src/base/a.h <<'END'
int a_x(void);
END
    plant src/base/a.c <<'END'
#include "base/a.h"

#include <string.h>

static const char *const words[] = {"free(", "x"}; /* malloc(3) in prose */
static _Thread_local int depth;

int a_x(void)
{
    static const int table[] = {1, 2};
    return table[depth++ % 2] + words[0][0];
}
END
    plant src/app/b.c <<'END'
#include "base/a.h"
#include "lode.h"

int b_x(void)
{
    return a_x() + lode_x();
}
END
}

build() {
    for file in "$tree"/src/*/*.c; do
        mkdir -p "$tree/build"
        ${CC:-cc} -I"$tree/src" -I"$tree/include" -O1 -c "$file" \
            -o "$tree/build/$(basename "$file" .c).o" || return 1
    done
}

names() {
    build && "$tree/tools/check-names" "$tree/build"
}

catches() { # NAME PATTERN COMMAND...: the command fails, and prints FILE:LINE: and the pattern
    name=$1 pattern=$2
    shift 2
    found() {
        ! "$@" >"$work/found" 2>&1 && grep -qE "[^ :]+:[0-9]+: .*$pattern" "$work/found" ||
            { cat "$work/found" && echo "does not say: $pattern" && return 1; }
    }
    ok "$name" found "$@"
}

clean
ok "layers: a clean tree" "$tools/check-layers" "$tree"
ok "size: a clean tree" "$tools/check-size" "$tree"
ok "words: a clean tree" "$tools/check-words" "$tree"
ok "names: a clean tree" names

echo '#include "base/a.h"' | plant src/cpu/c.c
ok "layers: down is allowed" "$tools/check-layers" "$tree"
echo '#include "cpu/c.h"' | plant src/base/d.c
catches "layers: climbing a floor" "cpu/c.h: cpu \(floor 2\) seen from base" "$tools/check-layers" "$tree"
clean
echo '#include "load/c.h"' | plant src/cpu/d.c
catches "layers: a stranger on the same floor" "load/c.h" "$tools/check-layers" "$tree"
clean
echo '#include <dnnl.h>' | plant src/cpu/d.c
catches "layers: a fence" "dnnl.h: is fenced to src/cpu/cpu_dnnl.c" "$tools/check-layers" "$tree"
clean
echo '#  include <jansson.h>' | plant src/base/d.h
catches "layers: a fence, oddly spaced" "jansson.h: is fenced" "$tools/check-layers" "$tree"
clean
echo '#include "jobs/out.h"' | plant src/app/d.c
catches "layers: round the door" "app sees only base and lode.h" "$tools/check-layers" "$tree"
clean
echo '#include "lode.h"' | plant src/nets/d.c
catches "layers: the door from inside" "is the door" "$tools/check-layers" "$tree"
clean
echo '#include "a.h"' | plant src/base/d.c
catches "layers: an include without its room" "write room/file.h" "$tools/check-layers" "$tree"
clean
echo 'int d_x;' | plant src/attic/d.c
catches "layers: a room nobody knows" "a room that" "$tools/check-layers" "$tree"

clean
echo 'int other_x(void) { return 1; }' | plant src/base/d.c
catches "names: a foreign beginning" "global other_x should begin with d_" names
clean
echo 'static int count; int d_x(void) { return count++; }' | plant src/base/d.c
catches "names: a static that is written" "writable: count \(in .bss\)" names
clean
echo 'int d_x(void) { static int seen = 5; return seen++; }' | plant src/base/d.c
catches "names: a static inside a function" "writable: seen \(in .data\)" names
clean
echo 'int d_table[3]; const char *d_name = "x";' | plant src/base/d.c
catches "names: a global pointer" "writable: d_name" names
catches "names: a global array" "writable: d_table" names
clean
echo 'static _Atomic int log_level; int d_x(void) { return log_level++; }' | plant src/base/d.c
ok "names: the list of exceptions" names

clean
{
    printf 'int d_x(int n)\n{\n'
    yes '    n++;' | head -76
    printf '    return n;\n}\n'
} | plant src/base/d.c
ok "size: a function of 80 lines" "$tools/check-size" "$tree"
sed 's/^}/    ;\n}/' "$tree/src/base/d.c" | plant src/base/e.c
sed -i 's/d_x/e_x/' "$tree/src/base/e.c"
catches "size: a function of 81 lines" "a function of 81 lines" "$tools/check-size" "$tree"
clean
yes '/* line */' | head -900 | plant src/base/d.h
ok "size: a file of 900 lines" "$tools/check-size" "$tree"
echo '/* one more */' >>"$tree/src/base/d.h"
catches "size: a file of 901 lines" "a file of 901 lines" "$tools/check-size" "$tree"

words() { # NAME SAYS LINE: a line in src/base/d.c
    clean
    printf '%b\n' "$3" | plant src/base/d.c
    catches "words: $1" "$2" "$tools/check-words" "$tree"
}
words "a call that has one home" "malloc has no place here" 'void *p = malloc (5);'
words "a call that has none" "strcpy has no place here" 'strcpy(a, b);'
words "the second call of a line" "getenv has no place here" 'a(1, "free()"); b = getenv("X"); /* c */'
words "a call after a comment that ends" "exit has no place here" '/* x\n y */ exit(1);'
words "a tab" "a tab" '\tx;'
words "trailing space" "trailing space" 'x; '
words "a leftover" "a leftover" "/* TO""DO: later */"
words "a path of one machine" "a path of one machine" '"/wo''rk/x"'
words "an invisible character" "an invisible character" 'x\0342\0200\0213y'
words "a host" "a host" '"https://py''pi.org/x"'
clean
printf 'void *x(struct s *p)\n{\n    return p->free(p) + p.exit(1);\n}\n' | plant src/base/d.c
ok "words: members of structs may be called so" "$tools/check-words" "$tree"

clean
cp .clang-format "$tree/"
ok_or_77() {
    "$tools/check-format" "$tree" || [ $? = 77 ]
}
ok "format: a clean tree" ok_or_77
if "$tools/check-format" "$tree" >/dev/null 2>&1; then
    echo 'int  d_x( void ){return 1 ;}' | plant src/base/d.c
    catches "format: odd spacing" "clang-format" "$tools/check-format" "$tree"
else
    skip "format: odd spacing" "clang-format 14 is not installed"
fi

# The runner: what it counts decides whether anything else here is believed.
runner=$work/runner
mkdir -p "$runner/tools" "$runner/b/tests" "$runner/tests/cli"
cp "$tools/run-tests" "$runner/tools/"
program() {
    printf '#!/bin/sh\n%b\n' "$2" >"$runner/$1"
    chmod +x "$runner/$1"
}
sums() { # WANT NAME: the last line that the runner prints
    run "$runner/tools/run-tests" b
    is "$2" "$(tail -n 1 "$work/out")" "$1"
}
shows() { # WANT NAME: a line that the last run printed
    ok "$2" grep -F "$1" "$work/out"
}
sums "0 passed, 0 failed, 0 skipped" "runner: nothing ran"
is "runner: nothing ran is a failure" "$status" 1
program b/tests/t_a 'echo 1..2; echo ok 1 - x; echo no wheel; echo "not ok 2 # SKIP y"'
sums "1 passed, 0 failed, 1 skipped" "runner: passed and skipped"
shows "skipped t_a: y: no wheel" "runner: a skip has its reason"
is "runner: all is well" "$status" 0
program tests/cli/b.sh 'echo "ok 1 - x # SKIP no net"; echo 1..1'
sums "1 passed, 0 failed, 2 skipped" "runner: a skip of a shell test"
shows "skipped cli/b.sh: x: no net" "runner: its reason"
program b/tests/t_b 'echo 1..3; echo ok 1 - x; kill -SEGV $$'
sums "2 passed, 1 failed, 2 skipped" "runner: a crash"
program b/tests/t_b 'echo 1..3; echo ok 1 - x; echo halfnot ok 2 - y; echo "# why"; exit 1'
sums "2 passed, 1 failed, 2 skipped" "runner: a failure"
shows "# why" "runner: a failure is shown"
is "runner: a failure is a failure" "$status" 1
program b/tests/t_b 'echo 1..3; echo ok 1 - x'
sums "2 passed, 1 failed, 2 skipped" "runner: fewer tests than announced"
program b/tests/t_b 'exit 0'
sums "1 passed, 1 failed, 2 skipped" "runner: no tests at all"
rm "$runner/b/tests/t_b"
program b/tests/fz_c 'exit 1'
sums "1 passed, 1 failed, 2 skipped" "runner: a fuzz target that dies"
program b/tests/fz_c 'exit 0'
program tools/check-d 'echo no tool; exit 77'
sums "2 passed, 0 failed, 3 skipped" "runner: a check without its tool"
tap_end
