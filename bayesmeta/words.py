"""Numbers as text: one rule each for estimates, intervals, p-values, probabilities and percentages; lines of tables."""

import math
import textwrap
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

from bayesmeta.values import Interval

DAGGER = "†"
CAP = 0.999
CAP_DECIMALS = 3
DASH = "–"
# Columns of a terminal that tables and notes are folded to.
WIDTH = 118

INTERVAL_WORDS = {
    "confidence": "confidence interval",
    "credible": "credible interval",
    "prediction": "prediction interval",
    "posterior prediction": "posterior prediction interval",
}


def number(value: float | None, digits: int = 3) -> str:
    """Return `value` with `digits` significant digits and no exponent where it can be avoided.

    Examples
    --------
    >>> number(2.8749), number(0.0391), number(252.3), number(0.0), number(None)
    ('2.87', '0.0391', '252', '0.00', '–')
    """
    if value is None:
        return DASH
    if math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return f"{0:.{digits - 1}f}"
    rounded = float(f"{value:.{digits - 1}e}")
    magnitude = math.floor(math.log10(abs(rounded)))
    if not -5 < magnitude < 6:
        return f"{value:.{digits - 1}e}"
    return f"{rounded:.{max(0, digits - 1 - magnitude)}f}"


def digits(value: float | None, error: float | None, most: int = 3) -> int:
    """Return how many significant digits of `value` to print so that none is finer than its error.

    Examples
    --------
    >>> digits(2.97, 0.017), digits(0.4441, 0.004), digits(2.97, None), digits(0.004, 0.1)
    (2, 2, 3, 1)
    """
    if value is None or not error or not math.isfinite(value) or not math.isfinite(error) or value == 0:
        return most
    magnitude = math.floor(math.log10(abs(value)))
    return min(most, max(1, magnitude - math.ceil(math.log10(error)) + 1))


def supported(value: float, error: float | None, most: int = 3) -> str:
    """Return a figure as text with no digit finer than its error, a 0 where the error leaves none.

    Examples
    --------
    >>> supported(2.9749, 0.017), supported(0.0021, 0.0146), supported(-0.08, 0.02), supported(0.0021, None)
    ('3.0', '0.0', '-0.1', '0.00210')
    """
    if error and math.isfinite(error) and math.isfinite(value):
        place = math.ceil(math.log10(error))
        if abs(value) < 10.0**place:
            return f"{round(value, -place) + 0.0:.{max(0, -place)}f}"
    return number(value, digits(value, error, most))


def small_number(value: float | None, decimals: int = 2) -> str:
    """Return `value` with fixed decimals, for tau and its like; tiny positive values as ``<0.01``.

    Examples
    --------
    >>> small_number(0.337), small_number(0.0), small_number(0.0004)
    ('0.34', '0', '<0.01')
    """
    if value is None or not math.isfinite(value):
        return number(value)
    if value == 0:
        return "0"
    if 0 < value < 0.5 * 10.0**-decimals:
        return f"<{10.0**-decimals:.{decimals}f}"
    return f"{value:.{decimals}f}" if abs(value) < 10 else number(value)


def percent(value: float | None, decimals: int = 1) -> str:
    """Return a percentage, e.g. ``41.7%``."""
    return DASH if value is None else f"{value:.{decimals}f}%"


def p_value(value: float | None, decimals: int = 3) -> str:
    """Return a p-value as journals print it.

    Examples
    --------
    >>> p_value(0.0337), p_value(0.00002), p_value(None), p_value(0.0337, 1)
    ('0.034', '<0.001', '–', '<0.1')
    """
    if value is None:
        return DASH
    least = 10.0 ** -max(decimals, 1)
    return f"<{least:g}" if value < least else f"{value:.{max(decimals, 1)}f}"


def probability_text(value: float | None, decimals: int = 3) -> str:
    """Return a posterior probability, capped: no posterior probability is printed as 0 or 1.

    Examples
    --------
    >>> probability_text(0.98605), probability_text(0.99999), probability_text(0.0), probability_text(None)
    ('0.986', '>0.999', '<0.001', '–')
    >>> probability_text(0.997, 2), probability_text(0.002, 2), probability_text(1.0, 1)
    ('>0.99', '<0.01', '>0.9')
    """
    if value is None:
        return DASH
    decimals = max(decimals, 1)
    if decimals >= CAP_DECIMALS and not 1 - CAP <= value <= CAP:
        return f">{CAP}" if value > CAP else f"<{1 - CAP:.3f}"
    rounded = f"{value:.{decimals}f}"
    # With few digits, rounding alone would print a 0 or a 1.
    if float(rounded) in (0.0, 1.0):
        return f">{1 - 10.0**-decimals:.{decimals}f}" if float(rounded) else f"<{10.0**-decimals:.{decimals}f}"
    return rounded


def spread_decimals(low: float, high: float) -> int:
    """Return how many decimals a probability has in a sentence that knows its range over several priors.

    Two digits of the range, at most three decimals: where priors move the first decimal, the third says nothing.

    Examples
    --------
    >>> spread_decimals(0.791, 0.946), spread_decimals(0.954, 0.995), spread_decimals(0.9, 0.9)
    (2, 3, 3)
    """
    spread = high - low
    return CAP_DECIMALS if spread <= 0 else min(CAP_DECIMALS, max(1, math.ceil(-math.log10(spread)) + 1))


def interval_text(low: float | None, high: float | None, digits: int = 3) -> str:
    """Return ``low to high``; a dash where there is none."""
    if low is None or high is None:
        return DASH
    return f"{number(low, digits)} to {number(high, digits)}"


def level_text(level: float) -> str:
    """Return e.g. ``95%``; 99.9% keeps its decimal."""
    return f"{100 * level:.6g}%"


def interval_name(interval: Interval) -> str:
    """Return e.g. ``95% credible interval``."""
    return f"{level_text(interval.level)} {INTERVAL_WORDS[interval.kind]}"


def round_like(value: float, printed: str) -> str:
    """Return `value` rounded half up to as many decimals as `printed` shows.

    Examples
    --------
    >>> round_like(0.38541, "0.39"), round_like(43.27, "43"), round_like(2.0, "2.00")
    ('0.39', '43', '2.00')
    """
    decimals = len(printed.partition(".")[2])
    return str(Decimal(value).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP))


def counted(n: int, noun: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "study"), counted(3, "study"), counted(2, "subgroup")
    ('1 study', '3 studies', '2 subgroups')
    """
    if n == 1:
        return f"1 {noun}"
    return f"{n} {noun.removesuffix('y')}ies" if noun.endswith("y") else f"{n} {noun}s"


def stopped(sentence: str) -> str:
    """Return a sentence with one full stop at its end, also where it ends with the label ``Smith et al.``.

    Examples
    --------
    >>> stopped("without Smith et al."), stopped("without Smith 2001")
    ('without Smith et al.', 'without Smith 2001.')
    """
    said = sentence.rstrip()
    return said if said.endswith((".", "!", "?")) else f"{said}."


def joined(words: "list[str] | tuple[str, ...]") -> str:
    """Return ``a, b and c``.

    Examples
    --------
    >>> joined(["a", "b", "c"])
    'a, b and c'
    """
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of a table: the first column to the left, the others to the right.

    Examples
    --------
    >>> for line in aligned(("event", "p"), [("OR < 1", "0.98"), ("OR < 0.8", "0.9")]):
    ...     print(line)
    event        p
    OR < 1    0.98
    OR < 0.8   0.9
    """
    table = [heads, *rows]
    widths = [max(len(row[j]) for row in table) for j in range(len(heads))]
    lines = []
    for row in table:
        cells = [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    return lines


def folded(sentence: str, width: int = WIDTH) -> list[str]:
    """Return a sentence in lines that fit the terminal."""
    return textwrap.wrap(sentence, width) or [""]
