"""`network`: the classical network meta-analysis, the twin of ``network_consistency``."""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import chdtrc, ndtr

from bayesmeta.errors import ModelError, unknown
from bayesmeta.frequentist.networks.comparison import Comparison, PScores
from bayesmeta.frequentist.networks.evidence_flow import comparison_hat, edge_weights, incidence, shortest_paths
from bayesmeta.frequentist.networks.inconsistency import (
    detached,
    interaction,
    q_of,
    random_interaction,
    within,
)
from bayesmeta.frequentist.networks.least_squares import (
    Network,
    Solved,
    generalised_dl,
    likelihood_estimate,
    log_likelihood,
    solved,
)
from bayesmeta.frequentist.networks.net_heat import net_heat_matrix
from bayesmeta.frequentist.printing import p_text
from bayesmeta.frequentist.significance import quantile, two_sided
from bayesmeta.frequentist.small_study import block, check_level, interval_text
from bayesmeta.marginals.treatments import league_table
from bayesmeta.studies import Contrasts
from bayesmeta.values import Array, Interval, Travels

if TYPE_CHECKING:
    import pandas as pd

type Method = Literal["DL", "REML", "ML", "common"]

METHODS = ("DL", "REML", "ML", "common")
REFERENCE = "Rücker (2012), Res. Synth. Methods 3:312-324; Jackson, White & Riley (2013), Biom. J. 55:231-245."


@dataclass(frozen=True, eq=False)
class NetworkFit(Travels):
    """A classical network meta-analysis.

    Parameters
    ----------
    contrasts
        What was analysed.
    method
        Estimator of the heterogeneity that all comparisons share.
    tau2
        Heterogeneity; 0 for ``"common"``.
    level
        Confidence level.
    """

    contrasts: Contrasts
    method: str
    tau2: float
    level: float
    reference: str = REFERENCE

    @property
    def tau(self) -> float:
        """Standard deviation of a comparison's true effects between studies."""
        return float(np.sqrt(self.tau2))

    @property
    def treatments(self) -> tuple[str, ...]:
        """The treatments, in alphabetical order."""
        return self.contrasts.treatments

    @property
    def k(self) -> int:
        """Number of studies."""
        return self.contrasts.k

    @cached_property
    def _net(self) -> Network:
        return network_of(self.contrasts)

    @cached_property
    def _at(self) -> Solved:
        return solved(self._net, self.tau2)

    @property
    def Q(self) -> float:
        """Cochran's Q of the whole network, with common weights."""
        return q_of(self._net)[0]

    @property
    def Q_df(self) -> int:
        """Degrees of freedom of Q."""
        return q_of(self._net)[1]

    @property
    def Q_p(self) -> float | None:
        """p-value of Q; None where there are no degrees of freedom."""
        return float(chdtrc(self.Q_df, self.Q)) if self.Q_df else None

    @property
    def I2(self) -> float | None:
        """Share of Q beyond its degrees of freedom, percent; None where there are none."""
        return max(0.0, 100.0 * (self.Q - self.Q_df) / self.Q) if self.Q_df and self.Q > 0.0 else None

    @property
    def loglik(self) -> float:
        """Log likelihood at the estimate; the restricted one for REML."""
        return log_likelihood(self._net, self.tau2, restricted=self.method == "REML")

    def _place(self, treatment: str) -> int:
        if treatment not in self.treatments:
            raise unknown("treatment", treatment, self.treatments)
        return self.treatments.index(treatment)

    def _estimates(self) -> tuple[Array, Array]:
        """Return ``(T,)`` effects against the first treatment and their ``(T, T)`` covariance."""
        return np.concatenate([[0.0], self._at.d]), np.pad(self._at.cov, ((1, 0), (1, 0)))

    def relative(self, b: str, a: str) -> Comparison:
        """Return treatment `b` against `a`.

        Raises
        ------
        ModelError
            If a treatment is unknown, or both are the same.
        """
        i, j = self._place(b), self._place(a)
        if i == j:
            raise ModelError(f"{a!r} against itself is no comparison: name two treatments.")
        d, cov = self._estimates()
        estimate = float(d[i] - d[j])
        se = float(np.sqrt(cov[i, i] + cov[j, j] - 2.0 * cov[i, j]))
        half = quantile(self.level, None) * se
        prediction = None
        if self.method != "common" and self.Q_df:
            wide = quantile(self.level, self.Q_df) * float(np.sqrt(se**2 + self.tau2))
            prediction = Interval(estimate - wide, estimate + wide, self.level, "prediction", f"t({self.Q_df})")
        return Comparison(
            b,
            a,
            estimate,
            se,
            Interval(estimate - half, estimate + half, self.level, "confidence", "wald"),
            two_sided(estimate / se, None),
            prediction,
        )

    def relatives(self) -> "pd.DataFrame":
        """Return every pair, one row each, analysis scale."""
        import pandas as pd

        rows = []
        for b in self.treatments:
            for a in self.treatments:
                if a != b:
                    c = self.relative(b, a)
                    low, high = (None, None) if c.prediction is None else c.prediction
                    rows.append((b, a, c.estimate, c.se, c.ci.low, c.ci.high, c.p_value, low, high))
        names = ["treatment", "reference", "estimate", "se", "ci_low", "ci_high", "p_value"]
        return pd.DataFrame(rows, columns=[*names, "prediction_low", "prediction_high"])

    def to_frame(self) -> "pd.DataFrame":
        """Return every pair, one row each, analysis scale."""
        return self.relatives()

    def league(self) -> "pd.DataFrame":
        """Return the league table: row against column, estimate and confidence limits, natural scale."""
        pairs = self.relatives()
        columns = (pairs[name].tolist() for name in ("treatment", "reference", "estimate", "ci_low", "ci_high"))
        return league_table(self.treatments, zip(*columns, strict=True), self.contrasts.measure)

    @property
    def p_scores(self) -> "PScores":
        """P-scores by treatment where lower effects are better; ``p_scores("higher")`` where higher ones are.

        The P-score is the mean one-sided certainty that a treatment is better than another.

        References
        ----------
        Rücker & Schwarzer (2015), BMC Med. Res. Methodol. 15:58.
        """
        d, cov = self._estimates()
        scores = {}
        for i, name in enumerate(self.treatments):
            others = [j for j in range(len(d)) if j != i]
            z = [(d[j] - d[i]) / np.sqrt(cov[i, i] + cov[j, j] - 2.0 * cov[i, j]) for j in others]
            scores[name] = float(np.mean(ndtr(np.array(z))))
        return PScores(scores)

    def q_decomposition(self) -> "pd.DataFrame":
        """Return Q of the network split into heterogeneity within designs and inconsistency between them.

        Rows: ``total``, ``within designs``, ``between designs``; each design's own (``within A:B``); Q between designs
        after each design is detached (``detached A:B``); and between designs with random effects, where the
        heterogeneity is that within designs (``between designs, random effects``).

        References
        ----------
        Krahn, Binder & König (2013), BMC Med. Res. Methodol. 13:35; Higgins, Jackson, Barrett, Lu, Ades & White
        (2012), Res. Synth. Methods 3:98-110.
        """
        import pandas as pd

        net, designs, full = self._net, self.contrasts.designs(), self.contrasts.design
        total, df = q_of(net)
        saturated = interaction(net, full, designs)
        inside, inside_df = q_of(saturated)
        rows: list[tuple[str, float, int, float | None]] = [("total", total, df, None)]
        rows.append(("within designs", inside, inside_df, None))
        rows.append(("between designs", max(total - inside, 0.0), df - inside_df, None))
        names = sorted(dict.fromkeys(designs))
        members = {name: [i for i, d in enumerate(designs) if d == name] for name in names}
        for name in names:
            q, own = q_of(within(net, members[name]))
            if own:
                rows.append((f"within {name}", q, own, None))
        for name in names:
            apart = detached(net, full, members[name])
            if apart.X.shape[1] > net.X.shape[1]:
                q, left = q_of(apart)
                rows.append((f"detached {name}", max(q - inside, 0.0), left - inside_df, None))
        if df > inside_df:
            q, between, tau = random_interaction(net, full, designs)
            rows.append(("between designs, random effects", q, between, tau))
        frame = pd.DataFrame(rows, columns=["source", "Q", "df", "tau_within"])
        frame["p_value"] = [float(chdtrc(d, q)) if d else None for q, d in zip(frame["Q"], frame["df"], strict=True)]
        return frame[["source", "Q", "df", "p_value", "tau_within"]]

    def net_heat(self, *, random: bool = False) -> "pd.DataFrame":
        """Return by how much each design's part of Q between designs (rows) falls when one (columns) is detached.

        A design of several arms is one row: its contrasts are added up, which no choice of contrasts changes.
        Columns are the designs whose detachment frees a degree of freedom; a column adds up to Q between designs less
        the Q that is left.

        Parameters
        ----------
        random
            Whether weights have the heterogeneity within designs, instead of none.

        References
        ----------
        Krahn, Binder & König (2013), BMC Med. Res. Methodol. 13:35.
        """
        import pandas as pd

        net, designs, full = self._net, self.contrasts.designs(), self.contrasts.design
        tau2 = generalised_dl(interaction(net, full, designs)) if random else 0.0
        fall, rows, columns = net_heat_matrix(net, full, designs, tau2)
        return pd.DataFrame(fall, index=list(rows), columns=list(columns))

    def node_split(self) -> "pd.DataFrame":
        """Return direct against indirect evidence of each comparison that some study makes.

        The direct estimate pools the studies that compare both treatments, with the network's tau2; the indirect one
        is what the network estimate adds to it (back-calculated).  ``proportion`` is the share of direct evidence;
        indirect estimate and difference are missing where it is 1.

        References
        ----------
        König, Krahn & Binder (2013), Stat. Med. 32:5414-5429; Dias, Welton, Caldwell & Ades (2010), Stat. Med.
        29:932-944.
        """
        import pandas as pd

        pairs = self.contrasts.pairs()
        rows = []
        for b, a in combinations(self.treatments, 2):
            one = pairs[(pairs["treat1"] == b) & (pairs["treat2"] == a)]
            two = pairs[(pairs["treat1"] == a) & (pairs["treat2"] == b)]
            if len(one) + len(two) == 0:
                continue
            y = np.concatenate([one["yi"], -two["yi"]])
            w = 1.0 / (np.concatenate([one["sei"], two["sei"]]) ** 2 + self.tau2)
            direct, variance = float(w @ y / w.sum()), float(1.0 / w.sum())
            whole = self.relative(b, a)
            share = whole.se**2 / variance
            row = {"treatment": b, "reference": a, "k": len(y), "proportion": share}
            row |= {"network": whole.estimate, "network_se": whole.se}
            row |= {"direct": direct, "direct_se": float(np.sqrt(variance))}
            if share < 1.0 - 1e-9:
                indirect = (whole.estimate - share * direct) / (1.0 - share)
                indirect_variance = whole.se**2 / (1.0 - share)
                difference, se = direct - indirect, float(np.sqrt(variance + indirect_variance))
                row |= {"indirect": indirect, "indirect_se": float(np.sqrt(indirect_variance))}
                row |= {"difference": difference, "difference_se": se, "p_value": two_sided(difference / se, None)}
            rows.append(row)
        return pd.DataFrame(rows)

    @property
    def hat(self) -> "pd.DataFrame":
        """Hat matrix: network estimates of the pairs of treatments within studies, as weights of these pairs.

        Rows and columns are labelled ``study: A - B``; its trace is the number of treatments less one.
        """
        import pandas as pd

        edges, w = edge_weights(self._net, self.contrasts.study, self.contrasts.design, self.tau2)
        B = incidence([(a, b) for _, a, b in edges], len(self.treatments))
        H = B @ np.linalg.pinv(B.T * w @ B, hermitian=True) @ B.T * w
        names = [f"{s}: {self.treatments[a]} - {self.treatments[b]}" for s, a, b in edges]
        return pd.DataFrame(H, index=names, columns=names)

    @property
    def contributions(self) -> "pd.DataFrame":
        """Share of each direct comparison (columns) in each network estimate (rows); rows add up to 1.

        References
        ----------
        Papakonstantinou, Nikolakopoulou, Rücker, Chaimani, Schwarzer, Egger & Salanti (2018), F1000Research 7:610.
        """
        import pandas as pd

        edges, w = edge_weights(self._net, self.contrasts.study, self.contrasts.design, self.tau2)
        H, every, direct = comparison_hat(edges, w, len(self.treatments))
        shares = [shortest_paths(row, direct, a, b)[0] for row, (a, b) in zip(H, every, strict=True)]
        return pd.DataFrame(np.array(shares), index=self._names(every), columns=self._names(direct))

    def _names(self, pairs: list[tuple[int, int]]) -> list[str]:
        return [f"{self.treatments[a]}:{self.treatments[b]}" for a, b in pairs]

    def __repr__(self) -> str:
        c = self.contrasts
        return f"<NetworkFit: {c.measure}, {self.method}, {len(self.treatments)} treatments, {self.k} studies>"

    def __str__(self) -> str:
        base = self.treatments[0]
        lines = []
        for name in self.treatments[1:]:
            c = self.relative(name, base)
            lines.append(
                f"{name} against {base}: {c.estimate:.4f} (SE {c.se:.4f}), {interval_text(c.ci)}, p {p_text(c.p_value)}"
            )
        tail = "" if self.Q_p is None else f"; Q = {self.Q:.4f} (df {self.Q_df}), p {p_text(self.Q_p)}"
        lines.append(f"tau2 = {self.tau2:.4f}{tail}")
        title = (
            f"Network meta-analysis, {self.method}: {self.k} studies, {len(self.treatments)} treatments, measure "
            f"{self.contrasts.measure}; analysis scale"
        )
        return block(title, lines, notes=self.contrasts.notes, reference=self.reference)


def network_of(contrasts: Contrasts) -> Network:
    """Return a network as arrays, effects against the first treatment."""
    return Network(contrasts.yi, contrasts.V, contrasts.relation, contrasts.design[:, 1:])


def network(contrasts: Contrasts, *, method: Method = "REML", level: float = 0.95) -> NetworkFit:
    """Fit a network meta-analysis by generalised least squares, consistent and with one heterogeneity.

    Parameters
    ----------
    contrasts
        Of a connected network, from :func:`bayesmeta.contrasts`.
    method
        Estimator of tau2: ``"REML"``, ``"ML"``, ``"DL"`` (the generalised moment estimator), or ``"common"`` for none.
        REML is the maximum of the restricted likelihood of the contrasts.
    level
        Of the confidence intervals.

    Raises
    ------
    ModelError
        If the method is unknown or the data are no contrasts.

    References
    ----------
    Rücker (2012), Res. Synth. Methods 3:312-324; Jackson, White & Riley (2013), Biom. J. 55:231-245.
    """
    check_level(level)
    if not isinstance(contrasts, Contrasts):
        raise ModelError(
            f"network takes contrasts, not {type(contrasts).__name__}: use bm.contrasts(bm.read_network(...), "
            'measure="OR") first.'
        )
    if method not in METHODS:
        raise unknown("estimator of a network's tau2", method, METHODS)
    if contrasts.terms:
        raise ModelError(
            f"The contrasts have moderators ({', '.join(contrasts.terms)}), which this fit would leave out: use "
            "bm.fit(contrasts, model='network_consistency')."
        )
    net = network_of(contrasts)
    if method == "common":
        tau2 = 0.0
    elif method == "DL":
        tau2 = generalised_dl(net)
    else:
        tau2 = likelihood_estimate(net, restricted=method == "REML")
    return NetworkFit(contrasts, method, tau2, level)
