"""The whole way from a request to a logged slate, on one core: recall, score, explore, rules, log; 92,334 goods.

First the capacity: eight connections that ask again as soon as they are answered, in turns with a handler that does
nothing behind the same HTTP library. Then open load at 70% of it: requests at random moments, waiting times counted from
the moment a request was due.
"""

import random
import statistics
import tempfile

import ours
import serving

CONNECTIONS, SHARE = 8, 0.7


def run(quick: bool, say) -> list:
    program, load_program, empty_program = serving.built(say)
    draw = random.Random(1)
    shoppers = [draw.randint(1, 2500) for _ in range(20_000)]
    load = serving.Load(load_program, [f"GET /api/recommend/{shopper}?n=10" for shopper in shoppers])
    rounds, seconds = (3, 2) if quick else (7, 4)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving.shop(program, 18111, folder) as shop,
        serving.Server(18112, empty_program, "127.0.0.1:18112") as empty,
    ):
        load.run(shop.at, seconds, CONNECTIONS)
        capacity, nothing, rates, open_load = [], [], [], []
        for turn in range(rounds):
            capacity.append(load.run(shop.at, seconds, CONNECTIONS)["goodput"])
            nothing.append(load.run(empty.at, seconds, CONNECTIONS)["goodput"])
            # At once after its capacity: a shared machine is faster in one minute than in the next.
            rates.append(SHARE * capacity[-1])
            got = load.run(shop.at, 2 * seconds, 64, rates[-1])
            got["refused"] = 1 - got["answered"].get("200", 0) / got["offered"]
            open_load.append(got)
            say(
                f"  round {turn + 1} of {rounds}: ours {capacity[-1]:.0f} requests/s, empty {nothing[-1]:.0f}; "
                f"at {rates[-1]:.0f}/s p50 {got['p50_ms']:.2f} ms, p99 {got['p99_ms']:.2f} ms, refused {got['refused']:.2%}"
            )
    rate = statistics.median(rates)
    told = ("p50_ms", "p99_ms", "max_ms", "refused")
    median = {name: statistics.median(got[name] for got in open_load) for name in told}
    say(
        f"  at {rate:.0f} requests/s: p50 {median['p50_ms']:.2f} ms, p99 {median['p99_ms']:.2f} ms, "
        f"refused {median['refused']:.2%}, medians of {rounds}"
    )
    ours_ms, empty_ms = (1e3 / statistics.median(each) for each in (capacity, nothing))
    case = ours.case("recommend, n = 10, one core", ours_ms, empty_ms, "empty axum handler", "ms a request")
    return [case | {"requests_per_second": statistics.median(capacity), "open_rate": rate} | median]
