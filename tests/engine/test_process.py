"""Settings of the process are back only after their last user."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event

import pytest

from skdigits.engine.process import ProcessSetting


class Box:
    """A setting, and every value that was written to it."""

    def __init__(self):
        self.value = "before"
        self.written = []
        self.setting = ProcessSetting(lambda: self.value, self.write)

    def changed(self):
        return self.setting.changed_by(lambda before: f"not {before}")

    def write(self, value):
        self.value = value
        self.written.append(value)


@pytest.fixture
def box():
    return Box()


def test_a_single_user_changes_and_restores(box):
    with box.changed():
        assert box.value.startswith("not ")
    assert box.value == "before"
    box.value = "another"
    with box.changed():
        assert box.value.startswith("not ")
    assert box.value == "another"


@pytest.mark.parametrize("first_to_leave", ["first", "second"])
def test_the_value_is_back_after_the_last_of_two_users(box, first_to_leave):
    """Whichever leaves first: users overlap, they need not be nested."""
    users = {"first": ExitStack(), "second": ExitStack()}
    for user in users.values():
        user.enter_context(box.changed())
        assert box.value.startswith("not ")
    users.pop(first_to_leave).close()
    assert box.value.startswith("not ")
    (last,) = users.values()
    last.close()
    assert box.value == "before"
    assert box.written == ["not before", "before"]


def test_exceptions_leave_like_everyone_else(box):
    """That of one user neither restores too early nor keeps the value changed."""

    def fail():
        with box.changed():
            assert box.value.startswith("not ")
            raise ValueError("expected")

    with pytest.raises(ValueError, match="expected"):
        fail()
    assert box.value == "before"
    with box.changed():
        with pytest.raises(ValueError, match="expected"):
            fail()
        assert box.value.startswith("not ")
    assert box.value == "before"


@pytest.mark.parametrize("error", [None, ValueError("expected")])
def test_threads_share_the_setting(box, error):
    """A enters, B enters, A leaves (by an exception or without), B leaves."""
    entered = {name: Event() for name in "AB"}
    leave = {name: Event() for name in "AB"}

    def use(name):
        with box.changed():
            entered[name].set()
            assert leave[name].wait(30)
            if name == "A" and error is not None:
                raise error

    with ThreadPoolExecutor(2) as pool:
        running = {}
        for name in "AB":
            running[name] = pool.submit(use, name)
            assert entered[name].wait(30)
            assert box.value.startswith("not ")
        leave["A"].set()
        assert running["A"].exception(30) is error
        assert box.value.startswith("not ")
        leave["B"].set()
        assert running["B"].exception(30) is None
    assert box.value == "before"
    assert box.written == ["not before", "before"]


def test_many_threads_at_once_always_find_it_changed(box):
    def use(_):
        with box.changed():
            return box.value

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(use, range(2000))) == {"not before"}
    assert box.value == "before"
