"""The JSON Schema that editors read is the one the models give."""

from make_schema import TARGET, schema_text


def test_the_schema_file_is_not_stale() -> None:
    assert TARGET.read_text(encoding="utf-8") == schema_text(), "run: python scripts/make_schema.py"
