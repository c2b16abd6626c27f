"""Analysis plans: a TOML file that says what is analysed, how and why, read into a frozen value."""

from bayesmeta.protocol.schema import Protocol, read_protocol
from bayesmeta.protocol.sections import Alternative, Benefit, Outcome, PriorChoice, Priors

__all__ = ["Alternative", "Benefit", "Outcome", "PriorChoice", "Priors", "Protocol", "read_protocol"]
