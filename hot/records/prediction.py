"""What is known of an architecture before it is built."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """What is known of an architecture before it is built; the fixed parts are included.

    Attributes:
        latency_ms: from the LUT; None without one.
        energy_mj: from the LUT or the device's description; None where there is none.
        weight_bytes, activation_bytes: at the LUT's precision.
        quality: the score of the quality table, higher is better; None where one of its choices
            could not be scored.
    """

    latency_ms: float | None
    energy_mj: float | None
    macs: int
    params: int
    weight_bytes: int
    activation_bytes: int
    quality: float | None
