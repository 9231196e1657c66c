#!/bin/sh
# lode doctor from the command line: the machine at hand, recorded machines, what is printed and what
# the status says, and that nothing is written.
. tests/tap.sh

answers() { # NAME STATUS PATTERN: of the last run; nothing on standard error
    if [ "$status" -eq "$2" ] && grep -q -e "$3" "$work/out" && [ ! -s "$work/err" ]; then
        tap_result ok "$1"
    else
        tap_result "not ok" "$1"
        echo "#   status $status, wanted $2; standard output lacks: $3"
        sed 's/^/#   out /' "$work/out" | head -20
        sed 's/^/#   err /' "$work/err" | head -5
    fi
}

# ---- the machine at hand ----
before=$(date +%s)
run "$lode" doctor
took=$(($(date +%s) - before))
if [ -e /dev/nvidiactl ] || [ -e /dev/dxg ] || [ -e /sys/module/nvidia ]; then
    ok "here: a GPU shows, and is spoken of" test "$status" -ne 3
else
    answers "here: there is no GPU" 3 'there is no GPU to use'
    ok "here: what to do about it" grep -q -e '--device cpu' "$work/out"
    ok "here: in less than three seconds" test "$took" -le 3
fi
mkdir "$work/home" "$work/tmp"
(cd "$work/home" && HOME="$work/home" TMPDIR="$work/tmp" "$lode" doctor --verbose >"$work/out" 2>&1)
is "nothing is written" "$(find "$work/home" "$work/tmp" | wc -l)" 2
if command -v setpriv >/dev/null && [ "$(id -u)" = 0 ] && cp -r "$(dirname "$(readlink -f "$lode")")/lode" "$work/lode" &&
    chmod 755 "$work" "$work/lode"; then
    # by its descriptor: the folder above may be closed to that user
    run setpriv --reuid=65534 --regid=65534 --clear-groups sh -c 'exec /proc/self/fd/3 doctor' 3<"$work/lode"
    ok "without privileges" test "$status" -le 3
else
    skip "without privileges" "setpriv is missing, or this is not root"
fi
run env -i "$lode" doctor
ok "without any variable" test "$status" -le 3

# ---- recorded machines ----
run "$lode" doctor --as list
ok "at least 20 cases, one a line" test "$(wc -l <"$work/out")" -ge 20
for want in driver-mismatch:2 wsl2-docker:2 t4-idle:1 lost-cgroup:2 healthy:0 no-gpu:3; do
    run "$lode" doctor --as "${want%:*}"
    is "--as $want" "$status" "${want#*:}"
done
run "$lode" doctor --as driver-mismatch
answers "both versions are named" 2 '570\.86\.15.*570\.133\.20'
ok "and the cure" grep -q 'sudo reboot' "$work/out"
run "$lode" doctor --as healthy
answers "a test that passed" 0 'GPU test PASSED'
ok "that it was emulated" grep -q 'emulated' "$work/out"
run "$lode" doctor --as driver-mismach
says "a word misspelt" 2 'did you mean "driver-mismatch"'
run "$lode" doctor --as "$work/none/such"
says "no such record" 5 'none/such'
run "$lode" doctor --as healthy --watch
says "watching a recorded machine" 2 'goes without'
for option in --json --verbose --save=x --compose --daemon-json --podman --k8s --systemd; do
    run timeout 20 "$lode" doctor --watch "$option"
    says "watching with $option" 2 '--watch tells changes as text: it goes without .*--json'
done
run "$lode" doctor --root "$work/none/such"
says "no such root" 5 'none/such: there is no such folder'
echo >"$work/file"
run "$lode" doctor --root "$work/file" --compose
says "a root that is a file" 5 'there is no such folder'
run "$lode" doctor --root ""
says "a root without a name" 5 'there is no such folder'
run "$lode" doctor extra
says "a word too many" 2 'one word too many'
run "$lode" doctor --pid 4194303
says "no such process" 3 'no process 4194303'

# ---- what is printed ----
run "$lode" doctor --as no-permission --json
ok "--json is JSON and says the same" python3 -c '
import json, sys
j = json.load(open(sys.argv[1]))
assert j["exit"] == 2 and j["findings"][0]["id"] == "no-permission", j["findings"]
assert j["findings"][0]["seen"]["/dev/nvidiactl"] == "EACCES", j["findings"]
assert "usermod" in j["findings"][0]["cure"] and j["facts"]["cuInit"] == "999"
' "$work/out"
run "$lode" doctor --as healthy --json
ok "--json of a GPU that works" python3 -c '
import json, sys
j = json.load(open(sys.argv[1]))
g = j["gpus"][0]
assert j["exit"] == 0 and j["emulated"] and g["test"] == "passed" and g["gemm_tflops"] > 0 and g["temperature"] == 41, g
' "$work/out"
run "$lode" doctor --as remap-pending-second
answers "a reset of the GPU that needs it" 1 'nvidia-smi --gpu-reset -i 1$'
ok "and of no other" test "$(grep -c 'gpu-reset' "$work/out")" -eq 1
run env LODE_FAKE_GPU=t4+a100,idle=1,temperature=41+88 CUDA_VISIBLE_DEVICES=1 "$lode" doctor
ok "the temperature is that of the GPU that worked" grep -q 'afterwards 88 C' "$work/out"
ok "the other one is told as hidden" grep -q "hidden   Tesla T4.*nvidia-smi's number 0" "$work/out"
ok "a sleeping neighbour is no warning" test "$(grep -c pcie-degraded "$work/out")" -eq 0
run "$lode" doctor --as nouveau --verbose
answers "--verbose tells what was looked for" 2 '  ok  vfio'
answers "--verbose tells the facts" 2 '/sys/module/nouveau = loaded'
for want in compose:count..all daemon-json:cgroupfs podman:nvidia.com/gpu=all k8s:nvidia.com/gpu..1 \
    systemd:DeviceAllow=/dev/nvidiactl; do
    run "$lode" doctor --as healthy "--${want%%:*}"
    answers "--${want%%:*}" 0 "${want#*:}"
done
run "$lode" doctor --as healthy --compose
ok "--compose is YAML with one device" awk '/capabilities: \[gpu\]/ { n++ } END { exit n != 1 }' "$work/out"
run "$lode" doctor --as healthy --daemon-json
ok "--daemon-json is JSON" python3 -m json.tool "$work/out"

# ---- saved and replayed ----
run "$lode" doctor --as lost-cgroup --save "$work/case"
is "--save changes no status" "$status" 2
run "$lode" doctor --as "$work/case"
answers "a saved record comes to the same" 2 'lost-cgroup (broken)'
run "$lode" doctor --as "$work/case/facts"
answers "its file too" 2 'docker restart'
head -c 300000 /dev/urandom >"$work/garbage"
run "$lode" doctor --as "$work/garbage"
ok "a record of garbage" test "$status" -le 3
echo "fake = t4,report=$work/written" >"$work/evil"
run "$lode" doctor --as "$work/evil"
says "a record that would write" 3 'with a report'
run "$lode" doctor --root "$work/home"
answers "an empty machine" 3 'no-gpu'
mkdir -p "$work/root/sys/bus/pci/devices/0000:01:00.0"
echo 0x10de >"$work/root/sys/bus/pci/devices/0000:01:00.0/vendor"
echo 0x030000 >"$work/root/sys/bus/pci/devices/0000:01:00.0/class"
run "$lode" doctor --root "$work/root"
answers "a machine of files" 2 'driver-missing'

# ---- watched ----
"$lode" doctor --watch --every 0.2 >"$work/watch" 2>&1 &
child=$!
sleep 2
kill -INT "$child"
status=0
wait "$child" || status=$?
is "--watch ends by an interrupt" "$status" 130
ok "--watch began with a report" grep -q '^lode doctor: ' "$work/watch"
(
    sleep 1
    mkdir -p "$work/root/sys/module/nouveau"
    ln -s ../nouveau "$work/root/sys/bus/pci/devices/0000:01:00.0/driver"
) &
"$lode" doctor --watch --every 0.2 --root "$work/root" >"$work/watch" 2>&1 &
child=$!
sleep 3
kill -INT "$child"
wait "$child"
ok "--watch tells what changes" grep -q 'nouveau: not found -> ' "$work/watch"
ok "--watch tells what is over" grep -q 'driver-missing: found -> cured' "$work/watch"
tap_end
