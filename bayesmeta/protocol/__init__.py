"""Analysis plans: a TOML file that says what is analysed, how and why, read into a frozen value."""

from bayesmeta.protocol.schema import Alternative, Benefit, Outcome, PriorChoice, Priors, Protocol, read_protocol

__all__ = ["Alternative", "Benefit", "Outcome", "PriorChoice", "Priors", "Protocol", "read_protocol"]
