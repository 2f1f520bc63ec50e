"""What more rows than are here would take: every figure follows from measured ones, which are the arguments.

    python -m benchmarks.shards.paper_plan --rows-per-second 730000 --single 5.0 --batch 162 --bytes 17.3 --fan-out 3.4

`--rows-per-second`: of a builder with one thread (benchmarks.shards.building); `--single`, `--batch`: milliseconds of a
query and of 200, over `--measured-rows` on `--cores` cores (benchmarks.shards.searching); `--bytes`: a vector on the
disk without its original; `--fan-out`: milliseconds of a question to actors that do nothing (benchmarks.shards.on_ray).
What cores add is taken as a straight line. Prints Markdown.
"""

from __future__ import annotations

import argparse

D, QUERIES = 128, 200


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows-per-second", type=float, required=True)
    parser.add_argument("--single", type=float, required=True)
    parser.add_argument("--batch", type=float, required=True)
    parser.add_argument("--bytes", type=float, required=True)
    parser.add_argument("--fan-out", type=float, required=True)
    parser.add_argument("--measured-rows", type=float, default=8e6)
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    core_ms_single = options.single * options.cores / options.measured_rows  # core-milliseconds a row
    core_ms_batch = options.batch * options.cores / options.measured_rows / QUERIES
    print("| rows | 10^8 | 10^9 | 10^10 |\n|---|---|---|---|")
    sizes = {1e8: (1, 16), 1e9: (4, 32), 1e10: (16, 64)}  # rows -> machines, cores of each
    lines: dict[str, list[str]] = {}

    def say(what: str, value: str) -> None:
        lines.setdefault(what, []).append(value)

    for rows, (machines, cores) in sizes.items():
        all_cores = machines * cores
        say("machines x cores", f"{machines} x {cores}")
        say("shards of 5 million rows", f"{rows / 5e6:,.0f}")
        say("float32 vectors, TB", f"{rows * D * 4 / 1e12:,.2f}")
        say(
            "codes and ids, GB; of each machine",
            f"{rows * options.bytes / 1e9:,.1f}; {rows * options.bytes / 1e9 / machines:,.1f}",
        )
        say("float16 originals on disks, TB", f"{rows * (2 * D + 4) / 1e12:,.2f}")
        say("encoding and building, core-hours", f"{rows / options.rows_per_second / 3600:,.2f}")
        say("building on all cores, minutes", f"{rows / options.rows_per_second / all_cores / 60:,.1f}")
        say("reading float32 at 1 GB/s a machine, minutes", f"{rows * D * 4 / 1e9 / machines / 60:,.1f}")
        alone = rows * core_ms_single / all_cores
        fan_out = options.fan_out if machines > 1 else 0
        say("a query, every code, ms (with the fan-out)", f"{alone:,.0f} ({alone + fan_out:,.0f})")
        say("queries a second in batches, every code", f"{1e3 * all_cores / (rows * core_ms_batch):,.0f}")
    for what, values in lines.items():
        print(f"| {what} | {' | '.join(values)} |")


if __name__ == "__main__":
    main()
