"""Operators whose body is a torch module: counted from a recorded pass."""

from collections.abc import Callable
from functools import cache, partial

from torch import Tensor, nn

from hot.errors import SpaceError
from hot.nn.discover import digest_of
from hot.nn.seeded import seeded
from hot.nn.trace import count_modules, record
from hot.space import Choice, Counts, Foreign, Layer, Operator, Rules, Shape

Factory = Callable[[Layer, Choice, Rules], nn.Module]


def torch_operator(
    make: Factory,
    meaning: str,
    parameters: tuple[str, ...] = ("expansion", "kernel"),
    is_legal: Callable[[Layer], bool] = lambda layer: True,
) -> Operator:
    """An operator for `hot.register_operator`, from a function that makes its module.

    Its counts come from one recorded pass at each place; see `hot.nn.trace` for what they assume.

    Args:
        make: the freshly initialised module for a layer (`input`, `out_channels`, `stride`), a
            choice (`expansion`, `kernel`) and the rules of the space (`activation`): (B, C, H, W)
            to (B, out_channels, H / stride rounded up, W / stride rounded up).
        meaning: what `expansion` is for this operator, and its reference.
        parameters: which of `expansion` and `kernel` it has.
        is_legal: where it may stand.
    """

    @cache
    def body(layer: Layer, choice: Choice, rules: Rules) -> Foreign:
        return _trace(partial(make, layer, choice, rules), layer, choice)

    return Operator(body, meaning, parameters, is_legal)


def _trace(make: Callable[[], nn.Module], layer: Layer, choice: Choice) -> Foreign:
    """The block that `make` makes, with its counts at the layer.

    Raises:
        SpaceError: it cannot be made, does not run, or gives another shape.
    """
    try:
        with seeded(0):
            module = make().eval()
    except Exception as error:  # the user's code may raise anything
        raise SpaceError(
            f"the operator {choice.operator!r} cannot be made at {layer}: {error}"
        ) from error
    recording = record(module, layer.input)
    out = recording.output
    if not isinstance(out, Tensor) or tuple(out.shape[1:]) != layer.output:
        got = tuple(out.shape[1:]) if isinstance(out, Tensor) else type(out).__name__
        raise SpaceError(
            f"the operator {choice.operator!r} turns {layer.input} into {got}, not into "
            f"{layer.output}; mend its module, or say in is_legal where it may stand"
        )
    end = len(recording.ops)
    peak = max(layer.input.volume, recording.peak(0, end))
    counts = count_modules(recording, dict(module.named_modules())) + Counts(
        recording.macs(0, end), peak_activations=peak
    )
    digest = digest_of(module, str(layer), str(counts.macs))
    return Foreign(type(module).__name__, digest, Shape(*out.shape[1:]), counts, make)
