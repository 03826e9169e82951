"""Many rows with few statements."""

from typing import Any

from appliance.storage.sql_rows import ROWS_AT_ONCE, add_rows, parts


class FakeCursor:
    """Keeps what is executed."""

    def __init__(self) -> None:
        self.executed: list[tuple[str, list[Any]]] = []

    def execute(self, statement: str, values: list[Any]) -> None:
        self.executed.append((statement, values))


def test_parts_are_full_but_for_the_last() -> None:
    """Every row is in one part, in order."""
    assert [] == list(parts([]))
    assert [ROWS_AT_ONCE, 3] == [len(part) for part in parts(range(ROWS_AT_ONCE + 3))]


def test_rows_go_in_with_one_statement_for_each_part() -> None:
    """The values of all rows of a part are bound in a row."""
    cursor = FakeCursor()
    add_rows(cursor, "pair(a, b)", "(?,?)", [(number, -number) for number in range(ROWS_AT_ONCE + 2)])
    assert 2 == len(cursor.executed)
    assert ("INSERT INTO pair(a, b) VALUES(?,?),(?,?)", [32, -32, 33, -33]) == cursor.executed[1]
