"""Numbers that several parts use: how much one call to the model server may carry, the ranges of its fields, records.

Limits of one model, such as tokens in a row, are in the catalog. Must not know who checks them.
"""

MAX_CALL_TOKENS = 16_384  # over all rows of a call
MAX_ROW_TOKENS = 8_192  # of one row, whatever positions a model has
MAX_CALL_ROWS = 1_024  # a row that is continued n times counts n times
MAX_BODY_BYTES = 4 * 2**20  # of a request to the model server, and of a request to the API
MAX_RECORD_BYTES = 2**20  # of one record of a batch job, with its JSON
MAX_ANSWER_BYTES = 5_000_000  # of an answer: the gateway and Lambda pass on no more than 6 MB
MAX_TOP_K = 1_000
MAX_CLASSES = 1_000  # of an output, by the classification extension of the protocol
DEFAULT_TOP_K = 5
MAX_TARGETS = 1_000  # of a fill-mask call
MAX_LAYERS = 64
MAX_NEW_TOKENS = 4_096
MAX_SEQUENCES = 16
MAX_TEMPERATURE = 100.0
MAX_SEED = 2**53
