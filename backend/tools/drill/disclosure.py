"""Promise 6: a login does not tell whether the account exists."""

import random
from statistics import median

from tools.drill.client import Answer, Client
from tools.drill.report import Result, at_least
from tools.drill.site import PASSWORD, Site, login, new_address, new_person
from tools.drill.statistics import kolmogorov_smirnov

PROMISE = "6 unknown address = wrong password"
LIMITED = "6 the same when throttled"
SIGNIFICANCE = 0.001
"""A timing difference is believed when chance would show one as large less often than this."""
BCRYPT_ROUNDS = "8"

_MINIMUM_TRIALS = 50
_WARM_UP = 20
_GUESSES = 7
_VARYING_HEADERS = {"x-request-id", "date"}


async def drill(site: Site, trials: int, seed: int) -> list[Result]:
    """Wrong passwords and unknown addresses in random order, alone on the server; then both up to the limit."""
    async with site.running(BCRYPT_ROUNDS=BCRYPT_ROUNDS) as server, Client(server.port) as client:
        timing = await _compare(site, client, trials, random.Random(seed))  # noqa: S311 - to be repeatable
    async with site.running(RATE_LIMITS="on") as server, Client(server.port) as client:
        limited = await _compare_limits(site, client)
    return [timing, limited]


def fingerprint(answer: Answer) -> tuple[object, ...]:
    """All of an answer but what differs between any two requests."""
    headers = {name: value for name, value in answer.headers.items() if name not in _VARYING_HEADERS}
    body = {name: value for name, value in answer.json().items() if name != "request_id"}
    return answer.status, tuple(sorted(headers.items())), tuple(sorted(body.items()))


async def _compare(site: Site, client: Client, trials: int, chance: random.Random) -> Result:
    known = [(await new_person(client)).email for _ in range(10)]
    wrong = PASSWORD[::-1]
    for _ in range(_WARM_UP):
        await login(client, new_address(), wrong)
    kinds = ["known", "unknown"] * trials
    chance.shuffle(kinds)
    seconds: dict[str, list[float]] = {"known": [], "unknown": []}
    answers: dict[str, set[tuple[object, ...]]] = {"known": set(), "unknown": set()}
    for kind in kinds:
        email = chance.choice(known) if kind == "known" else new_address()
        answer = await login(client, email, wrong)
        seconds[kind].append(answer.seconds)
        answers[kind].add(fingerprint(answer))
    distance, p = kolmogorov_smirnov(seconds["known"], seconds["unknown"])
    medians = {kind: median(values) * 1000 for kind, values in seconds.items()}
    violations = []
    if answers["known"] != answers["unknown"] or len(answers["known"]) != 1:
        violations.append(f"answers differ: {answers}")
    if p < SIGNIFICANCE:
        violations.append(f"times differ: D = {distance:.3f}, p = {p:.2g}")
    figure = f"median {medians['known']:.2f} and {medians['unknown']:.2f} ms, KS D = {distance:.3f}, p = {p:.2g}"
    return Result(PROMISE, site.name, 2 * trials, 0, figure, violations, at_least(_MINIMUM_TRIALS, trials, "trials"))


async def _compare_limits(site: Site, client: Client) -> Result:
    known, unknown = (await new_person(client)).email, new_address()
    told = {
        email: [fingerprint(await login(client, email, PASSWORD[::-1])) for _ in range(_GUESSES)]
        for email in (known, unknown)
    }
    statuses = [str(answer[0]) for answer in told[known]]
    violations = [] if told[known] == told[unknown] else [f"answers differ: {told}"]
    shortfalls = at_least(1, statuses.count("429"), "throttled answers")
    return Result(LIMITED, site.name, 2 * _GUESSES, 0, f"both {' '.join(statuses)}", violations, shortfalls)
