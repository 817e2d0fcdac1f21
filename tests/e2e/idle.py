#!/usr/bin/env python3
"""What an idle appliance costs: CPU of agent, l4lb and two shards over ten quiet seconds, under 5 % of one core."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import time

from tests.lab.scenario import main

SECONDS, LIMIT_PERCENT = 10, 5.0


def scenario(site, check):
    lab = site.lab
    names = ["agent"] + lab.data_planes()
    before = {n: lab.procs[n].cpu_s() for n in names}
    start = time.monotonic()
    time.sleep(SECONDS)  # the measurement itself: a stretch of time in which nothing happens
    seconds = time.monotonic() - start
    used = {n: 100 * (lab.procs[n].cpu_s() - before[n]) / seconds for n in names}
    total = sum(used.values())
    check.info("idle over %.0f s, %% of one core: %s; all %.1f" % (seconds, ", ".join("%s %.1f" % kv for kv in used.items()), total))
    check("idle: %.1f %% of one core (limit %.0f %%)" % (total, LIMIT_PERCENT), total < LIMIT_PERCENT)


if __name__ == "__main__":
    main(scenario)
