#!/usr/bin/env python3
"""A wide-area network between network namespaces: IP packets over TUN devices, delayed and lost on purpose.

The kernel's own netem is often missing in containers, so the packets pass through this process instead.
usage: wan.py --delay-ms 40 --loss 0.01 --seed 1 NAMESPACE=ADDRESS...

Each namespace gets a device `wan0` with its address in a /24; every packet from one to another waits the
delay and is dropped with the given probability. Prints READY when all devices are up; ends on SIGTERM.
"""
import argparse
import fcntl
import heapq
import ipaddress
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
QUEUE_MAX = 20_000  # packets under way at once; more are dropped, as a router would


def open_tun(name, namespace, address):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    run = lambda *words: subprocess.run(["ip", *words], check=True)
    run("link", "set", name, "netns", namespace)
    run("-n", namespace, "link", "set", name, "name", "wan0")
    run("-n", namespace, "link", "set", "wan0", "mtu", "1500", "up")
    run("-n", namespace, "addr", "add", f"{address}/24", "dev", "wan0")
    return fd


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--delay-ms", type=float, default=40)
    parser.add_argument("--loss", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("hosts", nargs="+", metavar="NAMESPACE=ADDRESS")
    args = parser.parse_args()
    chance = random.Random(args.seed)
    fds = {}
    for index, host in enumerate(args.hosts):
        namespace, address = host.split("=")
        fds[ipaddress.ip_address(address).packed] = open_tun(f"tgw{os.getpid() % 10000}x{index}", namespace, address)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    print("READY", flush=True)
    under_way, count = [], 0
    while not stop:
        now = time.monotonic()
        while under_way and under_way[0][0] <= now:
            _, _, to, packet = heapq.heappop(under_way)
            try:
                os.write(to, packet)
            except OSError:
                pass  # the receiver's queue is full: lost, as on a real way
        wait = max(0.0, under_way[0][0] - now) if under_way else 0.5
        readable, _, _ = select.select(list(fds.values()), [], [], min(wait, 0.5))
        for fd in readable:
            for _ in range(64):
                try:
                    packet = os.read(fd, 65536)
                except BlockingIOError:
                    break
                to = fds.get(packet[16:20]) if packet and packet[0] >> 4 == 4 else None
                if to is None or len(under_way) >= QUEUE_MAX or chance.random() < args.loss:
                    continue
                count += 1
                heapq.heappush(under_way, (time.monotonic() + args.delay_ms / 1000, count, to, packet))


if __name__ == "__main__":
    try:
        main()
    except (OSError, subprocess.CalledProcessError) as err:
        sys.exit(f"wan.py: {err} (needs root, /dev/net/tun and iproute2)")
