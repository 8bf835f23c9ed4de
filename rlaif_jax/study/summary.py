"""What a study found, in sentences made from its figures."""

from rlaif_jax.evaluation.paired import Estimate
from rlaif_jax.evaluation.power import power
from rlaif_jax.evaluation.random_effects import ENOUGH_SEEDS
from rlaif_jax.study.claims import Headline
from rlaif_jax.study.judges import self_judged_warning
from rlaif_jax.study.results import Direct, StudyResults
from rlaif_jax.study.wording import (
    duration,
    flops,
    interval,
    percent,
    plural,
    points,
    usd,
)

_MANY_CUT = 0.05  # share of completions cut at the limit that deserves a word


def findings(results: StudyResults) -> list[str]:
    """The study's answer, its price and its size, one sentence each."""
    rates = results.win_rates()
    sentences = (
        _answer(results, results.headline, rates)
        if results.headline
        else _ranking(results, rates)
    )
    first = next(iter(rates.values()))
    seeds = plural(first.n_seeds, "seed")
    prompts = plural(first.n_prompts, "prompt")
    return [
        *sentences,
        f"Every arm was trained with {seeds} and judged on the same {prompts} by "
        f"{results.evaluator}.",
        *map(_directly, results.direct),
        *_power(results, rates),
    ]


def caveats(results: StudyResults) -> list[str]:
    """What the intervals do not say."""
    rates = results.win_rates()
    first = next(iter(rates.values()))
    found = [
        _seed_caveat(first.n_seeds),
        *_correction_caveat(results),
        f"The win rate is the opinion of {results.evaluator}. Another evaluator, other "
        "prompts or another base model are outside every interval.",
    ]
    found += _evaluator_caveat(results)
    if results.self_judged:
        found.insert(0, self_judged_warning(results.self_judged))
    dropped = {name: rate.n_dropped for name, rate in rates.items() if rate.n_dropped}
    found += [
        f"{name}: {plural(count, 'prompt')} without a usable verdict left out."
        for name, count in dropped.items()
    ]
    found += [
        f"{name}: {percent(100 * arm.length_rate)} of its completions were cut at the "
        "token limit."
        for name, arm in results.arms.items()
        if arm.length_rate > _MANY_CUT
    ]
    return [*found, *results.notes]


def matched(results: StudyResults) -> str:
    """What the arms use the same amount of; empty if the results do not tell."""
    budget = results.budget
    if budget is None:
        return ""
    if budget.usd is not None:
        return (
            f"The arms are matched by price: each may spend {usd(budget.usd)} a seed "
            "on its teacher and critic, and prompts and training FLOPs are what came "
            "of it."
        )
    if budget.flops is not None:
        return (
            f"The arms are matched by compute: each may train for "
            f"{flops(budget.flops)} FLOPs a seed, and prompts and price are what came "
            "of it."
        )
    return (
        "The arms are matched by prompts: what they cost in dollars and in training "
        "FLOPs is what came of it."
    )


def _evaluator_caveat(results: StudyResults) -> list[str]:
    """What the evaluator's verdicts owe to order and length, where that is known."""
    found = results.evaluator_audit
    if found is None:
        return []
    said = {
        "order_consistency": "said the same in both orders in {} of comparisons",
        "p_longer": "preferred the longer text in {} of those it decided",
    }
    parts = [
        text.format(percent(100 * found.measures[name].value))
        for name, text in said.items()
        if name in found.measures
    ]
    return [f"{results.evaluator} {' and '.join(parts)}."] if parts else []


def _directly(direct: Direct) -> str:
    """What one arm won of another itself."""
    rate = direct.win_rate
    return (
        f"Judged against each other, {direct.a} won {percent(rate.value)} of its "
        f"comparisons with {direct.b} (95\N{NO-BREAK SPACE}% interval "
        f"{interval(rate.low, rate.high)})."
    )


def _answer(
    results: StudyResults, headline: Headline, rates: dict[str, Estimate]
) -> list[str]:
    """Which use of the strong model won, and what each cost."""
    writes, judges = headline.writes, headline.judges
    difference = results.difference(writes, judges)
    won = (
        f"{writes} won {percent(rates[writes].value)} of its comparisons with "
        f"{results.baseline}, {judges} {percent(rates[judges].value)}"
    )
    if difference.low > 0:
        verdict = "Letting the strong model write was better than letting it judge"
    elif difference.high < 0:
        verdict = "Letting the strong model judge was better than letting it write"
    else:
        return [
            "Whether the strong model should write or judge stays undecided: "
            f"{won}, and the 95\N{NO-BREAK SPACE}% interval of the difference, "
            f"{interval(difference.low, difference.high)} points, holds zero.",
            _price(results, writes, judges),
            *_truth(results, writes, judges),
        ]
    size = sorted((abs(difference.low), abs(difference.high)))
    return [
        f"{verdict}: {won}, a difference of {points(abs(difference.value))} points "
        f"(95\N{NO-BREAK SPACE}% interval {interval(*size)}).",
        _price(results, writes, judges),
        *_truth(results, writes, judges),
    ]


def _ranking(results: StudyResults, rates: dict[str, Estimate]) -> list[str]:
    """The best arm, and by how much it is ahead."""
    best, *others = sorted(rates, key=lambda name: -rates[name].value)
    won = (
        f"{best} won {percent(rates[best].value)} of its comparisons with "
        f"{results.baseline}"
    )
    if not others:
        rate = rates[best]
        return [
            f"{won} (95\N{NO-BREAK SPACE}% interval {interval(rate.low, rate.high)})."
        ]
    ahead = results.difference(best, others[0])
    clear = "" if ahead.low > 0 else ", which holds zero: they are not told apart"
    return [
        f"{won}, {points(ahead.value)} points more than the next, {others[0]} "
        f"(95\N{NO-BREAK SPACE}% interval {interval(ahead.low, ahead.high)}{clear}).",
        _price(results, best, others[0]),
    ]


def _price(results: StudyResults, a: str, b: str) -> str:
    """What two arms cost to make."""
    bills = results.bills()
    if not bills[a].making_usd and not bills[b].making_usd:
        money = "Neither was billed for a teacher or a critic"
    else:
        money = (
            f"Teacher and critic cost {usd(bills[a].making_usd)} for {a} and "
            f"{usd(bills[b].making_usd)} for {b}"
        )
    device = [duration(bills[name].total_device_s) for name in (a, b)]
    return f"{money}; training and sampling took {device[0]} and {device[1]}."


def _truth(results: StudyResults, a: str, b: str) -> list[str]:
    """How often each was right, where that is known."""
    measures = [results.arms[name].measures for name in (a, b)]
    if not all("accuracy" in known for known in measures):
        return []
    right = [percent(100 * known["accuracy"]) for known in measures]
    return [
        f"Measured against the truth, {a} was right in {right[0]}, {b} in {right[1]}."
    ]


def _power(results: StudyResults, rates: dict[str, Estimate]) -> list[str]:
    """How small a difference the study could see, and what it would take."""
    if len(rates) < 2:
        return []
    headline = results.headline
    if headline is not None:
        a, b = headline.writes, headline.judges
    else:
        a, b, *_ = sorted(rates, key=lambda name: -rates[name].value)
    found = power(results.difference(a, b))
    takes = (
        "without more seeds, no number of prompts makes it 80\N{NO-BREAK SPACE}%"
        if found.prompts is None
        else f"80\N{NO-BREAK SPACE}% would with about {found.prompts:,} prompts"
    )
    return [
        f"If two arms differed by {found.difference:g} points in truth, "
        f"{percent(100 * found.power)} of such studies would tell them apart; {takes}."
    ]


def _seed_caveat(seeds: int) -> str:
    """What the interval knows of the spread between seeds."""
    if seeds == 1:
        return (
            "There is one seed: the intervals cover the choice of prompts, not the "
            "spread between seeds, which can be several points."
        )
    text = (
        "The 95\N{NO-BREAK SPACE}% intervals cover the choice of prompts and of "
        f"{seeds} seeds"
    )
    if seeds < ENOUGH_SEEDS:
        return (
            f"{text}. So few seeds hardly tell how far apart seeds lie: where all arms "
            "together tell of more, that counts. Of an arm whose seeds lie much "
            "further apart than the others', the interval is too narrow."
        )
    return f"{text}."


def _correction_caveat(results: StudyResults) -> list[str]:
    """What is corrected for looking at several, and what is not."""
    found = []
    if len(results.arms) > 1:
        found.append(
            "Each interval holds for itself: none is corrected for looking at several."
        )
    if len(results.claims) > 1:
        found.append(
            f"The verdicts on the {len(results.claims)} claims are corrected (Holm): "
            "the chance that any of them is false is at most 5\N{NO-BREAK SPACE}%."
        )
    return found
