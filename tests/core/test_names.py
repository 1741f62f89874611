import pytest
from hypothesis import given
from hypothesis import strategies as st

from acekeeper.core.names import HERE, Slot


@given(st.integers(min_value=1, max_value=65535))
def test_a_unit_names_its_slot_and_back(port: int) -> None:
    slot = Slot(HERE, port)
    assert Slot.from_unit(slot.unit) == slot


def test_the_names_of_a_slot() -> None:
    slot = Slot("h", 19000)
    assert slot.unit == "engine@19000.service"
    assert slot.container_name == "engine-19000"
    assert slot.environment_file == "19000.env"
    assert slot.container_id_file == "engine@19000.cid"


@pytest.mark.parametrize(
    "unit",
    [
        "engine@.service",
        "engine@x.service",
        "engine@190000.service",
        "engine@019000.service",
        "engine@\u0661\u0669\u0660\u0660\u0660.service",
        "engine@-1.service",
        "engine@19000.timer",
        "engine@19000.service.d",
        "engine-19000.service",
        "an-engine@19000.service",
    ],
)
def test_what_is_no_engines_unit(unit: str) -> None:
    assert Slot.from_unit(unit) is None
