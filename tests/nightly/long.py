#!/usr/bin/env python3
"""long.py [CASE...]: `lode transcribe` on hours of sound and through many deaths; `make nightly` runs it.

Without CASE all of them; prints a TAP line per case with its seconds and largest memory, then their sum.
Needs tiny.en and silero-vad-v6 in the cache or a hub. LODE names the program (default ./lode). Sound is made
here: sines and noise of fixed seeds, and samples/jfk.wav. Some 30 minutes on two cores."""

import array
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import wave

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LODE = os.path.abspath(os.environ.get("LODE", os.path.join(ROOT, "lode")))
JFK = os.path.join(ROOT, "samples", "jfk.wav")
RATE, HOUR = 16000, 3600
FAST = ["--model", "tiny.en", "--beam-size", "1", "--compute-type", "int8"]
MEMORY_MIB = 400  # of any run: a model of 75 MB, its caches, four lanes of 100 s
GROWTH_MIB = 24  # between 6 hours and 24: the allocator's and the page cache's whims
MIXED_MIB = 8  # between halves of a run over many files


def jfk():
    with wave.open(JFK) as f:
        return f.readframes(f.getnframes())


def header(n_bytes):
    return (b"RIFF" + (36 + n_bytes).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
            + b"\1\0\1\0" + RATE.to_bytes(4, "little") + (2 * RATE).to_bytes(4, "little") + b"\2\0\x10\0"
            + b"data" + n_bytes.to_bytes(4, "little"))


def resident(pid, memory):
    """MiB of a process, four times a second, until it has ended."""
    while True:
        try:
            with open(f"/proc/{pid}/status") as f:
                kib = [int(line.split()[1]) for line in f if line.startswith("VmRSS")]
        except OSError:
            return
        if not kib:
            return
        memory.append(kib[0] / 1024)
        time.sleep(0.25)


class Run:
    """A transcription: status, json, seconds, and resident MiB by the clock, of which sound(write) is the
    standard input if path is None."""

    def __init__(self, words, path=None, sound=None, form="json"):
        command = [LODE, "transcribe", *FAST, *words, "--format", form, path or "-"]
        self.memory, started = [], time.monotonic()
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        feeder = threading.Thread(target=self.feed, args=(child.stdin, sound))
        watcher = threading.Thread(target=resident, args=(child.pid, self.memory))
        feeder.start()
        watcher.start()
        out, self.err = b"", []
        drain = threading.Thread(target=lambda: self.err.append(child.stderr.read()))
        drain.start()
        out = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        self.status = child.returncode = os.waitstatus_to_exitcode(status)
        self.processor_s = usage.ru_utime + usage.ru_stime  # wall clocks tell of the neighbours, too
        self.seconds = time.monotonic() - started
        for t in (feeder, watcher, drain):
            t.join()
        assert self.status == 0, (self.status, self.err[0][-500:])
        self.said = json.loads(out)
        self.text = self.said["text"].lower()
        self.segments = self.said["segments"]

    def feed(self, pipe, sound):
        try:
            if sound:
                sound(pipe.write)
            pipe.close()
        except BrokenPipeError:
            pass

    def peak(self):
        return max(self.memory)

    def note(self):
        return f"{self.seconds:.0f} s, {self.peak():.0f} MiB, {len(self.segments)} segments"


def held(run, seconds):
    """What is true of every transcript, whatever the sound."""
    assert abs(run.said["audio_seconds"] - seconds) < 1, run.said["audio_seconds"]
    assert run.peak() < MEMORY_MIB, f"{run.peak():.0f} MiB resident"
    before = 0
    for s in run.segments:
        assert before - 0.01 <= s["start"] <= s["end"] <= seconds + 0.01, s
        before = s["start"]
    for i in range(len(run.segments) - 4):
        five = run.segments[i:i + 5]
        if len({s["text"] for s in five}) == 1 and five[-1]["end"] - five[0]["start"] < 30:
            assert any("repetition" in s.get("flags", []) for s in five), f"a loop nobody noticed: {five}"


def hour_of(second):
    """A stream of an hour; second(i) gives its i-th second."""

    def sound(write):
        write(header(HOUR * 2 * RATE))
        for i in range(HOUR):
            write(second(i))

    return sound


def silence(_):
    return bytes(2 * RATE)


NOISE = []


def noise(i):
    if not NOISE:
        rng = random.Random(1)
        NOISE.extend(array.array("h", (int(rng.gauss(0, 3000)) for _ in range(RATE))).tobytes() for _ in range(7))
    return NOISE[i * i % 7]


MUSIC = {}


def music(i):
    """Chords of sawtooth-like tones with a drum on each half second, eight bars that change."""
    if i % 16 not in MUSIC:
        rng = random.Random(i % 16)
        root = (220, 175, 262, 196)[i // 2 % 4]
        out = array.array("h")
        for t in range(RATE):
            x = sum(math.sin(2 * math.pi * root * r * h * t / RATE) / h for r in (1, 1.25, 1.5) for h in (1, 2, 3))
            drum = math.exp(-(t % (RATE // 2)) / 600) * rng.gauss(0, 1)
            out.append(max(-32767, min(32767, int(2500 * x + 9000 * drum))))
        MUSIC[i % 16] = out.tobytes()
    return MUSIC[i % 16]


def hour(second, words, most_words):
    def case(_):
        run = Run(words, sound=hour_of(second))
        held(run, HOUR)
        n = len(run.text.split())
        assert n <= most_words, f"{n} words where nobody speaks: {run.text[:200]}"
        return f"{run.note()}, {n} words"

    return case


def quiet_hours(folder, words, hours):
    """Mostly nothing, and somebody speaks every half hour; a file with holes."""
    path, speech, at = os.path.join(folder, "day.wav"), jfk(), [1800 * i + 1234 for i in range(hours * 2)]
    with open(path, "wb") as f:
        f.write(header(hours * HOUR * 2 * RATE))
        for s in at:
            f.seek(44 + 2 * RATE * s)
            f.write(speech)
        f.truncate(44 + hours * HOUR * 2 * RATE)
    run = Run(words, path=path)
    os.unlink(path)
    held(run, hours * HOUR)
    for s in run.segments:  # a window of 30 s may begin with silence, its text with the window
        assert all(any(a - 5 < t < a + 16 for a in at) for t in (s["start"], s["end"])), s
    for a in at:
        said = " ".join(s["text"] for s in run.segments if a - 5 < s["start"] < a + 16)
        assert "country" in said, (a, said)
    return run


def day(words):
    """Memory of a day's run is that of a quarter of it."""

    def case(folder):
        part, whole = (quiet_hours(folder, words, hours) for hours in (6, 24))
        grown = whole.peak() - part.peak()
        assert grown < GROWTH_MIB, f"{part.peak():.0f} MiB for 6 hours, {whole.peak():.0f} for 24"
        return f"{whole.note()}, {grown:.0f} MiB more than 6 hours"

    return case


def loop(words):
    """Two seconds of speech, fifty times: the model's own text provokes it to go on for ever."""

    def case(_):
        piece = jfk()[2 * RATE * 4:2 * RATE * 6]

        def sound(write):
            write(header(50 * len(piece)))
            for _ in range(50):
                write(piece)

        stopped = Run(words, sound=sound)
        free = Run([*words, "--no-stop-loops"], sound=sound)
        held(stopped, 100)
        spent = f"{stopped.processor_s:.1f} s of processors, unstopped {free.processor_s:.1f} s"
        assert stopped.processor_s < free.processor_s * 1.1 + 1, spent
        why = [t["why"] for w in stopped.said["windows_again"] for t in w["tried"]]
        assert any("loop" in w for w in why), f"no window looped: {why}"
        return f"{stopped.note()}; {spent}"

    return case


def deaths(folder):
    """A folder, and a kill -9 every now and then until all is done: the texts are those of a quiet run."""
    source, speech, rng = os.path.join(folder, "in"), jfk(), random.Random(5)
    os.mkdir(source)
    for i in range(16):
        part = speech[:2 * RATE * (3 + i % 8)] * (1 + i % 3)
        with open(os.path.join(source, f"{i:02}.wav"), "wb") as f:
            f.write(header(len(part)) + part)
    quiet, killed = os.path.join(folder, "quiet"), os.path.join(folder, "killed")
    subprocess.run([LODE, "transcribe", *FAST, "--offline", "-q", source, "-o", quiet + "/"], check=True)
    command = [LODE, "transcribe", *FAST, "--offline", "-q", "--resume", source, "-o", killed + "/"]
    kills = 0
    while kills < 500:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            status = child.wait(rng.uniform(0.05, 1.2) * (1 + kills / 50))
            assert status == 0, status
            break
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            kills += 1
    texts = {name: open(os.path.join(quiet, name), "rb").read() for name in sorted(os.listdir(quiet))}
    left = [n for n in sorted(os.listdir(killed)) if n != ".lode-journal"]
    assert left == list(texts), left
    for name, text in texts.items():
        assert open(os.path.join(killed, name), "rb").read() == text, name
    assert kills > 3, f"only {kills} kills: nothing is shown"
    return f"{kills} kills"


def one_of_many(path, speech, i, rng):
    """A file of a kind that i tells, of half a second to 40 s; returns its seconds, 0 if it is broken."""
    if i % 9 == 8:
        with open(path + ".wav", "wb") as f:
            f.write((b"", header(100)[:rng.randrange(44)], rng.randbytes(3000))[i // 9 % 3])
        return 0
    samples = array.array("h", (speech * 4)[:2 * rng.randrange(RATE // 2, 40 * RATE)])
    channels, width, rate = 1 + i % 6, (2, 1, 2, 3, 4)[i % 5], (16000, 44100, 8000, 48000, 22050)[i // 2 % 5]
    at = [int(k * RATE / rate) for k in range(len(samples) * rate // RATE)]
    # a byte of a file of 8 bits has no sign
    parts = [(samples[k] >> 8) + 128 if width == 1 else samples[k] << 8 * (width - 2) for k in at]
    data = b"".join(x.to_bytes(width, "little", signed=width > 1) * channels for x in parts)
    with wave.open(path + ".wav", "wb") as f:
        f.setparams((channels, width, rate, 0, "NONE", None))
        f.writeframes(data)
    kind = ("flac", "mp3", "ogg", "m4a", "opus", None, None, None)[i % 8]
    if kind and shutil.which("ffmpeg"):
        subprocess.run(["ffmpeg", "-v", "error", "-i", path + ".wav", "-ac", str(min(channels, 2)), path + "." + kind],
                       check=True)
        os.unlink(path + ".wav")
    return len(samples) / RATE


def mixed(words):
    """An hour in files of many kinds, broken ones among them, by one process: its memory is that of its first half."""

    def case(folder):
        source, speech, rng, made = os.path.join(folder, "mixed"), jfk(), random.Random(9), []
        os.mkdir(source)
        while sum(made) < HOUR:
            made.append(one_of_many(os.path.join(source, f"{len(made):04}"), speech, len(made), rng))
        command = [LODE, "transcribe", *FAST, *words, "-q", source, "-o", os.path.join(folder, "texts/")]
        memory, started = [], time.monotonic()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        watcher = threading.Thread(target=resident, args=(child.pid, memory))
        watcher.start()
        said = child.stderr.read()
        status = child.wait()
        watcher.join()
        shutil.rmtree(source)
        broken = made.count(0)
        assert status == 9 and f"{broken} of {len(made)} inputs failed" in said, (status, said[-500:])
        assert len(os.listdir(os.path.join(folder, "texts"))) == len(made) - broken
        half = len(memory) // 2
        first, second = max(memory[:half]), max(memory[half:])
        assert second < first + MIXED_MIB, f"{first:.0f} MiB in the first half, {second:.0f} in the second"
        return (f"{time.monotonic() - started:.0f} s, {len(made)} files, {broken} of them broken; {first:.0f} MiB in the "
                f"first half, {second:.0f} in the second")

    return case


# name, case
CASES = {
    "hour-silence": hour(silence, [], 0),
    "hour-silence-vad": hour(silence, ["--vad", "--batch-size", "4"], 0),
    "hour-noise": hour(noise, [], 1500),
    "hour-noise-vad": hour(noise, ["--vad", "--batch-size", "4"], 50),
    "hour-music": hour(music, [], 1500),
    "hour-music-vad": hour(music, ["--vad", "--batch-size", "4"], 500),
    "day-vad": day(["--vad", "--batch-size", "4"]),
    "day": day([]),
    "mixed": mixed([]),
    "mixed-vad": mixed(["--vad", "--batch-size", "4"]),
    "loop": loop([]),
    "loop-batch": loop(["--batch-size", "4"]),
    "resume-deaths": deaths,
}


def main():
    names = sys.argv[1:] or list(CASES)
    for name in names:
        if name not in CASES:
            sys.exit(f"long.py: no case {name}: there are {', '.join(CASES)}")
    for model in ("tiny.en", "silero-vad-v6"):
        subprocess.run([LODE, "pull", model], check=True, stdout=subprocess.DEVNULL)
    failed = 0
    for i, name in enumerate(names, 1):
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="lode-nightly-") as folder:
            try:
                print(f"ok {i} - {name}: {CASES[name](folder)}", flush=True)
            except (AssertionError, KeyError, ValueError, OSError, subprocess.SubprocessError) as why:
                failed += 1
                print(f"not ok {i} - {name} ({time.monotonic() - started:.0f} s)\n#   {why!r}"[:2000], flush=True)
    print(f"1..{len(names)}\n{len(names) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
