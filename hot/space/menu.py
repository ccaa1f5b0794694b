"""Menus: rows of operators and their parameters, as YAML gives them, and the choices they mean."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hot.errors import SpaceError
from hot.space.operators import Choice, find_operator

OddKernel = Literal[1, 3, 5, 7, 9, 11]


class MenuRow(BaseModel):
    """One operator with all values of its parameters.

    Attributes:
        group: input channels of each group of the spatial convolution; 0 for one group of all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    operator: str
    expansion: tuple[Annotated[float, Field(gt=0, le=64)], ...] = (1.0,)
    kernel: tuple[OddKernel, ...] = (1,)
    group: tuple[Annotated[int, Field(ge=0, le=1024)], ...] = (0,)


def expand_menu(where: str, rows: Sequence[MenuRow]) -> tuple[Choice, ...]:
    """Every choice that the rows mean, in order.

    Args:
        where: names file and key in errors.

    Raises:
        SpaceError: an unknown operator, a parameter it does not have, or a choice named twice.
    """
    choices: list[Choice] = []
    for index, row in enumerate(rows):
        try:
            parameters = find_operator(row.operator).parameters
        except SpaceError as error:
            raise SpaceError(f"{where}.{index}.operator: {error}") from error
        for given, field in MenuRow.model_fields.items():
            is_own = given == "operator" or given in parameters
            if not is_own and getattr(row, given) != field.default:
                raise SpaceError(
                    f"{where}.{index}.{given}: the operator {row.operator!r} has no {given}; "
                    "remove the key"
                )
        choices += [
            Choice(row.operator, e, k, g)
            for e in row.expansion
            for k in row.kernel
            for g in row.group
        ]
    if len(set(choices)) < len(choices):
        raise SpaceError(f"{where} names a choice twice")
    return tuple(choices)
