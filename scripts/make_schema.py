"""Write `recipes/recipe.schema.json`, the JSON Schema of recipe files, from the pydantic models.

    python scripts/make_schema.py

Editors read it: the first line of each recipe names it. A test fails when it is stale.
"""

from __future__ import annotations

import json
from pathlib import Path

from metapeft import atomic
from metapeft.recipes.schema import Recipe

TARGET = Path(__file__).resolve().parent.parent / "recipes" / "recipe.schema.json"


def schema_text() -> str:
    """The schema as it should stand in the file."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    atomic.write_text(TARGET, schema_text())
    print(TARGET)
