"""For schemathesis, in its own process."""

from typing import Any

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData, Failure


@schemathesis.hook
def before_call(
    _: schemathesis.HookContext, case: schemathesis.Case[Any], __: dict[str, Any]
) -> None:
    """To a JSON schema 1.0 is an integer; to our clients, and so to us, it is none."""
    case.body = _with_integers(case.body)


def _with_integers(value: Any) -> Any:
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {name: _with_integers(held) for name, held in value.items()}
        case list():
            return [_with_integers(held) for held in value]
        case _:
            return value


@schemathesis.hook
def filter_failure(
    _: schemathesis.HookContext, failure: Failure, case: schemathesis.Case[Any], __: Any
) -> bool:
    """A case that was to be wrong and only left out a body that may be left out is none."""
    is_right = case.meta is not None and case.meta.phase.data.description == "Positive test case"
    return not (is_right and isinstance(failure, AcceptedNegativeData))
