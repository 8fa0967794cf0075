# SPDX-License-Identifier: BSD-3-Clause
"""The laboratory of scripts/test tcp-peer: namespaces of this run only, the bridge, our program. Documentation addresses.

    ours (tcp_peer_app)                 bridge                       kernel (this process)
    192.0.2.1      --- device ---   lossy_bridge   --- veth ---      192.0.2.2
    2001:db8:1::1                                                    2001:db8:1::2

Offloads of the kernel's end are off (ethtool -K tx off tso off gso off gro off): every frame on the line is one segment
with its checksum, as on a wire; the kernel verifies what comes through the packet sockets itself.
"""
import ctypes
import json
import os
import queue
import signal
import subprocess
import threading
import time

OURS = {4: "192.0.2.1", 6: "2001:db8:1::1"}
KERNEL = {4: "192.0.2.2", 6: "2001:db8:1::2"}
CLONE_NEWNET = 0x40000000
LINE, FAR = "tgk0", "tgk1"  # the bridge's end of the kernel's veth, and the kernel's


class Trouble(Exception):
    """One sentence that says what did not work."""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Trouble(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Namespaces:
    """Named tg-PID-..., as scripts/run names its own, so that scripts/run sweeps what a killed run of ours left."""

    def __init__(self):
        self.prefix = f"tg-{os.getpid()}"
        self.names = []

    def path(self, name):
        return f"/run/netns/{self.prefix}-{name}"

    def make(self, name):
        run("ip", "netns", "add", f"{self.prefix}-{name}")
        self.names.append(name)
        self.run_in(name, "ip", "link", "set", "lo", "up")

    def run_in(self, name, *command):
        return run("nsenter", f"--net={self.path(name)}", "--", *command)

    def remove(self):
        for name in reversed(self.names):
            subprocess.run(["ip", "netns", "delete", f"{self.prefix}-{name}"], capture_output=True)
        self.names = []

    def enter(self, name):
        """This thread, and those that it will start, live there from now on."""
        with open(self.path(name)) as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
                raise Trouble(f"setns: {os.strerror(ctypes.get_errno())}")

    def up(self):
        for name in ("bridge", "kernel"):
            self.make(name)
        self.quiet("bridge")
        run("ip", "link", "add", LINE, "netns", f"{self.prefix}-bridge", "type", "veth",
            "peer", "name", FAR, "netns", f"{self.prefix}-kernel")
        self.run_in("kernel", "ethtool", "-K", FAR, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
        self.run_in("kernel", "ip", "address", "add", KERNEL[4] + "/24", "dev", FAR)
        self.run_in("kernel", "ip", "-6", "address", "add", KERNEL[6] + "/64", "dev", FAR, "nodad")
        self.run_in("kernel", "ip", "link", "set", FAR, "up")
        self.run_in("bridge", "ip", "link", "set", LINE, "up")

    def quiet(self, name):
        """The kernel of a namespace that only carries frames says nothing of its own."""
        self.run_in(name, "sh", "-c", "for f in all default; do echo 1 >/proc/sys/net/ipv6/conf/$f/disable_ipv6; done")


class Program:
    """A program of ours in a namespace; ends with this process, is stopped by its pid."""

    def __init__(self, namespaces, where, command, say=None):
        self.lines = queue.Queue()
        self.words = []
        self.say = say or (lambda line: None)
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net={namespaces.path(where)}", "--", *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            self.words.append(line.rstrip())
            self.say(line.rstrip())
            self.lines.put(line.rstrip())
        self.lines.put(None)

    def expect(self, wanted, seconds):
        """The next line for which wanted(line) is true."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise Trouble(f"no answer in {seconds} s; the last words: {self.words[-3:]}") from None
            if line is None:
                status = self.process.wait()
                raise Trouble(f"the program has ended with status {status}: {self.words[-5:]}")
            if wanted(line):
                return line

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


class Bridge(Program):
    def __init__(self, namespaces, program, device, options, seed):
        super().__init__(namespaces, "bridge", [program, device, LINE, "--seed", str(seed), *options])
        self.expect(lambda line: line == "lossy_bridge: ready", 10)

    def finish(self):
        """What it did: {"to_a": {...}, "to_b": {...}}."""
        self.stop()
        return json.loads(self.expect(lambda line: line.startswith("{"), 5))


class Ours(Program):
    """tcp_peer_app, and the device that it opens."""

    def __init__(self, namespaces, kind, builds, payload):
        self.kind = kind
        self.ended = []  # (port, error, fields) of closed connections
        self.changed = threading.Condition()
        if kind == "tap":
            self.device, where, port = "tgt0", "bridge", "net_tap0,iface=tgt0"
        else:
            self.device, where = "tgx1", "edge"
            port = "tgx0" if kind == "xdp" else "net_af_xdp0,iface=tgx0,start_queue=0,queue_count=1"
            self.make_veth(namespaces)
        program = f"{builds['xdp' if kind == 'xdp' else 'release']}/tests/peer/tcp_peer_app"
        super().__init__(namespaces, where, [program, port, OURS[4], OURS[6], "--payload", payload, "--seed",
                                             str(os.getpid())], self.hear)
        self.expect(lambda line: line == "tcp_peer_app: ready", 30)
        namespaces.run_in("bridge", "ip", "link", "set", self.device, "up", "txqueuelen", "20000")

    @staticmethod
    def make_veth(namespaces):
        namespaces.make("edge")
        namespaces.quiet("edge")
        run("ip", "link", "add", "tgx1", "netns", f"{namespaces.prefix}-bridge", "type", "veth",
            "peer", "name", "tgx0", "netns", f"{namespaces.prefix}-edge")
        for where, device in (("bridge", "tgx1"), ("edge", "tgx0")):
            namespaces.run_in(where, "ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
            namespaces.run_in(where, "ip", "link", "set", device, "up")

    def hear(self, line):
        words = line.split()
        if words[:1] == ["closed"]:
            fields = dict(word.split("=") for word in words[3:])
            with self.changed:
                self.ended.append((int(words[1]), words[2], {key: int(value) for key, value in fields.items()}))
                self.changed.notify_all()

    def command(self, text, seconds=20):
        """Give a command; its answer's line."""
        while not self.lines.empty():
            self.lines.get()
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        answer = self.expect(lambda line: line.split(" ")[0] in ("ok", "wrong:", "status", "counters"), seconds)
        if answer.startswith("wrong"):
            raise Trouble(f"{text}: {answer}")
        return answer

    def status(self):
        words = self.command("status").split(" check=")
        return {**dict(word.split("=") for word in words[0].split()[1:]), "check": words[1]}

    def counters(self):
        return json.loads(self.command("counters")[len("counters "):])

    def wait_ended(self, port, seconds, count=1):
        """(error, fields) of connections of this port that have ended, once there are `count`; they are forgotten then."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while True:
                found = [e for e in self.ended if e[0] == port]
                if len(found) >= count:
                    self.ended = [e for e in self.ended if e[0] != port]
                    return [e[1:] for e in found]
                if not self.changed.wait(deadline - time.monotonic()):
                    raise Trouble(f"{len(found)} of {count} connections have ended after {seconds} s")

    def finish(self):
        if self.process.poll() is None:
            self.process.stdin.write("quit\n")
            self.process.stdin.flush()
            try:
                return self.process.wait(15)
            except subprocess.TimeoutExpired:
                pass
        return self.stop()
