"""The stable codes of problems that callers see in error rows, in manifests and in the status of a job.

Error rows may also hold the codes of `shared/errors.py`, when the pipeline or the model server refused a record. Must
not know who finds a problem.
"""

from __future__ import annotations

# problems of a whole object
BINARY = "binary"
BROKEN_GZIP = "broken-gzip"
CHANGED = "changed"  # the object is no longer the one that was pinned
EMPTY_OBJECT = "empty-object"
MISSING_COLUMN = "missing-column"
NOT_FOUND = "not-found"  # the object was deleted before it was read
UNREADABLE = "unreadable"  # reading it failed too often
WRONG_EXTENSION = "wrong-extension"
WRONG_HEADER = "wrong-header"

# problems of an object, a record or a job
TOO_LARGE = "too-large"

# problems of a record
BROKEN_JSON = "broken-json"
BROKEN_ROW = "broken-row"
DUPLICATE_KEY = "duplicate-key"
EMPTY_TEXT = "empty-text"
GIVEN_UP = "given-up"  # its shard used up its strikes
INTERNAL = "internal"  # a bug of ours
INVALID_TEXT = "invalid-text"
INVALID_UTF8 = "invalid-utf8"
SOURCE_GONE = "source-gone"  # its object was deleted or changed after it was planned
WRONG_COLUMNS = "wrong-columns"
WRONG_TYPE = "wrong-type"

# problems of a job
NO_OBJECT = "no-object"
NO_RECIPE = "no-recipe"
NO_RECORD_SUCCEEDED = "no-record-succeeded"
