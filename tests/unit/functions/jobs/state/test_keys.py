"""Keys: the tenant comes first, no name leaves the tenant's prefix, and every key can be read back."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from functions.jobs.state import keys
from shared.errors import Unprocessable

TENANT = st.from_regex(keys.TENANT, fullmatch=True)
NAME = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)


@given(TENANT, st.from_regex(keys.RECIPE, fullmatch=True), NAME)
def test_an_inbox_key_is_read_back(tenant: str, recipe: str, name: str) -> None:
    """Tenant, recipe and any name come back, also a name with slashes. Only a folder is no object."""
    found = keys.parse_object_key(keys.inbox_key(tenant, recipe, name))
    assert found == (None if name.endswith("/") else keys.Inbox(tenant, recipe, name))


@given(TENANT, NAME)
def test_an_upload_key_is_read_back(tenant: str, name: str) -> None:
    """Every name that the API accepts leads back to its tenant and job."""
    try:
        keys.check_name(name)
    except Unprocessable:
        assume(False)
    job = keys.new_job_id()
    key = keys.input_prefix(tenant, job) + name
    assert keys.parse_object_key(key) == keys.Upload(tenant, job, name)
    assert key.startswith(f"t/{tenant}/")
    assert len(key.encode()) <= 1024


@pytest.mark.parametrize(
    "key",
    ["", "x", "t/a/inbox/r", "t/a/inbox/r/", "t/A B/inbox/r/x", "t//inbox/r/x", "t/a/inbox//x", "t/a/outbox/r/x",
     "t/a/jobs/short/input/x", f"t/a/jobs/{'0' * 32}/parts/x", f"t/a/jobs/{'0' * 32}/input", "/t/a/inbox/r/x"],
)  # fmt: skip
def test_other_keys_are_nobodys(key: str) -> None:
    """A key of any other shape is neither an inbox object nor an upload."""
    assert keys.parse_object_key(key) is None


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "../x", "a\x00b", "a\nb", "${filename}", "x" * 513, "é" * 300, "a\x85.csv", "a\u2028b.csv",
     "a\u202egnp.csv", "a\u2066b.csv", "\ud800.csv", "a\uffff.csv"],
)  # fmt: skip
def test_names_that_could_leave_their_place_are_refused(name: str) -> None:
    """Slashes, single dots, control characters, overrides of direction, S3's placeholder and long names are a 422."""
    with pytest.raises(Unprocessable, match="got") as refused:
        keys.check_name(name)
    assert refused.value.message.isprintable()


@pytest.mark.parametrize(
    "name",
    ["a b.txt", "a+b.txt", "100%.txt", "日本語.jsonl", "é😀.txt.gz", "レビュー\u3000一覧.csv", "9.41\u202fAM.csv",
     "می\u200cشد.csv", "क्\u200dष.csv", "👩\u200d👧.txt", "a\u00a0b.csv", "ภาษา\u200bไทย.csv", "\u200fשם.csv"],
)  # fmt: skip
def test_names_in_any_script_are_kept(name: str) -> None:
    """Spaces of any width, joiners, plus, percent and Unicode are allowed, in names and prefixes."""
    assert keys.check_name(name) == name
    assert keys.check_prefix(name) == name


@pytest.mark.parametrize("name", ["", "A", "a/b", "-a", "a b", "x" * 64])
def test_recipe_names_are_plain(name: str) -> None:
    """A recipe's name has lower-case letters, digits, dots, dashes and underscores."""
    with pytest.raises(Unprocessable, match="expected"):
        keys.check_recipe(name)


def test_ids_tell_every_part_apart() -> None:
    """Moving a character between parts or changing one gives another id. The same parts give the same id."""
    ids = {
        keys.job_id_of_object("b", "k", "v", "r"), keys.job_id_of_object("bk", "", "v", "r"),
        keys.job_id_of_object("b", "kv", "", "r"), keys.job_id_of_object("b", "k", "v", "s"),
        keys.job_id_of_object("b", "k", "w", "r"), keys.job_id_of_token("b", "k"), keys.job_id_of_token("c", "k"),
    }  # fmt: skip
    assert len(ids) == 7
    assert all(keys.JOB.fullmatch(each) for each in ids)
    assert keys.job_id_of_token("b", "k") in ids


def test_shard_ids_sort_by_place() -> None:
    """Ids sort in the order of their records, and change with the bytes that they cover."""
    made = [keys.shard_id(i, "b", "k", "v", i, i + 1) for i in (0, 9, 10, 99_999_999)]
    assert made == sorted(made)
    assert all(keys.SHARD.fullmatch(each) for each in made)
    assert keys.shard_id(0, "b", "k", "v", 0, 2) != made[0]
    assert keys.part_key("a", "j", "s", 0) != keys.part_key("a", "j", "s", 1)
