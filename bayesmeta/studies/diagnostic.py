"""Diagnostic 2x2 tables: what a test said of people with and without the disease."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bayesmeta.errors import DataError
from bayesmeta.studies.effect_sizes import EffectSizes
from bayesmeta.studies.labels import check_labels, kept, labels
from bayesmeta.values import Array, Travels, column

CELLS = ("tp", "fp", "fn", "tn")
OUTCOMES = ("sensitivity", "specificity")


@dataclass(frozen=True, slots=True, eq=False)
class DiagnosticTable(Travels):
    """True and false positives and negatives of ``k`` studies of one test.

    Parameters
    ----------
    tp, fn
        ``(k,)`` people with the disease that the test found, and that it missed: whole numbers ``>= 0``.
    fp, tn
        ``(k,)`` people without the disease that the test called ill, and healthy.
    study
        ``(k,)`` unique labels; numbered when not given.

    Raises
    ------
    DataError
        If lengths differ, a count is no whole number ``>= 0``, or a study has nobody with, or nobody without, the
        disease.
    """

    tp: Array
    fp: Array
    fn: Array
    tn: Array
    study: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        arrays = {name: column(name, getattr(self, name)) for name in CELLS}
        study = labels(self.study, len(arrays["tp"]))
        check_labels(study, {name: len(values) for name, values in arrays.items()})
        for name, values in arrays.items():
            bad = ~(np.isfinite(values) & (values >= 0) & (values == np.floor(values)))
            if bad.any():
                i = int(np.argmax(bad))
                raise DataError(f"Study {study[i]!r}: {name} is {values[i]:g}; a count must be a whole number >= 0.")
            object.__setattr__(self, name, values)
        for one, other, who in (("tp", "fn", "with"), ("fp", "tn", "without")):
            empty = arrays[one] + arrays[other] == 0
            if empty.any():
                raise DataError(
                    f"Study {study[int(np.argmax(empty))]!r} has nobody {who} the disease ({one} and {other} are 0): "
                    "it says nothing of one of the two. Leave it out."
                )
        object.__setattr__(self, "study", study)

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.study)

    def drop(self, study: Iterable[str]) -> "DiagnosticTable":
        """Return the tables without the studies named."""
        keep = kept(self.study, study)
        names = tuple(label for label, stays in zip(self.study, keep, strict=True) if stays)
        return DiagnosticTable(self.tp[keep], self.fp[keep], self.fn[keep], self.tn[keep], names)

    def logits(self) -> EffectSizes:
        """Return the logits of sensitivity and specificity, two rows a study, with their sampling variances.

        0.5 is added to all four cells of every study if any study has a cell of 0 (Reitsma et al. 2005, J. Clin.
        Epidemiol. 58:982-990, as R's mada does it).
        """
        add = 0.5 if min(float(getattr(self, name).min()) for name in CELLS) == 0.0 else 0.0
        tp, fp, fn, tn = (getattr(self, name) + add for name in CELLS)
        y = np.column_stack([np.log(tp / fn), np.log(tn / fp)]).ravel()
        v = np.column_stack([1.0 / tp + 1.0 / fn, 1.0 / tn + 1.0 / fp]).ravel()
        rule = f"{add:g} added to all cells of all studies" if add else "counts as they are"
        return EffectSizes(
            y,
            vi=v,
            study=[label for label in self.study for _ in OUTCOMES],
            outcome=OUTCOMES * self.k,
            measure="PLO",
            rule=f"Logits of sensitivity and specificity; {rule}",
        )
