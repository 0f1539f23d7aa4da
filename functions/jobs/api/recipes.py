"""Creates, lists and deletes recipes. A recipe never changes: to change it, delete it and create another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from functions.jobs.api.pages import decode_cursor, encode_cursor
from functions.jobs.api.views import recipe_json
from functions.jobs.state import keys
from functions.jobs.state.items import JobSpec, Recipe, from_item, to_item
from functions.jobs.state.transactions import ConditionFailed, Delete, Put
from functions.jobs.storage.contracts import Table
from functions.jobs.storage.queries import load_recipe
from shared.errors import Conflict, NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipes:
    """The recipes of all tenants, one tenant at a time. `now_ms` returns epoch milliseconds."""

    table: Table
    input_bucket: str
    now_ms: Callable[[], int]

    def create(self, tenant: str, name: str, spec: JobSpec) -> tuple[dict[str, object], bool]:
        """Create a recipe, or find the same one; True when it was created now.

        Raises Conflict when another recipe has this name.
        """
        recipe = Recipe(name=name, spec=spec.to_json(), created_ms=self.now_ms())
        try:
            self.table.write(Put(keys.recipe_item(tenant, name), to_item(recipe)))
        except ConditionFailed:
            known = load_recipe(self.table, tenant, name)
            if known is None or known.spec != recipe.spec:
                raise Conflict(f"recipe {name!r} exists and does something else; delete it first") from None
            return self._view(tenant, known), False
        return self._view(tenant, recipe), True

    def page(self, tenant: str, query: Mapping[str, str], size: int) -> dict[str, object]:
        """Return a page of a tenant's recipes, sorted by name."""
        after = decode_cursor(query, rf"recipe/{keys.RECIPE.pattern}")
        page = self.table.query(keys.recipes_partition(tenant), prefix="recipe/", after=after, limit=size)
        found = [self._view(tenant, from_item(Recipe, item)) for item in page.items]
        return {"recipes": found, "next": encode_cursor(page.after)}

    def delete(self, tenant: str, name: str) -> None:
        """Remove a recipe. Jobs that it made stay. Raises NotFound."""
        if not keys.RECIPE.fullmatch(name):  # the table could not take every such name as a key
            raise NotFound(f"no recipe {name[:64]!r}")
        try:
            self.table.write(Delete(keys.recipe_item(tenant, name)))
        except ConditionFailed:
            raise NotFound(f"no recipe {name[:64]!r}") from None

    def _view(self, tenant: str, recipe: Recipe) -> dict[str, object]:
        return recipe_json(recipe, f"s3://{self.input_bucket}/{keys.inbox_key(tenant, recipe.name, '')}")
