"""Made-up results of the experiments that claims rest on, for the tests of their rules."""

import numpy as np
import polars as pl


def runs(setting="x", *, generalized=(), memorized=None, watched=10_000, **columns):
    """A row per run; None: not reached within ``watched`` steps."""
    count = len(generalized) or len(memorized)
    generalized = list(generalized) or [None] * count
    memorized = [100] * count if memorized is None else list(memorized)
    best = [1.0 if at is not None else 0.02 for at in generalized]
    rows = {
        "setting": [setting] * count, "seed": list(range(count)), "status": ["complete"] * count, "memorized_at": memorized,
        "generalized_at": generalized, "steps": [watched] * count, "evaluated_at": [watched] * count,
        "best_validation_accuracy": best, "validation_accuracy": best, "train_fraction": [0.5] * count,
    }  # fmt: skip
    for name, value in columns.items():
        rows[name] = list(value) if isinstance(value, (list, tuple)) else [value] * count
    whole = dict.fromkeys(("memorized_at", "generalized_at", "steps", "evaluated_at"), pl.Int64)
    return pl.DataFrame(rows, schema_overrides=whole)


def together(*tables):
    return pl.concat(tables, how="diagonal_relaxed")


QUICK, SLOW, NEVER = [1000, 1100, 1200, 1300, 1400], [3000, 3300, 3600, 3900, 4200], [None] * 5
ADAM, ADAMW = "Adam, no decay", "AdamW, decay 1"
METHODS = (
    ADAMW, "AdamW, decay 1 to initial", "Adam", "Adam, rate 3·10⁻⁴", "Adam, rate 3·10⁻³", "Adam, weight noise", "Adam, dropout 0.1",
    "Adam, full batch", "Adam, full batch, noise",
)  # fmt: skip


def adam(generalized, early=0.05, watched=1_000_000):
    return runs(ADAM, generalized=generalized, watched=watched, best_validation_accuracy_to_100000=early)


def losses(first, peak, after, generalized=NEVER[:3], watched=100_000):
    return runs(
        ADAM, generalized=generalized, watched=watched, loss_at_first=first, loss_at_peak=peak, step_of_peak=500.0, loss_after_peak=after
    )


def growing(factor, fractions=(0.25, 0.27, 0.3), count=4):
    """Steps that grow by a factor for every percent of data less, nearly without scatter."""
    parts = []
    for fraction in fractions:
        at = [round(20_000 * factor ** (100 * (0.3 - fraction)) * scatter) for scatter in (0.97, 0.99, 1.01, 1.03)[:count]]
        parts.append(runs("x · y in S₅", generalized=at, watched=1_000_000, train_fraction=fraction))
    return together(*parts)


def s5(few, many, *, generalized_few=NEVER, generalized_many=SLOW):
    return together(
        runs("x · y in S₅", memorized=few, generalized=generalized_few, train_fraction=0.5),
        runs("x · y in S₅", memorized=many, generalized=generalized_many, train_fraction=0.8),
    )


def memorized(*steps, fractions=(0.5, 0.65, 0.8)):
    """Five seeds at each fraction, memorized at these steps."""
    return together(
        *(runs("x · y in S₅", memorized=[at] * 5, generalized=NEVER, train_fraction=f) for f, at in zip(fractions, steps, strict=True))
    )


def delays(by_fraction, watched=100_000):
    """Delays of five seeds at each fraction, all memorized at 1,000; None: not generalized."""
    parts = []
    for fraction, delay in by_fraction.items():
        at = NEVER if delay is None else [round(1000 * delay) + k for k in range(5)]
        parts.append(runs("x · y in S₅", memorized=[1000] * 5, generalized=at, watched=watched, train_fraction=fraction))
    return together(*parts)


DELAYED = {0.25: None, 0.3: 30, 0.5: 8, 0.8: 1.2}
"""As the paper has them."""


def final(accuracies, fractions=(0.6, 0.7, 0.8), count=5, watched=100_000):
    """Fractions, sooner with more data, that end at these accuracies."""
    parts = []
    for fraction, accuracy in zip(fractions, accuracies, strict=True):
        at = [round(9000 - 10_000 * (fraction - 0.5)) + 100 * seed for seed in range(count)]
        parts.append(runs("x · y in S₅", generalized=at, watched=watched, train_fraction=fraction, validation_accuracy=accuracy))
    return together(*parts)


def laws(*kinds):
    """Tasks whose steps follow one of these laws over a wide range of fractions, or fall as data shrink."""
    parts = []
    for task, kind in enumerate(kinds):
        for fraction in (0.2, 0.35, 0.5, 0.7, 0.9):
            power, falling = 1000 * (fraction / 0.9) ** -4, 1000 * np.exp(2 * fraction)
            linear, saturating = 1000 * (1 + 20 * (0.9 - fraction)), 16_000 / (1 + 15 * np.exp(20 * (fraction - 0.9)))
            exponential = 1000 * np.exp(-9 * (fraction - 0.9))
            steps = {"exponential": exponential, "power": power, "falling": falling, "linear": linear, "saturating": saturating}[kind]
            at = [round(steps * scatter) for scatter in (0.97, 1.0, 1.03)]
            parts.append(runs(f"task {task}", generalized=at, watched=10**7, train_fraction=fraction))
    return together(*parts)


PAIRS = (("x + y", "x − y", 0.5), ("x · y", "x / y", 0.5), ("x² + xy + y²", "x² + xy + y² + x", 0.9))


def pairs(*sides, watched=10_000):
    """For each of the three pairs, or for all of them alike, the steps of the symmetric and of the asymmetric operation."""
    sides = sides * 3 if len(sides) == 1 else sides
    parts = []
    for (first, second, fraction), (symmetric, asymmetric) in zip(PAIRS, sides, strict=True):
        for name, at in ((first, symmetric), (second, asymmetric)):
            parts.append(runs(name, generalized=at, watched=watched, train_fraction=fraction))
    return together(*parts)


def two_lines(*shifts, scatter=0.02, count=5, seed=0):
    """x − y and x / y at two fractions, the first needing so much more of the table, at both alike or at each."""
    stream, parts = np.random.default_rng(seed), []
    at_each = shifts * 2 if len(shifts) == 1 else shifts
    for name in ("x − y", "x / y"):
        for fraction, shift in zip((0.5, 0.7), at_each, strict=True):
            more = shift if name == "x − y" else 0.0
            log_steps = np.log(4000) - 3.0 * (fraction - more - 0.5) + scatter * stream.standard_normal(count)
            parts.append(runs(name, generalized=np.exp(log_steps).round().astype(int).tolist(), train_fraction=fraction))
    return together(*parts)


def cubic(generalized, fraction=0.95):
    return runs("x³ + xy² + y", generalized=generalized, watched=100_000, train_fraction=fraction)


def parity(generalized, watched=100_000, fraction=0.9):
    return runs("x / y if y is odd, else x − y", generalized=generalized, watched=watched, train_fraction=fraction)


def needing(decay, *others, watched=100_000):
    """Nine methods at nine fractions, each generalizing from a fraction on: AdamW, and the eight others alike or each."""
    needed = dict(zip(METHODS, (decay, *(others * 8 if len(others) == 1 else others)), strict=True))
    parts = []
    for method in METHODS:
        for fraction in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
            at = [5000] * 3 if fraction >= needed[method] - 1e-9 else [None] * 3
            parts.append(runs(method, generalized=at, watched=watched, train_fraction=fraction))
    return together(*parts)


def decays(zero, initial, none, watched=100_000, fraction=0.9):
    named = zip(METHODS[:3], (zero, initial, none), strict=True)
    return together(*(runs(name, generalized=at, watched=watched, train_fraction=fraction) for name, at in named))


def noises(minibatch, full_batch, noisy_weights, noisy_updates, fraction=0.9):
    sides = {
        "Adam": minibatch,
        "Adam, full batch": full_batch,
        "Adam, weight noise": noisy_weights,
        "Adam, full batch, noise": noisy_updates,
    }
    return together(*(runs(name, generalized=at, train_fraction=fraction) for name, at in sides.items()))


RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)


def rates(*working, watched=100_000, at=4000):
    """Two seeds at each of five rates, those that work generalizing at these steps."""
    steps = dict(zip(working, at if isinstance(at, (list, tuple)) else [at] * len(working), strict=True))
    return together(
        *(
            runs(
                "AdamW",
                generalized=[steps[rate], steps[rate] + 200] if rate in steps else [None, None],
                watched=watched,
                learning_rate=rate,
            )
            for rate in RATES
        )
    )


def memorizing(*steps, count=3):
    at = list(steps) + [2000] * (9 - len(steps))
    return together(*(runs(method, memorized=[one] * count) for method, one in zip(METHODS, at, strict=True)))


def circles(circle_p, line_p, count=3):
    values = {"circle_score": 0.7, "circle_chance": 0.1, "circle_p": circle_p, "line_step": 8.0, "line_score": 0.7, "line_p": line_p}
    return runs(ADAMW, generalized=[3000] * count, watched=100_000, **values)


def cosets(kind, number, p, count=3, watched=100_000):
    values = {"coset_type": kind, "cosets": number, "coset_side": "xH", "coset_share": 0.4, "coset_chance": 0.1, "coset_p": p}
    return runs(ADAMW, generalized=[3000] * count, watched=watched, **values)


def clearer(with_decay, without):
    return together(
        runs(ADAMW, generalized=QUICK, circle_adjusted=with_decay), runs("Adam", generalized=QUICK[: len(without)], circle_adjusted=without)
    )


def wrong(by_count, watched=100_000):
    """Three seeds beside each number of wrong answers, generalized at these steps."""
    return together(*(runs("x / y", generalized=[at] * 3, watched=watched, outliers=float(count)) for count, at in by_count.items()))


def sharp(*slopes, count=12):
    """Sharpness against accuracy of three settings, alike or each with its slope; settings that rise lie lower the more accurate they are."""
    parts = []
    for place, slope in enumerate(slopes * 3 if len(slopes) == 1 else slopes):
        accuracy = np.linspace(0.1, 0.9, count)[place::3]
        parts.append(
            runs(
                METHODS[place],
                generalized=[None] * len(accuracy),
                sharpness=(5 + slope * accuracy).tolist(),
                validation_accuracy=accuracy.tolist(),
            )
        )
    return together(*parts)


def frequencies(count, restricted=1e-5, excluded=4.0, networks=3):
    counts = count if isinstance(count, list) else [count] * networks
    values = {
        "key_frequencies": list(map(float, counts)),
        "restricted_loss": restricted,
        "excluded_loss": excluded,
        "validation_loss": 2e-5,
    }
    return runs("one layer", generalized=[5000] * networks, watched=40_000, **values)


def against(first, at, second, other, watched=5_000):
    return together(runs(first, generalized=at, watched=watched), runs(second, generalized=other, watched=watched))


def muons(muon, adamw, quicker=None, tasks=("x + y", "x / y")):
    sides = (("Muon", muon), ("AdamW", adamw), ("AdamW at 3·10⁻³", adamw if quicker is None else quicker))
    return together(*(runs(f"{task}, {kind}", generalized=at) for task in tasks for kind, at in sides))


def norms(held, usual):
    """Delays of five runs a side, memorized at 100."""
    sides = (("norm held fixed", held), ("usual", usual))
    return together(
        *(runs(name, generalized=[round(100 * delay) + k for k in range(5)], memorized=[100] * 5, watched=15_000) for name, delay in sides)
    )


def unlearned(validation, train):
    return runs("35 % wrong, decay 15", generalized=QUICK, validation_accuracy=validation, train_accuracy=train)


FILTER, PLAIN = "with Grokfast (EMA)", "Adam, decay 0.005"
WINDOW, EQUAL = "with Grokfast (MA), decay 0.01", "Adam, decay 0.01"
LATE = [8000, 8100, 8200, 8300, 8400]
EXPONENTIAL = ("exponential",) * 4

CASES = {
    "C1": (runs(ADAM, memorized=[500, 520, 540, 560, 580]), runs(ADAM, memorized=[2000] * 5), runs(ADAM, memorized=[500] * 4)),
    "C2": (adam([600_000] * 5), adam([50_000] * 5), adam([None] * 5, watched=100_000)),
    "C3": (losses(5.0, 15.0, 6.0), losses(5.0, 6.0, 5.0, watched=1_000_000), losses(5.0, 15.0, 14.0)),
    "C4": (growing(1.45), growing(1.05), growing(1.45, count=1)),
    "C5": (memorized(900, 2000, 4000), memorized(4000, 2000, 900), memorized(900, 4000, fractions=(0.5, 0.8))),
    "C6": (final((1.0, 0.999, 1.0)), final((0.1, 1.0, 1.0)), final((1.0, 0.999, 1.0), count=4)),
    "C7": (laws(*EXPONENTIAL), laws(*["power"] * 4), laws("exponential", "exponential")),
    "C8": (pairs((QUICK, SLOW)), pairs((SLOW, QUICK)), pairs((QUICK[:2], SLOW[:2]))),
    "C9": (two_lines(0.01), two_lines(0.15), two_lines(0.03, scatter=0.2)),
    "C10": (cubic([None] * 3), cubic([5000] * 3), cubic([None] * 2)),
    "C11": (parity([5000, 6000, None]), parity([None] * 3), parity([None] * 3, watched=20_000)),
    "C13": (needing(0.2, 0.8), needing(0.5, 0.6), needing(0.5, 0.6).filter(pl.col("train_fraction") < 0.4)),
    "C14": (decays(QUICK, SLOW, NEVER), decays(SLOW, QUICK, NEVER), decays(QUICK, NEVER, NEVER)),
    "C15": (noises(QUICK, SLOW, QUICK, QUICK), noises(SLOW, QUICK, LATE, LATE), noises(NEVER, NEVER, NEVER, NEVER)),
    "C16": (rates(3e-4, 1e-3, 3e-3), rates(1e-4, 3e-4, 1e-3, 3e-3), rates(1e-4, 3e-4, 1e-3)),
    "C17": (memorizing(900), memorizing(100, count=9), memorizing(900).filter(pl.col("setting") != "Adam, full batch")),
    "C18": (circles(0.001, 0.001), circles(0.4, 0.5), circles(0.001, 0.001, count=2)),
    "C19": (cosets("dihedral(5)", 12.0, 0.001), cosets("cyclic(2)", 60.0, 0.001), cosets("dihedral(5)", 12.0, 0.3)),
    "C20": (
        clearer([0.5, 0.6, 0.7, 0.8, 0.9], [0.1, 0.2, 0.3, 0.35, 0.4]), clearer([0.1, 0.2, 0.3, 0.35, 0.4], [0.5, 0.6, 0.7, 0.8, 0.9]),
        clearer([0.5, 0.6, 0.7, 0.8, 0.9], [0.1, 0.2]),
    ),
    "C21": (delays(DELAYED), delays({0.25: None, 0.3: 1.2, 0.5: 8, 0.8: 30}), delays(DELAYED).filter(pl.col("seed") < 4)),
    "C23": (wrong({200: 5000, 2000: None}), wrong({200: None, 2000: None}), wrong({200: 5000, 2000: None}).filter(pl.col("seed") < 2)),
    "C24": (sharp(-4.0), sharp(4.0), sharp(-4.0, count=8)),
    "N1": (frequencies(5), frequencies(40), frequencies(5, networks=2)),
    "N2": (frequencies(5), frequencies(5, excluded=0.1), frequencies(5, networks=2)),
    "R1": (runs("MLP", memorized=[330, 335, 340, 345, 350]), runs("MLP", memorized=[5000] * 5), runs("MLP", memorized=[330] * 2)),
    "R2": (
        runs("MLP", generalized=[40_000, 80_000, 90_000, 120_000, 200_000], watched=250_000), runs("MLP", generalized=[40_000, 80_000, 90_000, 120_000, None], watched=250_000),
        runs("MLP", generalized=[None] * 5, watched=1_000),
    ),
    "F1": (against(FILTER, QUICK, PLAIN, NEVER), against(FILTER, NEVER, PLAIN, QUICK), against(FILTER, NEVER, PLAIN, NEVER)),
    "F2": (against(WINDOW, QUICK, EQUAL, NEVER), against(WINDOW, NEVER, EQUAL, QUICK), against(WINDOW, QUICK[:2], EQUAL, NEVER[:2])),
    "M1": (muons(QUICK, SLOW), muons(SLOW, QUICK), muons(QUICK[:2], SLOW[:2])),
    "O1": (norms(1.2, 30), norms(30, 1.2), norms(1.2, 1.2)),
    "D1": (
        runs("decay 5", generalized=[38, 39, 40, 41, 42]), runs("decay 5", generalized=[200, 210, 220, 230, 240]), runs("decay 5", generalized=[38, 39]),
    ),
    "D2": (unlearned(1.0, 0.65), unlearned(0.5, 0.65), unlearned([1.0, 1.0, 1.0, 0.9, 0.9], 0.65)),
}  # fmt: skip
"""Of every claim about runs, results that reproduce it, that refute it and that leave it undecided."""


def changed(table, column, value, *, seed=0, **where):
    """A table in which one run, or the runs with these values, have another result."""
    chosen = pl.col("seed") == seed if seed is not None else pl.lit(value=True)
    for name, wanted in where.items():
        chosen &= pl.col(name) == wanted
    assert table.filter(chosen).height
    return table.with_columns(pl.when(chosen).then(pl.lit(value)).otherwise(column).cast(table.schema[column]).alias(column))


def diverged(table, **where):
    """A table in which the runs with these values diverged; None: without a value."""
    chosen = pl.all_horizontal(pl.lit(value=True), *(pl.col(name).eq_missing(wanted) for name, wanted in where.items()))
    return table.with_columns(status=pl.when(chosen).then(pl.lit("diverged")).otherwise("status"))


def later(table, by=20):
    """The same runs under other seeds."""
    return table.with_columns(seed=pl.col("seed") + by)


def unlike(draw, parts, usual, other):
    """As many parts as asked for, one of them, drawn by chance, unlike all others."""
    found = [usual] * parts
    found[draw.randrange(parts)] = other
    return found


def fourth_law(draw, kind):
    return laws(*unlike(draw, 4, "exponential", kind))


def bent(draw):
    """A law of 45 % a percent over all, twice as steep in one half and flat in the other."""
    fractions, logs = (0.25, 0.27, 0.28, 0.3), (0.0, 0.1, 0.86, 1.86)
    ends = [round(20_000 * np.exp(1.86 - log)) for log in logs]
    return together(
        *(
            runs("x · y in S₅", generalized=[round(at * s) for s in (0.99, 1.0, 1.01, 1.02)], watched=10**6, train_fraction=f)
            for f, at in zip(fractions, ends, strict=True)
        )
    )


CONTRADICTIONS = {
    "C1": {
        "a quarter of twenty are late": lambda draw: runs(ADAM, memorized=[300] * 15 + [draw.choice([5000, None])] * 5),
        "five runs of one seed": lambda draw: CASES["C1"][0].with_columns(seed=pl.lit(draw.randrange(9))),
        "one of five is late": lambda draw: changed(CASES["C1"][0], "memorized_at", 2000, seed=draw.randrange(5)),
        "one of five never": lambda draw: changed(CASES["C1"][0], "memorized_at", None, seed=draw.randrange(5)),
        "five rows of one seed": lambda draw: together(*[runs(ADAM, memorized=[500])] * 5),
    },
    "C2": {
        "a quarter of twenty never": lambda draw: adam([600_000] * 15 + [None] * 5),
        "near perfect long before": lambda draw: adam([draw.choice([120_000, 300_000])] * 5),
        "one of unknown accuracy": lambda draw: changed(
            adam([600_000] * 5), "best_validation_accuracy_to_100000", draw.choice([None, float("nan")]), seed=draw.randrange(5)
        ),
        "one has 30 % early": lambda draw: changed(adam([600_000] * 5), "best_validation_accuracy_to_100000", 0.3, seed=draw.randrange(5)),
        "one generalizes early and stops": lambda draw: changed(
            changed(adam([600_000] * 6), "best_validation_accuracy_to_100000", None, seed=5), "generalized_at", 50_000, seed=5
        ),
        "60 % early, near perfect late": lambda draw: adam([600_000] * 6, early=0.6),
        "one never gets there": lambda draw: changed(adam([600_000] * 5), "generalized_at", None, seed=draw.randrange(5)),
    },
    "C3": {
        "some diverged": lambda draw: together(losses(5.0, 15.0, 6.0), diverged(later(losses(5.0, draw.choice([6.0, float("inf")]), 6.0, watched=3000)))),
        "of some nothing is known": lambda draw: together(losses(5.0, 15.0, 6.0), later(losses(5.0, None, None))),
        "infinite": lambda draw: losses(5.0, float("inf"), 6.0),
        "one does not fall": lambda draw: changed(losses(5.0, 15.0, 6.0), "loss_after_peak", 14.0, seed=draw.randrange(3)),
        "one does not rise": lambda draw: changed(losses(5.0, 15.0, 6.0), "loss_at_first", 14.0, seed=draw.randrange(3)),
        "all rise, one tells no fall yet": lambda draw: together(losses(5.0, 15.0, 6.0), losses(5.0, 15.0, 15.0).with_columns(seed=pl.col("seed") + 5)),
    },
    "C4": {
        "the smallest never": lambda draw: together(
            growing(1.45, (0.26, 0.27, 0.28, 0.3)), runs("x · y in S₅", generalized=[None] * 4, watched=10**7, train_fraction=0.25)
        ),
        "steep in one half, flat in the other": bent,
        "one fraction as easy as the next": lambda draw: together(
            growing(1.45, (0.25, 0.27)), growing(1.0, (0.28,)), growing(1.45, (0.3,))
        ),
    },
    "C5": {
        "few seeds outside at one fraction": lambda draw: together(
            memorized(900, 2000, 4000), runs("x · y in S₅", memorized=[50_000] * draw.randint(1, 4), watched=100_000, train_fraction=0.6)
        ),
        "few seeds out of order": lambda draw: together(
            memorized(900, 2000, 4000), runs("x · y in S₅", memorized=[9000] * draw.randint(2, 4), train_fraction=0.6)
        ),
        "out of order after 6,000 steps": lambda draw: memorized(900, 19_000, 7000).with_columns(steps=pl.lit(50_000), evaluated_at=pl.lit(50_000)),
        "never with most data": lambda draw: together(memorized(900, 2000, 4000), runs("x · y in S₅", memorized=NEVER, watched=100_000, train_fraction=0.9)),
        "longer in the middle than with more data": lambda draw: memorized(900, draw.choice([5500, 5800]), 4000),
        "sooner at one fraction than with less data": lambda draw: memorized(900, 600, 4000),
        "outside at one fraction": lambda draw: memorized(300, 2000, 4000),
        "two fractions, no trend": lambda draw: memorized(900, 4000, fractions=(0.5, 0.8)),
    },
    "C6": {
        "99 % and not 100 % at one fraction": lambda draw: final(unlike(draw, 3, 1.0, 0.991)),
        "unknown at one fraction": lambda draw: final(unlike(draw, 3, 1.0, float("nan"))),
        "few seeds out of order": lambda draw: together(
            final((1.0, 1.0, 1.0)), runs("x · y in S₅", generalized=[500] * 2, watched=100_000, train_fraction=0.65, validation_accuracy=1.0)
        ),
        "never within the range": lambda draw: together(
            final((1.0, 1.0, 1.0)), runs("x · y in S₅", generalized=NEVER, watched=100_000, train_fraction=0.75, validation_accuracy=0.1)
        ),
        "a single run within the range is lost": lambda draw: together(
            final((1.0, 1.0, 1.0)), runs("x · y in S₅", generalized=[7000], watched=20_000, train_fraction=0.65, validation_accuracy=0.1)
        ),
        "one seed ends below": lambda draw: changed(
            final((1.0, 1.0, 1.0)), "validation_accuracy", 0.9, seed=draw.randrange(5), train_fraction=draw.choice([0.6, 0.7, 0.8])
        ),
        "one seed of unknown end": lambda draw: changed(final((1.0, 1.0, 1.0)), "validation_accuracy", None, seed=2, train_fraction=0.7),
        "they stop once they are there": lambda draw: final((1.0, 1.0, 1.0), watched=9_000),
        "time grows with data": lambda draw: final((1.0, 1.0, 1.0), fractions=(0.8, 0.7, 0.6)).with_columns(
            generalized_at=pl.col("generalized_at").reverse()
        ),
    },
    "C7": {
        "one task grows in proportion": lambda draw: fourth_law(draw, "linear"),
        "one task grows ever less": lambda draw: fourth_law(draw, "saturating"),
        "few seeds of one task": lambda draw: together(
            laws(*EXPONENTIAL), laws("power").filter(pl.col("seed") < draw.choice([1, 2])).with_columns(setting=pl.lit("another"))
        ),
        "one fraction of one task out of trend": lambda draw: changed(
            laws(*EXPONENTIAL), "generalized_at", draw.choice([300, None]), seed=None, setting="task 2", train_fraction=draw.choice([0.5, 0.7])
        ),
        "one task follows a power law": lambda draw: fourth_law(draw, "power"),
        "one task is sooner with less data": lambda draw: fourth_law(draw, "falling"),
        "one task has too few fractions": lambda draw: together(
            laws(*EXPONENTIAL), *(runs("another", generalized=[4000] * 3, train_fraction=f) for f in (0.5, 0.9))
        ),
        "one task alike under both": lambda draw: together(
            laws(*EXPONENTIAL),
            *(runs("another", generalized=[round(900 / f), round(3000 / f), round(9000 / f)], watched=10**7, train_fraction=f) for f in (0.6, 0.65, 0.7, 0.75)),
        ),
    },
    "C8": {
        "few seeds reversed at another fraction": lambda draw: together(
            pairs((QUICK, SLOW)), runs("x + y", generalized=SLOW[:4], train_fraction=0.4), runs("x − y", generalized=QUICK[:4], train_fraction=0.4)
        ),
        "all of one counterpart diverged": lambda draw: diverged(
            pairs(*unlike(draw, 3, (QUICK, SLOW), (QUICK, NEVER))), generalized_at=None
        ),
        "one pair reversed": lambda draw: pairs(*unlike(draw, 3, ([1000 + k for k in range(10)], [3000 + k for k in range(10)]), ([3000 + k for k in range(10)], [1000 + k for k in range(10)]))),
        "one pair never generalizes": lambda draw: pairs(*unlike(draw, 3, (QUICK, SLOW), (NEVER, NEVER))),
        "one pair alike": lambda draw: pairs(*unlike(draw, 3, (QUICK, SLOW), (QUICK, QUICK))),
        "one pair not run": lambda draw: pairs((QUICK, SLOW)).filter(pl.col("setting") != draw.choice(PAIRS)[1]),
        "reversed at another fraction": lambda draw: together(
            pairs((QUICK, SLOW)), runs("x + y", generalized=SLOW, train_fraction=0.4), runs("x − y", generalized=QUICK, train_fraction=0.4)
        ),
        "quick ones alone are whole": lambda draw: together(
            pairs((QUICK, SLOW)),
            runs("x + y", generalized=NEVER * 2, watched=900, train_fraction=0.5, seed=list(range(5, 15))),
            runs("x − y", generalized=[500] * 10, train_fraction=0.5, seed=list(range(5, 15))),
        ),
    },
    "C9": {
        "apart at a third fraction": lambda draw: together(
            two_lines(0.01),
            runs("x − y", generalized=NEVER, watched=100_000, train_fraction=0.3),
            runs("x / y", generalized=SLOW, watched=100_000, train_fraction=0.3),
        ),
        "opposite at the two fractions": lambda draw: two_lines(*draw.choice([(0.1, -0.1), (-0.1, 0.1)]), scatter=0.005),
        "apart at one fraction": lambda draw: two_lines(*draw.choice([(0.08, 0.0), (0.0, 0.08)]), scatter=0.002),
    },
    "C10": {
        "one of unknown accuracy": lambda draw: changed(
            cubic([None] * 3), "best_validation_accuracy", draw.choice([None, float("nan")]), seed=draw.randrange(3)
        ),
        "not tried at 95 %": lambda draw: cubic([None] * 3, fraction=0.9),
        "one seed was trained twice": lambda draw: together(cubic([None] * 3), cubic([90_000])),
        "one seed generalizes": lambda draw: changed(cubic([None] * 3), "generalized_at", 60_000, seed=draw.randrange(3)),
        "one run nearly does, with less data": lambda draw: together(
            cubic([None] * 3), cubic([None], fraction=0.8).with_columns(best_validation_accuracy=pl.lit(0.97))
        ),
        "one seed diverged": lambda draw: changed(cubic([None] * 3), "status", "diverged", seed=draw.randrange(3)),
        "one seed stopped early": lambda draw: changed(cubic([None] * 3), "steps", 20_000, seed=draw.randrange(3)),
    },
    "C11": {
        "two fail at a larger fraction": lambda draw: together(parity([5000] * 3, fraction=0.5), parity([None] * 2)),
        "after more steps": lambda draw: parity([150_000] * 3, watched=200_000),
        "works at one fraction, not at a larger one": lambda draw: together(parity([5000] * 3, fraction=0.5), parity([None] * 3)),
        "those that stopped early are runs too": lambda draw: together(
            parity([5000, 6000]), parity([None, None], watched=900).with_columns(seed=pl.col("seed") + 2)
        ),
        "one of three": lambda draw: parity([5000, None, None], watched=50_000),
    },
    "C13": {
        "AdamW fails again at a larger fraction": lambda draw: changed(
            needing(0.2, 0.8), "generalized_at", None, seed=None, setting=ADAMW, train_fraction=draw.choice([0.4, 0.5, 0.9])
        ),
        "all others diverged": lambda draw: together(
            needing(0.2, 0.8).filter(pl.col("setting") == ADAMW), diverged(needing(0.2, 2.0).filter(pl.col("setting") != ADAMW))
        ),
        "half of the others need no more": lambda draw: needing(0.2, *draw.sample([0.8] * 4 + [0.3] * 4, 8)),
        "less data, but not half": lambda draw: needing(0.4, 0.7),
        "the others had fewer steps": lambda draw: needing(0.2, 0.8, watched=20_000),
    },
    "C14": {
        "few seeds reversed at another fraction": lambda draw: together(
            decays(QUICK, SLOW, NEVER), decays(SLOW, QUICK, NEVER, fraction=0.7).filter(pl.col("seed") < 4)
        ),
        "without decay all diverged": lambda draw: diverged(decays(QUICK, SLOW, NEVER), setting="Adam"),
        "helps as much as towards zero": lambda draw: decays(QUICK, QUICK, NEVER),
        "does not help": lambda draw: decays(QUICK, SLOW, SLOW),
        "reversed at another fraction": lambda draw: together(decays(QUICK, SLOW, NEVER), decays(SLOW, QUICK, NEVER, fraction=0.7)),
        "a small budget makes it help": lambda draw: decays([1905, 2089, 2754, 3311, 3981], [6918, 8318, 17378, 19055, None], NEVER, watched=20_000),
    },
    "C15": {
        "few seeds harmed at another fraction": lambda draw: together(
            noises(QUICK, SLOW, QUICK, QUICK), noises(SLOW, QUICK, SLOW, SLOW, fraction=0.7).filter(pl.col("seed") < 4)
        ),
        "one kind harms": lambda draw: noises(QUICK, SLOW, *draw.choice([(SLOW, QUICK), (QUICK, LATE), (SLOW, SLOW)])),
        "it harms at another fraction": lambda draw: together(
            noises(QUICK, SLOW, QUICK, SLOW), noises(SLOW, QUICK, SLOW, QUICK, fraction=0.7)
        ),
        "a small budget makes it help": lambda draw: noises([5000, 6000, 7000, 8000, None], NEVER, NEVER, NEVER),
    },
    "C16": {
        "one seed of a rate far away": lambda draw: together(
            rates(3e-4, 1e-3, 3e-3), runs("AdamW", generalized=[4000], watched=100_000, learning_rate=draw.choice([0.03, 3e-5]))
        ),
        "four rates work": lambda draw: rates(1e-4, 3e-4, 1e-3, 3e-3, at=(50_000, 15_000, 5_000, 5_000)),
        "the slow rates had few steps": lambda draw: rates(3e-4, 1e-3, 3e-3, watched=20_000),
        "one between them fails": lambda draw: rates(3e-4, 3e-3),
        "half of the seeds of another": lambda draw: changed(rates(3e-4, 1e-3, 3e-3), "generalized_at", 9000, learning_rate=draw.choice([1e-4, 1e-2])),
    },
    "C17": {
        "one way is too quick": lambda draw: memorizing(*unlike(draw, 9, 2000, 100), count=draw.choice([3, 9])),
        "one run of one way is": lambda draw: changed(memorizing(900), "memorized_at", 300, seed=draw.randrange(3), setting=draw.choice(METHODS)),
        "one way has not memorized": lambda draw: changed(memorizing(900), "memorized_at", None, seed=None, setting=draw.choice(METHODS)),
        "one way was not run": lambda draw: memorizing(900).filter(pl.col("setting") != draw.choice(METHODS)),
    },
    "C18": {
        "others were not measured": lambda draw: together(circles(0.001, 0.001), later(circles(draw.choice([None, float("nan")]), 0.001))),
        "a line just missed": lambda draw: circles(0.001, 0.051),
        "one network without a line": lambda draw: changed(circles(0.001, 0.001), "line_p", 0.4, seed=draw.randrange(3)),
        "one network without a circle": lambda draw: changed(circles(0.001, 0.001), "circle_p", 0.4, seed=draw.randrange(3)),
        "circles and no lines": lambda draw: circles(0.001, 0.4),
    },
    "C19": {
        "others were not measured": lambda draw: together(cosets("dihedral(5)", 12.0, 0.001), later(cosets("dihedral(5)", 12.0, None))),
        "one network has another": lambda draw: changed(
            changed(cosets("dihedral(5)", 12.0, 0.001), "coset_type", "dihedral(3)", seed=1), "cosets", 20.0, seed=1
        ),
        "one is not sure": lambda draw: changed(cosets("dihedral(5)", 12.0, 0.001), "coset_p", 0.3, seed=draw.randrange(3)),
        "twelve cosets of another kind": lambda draw: cosets("cyclic(10)", 12.0, 0.001),
    },
    "C20": {
        "one of unknown structure": lambda draw: clearer([0.5, 0.6, 0.7, 0.8, 0.9], [0.1, 0.2, 0.3, 0.35, float("nan")]),
        "alike": lambda draw: clearer([0.5] * 5, [0.5] * 5),
        "most alike, ties": lambda draw: clearer([0.5, 0.5, 0.5, 0.9, 0.9], [0.5, 0.5, 0.5, 0.5, 0.5]),
        "one without decay is clearest": lambda draw: clearer([0.5, 0.55, 0.6, 0.65, 0.7], [0.1, 0.2, 0.3, 0.95, 0.9]),
    },
    "C21": {
        "few seeds have a larger delay": lambda draw: together(
            delays(DELAYED), runs("x · y in S₅", memorized=[1000] * 4, generalized=[90_000] * 4, watched=100_000, train_fraction=0.6)
        ),
        "none generalizes in the middle": lambda draw: delays(DELAYED | {0.5: None}),
        "not closely with the most data": lambda draw: delays(DELAYED | {0.9: draw.choice([3, 10, None])}),
        "validation long before training": lambda draw: delays(DELAYED | {0.8: 0.3}),
        "no delay anywhere": lambda draw: delays({0.25: None, 0.3: 1.25, 0.5: 1.24, 0.8: 1.2}),
        "largest in the middle": lambda draw: delays(DELAYED | {0.5: draw.choice([60, 90])}),
        "none generalizes where data are few": lambda draw: delays({0.25: None, 0.5: None, 0.8: 1.2}),
        "not closely with more data": lambda draw: delays(DELAYED | {0.8: 3}),
        "far from the smallest fraction": lambda draw: delays({0.25: None, 0.6: 8, 0.8: 1.2}),
        "less data were not tried": lambda draw: delays({0.3: 30, 0.8: 1.2}),
        "less data had few steps": lambda draw: together(delays({0.25: None}, watched=20_000), delays({0.3: 30, 0.5: 8, 0.8: 1.2})),
    },
    "C23": {
        "beside the most all diverged": lambda draw: diverged(wrong({200: 5000, 2000: None}), outliers=2000.0),
        "two seeds fail beside fewer": lambda draw: together(wrong({200: 5000, 2000: None}), wrong({50: None}).filter(pl.col("seed") < 2)),
        "two seeds work beside more again": lambda draw: together(
            wrong({200: 5000, 1000: None, 2000: None}), wrong({1500: 5000}).filter(pl.col("seed") < 2)
        ),
        "too many had few steps": lambda draw: wrong({200: 5000, 2000: None}, watched=10_000),
        "fails beside fewer": lambda draw: wrong({50: None, 200: 5000, 2000: None}),
        "works beside more again": lambda draw: wrong({200: 5000, 1000: None, 2000: 5000}),
        "generalizes without memorizing": lambda draw: changed(wrong({200: 5000, 2000: None}), "memorized_at", None, seed=None, outliers=200.0),
        "no point was seen": lambda draw: wrong({200: 5000, 2000: 5000}),
    },
    "C24": {
        "four runs of one setting rise": lambda draw: together(
            sharp(-4.0, count=24),
            runs("another", generalized=[None] * 4, sharpness=[5.0, 6.0, 7.0, 8.0], validation_accuracy=[0.1, 0.3, 0.6, 0.9]),
        ),
        "one setting rises": lambda draw: sharp(*unlike(draw, 3, -4.0, 4.0), count=24),
        "between settings, not within": lambda draw: sharp(4.0, count=24).with_columns(
            sharpness=pl.col("sharpness") + 20 * pl.col("setting").replace_strict(dict(zip(METHODS[:3], (0, 1, 2), strict=True)), return_dtype=pl.Float64),
            validation_accuracy=pl.col("validation_accuracy") - 5 * pl.col("setting").replace_strict(dict(zip(METHODS[:3], (0, 1, 2), strict=True)), return_dtype=pl.Float64),
        ),
    },
    "N1": {
        "others were not measured": lambda draw: together(frequencies(5), later(frequencies(5).with_columns(key_frequencies=pl.lit(float("nan"))))),
        "one network has forty": lambda draw: frequencies(unlike(draw, 3, 5, 40)),
        "one network has one": lambda draw: frequencies(unlike(draw, 4, 4, 1), networks=4),
    },
    "N2": {
        "others were not measured": lambda draw: together(frequencies(5), later(frequencies(5, restricted=draw.choice([None, float("nan")])))),
        "one knows something without": lambda draw: frequencies(5, excluded=unlike(draw, 3, 4.0, 0.1)),
        "one loses something": lambda draw: frequencies(5, restricted=unlike(draw, 3, 1e-5, 1e-2)),
    },
    "R1": {
        "five runs of one seed": lambda draw: CASES["R1"][0].with_columns(seed=pl.lit(3)),
        "one of five is late": lambda draw: changed(CASES["R1"][0], "memorized_at", 5000, seed=draw.randrange(5)),
        "one of five never": lambda draw: changed(CASES["R1"][0], "memorized_at", None, seed=draw.randrange(5)),
        "one of five is early": lambda draw: changed(CASES["R1"][0], "memorized_at", 50, seed=draw.randrange(5)),
    },
    "R2": {
        "one does not": lambda draw: changed(CASES["R2"][0], "generalized_at", None, seed=draw.randrange(5)),
        "one is far too early": lambda draw: changed(CASES["R2"][0], "generalized_at", 5_000, seed=draw.randrange(5)),
        "one stopped early": lambda draw: together(CASES["R2"][0], runs("MLP", generalized=[None], watched=9_000, seed=[9])),
        "one diverged": lambda draw: changed(
            changed(CASES["R2"][0], "generalized_at", None, seed=3), "status", "diverged", seed=3
        ),
    },
    "F1": {
        "without it all diverged": lambda draw: diverged(against(FILTER, QUICK, PLAIN, NEVER), setting=PLAIN),
        "as quick without, with the same decay": lambda draw: together(against(FILTER, QUICK, PLAIN, QUICK), runs(EQUAL, generalized=NEVER)),
        "the other side was watched for less": lambda draw: together(
            runs(FILTER, generalized=QUICK, watched=5_000), runs(PLAIN, generalized=NEVER, watched=draw.choice([300, 900]))
        ),
        "one with the filter never": lambda draw: against(FILTER, [1000, 1100, 1200, 1300, None], PLAIN, NEVER),
    },
    "F2": {
        "without it all diverged": lambda draw: diverged(against(WINDOW, QUICK, EQUAL, NEVER), setting=EQUAL),
        "as quick with the same decay": lambda draw: together(against(WINDOW, QUICK, EQUAL, QUICK), runs(PLAIN, generalized=NEVER)),
        "against another decay alone": lambda draw: against(WINDOW, QUICK, PLAIN, NEVER),
        "three seeds with the same decay": lambda draw: together(against(WINDOW, QUICK, EQUAL, NEVER[:3]), runs(PLAIN, generalized=SLOW)),
    },
    "M1": {
        "all of one side diverged": lambda draw: diverged(
            changed(muons(QUICK, SLOW), "generalized_at", None, seed=None, setting="x / y, AdamW"), setting="x / y, AdamW"
        ),
        "one task reversed": lambda draw: together(muons(QUICK, SLOW, tasks=("x + y",)), muons(SLOW, QUICK, tasks=("x / y",))),
        "as quick at the same rate": lambda draw: muons(QUICK, SLOW, QUICK),
        "one task not run": lambda draw: muons(QUICK, SLOW, tasks=(draw.choice(["x + y", "x / y"]),)),
    },
    "O1": {
        "the usual recipe has hardly a delay": lambda draw: norms(1.0, draw.choice([1.3, 1.9])),
        "validation long before training": lambda draw: norms(0.3, 30),
        "smaller, but not at once": lambda draw: norms(3, 30),
        "no usual delay": lambda draw: norms(1.2, 1.2),
        "one does not memorize": lambda draw: changed(
            changed(norms(1.2, 30), "memorized_at", None, seed=2, setting="norm held fixed"), "generalized_at", None, seed=2, setting="norm held fixed"
        ),
    },
    "D1": {
        "a quarter of twenty never": lambda draw: runs("decay 5", generalized=[40] * 15 + [None] * 5),
        "five runs of one seed": lambda draw: CASES["D1"][0].with_columns(seed=pl.lit(3)),
        "one of unknown accuracy": lambda draw: changed(CASES["D1"][0], "best_validation_accuracy", None, seed=draw.randrange(5)),
        "one is late": lambda draw: changed(CASES["D1"][0], "generalized_at", 200, seed=draw.randrange(5)),
        "one has not all cells": lambda draw: changed(CASES["D1"][0], "best_validation_accuracy", 0.991, seed=draw.randrange(5)),
    },
    "D2": {
        "one of unknown accuracy": lambda draw: changed(
            unlearned(1.0, 0.65), draw.choice(["validation_accuracy", "train_accuracy"]), draw.choice([None, float("nan")]), seed=draw.randrange(5)
        ),
        "four without decay do not fit either": lambda draw: together(
            unlearned(1.0, 0.65), runs("35 % wrong, decay 0", generalized=QUICK[:4], validation_accuracy=1.0, train_accuracy=0.65)
        ),
        "one does not find the rule": lambda draw: changed(unlearned(1.0, 0.65), "validation_accuracy", 0.9, seed=draw.randrange(5)),
        "one fits the labels": lambda draw: changed(unlearned(1.0, 0.65), "train_accuracy", 0.9, seed=draw.randrange(5)),
        "not fitted without decay either": lambda draw: together(
            unlearned(1.0, 0.65), runs("35 % wrong, decay 0", generalized=QUICK, validation_accuracy=1.0, train_accuracy=0.65)
        ),
    },
}  # fmt: skip
"""Of every claim about runs, results of which one part contradicts the sentence while all others support it."""
