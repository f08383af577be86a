"""What the scripts that kill processes and flip bits have in common."""
import multiprocessing
import os
import signal

FORK = multiprocessing.get_context("fork")  # Packages are imported once


def start(work):
    "Run a function in a process of its own, which prints nothing"
    def run():
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
            work()
    process = FORK.Process(target=run)
    process.start()
    return process


def kill(process):
    "Kill a process; its workers end by themselves when their parent is gone"
    try: os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError: pass
    process.join()


def kill_until_it_ends(work, seconds, most, draw, after=lambda: None):
    """Start a function again and again, each time killed within some seconds, until it ends by itself, at the latest
    after `most` kills; `after` is called after each. Returns the exit code and how many kills there were."""
    kills = 0
    while True:
        process = start(work)
        process.join(draw.uniform(0, seconds) if kills < most else None)
        if not process.is_alive(): return process.exitcode, kills
        kill(process)
        kills += 1
        after()


def flip_bit(content, draw):
    "Bytes of which one bit is another"
    flipped = bytearray(content)
    flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
    return bytes(flipped)
